//! What the service says when it does not serve: constant public texts, as JSON-RPC; the cause is in the log.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json, value::RawValue};

/// Why a request was not served. The text is public, the cause is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The body is not JSON.
    NotJson,
    /// The body is JSON and not a JSON-RPC message.
    NotMessage,
    /// The body is a JSON-RPC batch, which MCP has had in 2025-03-26 only.
    Batch,
    /// The parameters do not have the shape that the method asks for.
    Params,
    /// Something else that the client got wrong.
    Request,
    /// `MCP-Protocol-Version` names no version of the protocol.
    Version,
    /// The id of the request belongs to one that is still worked on in the same session.
    DuplicateId,
    /// The session header is missing.
    SessionRequired,
    /// The session ended, or never was.
    UnknownSession,
    /// `Content-Type` is not JSON.
    ContentType,
    /// `Accept` excludes all we can send.
    Accept,
    /// The body is too large.
    TooLarge,
    /// The body came too slowly.
    TooSlow,
    /// The connection broke while the body was read.
    Incomplete,
    /// The `Host` is not one of ours.
    Host,
    /// The `Origin` may not call.
    Origin,
    /// The method is not one of POST, GET and DELETE, or not in this mode.
    Method,
    /// The answer is delivered in one piece, so nobody can be told of changes.
    NoSubscriptions,
    /// All places for sessions are taken.
    Full,
    /// What the client said of itself does not fit the store of sessions.
    ClientTooLarge,
    /// The store of sessions does not answer.
    Store,
    /// More requests are being worked on than the server takes at once.
    Busy,
    /// The server is shutting down.
    Draining,
    /// Our fault.
    Internal,
}

impl Rejection {
    const fn status(self) -> StatusCode {
        match self {
            // an error of the method, which is told within its answer
            Self::Params => StatusCode::OK,
            Self::NotJson
            | Self::NotMessage
            | Self::Batch
            | Self::Request
            | Self::Version
            | Self::DuplicateId
            | Self::SessionRequired
            | Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::UnknownSession | Self::NoSubscriptions => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Accept => StatusCode::NOT_ACCEPTABLE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge | Self::ClientTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Full | Self::Store | Self::Busy | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// JSON-RPC's own codes, and for what is beyond them those that MCP's SDKs use.
    const fn code(self) -> i32 {
        match self {
            Self::NotJson => -32700,
            Self::NotMessage
            | Self::Batch
            | Self::Request
            | Self::Version
            | Self::DuplicateId
            | Self::SessionRequired
            | Self::ContentType
            | Self::TooLarge
            | Self::ClientTooLarge
            | Self::TooSlow
            | Self::Incomplete => -32600,
            Self::Params => -32602,
            Self::NoSubscriptions => -32601,
            Self::Internal => -32603,
            Self::UnknownSession => -32001,
            Self::Accept
            | Self::Host
            | Self::Origin
            | Self::Method
            | Self::Full
            | Self::Store
            | Self::Busy
            | Self::Draining => -32000,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotJson => "Parse error: the body is not JSON",
            Self::NotMessage => "Invalid Request: the body is not a JSON-RPC 2.0 message",
            Self::Batch => "Invalid Request: batches are not supported; send one message a request",
            Self::Params => "Invalid params: the parameters do not have the shape of this method",
            Self::Request => "Bad Request: a header contradicts the protocol or the body",
            Self::Version => "Bad Request: MCP-Protocol-Version names no version of MCP",
            Self::DuplicateId => {
                "Invalid Request: a request with this id is still being worked on in this session"
            }
            Self::SessionRequired => {
                "Bad Request: Mcp-Session-Id is missing; send initialize first, or use protocol 2026-07-28"
            }
            Self::UnknownSession => "Session not found: it ended or never was; send initialize",
            Self::ContentType => "Unsupported Media Type: Content-Type must be application/json",
            Self::Accept => "Not Acceptable: accept application/json and text/event-stream",
            Self::TooLarge => {
                "Payload Too Large: the body has more bytes than this server takes; its operator can raise --max-body"
            }
            Self::TooSlow => "Request Timeout: the body came too slowly",
            Self::Incomplete => "Bad Request: the body could not be read",
            Self::Host => "Forbidden: this Host is not served here",
            Self::Origin => "Forbidden: this Origin may not call",
            Self::Method => "Method Not Allowed",
            Self::NoSubscriptions => "Method not found: there are no subscriptions here",
            Self::ClientTooLarge => {
                "Payload Too Large: what the client says of itself does not fit a session"
            }
            Self::Store => "Service Unavailable: the store of sessions does not answer; try again",
            Self::Full => "Service Unavailable: too many sessions",
            Self::Busy => "Service Unavailable: too many requests at once",
            Self::Draining => "Service Unavailable: shutting down",
            Self::Internal => "Internal error",
        }
    }

    /// The answer, to the message with `id` when that is known.
    pub(crate) fn into_response(self, id: Option<&RawValue>) -> Response<Body> {
        let error = json!({"code": self.code(), "message": self.text()});
        self.respond(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
    }

    /// The answer where no JSON-RPC is spoken.
    pub(crate) fn into_plain(self) -> Response<Body> {
        self.respond(&json!({"error": self.text()}))
    }

    fn respond(self, body: &Value) -> Response<Body> {
        let body = body.to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Full => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10")),
            Self::Store => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2")),
            Self::Busy | Self::Draining => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")),
            // what is left of the body was not read, so the connection is of no use any more
            Self::TooLarge | Self::TooSlow => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"))
            }
            _ => None,
        };
        response
    }
}
