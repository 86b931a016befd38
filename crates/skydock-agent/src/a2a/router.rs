//! The HTTP side: the card for everybody, and both bindings for a caller who is known by then.

use std::sync::Arc;

use ::a2a::{A2AError, TypedDetail, error_code, error_reason, errordetails};
use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{card, handler::CALLER, service::Service};

/// Everything that a caller reaches: `/.well-known/agent-card.json`, JSON-RPC at `/`, HTTP+JSON beside it, and with
/// webhooks their keys at `/.well-known/jwks.json`.
///
/// Who calls is said by a [`skydock::Principal`] in the extensions of the request, which whoever has checked it puts
/// there; without one, all callers are the service's user. It is for a layer around this router to refuse callers.
pub fn router(service: Service) -> Router {
    published(&service).merge(operations(service))
}

/// What is for everybody: the card, and with webhooks the keys of their signatures.
pub fn published(service: &Service) -> Router {
    let mut open = card::routes(service.card());
    if let Some(push) = &service.0.push {
        open = open.merge(card::published("/.well-known/jwks.json", push.keys()));
    }
    open
}

/// What callers ask: JSON-RPC at `/`, and HTTP+JSON beside it.
pub fn operations(service: Service) -> Router {
    let user: Arc<str> = service.0.user.as_str().into();
    let handler = Arc::new(service);
    let rest = a2a_server::rest::rest_router(Arc::clone(&handler)).layer(middleware::map_response(in_form));
    a2a_server::jsonrpc::jsonrpc_router(handler)
        .merge(rest)
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let principal = request.extensions().get::<skydock::Principal>();
            let caller = principal.map_or_else(|| Arc::clone(&user), |principal| principal.as_str().into());
            CALLER.scope(caller, next.run(request))
        }))
}

/// What axum refuses before a binding sees it, said as the HTTP+JSON binding says it (specification 11.6).
async fn in_form(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_json(response.headers()) {
        return response;
    }
    let error = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => A2AError::new(
            error_code::CONTENT_TYPE_NOT_SUPPORTED,
            "send application/json or application/a2a+json",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            A2AError::invalid_request("the request is longer than 10 MiB; give large parts as URLs")
        }
        StatusCode::METHOD_NOT_ALLOWED => A2AError::new(
            error_code::METHOD_NOT_FOUND,
            "this path is not asked with this method",
        ),
        _ if status.is_client_error() => {
            A2AError::invalid_params("the body or the query of the request cannot be read")
        }
        _ => A2AError::internal("the agent failed; its log has more"),
    };
    let mut headers = HeaderMap::new();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        headers.insert(header::ALLOW, allow.clone());
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    let reason = error_reason(error.code);
    let details = [TypedDetail::error_info(
        reason,
        errordetails::PROTOCOL_DOMAIN,
        None,
    )];
    let grpc = if status.is_client_error() {
        "INVALID_ARGUMENT"
    } else {
        "INTERNAL"
    };
    let body = json!({"error": {
        "code": status.as_u16(), "status": grpc, "message": error.message, "details": details,
    }});
    let mut answer = (status, Json(body)).into_response();
    answer.headers_mut().extend(headers);
    answer
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.contains("json") || kind.starts_with("text/event-stream"))
}
