//! `skydock emulate`: does it do what AWS does, to functions of ours and to one that is not.

mod authorizing;
mod events;
mod faults;
mod life;

use std::path::Path;

use checks::{emulator::Emulator, tools};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");

/// The server that the suite is run against, behind a door.
async fn server(door: &str, flags: &[&str]) -> Emulator {
    Emulator::start(door, flags, Path::new(SERVER), &[])
        .await
        .unwrap()
}

/// A function that is not ours, and behaves as `mode` says.
async fn function(door: &str, flags: &[&str], mode: &str) -> Emulator {
    let python = tools::python("python").unwrap();
    let script = tools::workspace().join("checks/tools/function.py");
    Emulator::start(door, flags, &python, &[script.to_str().unwrap(), mode])
        .await
        .unwrap()
}

/// The call of a tool, as a client of 2025-11-25 sends it.
fn call(url: &str, tool: &str, arguments: &Value) -> RequestBuilder {
    let params = json!({"name": tool, "arguments": arguments});
    Client::new()
        .post(url)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
}

/// The text of a tool's answer.
async fn text(answered: Response) -> String {
    let body = answered.text().await.unwrap();
    let message: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let text = message["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {message}")).to_owned()
}

/// What an echo has got.
async fn echoed(answered: Response) -> Value {
    let body = answered.text().await.unwrap();
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}
