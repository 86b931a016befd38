//! Tools that panic, never end, or are not wanted any more.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use checks::program::Program;
use serde_json::{Value, json};

use super::{MODES, SERVER, VERSION, serve};
use crate::wire::{self, Answer, Http, PATIENCE, Pipes};

const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_panicking_tool_answers_at_once_and_the_next_call_works() {
    for mode in MODES {
        let (_program, client) = serve(mode).await;
        for _ in 0..3 {
            let began = Instant::now();
            let old = client.call("panic", json!({})).await;
            is_constant_error(&old.body, mode);
            let new = client
                .modern("tools/call", json!({ "name": "panic", "arguments": {} }))
                .await;
            is_constant_error(&new.body, mode);
            assert!(began.elapsed() < AT_ONCE, "{mode}: {:?}", began.elapsed());
            let next = client.call("greet", json!({ "name": "next" })).await;
            assert_eq!(next.text(), "Hello, next!", "{mode}: {next:?}");
        }
    }
}

#[tokio::test]
async fn over_stdio_a_panicking_tool_answers_at_once_and_the_next_call_works() {
    let mut server = Pipes::start(Path::new(SERVER), &[]);
    server.ask(&wire::initialize(VERSION)).await;
    server
        .send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
        .await;
    let answer = server
        .ask(&wire::request(
            1,
            "tools/call",
            json!({ "name": "panic", "arguments": {} }),
        ))
        .await;
    is_constant_error(&answer, "stdio");
    let call = json!({ "name": "greet", "arguments": { "name": "next" } });
    let next = server.ask(&wire::request(2, "tools/call", call)).await;
    assert_eq!(next["result"]["content"][0]["text"], "Hello, next!");
}

#[tokio::test]
async fn a_tool_that_never_ends_answers_at_its_deadline() {
    for mode in MODES {
        let program = Program::serve(Path::new(SERVER), &["--mode", mode, "--timeout", "1"])
            .await
            .unwrap();
        let client = Http::initialized(program.mcp(), VERSION).await;
        let began = Instant::now();
        let endless = json!({ "name": "sleep", "arguments": { "seconds": 100_000 } });
        let (old, new) = tokio::join!(
            client.request("tools/call", endless.clone()),
            client.modern("tools/call", endless.clone())
        );
        for answer in [old, new] {
            assert!(fails(&answer.body), "{mode}: {answer:?}");
            let text = answer.body.to_string();
            assert!(text.contains("within 1 s"), "{mode}: says why: {text}");
        }
        let took = began.elapsed();
        assert!(
            took >= Duration::from_secs(1) && took < Duration::from_secs(1) + AT_ONCE,
            "{mode}: {took:?}"
        );
        let next = client.call("greet", json!({ "name": "next" })).await;
        assert_eq!(next.text(), "Hello, next!", "{mode}: {next:?}");
    }
}

#[tokio::test]
async fn a_tool_within_its_deadline_is_left_alone() {
    let program = Program::serve(Path::new(SERVER), &["--timeout", "5"])
        .await
        .unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    let answer = client.call("sleep", json!({ "seconds": 1 })).await;
    assert_eq!(answer.text(), "Slept 1 s.", "{answer:?}");
}

#[tokio::test]
async fn a_cancelled_tool_ends_in_a_session() {
    let program = Program::serve(Path::new(SERVER), &["--mode", "stateful"])
        .await
        .unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    let call = json!({ "name": "sleep", "arguments": { "seconds": 100_000 } });
    let running = client
        .send(wire::request(9, "tools/call", call).to_string())
        .await;
    sleepers(&client, 1).await;
    let params = json!({ "requestId": 9, "reason": "not wanted any more" });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert!(client.post(&cancel).await.status.is_success());
    sleepers(&client, 0).await;
    drop(running);
}

#[tokio::test]
async fn a_tool_whose_client_has_gone_ends_without_a_session() {
    for mode in ["stateless", "json"] {
        let (_program, client) = serve(mode).await;
        let caller = tokio::spawn({
            let client = client.clone();
            async move { client.call("sleep", json!({ "seconds": 100_000 })).await }
        });
        sleepers(&client, 1).await;
        caller.abort();
        sleepers(&client, 0).await;
    }
}

/// Waits until so many `sleep` calls are running.
async fn sleepers(client: &Http, wanted: usize) {
    let began = Instant::now();
    let mut seen = String::new();
    while began.elapsed() < PATIENCE {
        let answer: Answer = client.call("sleepers", json!({})).await;
        answer.text().clone_into(&mut seen);
        if seen == wanted.to_string() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{seen} sleep calls are running, not {wanted}");
}

fn fails(answer: &Value) -> bool {
    answer["error"]["code"].is_i64() || answer["result"]["isError"] == true
}

fn is_constant_error(answer: &Value, mode: &str) {
    assert!(fails(answer), "{mode}: {answer}");
    // What went wrong inside is for the log.
    assert!(!answer.to_string().contains("was called"), "{mode}: {answer}");
}
