//! `Invoke` with a JSON-RPC message: no HTTP at all, and IAM has checked the caller.

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};

use super::{Arrived, Source};
use crate::runtime::lambda::message;

/// The host of a request that was sent to no name.
const HOST: &str = "invoke.lambda";

/// Whether the event is a list, as a batch is: the service says what is wrong with it.
pub(super) fn is_batch(event: &[u8]) -> bool {
    event.starts_with(b"[")
}

/// Reads a message.
pub(super) fn read(event: &Bytes) -> Arrived {
    arrive(Source::Invoke, message::headers(event), event.clone())
}

/// A message that came without HTTP, as if it had come with it.
pub(super) fn arrive(source: Source, headers: HeaderMap, body: Bytes) -> Arrived {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/mcp");
    *request.headers_mut() = headers;
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::from_static(HOST));
    Arrived {
        source,
        request,
        domain: Some(HOST.to_owned()),
    }
}
