//! Clients that others wrote: MCP Inspector and the official Python SDK use `lambda-ops`, over HTTP and over stdio.

use std::path::PathBuf;

use checks::{
    emulator::Emulator,
    program::{self, Program},
    tools,
};
use serde_json::{Value, json};
use tokio::process::Command;

const TOOLS: [&str; 8] = [
    "get-function",
    "get-runtime-info",
    "invoke-function",
    "list-functions",
    "plan-runtime-upgrades",
    "recover-updates",
    "report-deprecated-functions",
    "update-function-runtime",
];
const ACCOUNT: [&str; 6] = ["--account", "embedded", "--allow", "invoke", "--allow", "write"];
const MODES: [&str; 3] = ["stateful", "stateless", "json"];

#[tokio::test]
async fn mcp_inspector_uses_lambda_ops_over_http() {
    for mode in MODES {
        let server = serve(mode).await;
        let url = server.mcp();
        let target = [url.as_str(), "--transport", "http"];
        let listed = inspector(&target, &["--method", "tools/list"]).await;
        assert_eq!(names(&listed), TOOLS, "{mode}");
        let called = inspector(
            &target,
            &["--method", "tools/call", "--tool-name", "list-functions"],
        )
        .await;
        has_functions(&called["structuredContent"], mode);
    }
}

#[tokio::test]
async fn mcp_inspector_uses_lambda_ops_over_stdio() {
    let server = lambda_ops();
    let target: Vec<&str> = [server.to_str().unwrap()].into_iter().chain(ACCOUNT).collect();
    let listed = inspector(&target, &["--method", "tools/list"]).await;
    assert_eq!(names(&listed), TOOLS);
    let called = inspector(
        &target,
        &["--method", "tools/call", "--tool-name", "list-functions"],
    )
    .await;
    has_functions(&called["structuredContent"], "stdio");
}

#[tokio::test]
async fn mcp_inspector_finds_no_fault_with_the_schemas_of_lambda_ops() {
    let server = serve("json").await;
    let url = server.mcp();
    // `--strict` fails when a client would have trouble with a tool's schema.
    let listed = inspector(
        &[&url, "--transport", "http"],
        &["--method", "tools/list", "--strict"],
    )
    .await;
    assert_eq!(names(&listed), TOOLS);
}

#[tokio::test]
async fn the_python_sdk_uses_lambda_ops_over_http() {
    for mode in MODES {
        let server = serve(mode).await;
        for (way, version) in [
            ("legacy", "2025-11-25"),
            ("auto", "2026-07-28"),
            ("2026-07-28", "2026-07-28"),
        ] {
            let said = python(&[way, "http", &server.mcp(), "list-functions", "{}"]).await;
            is_good(&said, version, mode);
        }
    }
}

#[tokio::test]
async fn the_python_sdk_uses_lambda_ops_over_stdio() {
    let server = lambda_ops();
    let server = server.to_str().unwrap();
    for (way, version) in [
        ("legacy", "2025-11-25"),
        ("auto", "2026-07-28"),
        ("2026-07-28", "2026-07-28"),
    ] {
        let call = [way, "stdio", "list-functions", "{}", server];
        let said = python(&[&call[..], &ACCOUNT].concat()).await;
        is_good(&said, version, "stdio");
    }
}

/// The doors of AWS through which a client reaches the server itself.
const DOORS: [&str; 7] = [
    "apigw-v1",
    "apigw-v1-stream",
    "apigw-v2",
    "url",
    "url-stream",
    "alb",
    "invoke",
];

#[tokio::test]
async fn mcp_inspector_uses_lambda_ops_through_the_doors_of_aws() {
    for door in DOORS {
        let emulator = Emulator::start(door, &[], &lambda_ops(), &ACCOUNT).await.unwrap();
        let target = [emulator.url(), "--transport", "http"];
        let listed = inspector(&target, &["--method", "tools/list"]).await;
        assert_eq!(names(&listed), TOOLS, "{door}");
        let called = inspector(
            &target,
            &["--method", "tools/call", "--tool-name", "list-functions"],
        )
        .await;
        has_functions(&called["structuredContent"], door);
        assert!(emulator.stop().await.unwrap().success());
    }
}

/// There the gateway is the server that the client sees, and a tool returns a value.
#[tokio::test]
async fn mcp_inspector_uses_lambda_ops_as_a_target_of_agentcore_gateway() {
    let emulator = Emulator::start("agentcore-target", &[], &lambda_ops(), &ACCOUNT)
        .await
        .unwrap();
    let target = [emulator.url(), "--transport", "http"];
    let listed = inspector(&target, &["--method", "tools/list"]).await;
    let expected = TOOLS.map(|name| format!("lambda-ops___{name}"));
    assert_eq!(names(&listed), expected);
    let call = ["--method", "tools/call", "--tool-name"];
    let called = inspector(&target, &[&call[..], &["lambda-ops___list-functions"]].concat()).await;
    let text = called["content"][0]["text"].as_str().unwrap();
    has_functions(&serde_json::from_str(text).unwrap(), "agentcore-target");
    assert!(emulator.stop().await.unwrap().success());
}

#[tokio::test]
async fn the_python_sdk_uses_lambda_ops_through_the_doors_of_aws() {
    for door in ["apigw-v1", "apigw-v2", "url-stream", "alb"] {
        let emulator = Emulator::start(door, &[], &lambda_ops(), &ACCOUNT).await.unwrap();
        for (way, version) in [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")] {
            let said = python(&[way, "http", emulator.url(), "list-functions", "{}"]).await;
            is_good(&said, version, door);
        }
        assert!(emulator.stop().await.unwrap().success());
    }
}

