//! `skydock-authorizer` in front of a function, and authorizers that are wrong.

use std::path::PathBuf;

use checks::{emulator::Emulator, tools};
use serde_json::json;

use super::{call, echoed};

const DOORS: [(&str, &[&str]); 4] = [
    ("apigw-v1", &[]),
    ("apigw-v1", &["--authorizer-type", "request"]),
    ("apigw-v1-stream", &[]),
    ("apigw-v2", &[]),
];

/// `printf %s TOKEN | sha256sum`, for the tokens `letmein` and `letmeout`.
const PRINCIPALS: &str = r#"
[alice]
sha256 = "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032"

[mallory]
sha256 = "63741f38f57d4af93473ee2467043ed35b5d9b8445ec98051b9519e58073d955"
access = "deny"
"#;

fn principals() -> PathBuf {
    // each test is a process of its own, and has a file of its own
    let name = format!("target/tools/principals-{}.toml", std::process::id());
    let path = tools::workspace().join(name);
    std::fs::write(&path, PRINCIPALS).unwrap();
    path
}

/// An echo, or the given command of ours, behind an authorizer.
async fn guarded(door: &str, flags: &[&str], authorizer: &str) -> Emulator {
    let python = tools::python("python").unwrap();
    let script = tools::workspace().join("checks/tools/function.py");
    let mode = if door.ends_with("stream") {
        "stream"
    } else {
        "echo"
    };
    let flags = [&["--authorizer", authorizer], flags].concat();
    Emulator::start(door, &flags, &python, &[script.to_str().unwrap(), mode])
        .await
        .unwrap()
}

fn ours() -> String {
    let program = tools::built("skydock-authorizer").unwrap();
    format!(
        "'{}' --principals '{}'",
        program.display(),
        principals().display()
    )
}

fn theirs(mode: &str) -> String {
    let python = tools::python("python").unwrap();
    let script = tools::workspace().join("checks/tools/function.py");
    format!("'{}' '{}' {mode}", python.display(), script.display())
}

#[tokio::test]
async fn a_token_that_is_known_passes_and_no_other() {
    for (door, flags) in DOORS {
        let emulator = guarded(door, flags, &ours()).await;
        for (token, status) in [
            (Some("Bearer letmein"), 200),
            (None, 401),
            (Some("Bearer nobody"), 401),
            (Some("Basic letmein"), 401),
            (Some("Bearer letmeout"), 403),
        ] {
            let mut request = call(emulator.url(), "any", &json!({}));
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            // a stream of the function's own has 201; an HTTP API has no 401 for a token that nobody knows
            let status = match (door, status, token) {
                ("apigw-v1-stream", 200, _) => 201,
                ("apigw-v2", 401, Some(_)) => 403,
                _ => status,
            };
            let answered = request.send().await.unwrap();
            assert_eq!(
                answered.status().as_u16(),
                status,
                "{door} {flags:?} {token:?}: {}",
                emulator.log()
            );
        }
        emulator
            .says("there is no Authorization header, so the authorizer was not asked")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_it_says_reaches_the_function_and_is_kept_for_the_whole_stage() {
    for (door, pointer) in [
        ("apigw-v1", "/requestContext/authorizer/principal"),
        ("apigw-v2", "/requestContext/authorizer/lambda/principal"),
    ] {
        let emulator = guarded(door, &[], &ours()).await;
        let token = "Bearer letmein";
        for path in ["/mcp", "/other"] {
            let url = emulator.url().replace("/mcp", path);
            let answered = call(&url, "any", &json!({}))
                .header("authorization", token)
                .send()
                .await
                .unwrap();
            assert_eq!(
                answered.status(),
                200,
                "{door}{path}: a policy for one path would deny the next"
            );
            assert_eq!(
                echoed(answered).await["event"].pointer(pointer).unwrap(),
                "alice",
                "{door}"
            );
        }
        let asked = emulator.log().matches("\"principal\":\"alice\"").count();
        assert_eq!(asked, 1, "{door}: {}", emulator.log());
    }
    let emulator = guarded("apigw-v1", &["--authorizer-ttl", "0"], &ours()).await;
    for _ in 0..2 {
        let passed = call(emulator.url(), "any", &json!({})).header("authorization", "Bearer letmein");
        assert_eq!(passed.send().await.unwrap().status(), 200);
    }
    assert_eq!(emulator.log().matches("\"principal\":\"alice\"").count(), 2);
}

#[tokio::test]
async fn an_authorizer_that_fails_lets_nobody_pass() {
    // what is no policy, a crash, an error of its own
    for (mode, explained) in [
        ("bare", "it has no principalId"),
        ("exit", "Runtime.ExitError"),
        ("fail", "Shop.Closed"),
    ] {
        for (door, flags) in DOORS {
            let emulator = guarded(door, flags, &theirs(mode)).await;
            let answered = call(emulator.url(), "any", &json!({})).header("authorization", "Bearer x");
            assert_eq!(answered.send().await.unwrap().status(), 500, "{door} {mode}");
            emulator.says(explained).await.unwrap();
        }
    }
    let emulator = guarded("apigw-v1", &[], &theirs("unauthorized")).await;
    let answered = call(emulator.url(), "any", &json!({})).header("authorization", "Bearer x");
    assert_eq!(answered.send().await.unwrap().status(), 401);
}
