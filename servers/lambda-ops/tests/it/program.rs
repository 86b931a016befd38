//! The program itself: what it says when it cannot start, and that it speaks on stdio.

use std::process::Stdio;

use rmcp::{ServiceExt, model::CallToolRequestParams};
use tokio::process::Command;

/// The program with nothing of this machine's AWS configuration.
fn program(home: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lambda-ops"));
    command
        .env_clear()
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let ended = command.output().await.expect("the program runs");
    (
        ended.status.code(),
        String::from_utf8(ended.stderr).expect("UTF-8"),
    )
}

#[tokio::test]
async fn no_region_is_a_clear_refusal_and_never_a_silent_default() {
    let home = std::env::temp_dir();
    let (code, text) = refusal(
        program(&home)
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b"),
    )
    .await;
    assert_eq!(code, Some(2));
    assert!(
        text.contains("no AWS region is configured; set AWS_REGION"),
        "{text}"
    );
}

#[tokio::test]
async fn no_credentials_are_a_clear_refusal() {
    let home = std::env::temp_dir();
    let (code, text) = refusal(program(&home).env("AWS_REGION", "eu-central-1")).await;
    assert_eq!(code, Some(2));
    assert!(
        text.contains("no AWS credentials are found; set AWS_PROFILE"),
        "{text}"
    );
    assert!(text.contains("--account embedded"), "{text}");
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_named_beside_what_else_is_missing() {
    let home = std::env::temp_dir();
    let (code, text) = refusal(program(&home).env("AWS_PROFILE", "no-such-profile")).await;
    assert_eq!(code, Some(2));
    for fault in [
        "AWS_PROFILE is \"no-such-profile\", but there is no such profile",
        "no AWS region is configured",
        "no AWS credentials are found",
    ] {
        assert!(text.contains(fault), "{fault}: {text}");
    }
}

#[tokio::test]
async fn all_wrong_flags_are_named_at_once() {
    let home = std::env::temp_dir();
    let wrong = ["--account", "azure", "--embedded-seed", "x", "--listen", "8000"];
    let mut program = program(&home);
    program.env("SKYDOCK_ALLOW", "invoke,everything");
    program.args(["--allow-tag", "=x", "--audit", "/no/such/folder/audit"]);
    let (code, text) = refusal(program.args(wrong)).await;
    assert_eq!(code, Some(2));
    for flag in [
        "--account (SKYDOCK_ACCOUNT)",
        "--embedded-seed (SKYDOCK_EMBEDDED_SEED)",
        "--listen (SKYDOCK_LISTEN)",
        "--allow (SKYDOCK_ALLOW)",
        "--allow-tag (SKYDOCK_ALLOW_TAG)",
        "--audit (SKYDOCK_AUDIT)",
    ] {
        assert!(text.contains(flag), "{text}");
    }
}

#[tokio::test]
async fn empty_variables_and_patterns_with_commas_are_told_apart_from_wrong_words() {
    let mut program = program(&std::env::temp_dir());
    program.envs([
        ("SKYDOCK_ACCOUNT", "embedded"),
        ("SKYDOCK_ALLOW", ""),
        ("SKYDOCK_ALLOW_FUNCTION", "shop-{a,b}"),
        ("SKYDOCK_JOURNAL", ""),
    ]);
    let (code, text) = refusal(&mut program).await;
    assert_eq!(code, Some(2));
    for told in [
        "the flags or the environment are wrong",
        "--allow (SKYDOCK_ALLOW): it is empty; write invoke or write, or unset it",
        "--allow-function (SKYDOCK_ALLOW_FUNCTION) is \"shop-{a\": a comma ends a pattern",
        "--journal (SKYDOCK_JOURNAL): it is empty",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[tokio::test]
async fn the_embedded_account_is_served_on_stdio_by_its_seed() {
    let mut revisions = Vec::new();
    for _ in 0..2 {
        let mut child = program(&std::env::temp_dir())
            .args(["--account", "embedded", "--embedded-seed", "42"])
            .spawn()
            .unwrap();
        let pipes = (
            child.stdout.take().expect("piped"),
            child.stdin.take().expect("piped"),
        );
        let client = ().serve(pipes).await.expect("it speaks MCP");
        let arguments = serde_json::from_value(serde_json::json!({ "functionName": "orders-api" })).unwrap();
        let asked = CallToolRequestParams::new("get-function").with_arguments(arguments);
        let shown = client
            .call_tool(asked)
            .await
            .expect("it answers")
            .structured_content
            .expect("structured");
        revisions.push(shown["revisionId"].as_str().expect("a revision").to_owned());
        client.cancel().await.expect("the client ends");
        assert!(
            child.wait().await.expect("the program ends").success(),
            "the end of stdin is a clean end"
        );
    }
    assert_eq!(
        revisions[0], revisions[1],
        "the same seed gives the same functions"
    );
}

#[tokio::test]
async fn changes_without_a_place_for_their_journal_are_refused() {
    let mut program = program(&std::env::temp_dir());
    let (code, text) = refusal(program.env_remove("HOME").args(["--allow", "write"])).await;
    assert_eq!(code, Some(2));
    assert!(
        text.contains("--journal (SKYDOCK_JOURNAL): name a folder"),
        "{text}"
    );
}

#[tokio::test]
async fn the_audit_is_whole_json_lines_on_stderr() {
    let mut child = program(&std::env::temp_dir())
        .args(["--account", "embedded", "--allow", "invoke"])
        .spawn()
        .unwrap();
    let pipes = (
        child.stdout.take().expect("piped"),
        child.stdin.take().expect("piped"),
    );
    let client = ().serve(pipes).await.expect("it speaks MCP");
    let arguments = serde_json::json!({ "functionName": "orders-api", "payload": "{}" });
    let asked = CallToolRequestParams::new("invoke-function")
        .with_arguments(serde_json::from_value(arguments).expect("an object"));
    client.call_tool(asked).await.expect("it answers");
    client.cancel().await.expect("the client ends");
    let ended = child.wait_with_output().await.expect("the program ends");
    let text = String::from_utf8(ended.stderr).expect("UTF-8");
    let audit: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &serde_json::Value| line["event"] == "invoke-function")
        .collect();
    let outcomes: Vec<_> = audit.iter().map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("begun"), Some("succeeded")], "{text}");
}

#[test]
fn every_flag_is_in_the_reference_with_its_variable() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/lambda-ops.md");
    let text = std::fs::read_to_string(page).expect("the reference");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `--")).collect();
    let command = <lambda_ops::Flags as clap::Args>::augment_args(clap::Command::new("any"));
    for flag in command.get_arguments() {
        let name = flag.get_long().expect("every flag has a long name");
        let variable = flag
            .get_env()
            .expect("every flag has a variable")
            .to_string_lossy();
        let row = format!("| `--{name}` | `{variable}` |");
        assert!(rows.iter().any(|line| line.starts_with(&row)), "{row}");
    }
    assert_eq!(
        rows.len(),
        command.get_arguments().count(),
        "the reference has flags that the code has not"
    );
}
