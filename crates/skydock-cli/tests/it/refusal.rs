//! `skydock call` at servers whose HTTP answers name no request.

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::program::{serve, skydock};

/// Answers the handshake of 2025-11-25 and the list of one tool, and every call with this status and an error that
/// names no request.
fn refusing(status: StatusCode) -> Router {
    let answer = move |body: String| async move { respond(status, &serde_json::from_str(&body).unwrap()) };
    Router::new().route("/mcp", post(answer))
}

fn respond(status: StatusCode, message: &Value) -> Response {
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "refusing", "version": "1"},
        }),
        Some("tools/list") => json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
        Some("tools/call") => {
            let error = json!({"code": -32600, "message": "no room for that"});
            let body = json!({"jsonrpc": "2.0", "id": null, "error": error});
            return answer(status, &body);
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    answer(
        StatusCode::OK,
        &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
    )
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

#[tokio::test]
async fn an_error_that_names_no_request_ends_the_request_that_it_answers() {
    for status in [
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::OK,
    ] {
        let target = serve(refusing(status)).await;
        let ran = skydock(&["call", &target, "--era", "2025-11-25", "t"])
            .await
            .ended(1);
        assert!(ran.stderr.contains("no room for that (error -32600)"), "{ran:?}");
    }
}
