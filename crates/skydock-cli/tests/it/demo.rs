//! `skydock demo`.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

use crate::program::{command, skydock};

#[tokio::test]
async fn in_a_pipe_it_tells_the_whole_story_without_escape_codes() {
    let ran = skydock(&["demo", "--once", "--listen", "127.0.0.1:0"])
        .await
        .ended(0);
    for text in [
        "on a Node.js runtime",
        "nodejs18.x",
        "since 20",
        "days left",
        "nodejs24.x",
        "MCP 2026-07-28",
    ] {
        assert!(ran.stdout.contains(text), "{text} is not in {}", ran.stdout);
    }
    let updated = ran
        .stdout
        .lines()
        .find(|line| line.trim_start().starts_with("updated: "));
    assert!(
        updated.is_some_and(|line| line.contains(" runs on nodejs")),
        "{}",
        ran.stdout
    );
    let put_back = ran
        .stdout
        .lines()
        .find(|line| line.trim_start().starts_with("rolled back: "));
    assert!(
        put_back.is_some_and(|line| line.contains(" is on nodejs")),
        "{}",
        ran.stdout
    );
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!all.contains('\u{1b}') && !all.contains('\r'), "{all:?}");
    assert!(all.lines().all(|line| line.chars().count() <= 80), "{all}");
    assert!(
        ran.stderr.contains("… asking list-functions for nodejs, page 2"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn every_seed_has_a_story() {
    for seed in ["2", "3"] {
        let ran = skydock(&["demo", "--once", "--listen", "127.0.0.1:0", "--seed", seed])
            .await
            .ended(0);
        assert!(
            ran.stdout.contains("updated: ") && ran.stdout.contains("rolled back: "),
            "{}",
            ran.stdout
        );
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = skydock(&["demo", "--once", "--listen", &address]).await.ended(2);
    assert!(
        ran.stderr.contains("in use") && ran.stderr.contains("--listen 127.0.0.1:0"),
        "{ran:?}"
    );
    let ran = skydock(&["demo", "--once", "--listen", "0.0.0.0:0"])
        .await
        .ended(2);
    assert!(ran.stderr.contains("not a loopback address"), "{ran:?}");
}

#[tokio::test]
async fn it_stays_up_to_be_asked_until_a_signal_ends_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = command(&["demo", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut url = None;
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, rest)) = line.split_once("stays up at ") {
                url = Some(rest.to_owned());
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        let url = url.expect("the URL is told");
        let ran = skydock(&["call", &url, "get-function", "functionName=thumbnail-maker"])
            .await
            .ended(0);
        assert_eq!(ran.json()["runtime"], "nodejs18.x");
        kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), signal).unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn the_travel_agent_plays_the_dialogue_of_the_talk() {
    let ran = skydock(&["demo", "travel", "--once"]).await.ended(0);
    let mut rest = ran.stdout.as_str();
    for text in [
        "What cars can I rent?",
        "Toyota Corolla** (sedan), $45 a day",
        "Paris is not possible: the policy “countries” allows US",
        "Booked: **Toyota Corolla** in Dallas",
        "Booked: **Elm Street Inn** in Dallas",
        "Can I rent a Mercedes?",
        "does not allow the class luxury; allowed: sedan, suv",
        "You have booked:",
        "3 nights, $357",
    ] {
        let found = rest.find(text);
        assert!(found.is_some(), "{text:?} does not follow in {}", ran.stdout);
        rest = rest.get(found.unwrap() + text.len()..).unwrap();
    }
    assert!(ran.stderr.contains("No model is thinking"), "{ran:?}");
    assert!(ran.stderr.contains("Max agrees."), "{ran:?}");
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!all.contains('\u{1b}') && !all.contains('\r'), "{all:?}");
}
