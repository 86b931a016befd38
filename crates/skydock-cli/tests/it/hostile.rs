//! `skydock call` at servers that break off, or try to command the terminal.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::program::{command, skydock, stdio};

/// A server for `sh`: it answers the handshake of 2025-11-25 and `tools/list`, and goes on with `then`.
fn script(capabilities: &str, then: &str) -> String {
    format!(
        r#"sh -c '
answer() {{ printf "{{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}}\n" "$1" "$2"; }}
read -r _
answer 0 "{{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{capabilities},\"serverInfo\":{{\"name\":\"sh\",\"version\":\"1\"}}}}"
read -r _
{then}'"#,
        capabilities = capabilities.replace('"', "\\\""),
    )
}

const TOOLS: &str = r#"{\"tools\":[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}]}"#;

#[tokio::test]
async fn a_server_that_stops_reading_is_a_fault_and_not_a_reader_that_had_enough() {
    let then = format!("read -r _; exec 0<&-; answer 1 \"{TOOLS}\"; sleep 3");
    let target = script(r#"{"tools":{}}"#, &then);
    let ran = skydock(&["call", "--era", "2025-11-25", &target, "t"])
        .await
        .ended(1);
    assert!(ran.stderr.contains("the request was not answered"), "{ran:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_waited_for_as_long_as_the_flag_says() {
    let then = format!("read -r _; answer 1 \"{TOOLS}\"; cat >&2");
    let target = script(r#"{"tools":{}}"#, &then);
    let words = ["call", "--era", "2025-11-25", "--timeout", "1", &target, "t"];
    let ran = skydock(&words).await.ended(1);
    assert!(
        ran.stderr.contains("for 1 s; --timeout SECONDS gives it longer"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_reader_that_had_enough_is_no_fault() {
    let mut child = command(&["call", &stdio(), "say", "text=hi"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn a_server_cannot_command_the_terminal_behind_a_pipe() {
    let hostile = "text=\u{1b}[2K\u{1b}]0;gone\u{7}\u{1b}[31mred";
    let output = command(&["call", &stdio(), "say", hostile])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0;gone\u{1b}[31mred\n");
}

#[tokio::test]
async fn what_a_server_does_not_have_is_not_asked_for() {
    for (flag, offer, what) in [
        ("--resource", r#"{"tools":{}}"#, "resources"),
        ("--prompt", r#"{"tools":{}}"#, "prompts"),
        ("--json", r#"{"prompts":{}}"#, "tools"),
    ] {
        let target = script(offer, "cat >&2");
        let word = if flag == "--json" { "{}" } else { "x" };
        let mut words = vec!["call", "--era", "2025-11-25", &target, flag, word];
        if flag == "--json" {
            words.push("t");
        }
        let ran = skydock(&words).await.ended(2);
        assert_eq!(ran.stderr, format!("error: this server has no {what}\n"));
    }
}

#[tokio::test]
async fn ctrl_c_tells_the_server_to_stop_and_the_person_what_that_means() {
    let then = format!("read -r _; answer 1 \"{TOOLS}\"; read -r _; echo asked >&2; head -n 1 >&2; cat >&2");
    let target = script(r#"{"tools":{}}"#, &then);
    let mut child = command(&["call", "--era", "2025-11-25", "--server-log", &target, "t"])
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("asked") {
        assert_ne!(stderr.read_line(&mut seen).await.unwrap(), 0, "{seen}");
    }
    let process = child.id().unwrap().to_string();
    let kill = ["-INT", &process];
    assert!(
        std::process::Command::new("kill")
            .args(kill)
            .status()
            .unwrap()
            .success()
    );
    stderr.read_to_string(&mut seen).await.unwrap();
    for text in [
        "notifications/cancelled",
        "The server was told to stop",
        "error: interrupted",
    ] {
        assert!(seen.contains(text), "{text} is not in {seen}");
    }
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
}