#[tokio::test]
async fn mcp_inspector_moves_a_function_with_the_token_of_its_plan() {
    for mode in MODES {
        let server = serve(mode).await;
        let wanted = [
            "functionName=orders-api",
            "runtime=nodejs24.x",
            "testEvent=\"{}\"",
        ];
        let moved = moved_by_inspector(&server.mcp(), &wanted).await;
        assert_eq!(
            moved["structuredContent"]["outcome"], "updated",
            "{mode}: {moved}"
        );
    }
}

/// Its command line can ask nobody, so the plan and its token go over the user's screen.
pub(crate) async fn moved_by_inspector(url: &str, wanted: &[&str]) -> Value {
    let target = [url, "--transport", "http"];
    // what follows `--tool-arg` is taken for an argument up to the next flag
    let call = ["--method", "tools/call", "--tool-arg"];
    let tool = ["--tool-name", "update-function-runtime"];
    let planned = inspector(&target, &[&call[..], wanted, &["dryRun=true"], &tool].concat()).await;
    let planned = &planned["structuredContent"];
    assert_eq!(planned["outcome"], "planned", "{planned}");
    let token = format!("planToken={}", planned["planToken"].as_str().unwrap());
    inspector(&target, &[&call[..], wanted, &[&token], &tool].concat()).await
}

#[tokio::test]
async fn the_python_sdk_moves_a_function_when_its_user_agrees() {
    let server = lambda_ops();
    let server = server.to_str().unwrap();
    let arguments =
        json!({"functionName": "orders-api", "runtime": "nodejs24.x", "testEvent": "{}"}).to_string();
    for way in ["legacy", "2026-07-28"] {
        let call = [way, "stdio", "update-function-runtime", &arguments, server];
        agreed(&python(&[&call[..], &ACCOUNT].concat()).await, "updated", way);
        let served = serve("stateful").await;
        let url = served.mcp();
        let said = python(&[way, "http", &url, "update-function-runtime", &arguments]).await;
        agreed(&said, "updated", way);
    }
}

/// One that does not survive is put back, and a batch stops there.
#[tokio::test]
async fn the_python_sdk_sees_what_was_put_back() {
    let served = serve("stateful").await;
    let url = served.mcp();
    let names = ["orders-api", "thumbnail-maker", "catalog-api"];
    let events: Value = names
        .iter()
        .map(|name| ((*name).to_owned(), json!("{}")))
        .collect();
    let arguments =
        json!({"functions": names, "to": "nodejs24.x", "testEvents": events, "apply": true}).to_string();
    let said = python(&["2026-07-28", "http", &url, "plan-runtime-upgrades", &arguments]).await;
    agreed(&said, "stopped", "batch");
    let outcomes: Vec<_> = said["structured"]["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, [Some("updated"), Some("rolled-back"), None]);
}

fn agreed(said: &Value, outcome: &str, what: &str) {
    assert_eq!(said["structured"]["outcome"], outcome, "{what}: {said}");
    let asked = said["asked"].as_array().unwrap();
    assert_eq!(asked.len(), 1, "{what}: {said}");
    assert!(
        asked[0].as_str().unwrap().contains("nodejs20.x to nodejs24.x"),
        "{what}: {said}"
    );
}

fn lambda_ops() -> PathBuf {
    tools::built("lambda-ops").unwrap()
}

async fn serve(mode: &str) -> Program {
    let flags = [&["--mode", mode][..], &ACCOUNT].concat();
    Program::serve(&lambda_ops(), &flags).await.unwrap()
}

/// What MCP Inspector's command line prints for one request.
pub(crate) async fn inspector(target: &[&str], method: &[&str]) -> Value {
    let script = tools::script("@modelcontextprotocol/inspector/clients/launcher/build/index.js").unwrap();
    let mut command = program::command(&tools::node().unwrap());
    let home = tools::workspace().join("target/tools/inspector");
    std::fs::create_dir_all(&home).unwrap();
    command.arg(script).arg("--cli").args(method).args(target);
    // It keeps a catalogue of servers in the home folder; ours is nobody's business.
    command.env("HOME", home);
    run(command).await
}

pub(crate) async fn python(arguments: &[&str]) -> Value {
    let mut command = program::command(&tools::python("python").unwrap());
    command
        .arg(tools::workspace().join("checks/tools/client.py"))
        .args(arguments);
    run(command).await
}

async fn run(mut command: Command) -> Value {
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let ran = command.output().await.unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{:?}: {out}{log}", ran.status);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{log}"))
}

pub(crate) fn names(listed: &Value) -> Vec<&str> {
    let mut names: Vec<_> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names
}

fn is_good(said: &Value, version: &str, what: &str) {
    assert_eq!(said["version"], version, "{what}: {said}");
    let mut tools: Vec<_> = said["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    tools.sort_unstable();
    assert_eq!(tools, TOOLS, "{what}");
    assert_eq!(said["isError"], json!(false), "{what}: {said}");
    has_functions(&said["structured"], what);
}

fn has_functions(listed: &Value, what: &str) {
    let functions = listed["functions"].as_array();
    assert!(
        functions.is_some_and(|functions| functions.len() >= 10),
        "{what}: {listed}"
    );
}
