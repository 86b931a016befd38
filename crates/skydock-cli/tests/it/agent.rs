//! `skydock agent`: in a pipe, for one question, and what it says to wrong input.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{Ran, http, skydock, skydock_with};

const SCRIPT: &str = r#"
name = "test"
pace_ms = 5
[[scenes]]
when = "^ask"
steps = [{ say = "I ask.", call = [{ tool = "say", input = { text = "yes" } }] }, { say = "It said: {{ results.say.text }}" }]
[[scenes]]
when = "^slow"
steps = [{ say = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen" }]
[[scenes]]
steps = [{ say = "hello {{ user }}" }]
"#;

/// A folder of its own, with a script in it.
pub(crate) fn folder() -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let script: PathBuf = folder.path().join("script.toml");
    std::fs::write(&script, SCRIPT).unwrap();
    let model = format!("scripted:{}", script.display());
    let store = format!("sqlite:{}", folder.path().join("agent.sqlite").display());
    (folder, model, store)
}

fn has(ran: &Ran, text: &str) {
    assert!(
        ran.stdout.contains(text) || ran.stderr.contains(text),
        "{text}: {ran:?}"
    );
}

#[tokio::test]
async fn one_question_gets_one_answer() {
    let (_folder, model, _) = folder();
    let words = [
        "agent", "--model", &model, "--store", "memory", "--user", "max", "-p", "hi",
    ];
    let ran = skydock(&words).await.ended(0);
    assert_eq!(ran.stdout, "hello max\n");
    assert!(ran.stderr.contains("No model is thinking"), "{ran:?}");
}

#[tokio::test]
async fn what_waits_is_decided_by_another_process() {
    let (_folder, model, store) = folder();
    let url = http().await;
    let common = [
        "agent", "--model", &model, "--store", &store, "--server", &url, "--ask", "*",
    ];
    let with = |more: &[&'static str]| -> Vec<String> {
        common
            .iter()
            .map(|word| (*word).to_owned())
            .chain(more.iter().map(|word| (*word).to_owned()))
            .collect()
    };
    let run = async |words: Vec<String>| skydock(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let asked = run(with(&["--session", "x", "-p", "ask"])).await.ended(1);
    has(&asked, "Waiting for a decision.");
    has(&asked, "--session x --approve call-1-1");
    let wrong = run(with(&["--session", "x", "--approve", "call-9"]))
        .await
        .ended(1);
    has(&wrong, "no call \"call-9\" waits for a decision");
    let done = run(with(&["--session", "x", "--approve", "all", "--json"]))
        .await
        .ended(0)
        .json();
    assert_eq!(done["outcome"], "answered");
    assert!(
        done["answer"].as_str().unwrap().starts_with("It said: yes"),
        "{done}"
    );
    assert_eq!(done["session"], "x");
    let late = run(with(&["--session", "x", "--approve", "all"])).await.ended(2);
    has(&late, "no call waits for a decision in the conversation \"x\"");
}

#[tokio::test]
async fn a_chat_works_in_a_pipe() {
    let (_folder, model, store) = folder();
    let url = http().await;
    let words = [
        "agent", "--model", &model, "--store", &store, "--server", &url, "--ask", "*", "--user", "max",
    ];
    let ran = skydock_with(
        &words,
        "hi\nask\ny\nask\nnot today\n/tools\n/sessions\n/foo\n/quit\nnever said\n",
    )
    .await
    .ended(0);
    has(&ran, "hello max");
    has(&ran, "It said: ");
    has(&ran, "not today");
    has(&ran, "picture");
    has(&ran, "/foo is no command");
    assert!(!format!("{ran:?}").contains("\\u{1b}"), "{ran:?}");
    // when nobody decides, it is told how somebody can
    let ran = skydock_with(&words, "ask\n").await.ended(1);
    has(&ran, "--approve call-1-1");
}

#[tokio::test]
async fn every_fault_is_named_at_once_with_its_remedy() {
    let words = [
        "agent",
        "--server",
        "http://",
        "--store",
        "ftp:x",
        "--allow",
        "[",
        "--system",
        "/nowhere/at-all",
        "--json",
    ];
    let ran = skydock(&words).await.ended(2);
    for part in [
        "--server \"http://\"",
        "there is no model; add --model",
        "--store \"ftp:x\" is no store; write sqlite:FILE",
        "\"[\" is no pattern for tools",
        "--system /nowhere/at-all cannot be read",
        "--json needs something to do",
    ] {
        has(&ran, part);
    }
    let ran = skydock(&[
        "agent",
        "--model",
        "scripted:/nowhere.toml",
        "--store",
        "memory",
        "-p",
        "x",
    ])
    .await
    .ended(2);
    has(&ran, "the script /nowhere.toml cannot be read: No such file");
    let ran = skydock(&["agent", "--model", "gpt", "--store", "memory", "-p", "x"])
        .await
        .ended(2);
    has(&ran, "--model \"gpt\" is no model");
    let (_folder, model, _) = folder();
    let serve = ["agent", "serve", "--model", &model, "--store", "memory"];
    has(&skydock(&serve).await.ended(2), "--listen (SKYDOCK_LISTEN)");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_and_the_agent_answers() {
    let (_folder, model, _) = folder();
    let words = [
        "agent",
        "--model",
        &model,
        "--store",
        "memory",
        "--server",
        "no-such-program",
        "-p",
        "hi",
        "--json",
    ];
    let ran = skydock(&words).await.ended(0);
    let report: Value = ran.json();
    let notes = report["notes"].to_string();
    assert!(notes.contains("no-such-program is not there"), "{notes}");
}
