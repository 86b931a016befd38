//! What API Gateway asks an authorizer: a token, a whole request of a REST API, or one of an HTTP API.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use skydock::Failed;

use crate::decision::Decision;

/// The event of an authorizer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// REST API, `TOKEN`.
    Token {
        authorization: Option<String>,
        arn: String,
    },
    /// REST API, `REQUEST`.
    Request {
        authorization: Option<String>,
        arn: String,
    },
    /// HTTP API, payload format 2.0, with simple responses.
    Simple { authorization: Option<String> },
}

/// All keys that matter, of all three.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    authorization_token: Option<String>,
    #[serde(default)]
    method_arn: Option<String>,
    #[serde(default)]
    route_arn: Option<String>,
    #[serde(default)]
    headers: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    multi_value_headers: Option<BTreeMap<String, Option<Vec<String>>>>,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// When it is none of an authorizer; the error names its keys, and no value of it.
    pub(crate) fn read(event: Value) -> Result<Self, Failed> {
        let keys = || match &event {
            Value::Object(event) => event.keys().take(8).cloned().collect::<Vec<_>>().join(", "),
            _ => "none, for it is no object".to_owned(),
        };
        let unknown = Failed {
            kind: Failed::UNKNOWN_EVENT,
            message: format!(
                "this is no event of an API Gateway authorizer; its keys are {}",
                keys()
            ),
        };
        let Ok(shape) = serde_json::from_value::<Shape>(event) else {
            return Err(unknown);
        };
        let authorization = shape.authorization();
        match (
            shape.kind.as_str(),
            shape.version.as_deref(),
            shape.method_arn,
            shape.route_arn,
        ) {
            ("TOKEN", _, Some(arn), _) => Ok(Self::Token {
                authorization: shape.authorization_token,
                arn,
            }),
            ("REQUEST", Some("2.0"), _, Some(_route)) => Ok(Self::Simple { authorization }),
            ("REQUEST", None, Some(arn), _) => Ok(Self::Request { authorization, arn }),
            _ => Err(unknown),
        }
    }

    /// What it is, for the log.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "REST API, TOKEN",
            Self::Request { .. } => "REST API, REQUEST",
            Self::Simple { .. } => "HTTP API",
        }
    }

    /// The bearer token (RFC 6750 §2.1).
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (Self::Token { authorization, .. }
        | Self::Request { authorization, .. }
        | Self::Simple { authorization }) = self;
        let (scheme, token) = authorization.as_deref()?.trim().split_once(' ')?;
        let token = token.trim_start();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }

    /// What is said of a token that nobody knows: to a REST API the one error that it takes for status 401, which is not
    /// kept, as a denial is; to an HTTP API that it is not authorized, because an error there is a status 500.
    pub(crate) fn refuse(&self) -> Result<Value, Failed> {
        match self {
            Self::Token { .. } | Self::Request { .. } => Err(Failed {
                kind: "Unauthorized",
                message: "Unauthorized".to_owned(),
            }),
            Self::Simple { .. } => Ok(json!({"isAuthorized": false})),
        }
    }

    /// A decision, as the one who asks reads it.
    pub(crate) fn answer(&self, decision: Decision<'_>) -> Value {
        match self {
            Self::Token { arn, .. } | Self::Request { arn, .. } => decision.to_policy(arn),
            Self::Simple { .. } => decision.to_simple(),
        }
    }
}

impl Shape {
    /// The one `Authorization` header; several are none, because two readers could choose differently.
    fn authorization(&self) -> Option<String> {
        let is_it = |name: &str| name.eq_ignore_ascii_case("authorization");
        let many = self.multi_value_headers.iter().flatten();
        let mut many = many
            .filter(|(name, _)| is_it(name))
            .flat_map(|(_, values)| values.iter().flatten());
        let (first, second) = (many.next(), many.next());
        if first.is_some() {
            return first.filter(|_| second.is_none()).cloned();
        }
        let mut single = self
            .headers
            .iter()
            .flatten()
            .filter(|(name, _)| is_it(name))
            .filter_map(|(_, value)| value.as_ref());
        let (first, second) = (single.next(), single.next());
        first.filter(|_| second.is_none()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/POST/mcp";

    fn read(event: Value) -> Event {
        Event::read(event).unwrap()
    }

    #[test]
    fn a_bearer_token_is_found_in_each_event() {
        for event in [
            json!({"type": "TOKEN", "authorizationToken": "Bearer abc", "methodArn": ARN}),
            json!({"type": "REQUEST", "methodArn": ARN, "headers": {"Authorization": "bearer  abc"}}),
            json!({"type": "REQUEST", "methodArn": ARN, "headers": {"authorization": "x"},
                "multiValueHeaders": {"authorization": ["BEARER abc"]}}),
            json!({"type": "REQUEST", "version": "2.0", "routeArn": ARN, "headers": {"authorization": "Bearer abc"}}),
        ] {
            assert_eq!(read(event.clone()).bearer(), Some("abc"), "{event}");
        }
        for event in [
            json!({"type": "TOKEN", "authorizationToken": "abc", "methodArn": ARN}),
            json!({"type": "TOKEN", "authorizationToken": "Bearer ", "methodArn": ARN}),
            json!({"type": "REQUEST", "methodArn": ARN, "headers": null, "multiValueHeaders": null}),
            json!({"type": "REQUEST", "methodArn": ARN,
                "multiValueHeaders": {"Authorization": ["Bearer abc", "Bearer def"]}}),
            json!({"type": "REQUEST", "methodArn": ARN,
                "multiValueHeaders": {"Authorization": ["Bearer abc"], "authorization": ["Bearer def"]}}),
            json!({"type": "REQUEST", "version": "2.0", "routeArn": ARN, "headers": {"authorization": "Basic abc"}}),
        ] {
            assert_eq!(read(event.clone()).bearer(), None, "{event}");
        }
    }

    #[test]
    fn what_is_no_event_of_an_authorizer_is_named_by_its_keys() {
        for event in [
            json!({"httpMethod": "POST", "body": "secret-4711"}),
            json!({"type": "TOKEN", "authorizationToken": "secret-4711"}),
            json!("secret-4711"),
        ] {
            let failed = Event::read(event).unwrap_err();
            assert!(!failed.message.contains("4711"), "{failed}");
            assert!(failed.message.contains("keys"), "{failed}");
        }
    }
}
