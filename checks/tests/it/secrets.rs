//! A key that is a secret of AWS: ministack keeps it, and instances of the server share it while it is rotated.

use std::path::Path;

use checks::{
    ministack,
    program::{self, Program},
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::wire::Http;

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const TOOL: &str = "test_input_required_result_request_state";

/// Does something with a secret.
async fn secrets(endpoint: &str, action: &str, body: Value) -> Value {
    let done = Client::new()
        .post(endpoint)
        .header("x-amz-target", format!("secretsmanager.{action}"))
        .header("content-type", "application/x-amz-json-1.1")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(body.to_string());
    let done = done.send().await.unwrap();
    assert!(done.status().is_success(), "{action}: {}", done.status());
    done.json().await.unwrap()
}

fn command(endpoint: &str, key: &str) -> tokio::process::Command {
    let mut command = program::command(Path::new(SERVER));
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .args(["--state-key", key]);
    command
}

async fn serve(endpoint: &str, key: &str) -> Program {
    let start = |addr: std::net::SocketAddr| {
        let mut command = command(endpoint, key);
        command.args(["--listen", &addr.to_string()]);
        command
    };
    Program::start(start, "/livez").await.unwrap()
}

/// Asks at one instance, and answers at another: whether that one knows the key.
async fn crosses(from: &Program, to: &Program) -> bool {
    let params = json!({"name": TOOL, "arguments": {}});
    let asked = Http::new(from.mcp()).modern("tools/call", params.clone()).await;
    let (state, questions) = (
        &asked.body["result"]["requestState"],
        &asked.body["result"]["inputRequests"],
    );
    assert!(state.is_string(), "{asked:?}");
    let (question, _) = questions.as_object().unwrap().iter().next().unwrap();
    let mut params = params;
    params["requestState"] = state.clone();
    params["inputResponses"][question] = json!({"action": "accept", "content": {"ok": true}});
    let answered = Http::new(to.mcp()).modern("tools/call", params).await;
    answered.body["result"]["resultType"] == "complete"
}

#[tokio::test]
async fn instances_share_a_secret_while_it_is_rotated() {
    let aws = ministack::start("secrets").await.unwrap();
    let endpoint = aws.url("");
    let created = json!({"Name": "state-key", "SecretString": "an old key that is long enough to sign"});
    let created = secrets(&endpoint, "CreateSecret", created).await;
    let arn = created["ARN"].as_str().unwrap();
    let old = serve(&endpoint, arn).await;
    assert!(crosses(&old, &old).await);

    let next = json!({"SecretId": arn, "SecretString": "a new key that is also long enough to sign"});
    secrets(&endpoint, "PutSecretValue", next).await;
    let new = serve(&endpoint, arn).await;
    assert!(crosses(&old, &new).await, "the last value is known");
    assert!(crosses(&new, &new).await);
    assert!(!crosses(&new, &old).await, "what nobody has told it is not known");
    for instance in [old, new] {
        assert!(instance.stop().await.unwrap().success());
    }

    let short = json!({"SecretId": arn, "SecretString": "short"});
    secrets(&endpoint, "PutSecretValue", short).await;
    let missing = arn.replace("state-key", "no-such-key");
    for (key, told) in [
        (arn, "holds 5 bytes; at least 32 are needed"),
        (&missing, "cannot be had from AWS Secrets Manager"),
        ("arn:aws:s3:::bucket", "is no ARN of a secret"),
        ("env:NO_SUCH_VARIABLE", "is not set"),
        ("no-such-file", "cannot be read (No such file or directory"),
    ] {
        let ended = command(&endpoint, key).output().await.unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert!(
            !ended.status.success() && text.contains(told) && text.contains(key),
            "{key}: {text}"
        );
    }
    assert!(aws.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_key_may_be_in_a_variable() {
    let text = "a key that is long enough to sign, in a variable";
    let start = |addr: std::net::SocketAddr| {
        let mut command = command("http://127.0.0.1:9", "env:THE_KEY");
        command.env("THE_KEY", text).args(["--listen", &addr.to_string()]);
        command
    };
    let here = Program::start(start, "/livez").await.unwrap();
    let there = Program::start(start, "/livez").await.unwrap();
    assert!(crosses(&here, &there).await);
}
