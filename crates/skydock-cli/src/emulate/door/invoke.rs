//! Lambda's own Invoke: an event in, what the function answers out. Beside it a bridge for MCP clients, which speak HTTP:
//! each message is an event.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Asked, Fault, reply};
use crate::emulate::{
    contract,
    function::{Function, Invocation, Outcome},
};

/// The largest client context, as it is sent. Same page.
const CONTEXT_BYTES: usize = 3_583;

/// Answers a request of an AWS SDK, or one of an MCP client.
///
/// # Errors
/// When there is no answer for the bridge to carry.
pub(in super::super) async fn serve(
    function: &Arc<Function>,
    asked: &Asked,
) -> Result<Response<Body>, Fault> {
    if let Some(rest) = asked.path.strip_prefix(contract::FUNCTIONS) {
        return Ok(invoke(function, rest, asked).await);
    }
    if asked.path != "/mcp" {
        return Err(Fault::NoRoute);
    }
    if asked.method != Method::POST {
        let mut response = reply::plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "a message is posted\n",
        );
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    match call(function, asked, None).await {
        Outcome::Payload(payload) if payload == "null" => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
        Outcome::Payload(payload) => Ok(reply::plain(StatusCode::OK, "application/json", payload)),
        Outcome::Stream(_) => Err(Fault::streamed()),
        Outcome::Failed(failure) => Err(Fault::Failed(failure)),
        Outcome::Throttled => Err(Fault::Throttled),
    }
}

async fn call(function: &Arc<Function>, asked: &Asked, client_context: Option<String>) -> Outcome {
    let invocation = Invocation {
        event: asked.body.clone(),
        client_context,
        trace_id: asked.trace_id.clone(),
    };
    function.invoke(invocation).await
}

/// `POST /2015-03-31/functions/NAME/invocations`.
async fn invoke(function: &Arc<Function>, rest: &str, asked: &Asked) -> Response<Body> {
    let name = match rest.strip_suffix("/invocations") {
        Some(name) if asked.method == Method::POST => name,
        _ => {
            return refused(
                StatusCode::NOT_FOUND,
                "UnknownOperationException",
                "no such operation",
            );
        }
    };
    // a name, a partial ARN or a whole one, with or without a qualifier
    if !name.split(':').any(|part| part == function.name()) {
        let message = format!("Function not found: {name}; here is {}", function.name());
        return refused(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    }
    let client_context = match client_context(&asked.headers) {
        Ok(client_context) => client_context,
        Err(message) => {
            return refused(
                StatusCode::BAD_REQUEST,
                "InvalidRequestContentException",
                &message,
            );
        }
    };
    if !asked.body.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&asked.body).is_err() {
        let message = "Could not parse request body into json";
        return refused(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message);
    }
    let kind = asked
        .headers
        .get("x-amz-invocation-type")
        .and_then(|kind| kind.to_str().ok());
    match kind {
        Some("DryRun") => return empty(StatusCode::NO_CONTENT),
        Some("Event") => {
            let function = Arc::clone(function);
            let (event, trace_id) = (asked.body.clone(), asked.trace_id.clone());
            let invocation = Invocation {
                event,
                client_context,
                trace_id,
            };
            tokio::spawn(async move { function.invoke(invocation).await });
            return empty(StatusCode::ACCEPTED);
        }
        _ => {}
    }
    answer(call(function, asked, client_context).await)
}

fn answer(outcome: Outcome) -> Response<Body> {
    let (payload, failed) = match outcome {
        Outcome::Payload(payload) => (payload, false),
        Outcome::Failed(failure) => (failure.payload, true),
        Outcome::Stream(_) => {
            // Invoke gives a stream as it is, with its status and headers in front of the body
            let message = Fault::streamed().explain();
            (Bytes::from(json!({"errorMessage": message}).to_string()), true)
        }
        Outcome::Throttled => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return refused(status, "TooManyRequestsException", "Rate Exceeded.");
        }
    };
    let mut response = reply::plain(StatusCode::OK, "application/json", payload);
    let headers = response.headers_mut();
    headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
    if failed {
        headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    }
    response
}

/// What the caller says of itself, decoded.
fn client_context(headers: &HeaderMap) -> Result<Option<String>, String> {
    let Some(encoded) = headers.get("x-amz-client-context") else {
        return Ok(None);
    };
    let wrong = || "Client context must be a valid Base64-encoded JSON object.".to_owned();
    if encoded.len() > CONTEXT_BYTES {
        return Err(format!(
            "Client context must be no more than {CONTEXT_BYTES} bytes."
        ));
    }
    let decoded = STANDARD.decode(encoded.as_bytes()).map_err(|_error| wrong())?;
    let context: Value = serde_json::from_slice(&decoded).map_err(|_error| wrong())?;
    if context.is_object() {
        Ok(Some(context.to_string()))
    } else {
        Err(wrong())
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn refused(status: StatusCode, kind: &'static str, message: &str) -> Response<Body> {
    let body = json!({"Type": "User", "Message": message}).to_string();
    let mut response = reply::plain(status, "application/json", body);
    response
        .headers_mut()
        .insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}
