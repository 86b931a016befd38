//! Where lines go, and what becomes of those that cannot be written.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::Value;

use super::*;
use crate::account::Identity;

fn line() -> Line {
    let identity = Identity {
        account: "123456789012".into(),
        arn: "arn:aws:iam::123456789012:user/x".into(),
        region: "eu-central-1".into(),
    };
    let mut line = Line::new(Event::InvokeFunction, Who::default(), &identity, "orders-api");
    line.run = Some(Run::new(Some("live"), r#"{"card":"4111"}"#));
    line
}

/// A path in a folder of its own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("lambda-ops-audit-{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn a_line_says_what_was_run_and_not_with_what() {
    let audit = Audit::in_memory();
    audit.write(&line()).await.expect("memory takes it");
    let written = &audit.lines()[0];
    assert_eq!(written["event"], "invoke-function");
    assert_eq!(written["principal"]["account"], "123456789012");
    assert_eq!(written["run"]["payloadBytes"], 15);
    let digest = written["run"]["payloadSha256"].as_str().expect("a digest");
    assert_eq!(digest.len(), 64);
    assert_eq!(written["outcome"], "begun");
    let time = written["time"].as_str().expect("a time");
    assert!(time.parse::<Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
    assert!(!written.to_string().contains("4111"), "{written}");
}

#[tokio::test]
async fn a_file_is_appended_to_and_is_its_owners_alone() {
    let folder = Folder::new();
    let path = folder.0.join("audit.jsonl");
    for _ in 0..2 {
        let audit = Audit::file(&path).expect("it opens");
        audit.write(&line()).await.expect("it is written");
    }
    let text = fs::read_to_string(&path).expect("it is there");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_line_that_broke_off_does_not_spoil_the_next() {
    let folder = Folder::new();
    let path = folder.0.join("audit.jsonl");
    fs::write(&path, "{\"time\":\"2026-").expect("a torn line");
    Audit::file(&path)
        .expect("it opens")
        .write(&line())
        .await
        .expect("it is written");
    let text = fs::read_to_string(&path).expect("it is there");
    let last = text.lines().last().expect("a line");
    assert!(serde_json::from_str::<Value>(last).is_ok(), "{text}");
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test]
async fn a_full_disk_is_an_error() {
    // the device that is always full
    let audit = Audit::file(Path::new("/dev/full")).expect("it opens");
    assert!(audit.write(&line()).await.is_err());
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let folder = Folder::new();
    assert!(Audit::file(&folder.0.join("missing").join("audit.jsonl")).is_err());
    assert!(Audit::file(&folder.0).is_err(), "a folder is no file");
}

#[test]
fn a_line_that_waits_for_its_place_keeps_nothing_else_waiting() {
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // one thread for all: whoever blocks it stops everything
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let audit = Audit::in_memory();
        let slow = audit.sink();
        let line = line();
        let (written, ()) =
            runtime.block_on(async { tokio::join!(audit.write(&line), async { drop(slow) }) });
        written.expect("memory takes it");
        done.send(audit.lines().len()).expect("the test waits");
    });
    let lines = end.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(lines, Ok(1), "the line was waited for where others work");
}
