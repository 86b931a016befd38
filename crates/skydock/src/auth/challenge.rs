//! What a caller without a good token is told (RFC 6750 §3): constant public texts; the reason is in the log.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It brings no token.
    Missing,
    /// Its `Authorization` cannot be read, or there are several.
    Malformed,
    /// Its token is not good. The reason is for the log.
    Token(&'static str),
}

impl Refusal {
    /// Status, challenge, and the text of the answer.
    const fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            // a code would say that something was wrong with a token (§3.1)
            Self::Missing => (
                StatusCode::UNAUTHORIZED,
                r#"Bearer realm="mcp""#,
                "Unauthorized: a bearer token is needed",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                r#"Bearer realm="mcp", error="invalid_request", error_description="send one Authorization header with one bearer token""#,
                "Bad Request: send one Authorization header with one bearer token",
            ),
            Self::Token(_) => (
                StatusCode::UNAUTHORIZED,
                r#"Bearer realm="mcp", error="invalid_token", error_description="the access token is not accepted""#,
                "Unauthorized: the access token is not accepted",
            ),
        }
    }

    /// The answer, as JSON-RPC: nobody has read whose request it is.
    pub(super) fn into_response(self) -> Response<Body> {
        let (status, challenge, text) = self.told();
        let error = json!({"code": -32000, "message": text});
        let body = json!({"jsonrpc": "2.0", "id": null, "error": error});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}
