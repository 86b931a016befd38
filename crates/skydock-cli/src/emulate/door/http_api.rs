//! What API Gateway itself answers at an HTTP API. Its events and answers are in `payload_v2`.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};

use super::{Fault, reply};

/// The door's own response.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html>
pub(super) fn refuse(fault: &Fault) -> Response<Body> {
    let (status, text) = match fault {
        Fault::NoRoute => (StatusCode::NOT_FOUND, "Not Found"),
        Fault::RequestTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        Fault::BrokeOff => (StatusCode::BAD_REQUEST, "Bad Request"),
        Fault::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Fault::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
        Fault::Late(_) | Fault::Throttled => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Fault::Authorizer(_) | Fault::Failed(_) | Fault::Malformed(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    };
    reply::message(status, "message", text)
}
