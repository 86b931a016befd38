//! Bodies that are no message, or no message that can be served.

use std::path::Path;

use checks::program::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{MODES, SERVER, VERSION, serve};
use crate::wire::{self, Answer, Http};

const PARSE: i64 = -32700;
const REQUEST: i64 = -32600;

#[tokio::test]
async fn a_body_that_is_not_json_is_a_parse_error() {
    for mode in MODES {
        let (_program, client) = serve(mode).await;
        let broken: [&[u8]; 6] = [
            b"",
            b"{",
            b"hello",
            b"{\"jsonrpc\":\"2.0\",}",
            b"\xff\xfe\x00",
            b"{\"a\":1}{\"b\":2}",
        ];
        for body in broken {
            let answer = wire::answer(client.send(body).await).await;
            refused(
                &answer,
                StatusCode::BAD_REQUEST,
                &[PARSE],
                &format!("{mode} {body:?}"),
            );
        }
        greets(&client).await;
    }
}

#[tokio::test]
async fn a_batch_is_an_invalid_request() {
    for mode in MODES {
        let program = Program::serve(Path::new(SERVER), &["--mode", mode])
            .await
            .unwrap();
        // 2025-03-26 is the one revision that had batches.
        let client = Http::initialized(program.mcp(), "2025-03-26").await;
        let ping = wire::request(1, "ping", json!({}));
        for batch in [json!([]), json!([ping]), json!([ping, ping])] {
            let answer = client.post(&batch).await;
            refused(
                &answer,
                StatusCode::BAD_REQUEST,
                &[REQUEST],
                &format!("{mode} {batch}"),
            );
        }
        greets(&client).await;
    }
}

#[tokio::test]
async fn json_of_the_wrong_shape_is_an_invalid_request() {
    for mode in MODES {
        let (_program, client) = serve(mode).await;
        let wrong = [
            json!(null),
            json!(42),
            json!("tools/list"),
            json!({}),
            json!({ "id": 1, "method": "ping" }),
            json!({ "jsonrpc": "1.0", "id": 1, "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": 5 }),
            json!({ "jsonrpc": "2.0", "id": { "a": 1 }, "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": [1], "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": 1 }),
        ];
        for body in wrong {
            let answer = client.post(&body).await;
            refused(
                &answer,
                StatusCode::BAD_REQUEST,
                &[REQUEST],
                &format!("{mode} {body}"),
            );
        }
        greets(&client).await;
    }
}

#[tokio::test]
async fn parameters_of_the_wrong_type_are_named_as_such() {
    for mode in MODES {
        let (_program, client) = serve(mode).await;
        let wrong = [
            wire::request(1, "tools/call", json!("greet")),
            wire::request(1, "tools/call", json!({ "name": 7 })),
            wire::request(1, "tools/call", json!({ "name": "greet", "arguments": [1, 2] })),
            wire::request(1, "tools/call", json!({ "name": "greet", "arguments": "x" })),
            wire::request(1, "tools/call", json!({ "name": "no-such-tool" })),
            wire::request(1, "resources/read", json!({ "uri": 9 })),
            wire::request(1, "prompts/get", json!({})),
        ];
        for body in wrong {
            let answer = client.post(&body).await;
            let code = answer.error_code();
            assert!(answer.status.as_u16() < 500, "{mode} {body}: {answer:?}");
            assert!(matches!(code, Some(-32602 | -32600)), "{mode} {body}: {answer:?}");
            assert_eq!(answer.body["id"], 1, "{mode} {body}: {answer:?}");
        }
        greets(&client).await;
    }
}

#[tokio::test]
async fn arguments_of_the_wrong_type_are_explained_to_the_model() {
    let program = Program::serve(Path::new(SERVER), &[]).await.unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    for arguments in [json!({ "name": 5 }), json!({}), json!({ "name": { "deep": [] } })] {
        let answer = client.call("greet", arguments.clone()).await;
        let explained = answer.body["result"]["isError"] == true || answer.error_code() == Some(-32602);
        assert!(explained, "{arguments}: {answer:?}");
    }
    greets(&client).await;
}

#[tokio::test]
async fn a_body_of_five_megabytes_is_too_large_announced_or_not() {
    for mode in MODES {
        let (_program, client) = serve(mode).await;
        let arguments = json!({ "name": "x".repeat(5 * 1024 * 1024) });
        let body = wire::request(
            1,
            "tools/call",
            json!({ "name": "greet", "arguments": arguments }),
        )
        .to_string();
        let announced = wire::answer(client.send(body.clone()).await).await;
        refused(&announced, StatusCode::PAYLOAD_TOO_LARGE, &[REQUEST], mode);
        // Without a length the server finds out only while it reads.
        let pieces: Vec<_> = body
            .into_bytes()
            .chunks(64 * 1024)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect();
        let stream = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let unannounced = wire::answer(client.send(stream).await).await;
        refused(&unannounced, StatusCode::PAYLOAD_TOO_LARGE, &[REQUEST], mode);
        greets(&client).await;
    }
}

#[tokio::test]
async fn a_body_nested_without_end_is_refused() {
    let program = Program::serve(Path::new(SERVER), &[]).await.unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let params = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"greet","arguments":{deep}}}}}"#
    );
    for body in [deep, params] {
        let answer = wire::answer(client.send(body).await).await;
        assert!(answer.status.as_u16() < 500, "{answer:?}");
        assert!(answer.error_code().is_some(), "{answer:?}");
    }
    greets(&client).await;
}

fn refused(answer: &Answer, status: StatusCode, codes: &[i64], what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(
        answer.body["jsonrpc"], "2.0",
        "{what}: the body is JSON-RPC: {answer:?}"
    );
    assert!(
        answer.error_code().is_some_and(|code| codes.contains(&code)),
        "{what}: {answer:?}"
    );
    assert!(
        answer
            .body
            .pointer("/error/message")
            .is_some_and(Value::is_string),
        "{what}: {answer:?}"
    );
}

async fn greets(client: &Http) {
    let answer = client.call("greet", json!({ "name": "again" })).await;
    assert_eq!(answer.text(), "Hello, again!", "{answer:?}");
}
