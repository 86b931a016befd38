//! What Lambda itself answers at a function URL. Its events and answers are in `payload_v2`.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};

use super::{Fault, reply};

/// The door's own response.
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html>
pub(super) fn refuse(fault: &Fault) -> Response<Body> {
    let (status, text) = match fault {
        Fault::NoRoute => (StatusCode::NOT_FOUND, "Not Found"),
        Fault::RequestTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long"),
        Fault::BrokeOff => (StatusCode::BAD_REQUEST, "Bad Request"),
        Fault::Unauthorized(_) | Fault::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
        Fault::Throttled => (StatusCode::TOO_MANY_REQUESTS, "Rate exceeded"),
        Fault::Late(_) => (StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout"),
        Fault::Authorizer(_) | Fault::Failed(_) | Fault::Malformed(_) => {
            return reply::plain(StatusCode::BAD_GATEWAY, "text/plain", "Internal Server Error");
        }
    };
    reply::message(status, "Message", text)
}
