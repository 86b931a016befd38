//! Sessions that are not ours, and far too many of them.

use std::path::Path;

use checks::program::Program;
use futures::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{SERVER, VERSION};
use crate::wire::{self, Http};

/// What the server may grow by under 10,000 sessions. One costs about 100 KB, and it keeps 1,000 of them.
const MEMORY: u64 = 300 * 1024 * 1024;

#[tokio::test]
async fn a_session_that_is_not_known_is_not_found() {
    let program = Program::serve(Path::new(SERVER), &["--mode", "stateful"])
        .await
        .unwrap();
    let mut client = Http::initialized(program.mcp(), VERSION).await;
    let ours = client
        .session
        .replace("8a3f7d52-0000-4000-8000-000000000000".to_owned())
        .unwrap();
    let answer = client.request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    assert!(answer.error_code().is_some(), "{answer:?}");
    for method in [Method::GET, Method::DELETE] {
        let request = reqwest::Client::new().request(method.clone(), program.mcp());
        let request = request
            .header("accept", "text/event-stream")
            .header("mcp-session-id", "not-ours");
        let answer = wire::answer(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}: {answer:?}");
        assert!(answer.error_code().is_some(), "{method}: {answer:?}");
    }
    client.session = Some(ours);
    assert_eq!(
        client.request("tools/list", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_session_that_was_ended_is_gone() {
    let program = Program::serve(Path::new(SERVER), &["--mode", "stateful"])
        .await
        .unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    let id = client.session.clone().unwrap();
    let end = || {
        reqwest::Client::new()
            .delete(program.mcp())
            .header("mcp-session-id", &id)
            .send()
    };
    assert!(end().await.unwrap().status().is_success());
    assert_eq!(end().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(
        client.request("tools/list", json!({})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_foreign_session_id_does_not_keep_a_client_from_initialising() {
    for mode in ["stateful", "stateless", "json"] {
        let program = Program::serve(Path::new(SERVER), &["--mode", mode])
            .await
            .unwrap();
        let mut client = Http::new(program.mcp());
        client.session = Some("a-platform-routes-by-this".to_owned());
        let answer = client.initialize(VERSION).await;
        assert_eq!(answer.status, StatusCode::OK, "{mode}: {answer:?}");
        assert_ne!(
            answer.session().as_deref(),
            Some("a-platform-routes-by-this"),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn ten_thousand_sessions_are_bounded_and_the_server_lives() {
    let program = Program::serve(Path::new(SERVER), &["--mode", "stateful"])
        .await
        .unwrap();
    let first = Http::initialized(program.mcp(), VERSION).await;
    let before = program.memory().unwrap();

    let opened = flood(&program, 10_000).await;
    assert_eq!(
        opened.len(),
        999,
        "the default cap is 1,000, and one session was open"
    );
    let grown = program.memory().unwrap().saturating_sub(before);
    assert!(grown < MEMORY, "the server grew by {} MiB", grown / 1024 / 1024);
    eprintln!(
        "10,000 initialize calls: {} sessions, {} MiB more",
        opened.len(),
        grown / 1024 / 1024
    );

    // Who was there before is served as before, and a place that falls free is taken.
    let tools = first.request("tools/list", json!({})).await;
    assert!(
        tools.body["result"]["tools"]
            .as_array()
            .is_some_and(|tools| !tools.is_empty()),
        "{tools:?}"
    );
    let newest = Http::new(program.mcp())
        .modern("server/discover", json!({}))
        .await;
    assert_ne!(
        newest.body["result"],
        Value::Null,
        "a client without a session needs no place: {newest:?}"
    );
    let id = opened.first().unwrap();
    let ended = reqwest::Client::new()
        .delete(program.mcp())
        .header("mcp-session-id", id)
        .send()
        .await
        .unwrap();
    assert!(ended.status().is_success(), "{ended:?}");
    assert_eq!(
        Http::new(program.mcp()).initialize(VERSION).await.status,
        StatusCode::OK
    );
    assert!(program.stop().await.unwrap().success());
}

/// Initialises so many times and gives the sessions that it got. All others were refused in the proper way.
async fn flood(program: &Program, calls: usize) -> Vec<String> {
    let client = Http::new(program.mcp());
    let answers = stream::iter(0..calls)
        .map(|_| client.initialize(VERSION))
        .buffer_unordered(32);
    let opened = answers.filter_map(async |answer| {
        if answer.status == StatusCode::OK {
            return answer.session();
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        assert!(answer.error_code().is_some(), "{answer:?}");
        None
    });
    opened.collect().await
}
