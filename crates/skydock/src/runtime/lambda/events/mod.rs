//! What Lambda was invoked with: one file per door, told apart by the event itself.

mod agentcore;
mod api_v1;
mod api_v2;
mod invoke;
mod lattice;
mod load_balancer;
mod principal;
mod request;

use std::collections::BTreeMap;

use axum::body::Bytes;
use http::Request;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;

use super::{contract, invocation::Invocation};

/// Where an event comes from, which says how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// API Gateway REST API.
    RestApi,
    /// API Gateway HTTP API, payload format 1.0.
    HttpApiV1,
    /// API Gateway HTTP API, payload format 2.0.
    HttpApi,
    /// Lambda function URL.
    FunctionUrl,
    /// Application Load Balancer; `multi` when its target group has multi-value headers.
    LoadBalancer { multi: bool },
    /// VPC Lattice, either version of its event.
    Lattice,
    /// `Invoke` with a JSON-RPC message.
    Invoke,
    /// A target of AgentCore Gateway: arguments in, a value out.
    AgentCore,
}

impl Source {
    /// The name that people know it by.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::RestApi => "API Gateway REST API",
            Self::HttpApiV1 | Self::HttpApi => "API Gateway HTTP API",
            Self::FunctionUrl => "function URL",
            Self::LoadBalancer { .. } => "Application Load Balancer",
            Self::Lattice => "VPC Lattice",
            Self::Invoke => "Invoke",
            Self::AgentCore => "AgentCore Gateway",
        }
    }

    /// Whether it can deliver a response piece by piece.
    pub(super) const fn streams(self) -> bool {
        matches!(self, Self::RestApi | Self::FunctionUrl)
    }

    /// The largest response that it takes, as Lambda's JSON.
    pub(super) const fn limit(self) -> usize {
        match self {
            Self::LoadBalancer { .. } => contract::LOAD_BALANCER_BYTES,
            _ => contract::RESPONSE_BYTES,
        }
    }
}

/// A request, as the service takes it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) source: Source,
    pub(super) request: Request<Bytes>,
    /// The name under which the door received it.
    pub(super) domain: Option<String>,
}

/// An event that nothing here can answer, with what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot answer {0}")]
pub(super) struct Unknown(String);

/// The top of an event: its keys, and what is behind them unread.
type Keys<'a> = BTreeMap<String, &'a RawValue>;

/// What an event is.
#[derive(Debug)]
pub(super) enum Came {
    /// A request for the service.
    Request(Box<Arrived>),
    /// Nothing: all it does is keep the environment warm.
    Warming,
    /// Nothing that a door sends.
    Other(Unknown),
}

/// Reads an event.
///
/// # Errors
/// When it looks like one of a door and cannot be read; the error names what came, and no value of it.
pub(super) fn read(invocation: &Invocation, event: &Bytes) -> Result<Came, Unknown> {
    let request = |arrived| Came::Request(Box::new(arrived));
    // its arguments may have any keys at all, so it goes first; nobody but the caller of Invoke sets a client context
    if let Some(tool) = invocation.custom(contract::AGENTCORE_TOOL) {
        return agentcore::read(tool, event).map(request);
    }
    let trimmed = event.trim_ascii();
    if invoke::is_batch(trimmed) {
        return Ok(request(invoke::read(event)));
    }
    if matches!(trimmed, b"" | b"null" | b"\"ping\"") {
        return Ok(Came::Warming);
    }
    let Ok(mut keys) = serde_json::from_slice::<Keys<'_>>(event) else {
        return Ok(Came::Other(Unknown("an event that is no JSON object".to_owned())));
    };
    // some emulators write all keys of all doors
    keys.retain(|_key, value| value.get() != "null");
    if keys.contains_key("jsonrpc") {
        return Ok(request(invoke::read(event)));
    }
    let context: Context = parse(&keys, "requestContext").unwrap_or_default();
    if let Some(mut arrived) = http(&keys, &context, event)? {
        let principal = keys
            .get("requestContext")
            .and_then(|context| principal::read(context.get()));
        if let Some(principal) = principal {
            arrived.request.extensions_mut().insert(principal);
        }
        return Ok(request(arrived));
    }
    if is_warming(&keys) {
        return Ok(Came::Warming);
    }
    Ok(Came::Other(Unknown(describe(&keys))))
}

