//! What Lambda says about an invocation, beside the event.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;

use super::contract::{self, header};

/// One invocation of a Lambda function. A tool finds it in the extensions of the HTTP request's
/// [`Parts`](http::request::Parts), which rmcp puts into the extensions of its request context.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// The id of the invocation, which stands in Lambda's own log lines too.
    pub request_id: String,
    /// When Lambda ends the environment if there is no answer; `None` when it did not say.
    pub deadline: Option<SystemTime>,
    /// The function, version or alias that was invoked.
    pub function_arn: Option<String>,
    /// The X-Ray trace, as in `_X_AMZN_TRACE_ID`, which is not set: several invocations may run in one process.
    pub trace_id: Option<String>,
    /// What the caller of `Invoke` said about itself; its own word, not checked by anybody.
    pub client_context: Option<Value>,
    /// The identity of Amazon Cognito, when a mobile SDK called.
    pub cognito_identity: Option<Value>,
    /// The tenant, for functions with tenant isolation.
    pub tenant_id: Option<String>,
    /// Sent back with the answer, as it came.
    pub(super) invocation_id: Option<http::HeaderValue>,
}

impl Invocation {
    /// Reads the headers of `/invocation/next`; `None` without the id that every answer needs.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let json = |name: &str| {
            let value = text(name)?;
            serde_json::from_str(&value)
                .inspect_err(|error| tracing::debug!(%error, name, "a header is not JSON"))
                .ok()
        };
        let deadline = text(header::DEADLINE_MS).and_then(|text| text.parse().ok());
        Some(Self {
            request_id: text(header::REQUEST_ID)?,
            deadline: deadline.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis))),
            function_arn: text(header::FUNCTION_ARN),
            trace_id: text(header::TRACE_ID),
            client_context: json(header::CLIENT_CONTEXT),
            cognito_identity: json(header::COGNITO_IDENTITY),
            tenant_id: text(header::TENANT_ID),
            invocation_id: headers.get(header::INVOCATION_ID).cloned(),
        })
    }

    /// The deadline by the clock that timers run on. One that is past already means nothing: emulators write the time
    /// limit there.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let left = self.deadline?.duration_since(SystemTime::now()).ok()?;
        Instant::now().checked_add(left)
    }

    /// Until when there has to be an answer, so that it still gets out before the deadline.
    #[must_use]
    pub fn answer_by(&self) -> Option<Instant> {
        let deadline = self.deadline()?;
        Some(contract::answer_by(Instant::now(), deadline))
    }

    /// A value of the client context's `custom` map; some SDKs write it with a capital.
    pub(super) fn custom(&self, key: &str) -> Option<&str> {
        let context = self.client_context.as_ref()?;
        let custom = context.get("custom").or_else(|| context.get("Custom"))?;
        custom.get(key)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_headers_of_an_invocation_are_read() {
        let invocation = Invocation::read(&headers(&[
            ("lambda-runtime-aws-request-id", "8476a536"),
            ("lambda-runtime-deadline-ms", "1542409706888"),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-2:123456789012:function:shop",
            ),
            (
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1",
            ),
            (
                "lambda-runtime-client-context",
                r#"{"Custom":{"bedrockAgentCoreToolName":"shop___order"},"env":{"a":1}}"#,
            ),
            (
                "lambda-runtime-cognito-identity",
                r#"{"cognitoIdentityId":"us-east-1:1"}"#,
            ),
            ("lambda-runtime-aws-tenant-id", "blue"),
            ("lambda-runtime-invocation-id", "7"),
        ]))
        .unwrap();
        assert_eq!(invocation.request_id, "8476a536");
        assert_eq!(
            invocation.deadline,
            Some(UNIX_EPOCH + Duration::from_millis(1_542_409_706_888))
        );
        assert_eq!(
            invocation.custom("bedrockAgentCoreToolName"),
            Some("shop___order")
        );
        assert_eq!(invocation.tenant_id.as_deref(), Some("blue"));
        assert!(invocation.trace_id.unwrap().starts_with("Root=1-5bef4de7"));
        assert_eq!(
            invocation.cognito_identity.unwrap()["cognitoIdentityId"],
            "us-east-1:1"
        );
    }

    #[test]
    fn an_invocation_needs_nothing_but_its_id() {
        assert_eq!(Invocation::read(&HeaderMap::new()), None);
        let odd = [
            ("lambda-runtime-aws-request-id", "1"),
            ("lambda-runtime-deadline-ms", "soon"),
            ("lambda-runtime-client-context", "{"),
            ("lambda-runtime-cognito-identity", ""),
        ];
        let past = [
            ("lambda-runtime-aws-request-id", "1"),
            ("lambda-runtime-deadline-ms", "600000"),
        ];
        assert_eq!(Invocation::read(&headers(&past)).unwrap().deadline(), None);
        let invocation = Invocation::read(&headers(&odd)).unwrap();
        assert_eq!(
            (
                invocation.deadline,
                invocation.client_context,
                invocation.cognito_identity
            ),
            (None, None, None)
        );
    }
}
