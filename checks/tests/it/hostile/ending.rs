//! The end of a server: nothing in flight is lost, nothing new is begun, and it does not take for ever.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use checks::program::{self, Program};
use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{MODES, SERVER, VERSION, serve};
use crate::wire::{Answer, Http, PATIENCE};

#[tokio::test]
async fn sigterm_delivers_what_is_in_flight_and_begins_nothing_new() {
    for mode in MODES {
        let (mut program, client) = serve(mode).await;
        let flying = fly(&client, 2.0).await;
        program.terminate().unwrap();
        draining(&program).await;
        // what may have been on its way is taken in for a moment
        let refused = async {
            loop {
                let answer = client.call("greet", json!({ "name": "late" })).await;
                if answer.status != StatusCode::OK {
                    return answer;
                }
            }
        };
        let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
        assert_eq!(
            refused.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{mode}: {refused:?}"
        );
        assert!(
            refused.error_code().is_some() && refused.headers.contains_key("retry-after"),
            "{mode}: {refused:?}"
        );
        let alive = reqwest::get(program.url("/livez")).await.unwrap();
        assert_eq!(
            alive.status(),
            StatusCode::OK,
            "{mode}: it is alive, and should not be killed"
        );
        assert_eq!(flying.await.unwrap().text(), "Slept 2 s.", "{mode}");
        let status = program.ended(PATIENCE).await.unwrap();
        assert_eq!(status.code(), Some(0), "{mode}: {status:?}");
    }
}

#[tokio::test]
async fn sigterm_ends_open_streams_and_idle_connections() {
    let mut program = Program::serve(Path::new(SERVER), &["--mode", "stateful"])
        .await
        .unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    let stream = reqwest::Client::new()
        .get(program.mcp())
        .header("accept", "text/event-stream")
        .header("mcp-session-id", client.session.as_deref().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let idle = program.connect().await.unwrap();
    let began = Instant::now();
    program.terminate().unwrap();
    let status = program.ended(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "nothing was in flight: {:?}",
        began.elapsed()
    );
    drop((stream, idle));
}

#[tokio::test]
async fn the_grace_period_is_the_longest_that_sigterm_takes() {
    for mode in MODES {
        let mut program = Program::serve(Path::new(SERVER), &["--mode", mode, "--grace", "1"])
            .await
            .unwrap();
        let client = Http::initialized(program.mcp(), VERSION).await;
        let flying = fly(&client, 100_000.0).await;
        let began = Instant::now();
        program.terminate().unwrap();
        program.ended(PATIENCE).await.unwrap();
        let took = began.elapsed();
        // the tool is told to stop when a fifth of the grace is left, and this one does as it is told
        assert!(
            took >= Duration::from_millis(700) && took < Duration::from_secs(4),
            "{mode}: {took:?}"
        );
        flying.abort();
    }
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once() {
    let mut program = Program::serve(Path::new(SERVER), &[]).await.unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    let flying = fly(&client, 100_000.0).await;
    program.terminate().unwrap();
    draining(&program).await;
    let began = Instant::now();
    program.terminate().unwrap();
    program.ended(PATIENCE).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    flying.abort();
}

#[tokio::test]
async fn after_a_restart_on_the_same_address_old_sessions_are_not_found_and_new_ones_work() {
    let mut first = Program::serve(Path::new(SERVER), &["--mode", "stateful"])
        .await
        .unwrap();
    let client = Http::initialized(first.mcp(), VERSION).await;
    let addr = first.addr();
    first.terminate().unwrap();
    first.ended(PATIENCE).await.unwrap();

    let again = |_: SocketAddr| {
        let mut command = program::command(Path::new(SERVER));
        command.args(["--mode", "stateful", "--listen", &addr.to_string()]);
        command
    };
    let second = Program::start_at(addr, again, "/readyz").await.unwrap();
    let old = client.request("tools/list", json!({})).await;
    assert_eq!(
        old.status,
        StatusCode::NOT_FOUND,
        "the client is told to initialise again: {old:?}"
    );
    let new = Http::initialized(second.mcp(), VERSION).await;
    assert_eq!(
        new.call("greet", json!({ "name": "again" })).await.text(),
        "Hello, again!"
    );
}

/// A call that takes so many seconds, begun for certain.
async fn fly(client: &Http, seconds: f64) -> JoinHandle<Answer> {
    let flying = tokio::spawn({
        let client = client.clone();
        async move { client.call("sleep", json!({ "seconds": seconds })).await }
    });
    while client.call("sleepers", json!({})).await.text() != "1" {
        tokio::task::yield_now().await;
    }
    flying
}

/// Waits until a load balancer would see that no request should be sent here any more.
async fn draining(program: &Program) {
    let began = Instant::now();
    while reqwest::get(program.url("/readyz")).await.unwrap().status() != StatusCode::SERVICE_UNAVAILABLE {
        assert!(began.elapsed() < PATIENCE, "/readyz does not say that it drains");
        tokio::task::yield_now().await;
    }
}