/// What tells the doors apart.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    elb: Option<IgnoredAny>,
    #[serde(default)]
    http: Option<IgnoredAny>,
    #[serde(default)]
    connection_id: Option<IgnoredAny>,
    #[serde(default)]
    service_arn: Option<IgnoredAny>,
    #[serde(default)]
    service_network_arn: Option<IgnoredAny>,
    #[serde(default)]
    domain_name: Option<String>,
}

/// The request of an event that is HTTP.
fn http(keys: &Keys<'_>, context: &Context, event: &[u8]) -> Result<Option<Arrived>, Unknown> {
    let has = |key: &str| keys.contains_key(key);
    let version: Option<String> = parse(keys, "version");
    let arrived = if context.elb.is_some() {
        load_balancer::read(event)?
    } else if context.http.is_some() && has("rawPath") {
        api_v2::read(event, context.domain_name.clone())?
    } else if has("httpMethod") && has("path") && context.connection_id.is_none() {
        let source = if version.as_deref() == Some("1.0") {
            Source::HttpApiV1
        } else {
            Source::RestApi
        };
        api_v1::read(event, source, context.domain_name.clone())?
    } else if context.service_network_arn.is_some() || context.service_arn.is_some() {
        lattice::read_v2(event)?
    } else if has("raw_path") && has("method") {
        lattice::read_v1(event)?
    } else {
        return Ok(None);
    };
    Ok(Some(arrived))
}

fn parse<T: DeserializeOwned>(keys: &Keys<'_>, key: &str) -> Option<T> {
    serde_json::from_str(keys.get(key)?.get()).ok()
}

/// The event of a door, in its own shape.
fn parse_event<'a, T: Deserialize<'a>>(source: Source, event: &'a [u8]) -> Result<T, Unknown> {
    serde_json::from_slice(event).map_err(|error| {
        // not the error itself, which repeats values of the event
        tracing::debug!(
            category = ?error.classify(),
            line = error.line(),
            column = error.column(),
            source = source.as_str(),
            "cannot read an event"
        );
        Unknown(format!(
            "an event that looks like one of {} and is none",
            source.as_str()
        ))
    })
}

fn is_warming(keys: &Keys<'_>) -> bool {
    let source: Option<String> = parse(keys, "source");
    keys.is_empty()
        || contract::WARMERS.iter().any(|key| keys.contains_key(*key))
        || source.is_some_and(|source| contract::WARMING_SOURCES.contains(&source.as_str()))
}

/// What came, in words; never a value that a sender could have filled with what it likes.
fn describe(keys: &Keys<'_>) -> String {
    #[derive(Deserialize)]
    struct Record {
        #[serde(alias = "EventSource", rename = "eventSource")]
        source: String,
    }
    let has = |key: &str| keys.contains_key(key);
    if has("methodArn") || has("routeArn") {
        return "an event of an API Gateway authorizer; that is a function of its own".to_owned();
    }
    let context: Context = parse(keys, "requestContext").unwrap_or_default();
    if context.connection_id.is_some() {
        return "an event of an API Gateway WebSocket API; MCP has no WebSocket transport".to_owned();
    }
    let records: Option<Vec<Record>> = parse(keys, "Records");
    if let Some(record) = records.as_ref().and_then(|records| records.first()) {
        return format!("records of {}", shorten(&record.source));
    }
    if has("detail-type") && has("source") {
        let source: String = parse(keys, "source").unwrap_or_default();
        return format!("an event of {} from EventBridge", shorten(&source));
    }
    let names: Vec<_> = keys.keys().take(8).map(|key| shorten(key)).collect();
    format!(
        "an event with the keys {}; this function answers API Gateway, function URLs, load balancers, VPC Lattice, \
         AgentCore Gateway, and JSON-RPC messages",
        names.join(", ")
    )
}

fn shorten(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(40).collect()
}
