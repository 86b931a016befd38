//! The doors of AWS: each makes an event of an HTTP request, and an HTTP response of what the function answers, in its
//! own way.

mod agentcore;
mod fault;
mod function_url;
mod headers;
mod http_api;
mod invoke;
mod load_balancer;
mod payload_v2;
mod reply;
mod request;
mod rest_api;
mod stream;

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use clap::ValueEnum;
use serde_json::Value;

use self::fault::Answer;
pub(super) use self::{
    agentcore::Gateway,
    fault::Fault,
    invoke::serve as invoke,
    request::{Asked, page, stranger},
};
use super::{contract, function::Outcome};

/// A front of a Lambda function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// API Gateway REST API, a response in one piece
    ApigwV1,
    /// API Gateway REST API, responseTransferMode STREAM
    ApigwV1Stream,
    /// API Gateway HTTP API, payload format 2.0
    ApigwV2,
    /// Lambda function URL, InvokeMode BUFFERED
    Url,
    /// Lambda function URL, InvokeMode RESPONSE_STREAM
    UrlStream,
    /// Application Load Balancer
    Alb,
    /// Lambda's own Invoke, with a JSON-RPC message
    Invoke,
    /// Amazon Bedrock AgentCore Gateway, the function as its target
    AgentcoreTarget,
}

/// What the door's names are here.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) region: String,
    /// What stands between the domain and the path of a REST or HTTP API.
    pub(super) stage: String,
    /// Whether a load balancer's target group has multi-value headers.
    pub(super) multi_value: bool,
}

/// The id of the API or of the function URL.
pub(super) const ID: &str = "a1b2c3d4e5";
/// The stage that stands in no path.
pub(super) const DEFAULT_STAGE: &str = "$default";

impl Door {
    /// Whether it delivers an answer piece by piece.
    pub(super) const fn streams(self) -> bool {
        matches!(self, Self::ApigwV1Stream | Self::UrlStream)
    }

    /// Whether it is API Gateway, which has stages and authorizers.
    pub(super) const fn is_api_gateway(self) -> bool {
        matches!(self, Self::ApigwV1 | Self::ApigwV1Stream | Self::ApigwV2)
    }

    /// The stage unless the user names one.
    pub(super) const fn stage(self) -> &'static str {
        match self {
            Self::ApigwV1 | Self::ApigwV1Stream => "prod",
            _ => DEFAULT_STAGE,
        }
    }

    /// How long it waits for a whole answer.
    pub(super) const fn waits(self) -> Duration {
        match self {
            Self::ApigwV1 => contract::REST_API_WAITS,
            Self::ApigwV2 => contract::HTTP_API_WAITS,
            _ => contract::FUNCTION_RUNS,
        }
    }

    /// The largest body of a request that it takes.
    pub(super) const fn takes(self) -> usize {
        match self {
            Self::ApigwV1 | Self::ApigwV1Stream | Self::ApigwV2 => contract::API_GATEWAY_BYTES,
            Self::Alb => contract::LOAD_BALANCER_BYTES,
            _ => contract::PAYLOAD_BYTES,
        }
    }

    /// The name under which it is reached in AWS.
    pub(super) fn domain(self, site: &Site) -> String {
        let region = &site.region;
        match self {
            Self::Url | Self::UrlStream => format!("{ID}.lambda-url.{region}.on.aws"),
            Self::Alb => format!("emulated-{ID}.{region}.elb.amazonaws.com"),
            Self::Invoke => format!("lambda.{region}.amazonaws.com"),
            _ => format!("{ID}.execute-api.{region}.amazonaws.com"),
        }
    }

    /// The path within the stage, if the request leads there.
    pub(super) fn route<'a>(self, site: &Site, path: &'a str) -> Option<&'a str> {
        if !self.is_api_gateway() || site.stage == DEFAULT_STAGE {
            return Some(path);
        }
        let rest = path.strip_prefix('/')?.strip_prefix(site.stage.as_str())?;
        match rest {
            "" => Some("/"),
            _ => rest.starts_with('/').then_some(rest),
        }
    }

    /// The event for a request; `authorizer` is what an authorizer said of it.
    pub(super) fn event(self, site: &Site, asked: &Asked, authorizer: Option<&Value>) -> Value {
        match self {
            Self::ApigwV1 | Self::ApigwV1Stream => rest_api::event(site, asked, authorizer),
            Self::ApigwV2 => payload_v2::event(self, site, asked, authorizer),
            Self::Url | Self::UrlStream => payload_v2::event(self, site, asked, None),
            Self::Alb => load_balancer::event(site, asked),
            // they have no requests, but messages
            Self::Invoke | Self::AgentcoreTarget => Value::Null,
        }
    }

    /// The response that a client gets for what the function answered.
    ///
    /// # Errors
    /// When the door gives a response of its own in its place.
    pub(super) async fn answer(self, site: &Site, outcome: Outcome) -> Result<Response<Body>, Fault> {
        match (self, fault::expect_answer(outcome)?) {
            (Self::ApigwV1Stream, Answer::Stream(stream)) => Ok(headers::remap(stream::read(stream).await?)),
            (Self::ApigwV1Stream, Answer::Whole(_)) => Err(Fault::not_streamed()),
            (Self::ApigwV1, Answer::Stream(stream)) => {
                Ok(headers::remap(stream::head_alone(stream::read(stream).await?)))
            }
            (Self::UrlStream, Answer::Stream(stream)) => Ok(headers::remap(stream::read_any(stream).await?)),
            (Self::UrlStream, Answer::Whole(payload)) => Ok(stream::as_it_is(payload)),
            (_, Answer::Stream(_)) => Err(Fault::streamed()),
            (Self::ApigwV1, Answer::Whole(payload)) => rest_api::answer(&payload),
            (Self::Alb, Answer::Whole(payload)) => load_balancer::answer(site, &payload),
            (Self::Url, Answer::Whole(payload)) => Ok(headers::remap(payload_v2::answer(&payload)?)),
            (_, Answer::Whole(payload)) => payload_v2::answer(&payload),
        }
    }

    /// Adds the headers by which a door's answer is found in its logs, and calls a page of ours by its own name again.
    pub(super) fn sign(self, asked: &Asked, headers: &mut HeaderMap) {
        if let Some(origin) = &asked.own_origin
            && headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        let name = match self {
            Self::ApigwV2 => "apigw-requestid",
            Self::Alb => return,
            _ => "x-amzn-requestid",
        };
        for (name, value) in [(name, &asked.id), ("x-amzn-trace-id", &asked.trace_id)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    /// The response of the door itself.
    pub(super) fn refuse(self, fault: &Fault) -> Response<Body> {
        match self {
            Self::ApigwV1 => rest_api::refuse(fault, StatusCode::BAD_GATEWAY),
            Self::ApigwV1Stream => rest_api::refuse(fault, StatusCode::INTERNAL_SERVER_ERROR),
            Self::ApigwV2 => http_api::refuse(fault),
            Self::Alb => load_balancer::refuse(fault),
            Self::Url | Self::UrlStream | Self::Invoke | Self::AgentcoreTarget => function_url::refuse(fault),
        }
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
