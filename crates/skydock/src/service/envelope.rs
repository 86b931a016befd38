//! The JSON-RPC envelope of a POST, read once: who wants what. Parameters stay as they came.

use std::borrow::Cow;

use rmcp::model::{ProtocolVersion, RequestMetaObject};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rejection::Rejection;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It wants an answer.
    Request,
    /// It wants none.
    Notification,
    /// It is the answer to a question of ours.
    Response,
}

/// A message's envelope; it borrows from the body.
#[derive(Debug, Clone)]
pub(crate) struct Envelope<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// The id, as JSON.
    pub(crate) id: Option<&'a RawValue>,
    /// The method; empty for a response.
    pub(crate) method: Cow<'a, str>,
    /// The parameters, as JSON.
    pub(crate) params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Keeps a `null` apart from nothing at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of one message.
    ///
    /// # Errors
    /// `-32700` when the body is not JSON; `-32600` when it is a batch, or JSON but not a JSON-RPC 2.0 message.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Rejection> {
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Rejection::Batch);
        }
        let wire: Wire<'a> = serde_json::from_slice(body).map_err(|error| {
            tracing::debug!(%error, "refused a body");
            if error.is_data() {
                Rejection::NotMessage
            } else {
                Rejection::NotJson
            }
        })?;
        if wire.jsonrpc.as_deref() != Some("2.0") {
            return Err(Rejection::NotMessage);
        }
        let id = wire.id.filter(|id| is_id(id.get()));
        let kind = match (&wire.method, id) {
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) if wire.id.is_none() => Kind::Notification,
            (None, _) if wire.result.is_some() || wire.error.is_some() => Kind::Response,
            _ => return Err(Rejection::NotMessage),
        };
        Ok(Self {
            kind,
            id,
            method: wire.method.unwrap_or_default(),
            params: wire.params,
        })
    }

    /// Whether this is a request for `method`.
    pub(crate) fn requests(&self, method: &str) -> bool {
        self.kind == Kind::Request && self.method == method
    }

    /// Whether the request names its protocol and its client's capabilities itself: such a request has no session,
    /// whatever version it names.
    pub(crate) fn is_self_contained(&self) -> bool {
        #[derive(Deserialize)]
        struct Params {
            #[serde(rename = "_meta")]
            meta: RequestMetaObject,
        }
        // most do not even hold the word
        let params = self
            .params
            .map(RawValue::get)
            .filter(|params| params.contains("clientCapabilities"));
        params
            .and_then(|params| serde_json::from_str::<Params>(params).ok())
            .is_some_and(|params| {
                params
                    .meta
                    .missing_required_keys(&ProtocolVersion::V_2026_07_28)
                    .is_empty()
            })
    }

    /// What the request is about: a tool's or prompt's name, or a resource's URI.
    pub(crate) fn target(&self) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Target<'a> {
            #[serde(borrow, default)]
            name: Option<Cow<'a, str>>,
            #[serde(borrow, default)]
            uri: Option<Cow<'a, str>>,
        }
        let target: Target<'a> = serde_json::from_str(self.params?.get()).ok()?;
        target.name.or(target.uri)
    }
}

/// Strings and whole numbers are ids; null is none.
fn is_id(json: &str) -> bool {
    json.starts_with('"') || json.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_without_its_parameters() {
        let body = br#"{"jsonrpc":"2.0","id":"a\u0041","method":"tools/call","params":{"name":"order","arguments":{"x":[1]}}}"#;
        let envelope = Envelope::read(body).unwrap();
        assert_eq!(envelope.kind, Kind::Request);
        assert_eq!(envelope.id.unwrap().get(), r#""a\u0041""#);
        assert!(envelope.requests("tools/call"));
        assert_eq!(envelope.target().as_deref(), Some("order"));
        assert_eq!(
            envelope.params.unwrap().get(),
            r#"{"name":"order","arguments":{"x":[1]}}"#
        );
    }

    #[test]
    fn notifications_and_responses_are_told_apart() {
        let kind = |body: &str| Envelope::read(body.as_bytes()).map(|envelope| envelope.kind);
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            Ok(Kind::Notification)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Ok(Kind::Response)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#),
            Ok(Kind::Response)
        );
    }

    #[test]
    fn what_is_not_a_message_is_refused_by_kind() {
        let refused = |body: &str| Envelope::read(body.as_bytes()).unwrap_err();
        for body in ["", "{", "{\"jsonrpc\":\"2.0\"", "nonsense", "{\"a\":1}x", "\u{0}"] {
            assert_eq!(refused(body), Rejection::NotJson, "{body}");
        }
        for body in ["[]", " \n[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]"] {
            assert_eq!(refused(body), Rejection::Batch, "{body}");
        }
        for body in [
            "1",
            "\"text\"",
            "null",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        ] {
            assert_eq!(refused(body), Rejection::NotMessage, "{body}");
        }
    }
}
