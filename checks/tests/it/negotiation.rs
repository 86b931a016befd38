//! The revisions that the official suite does not speak, and stdio, which it does not speak at all.

use std::{path::Path, time::Duration};

use checks::program::{self, Program};
use serde_json::{Value, json};

use crate::wire::{self, Http, MODERN, Pipes};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const MODES: [&str; 3] = ["stateful", "stateless", "json"];
const HANDSHAKE: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const GRACE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn over_http_every_revision_with_a_handshake_is_answered_in_kind() {
    for mode in MODES {
        let program = Program::serve(Path::new(SERVER), &["--mode", mode])
            .await
            .unwrap();
        for version in HANDSHAKE {
            let client = Http::initialized(program.mcp(), version).await;
            assert_eq!(client.version, version, "{mode}");
            assert_eq!(client.session.is_some(), mode == "stateful", "{mode} {version}");
            let tools = client.request("tools/list", json!({})).await;
            assert!(lists(&tools.body, "greet"), "{mode} {version}: {tools:?}");
            let greeting = client.call("greet", json!({ "name": version })).await;
            assert_eq!(
                greeting.text(),
                format!("Hello, {version}!"),
                "{mode} {version}: {greeting:?}"
            );
            assert_eq!(
                greeting.body["result"].get("resultType"),
                None,
                "a field of 2026-07-28, sent to {version}"
            );
        }
    }
}

#[tokio::test]
async fn over_http_an_unknown_revision_is_offered_the_newest_with_a_handshake() {
    for mode in MODES {
        let program = Program::serve(Path::new(SERVER), &["--mode", mode])
            .await
            .unwrap();
        for version in ["1999-01-01", "2030-01-01", MODERN] {
            let answer = Http::new(program.mcp()).initialize(version).await;
            assert_eq!(
                answer.body["result"]["protocolVersion"], "2025-11-25",
                "{mode} {version}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn over_http_the_newest_revision_needs_no_handshake() {
    for mode in MODES {
        let program = Program::serve(Path::new(SERVER), &["--mode", mode])
            .await
            .unwrap();
        let client = Http::new(program.mcp());
        let about = client.modern("server/discover", json!({})).await;
        assert!(
            supports(&about.body, HANDSHAKE.into_iter().chain([MODERN])),
            "{mode}: {about:?}"
        );
        assert_eq!(about.session(), None, "{mode}: no session without a handshake");
        let greeting = client
            .modern(
                "tools/call",
                json!({ "name": "greet", "arguments": { "name": "new" } }),
            )
            .await;
        assert_eq!(greeting.text(), "Hello, new!", "{mode}: {greeting:?}");
        assert_eq!(greeting.body["result"]["resultType"], "complete");
    }
}

#[tokio::test]
async fn over_stdio_every_revision_with_a_handshake_is_answered_in_kind() {
    for version in HANDSHAKE {
        let mut server = Pipes::start(Path::new(SERVER), &[]);
        let about = server.ask(&wire::initialize(version)).await;
        assert_eq!(about["result"]["protocolVersion"], version, "{about}");
        server
            .send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        let tools = server.ask(&wire::request(1, "tools/list", json!({}))).await;
        assert!(lists(&tools, "greet"), "{tools}");
        let call = json!({ "name": "greet", "arguments": { "name": version } });
        let greeting = server.ask(&wire::request(2, "tools/call", call)).await;
        assert_eq!(
            greeting["result"]["content"][0]["text"],
            format!("Hello, {version}!")
        );
    }
}

#[tokio::test]
async fn over_stdio_an_unknown_revision_is_offered_the_newest_with_a_handshake() {
    for version in ["1999-01-01", "2030-01-01"] {
        let mut server = Pipes::start(Path::new(SERVER), &[]);
        let about = server.ask(&wire::initialize(version)).await;
        assert_eq!(about["result"]["protocolVersion"], "2025-11-25", "{about}");
    }
}

#[tokio::test]
async fn over_stdio_the_newest_revision_needs_no_handshake() {
    let mut server = Pipes::start(Path::new(SERVER), &[]);
    let about = server.ask(&wire::modern(1, "server/discover", json!({}))).await;
    assert!(supports(&about, HANDSHAKE.into_iter().chain([MODERN])), "{about}");
    let call = json!({ "name": "greet", "arguments": { "name": "new" } });
    let greeting = server.ask(&wire::modern(2, "tools/call", call)).await;
    assert_eq!(
        greeting["result"]["content"][0]["text"], "Hello, new!",
        "{greeting}"
    );
}

#[tokio::test]
async fn a_stdio_server_ends_cleanly_when_its_input_ends() {
    let mut server = Pipes::start(Path::new(SERVER), &[]);
    server.ask(&wire::initialize("2025-11-25")).await;
    server.hang_up();
    let status = program::ended(&mut server.child, GRACE).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_stdio_server_ends_cleanly_when_its_input_ends_before_a_word() {
    let mut server = Pipes::start(Path::new(SERVER), &[]);
    server.hang_up();
    let status = program::ended(&mut server.child, GRACE).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_stdio_server_ends_cleanly_on_sigterm() {
    let mut server = Pipes::start(Path::new(SERVER), &[]);
    server.ask(&wire::initialize("2025-11-25")).await;
    program::terminate(&server.child).unwrap();
    let status = program::ended(&mut server.child, GRACE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status:?}");
}

fn lists(answer: &Value, tool: &str) -> bool {
    let tools = answer["result"]["tools"].as_array();
    tools.is_some_and(|tools| tools.iter().any(|listed| listed["name"] == tool))
}

fn supports(answer: &Value, versions: impl IntoIterator<Item = &'static str>) -> bool {
    let supported = answer["result"]["supportedVersions"].as_array();
    let supports = |version| supported.is_some_and(|listed| listed.iter().any(|listed| *listed == version));
    versions.into_iter().all(supports)
}
