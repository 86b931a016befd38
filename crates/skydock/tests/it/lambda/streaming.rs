//! Streamed responses: what is written, when, and how they end.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use skydock::LambdaResponse;
use tokio::sync::Semaphore;

use super::{
    function::{OLD, call, event, function, initialize, lambda, last, message, read, start},
    runtime_api::{RuntimeApi, Taking},
};
use crate::{peer::MODERN, workshop::wait};

const DOOR: &str = "function-url";

#[tokio::test]
async fn a_ready_answer_is_its_head_and_its_body() {
    let (api, _) = function(LambdaResponse::Streamed).await;
    let answer = api
        .invoke(&event(DOOR, MODERN, &call(MODERN, "echo", json!({"text": "a"}))))
        .await;
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.awslambda.http-integration-response"
    );
    assert_eq!(
        answer.headers["lambda-runtime-function-response-mode"],
        "streaming"
    );
    assert_eq!(answer.headers["transfer-encoding"], "chunked");
    assert_eq!(answer.pieces.len(), 3);
    assert_eq!(answer.pieces[1], 8);
    assert!(answer.trailers.is_empty());
}

#[tokio::test]
async fn an_answer_without_a_body_is_whole() {
    let (api, _) = function(LambdaResponse::Streamed).await;
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for door in ["rest-api", DOOR] {
        let answer = api.invoke(&event(door, OLD, &notification)).await;
        assert_eq!(read(door, &answer), (202, String::new()), "{door}");
        assert!(answer.complete && answer.pieces.len() == 2, "{answer:?}");
        assert!(
            !String::from_utf8(answer.body).unwrap().contains("content-type"),
            "{door}"
        );
    }
}

#[tokio::test]
async fn progress_is_told_while_the_tool_works() {
    let (api, _) = function(LambdaResponse::Streamed).await;
    let mut call = call(MODERN, "progress", json!({}));
    call["params"]["_meta"]["progressToken"] = json!("p");
    let answer = api.invoke(&event(DOOR, MODERN, &call)).await;
    let (status, body) = read(DOOR, &answer);
    assert_eq!(status, 200);
    assert_eq!(body.matches("notifications/progress").count(), 2, "{body}");
    assert_eq!(last(&body)["result"]["content"][0]["text"], "told");
}

#[tokio::test]
async fn a_slow_reader_is_waited_for() {
    let pace = Arc::new(Semaphore::new(0));
    let taking = Taking {
        pace: Some(Arc::clone(&pace)),
        ..Taking::default()
    };
    let api = RuntimeApi::start_taking(taking).await;
    let (_running, _) = start(lambda(&api, LambdaResponse::Streamed));
    let huge = event(DOOR, MODERN, &call(MODERN, "huge", json!({})));
    let reader = async {
        for _ in 0..10_000 {
            pace.add_permits(1);
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(api.invoke(&huge), reader);
    let text = last(&read(DOOR, &answer).1)["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .len();
    assert_eq!(text, 1 << 20);
}

#[tokio::test]
async fn a_reader_that_is_gone_stops_the_tool_and_the_next_one_is_served() {
    let taking = Taking::default();
    taking.cuts.store(1, std::sync::atomic::Ordering::Relaxed);
    let api = RuntimeApi::start_taking(taking).await;
    let mut config = lambda(&api, LambdaResponse::Streamed);
    config.mode = skydock::Mode::Stateless;
    let (_running, events) = start(config);
    let stop = event(DOOR, MODERN, &call(MODERN, "stop", json!({})));
    // the first part is the head, which goes out after a second of work
    tokio::select! {
        answer = api.invoke(&stop) => panic!("{answer:?}"),
        () = wait(&events.told_to_stop) => {}
    }
    events.may_end.add_permits(1);
    wait(&events.wound_up).await;
    let answer = api
        .invoke(&event(DOOR, MODERN, &call(MODERN, "echo", json!({"text": "a"}))))
        .await;
    assert_eq!(
        last(&read(DOOR, &answer).1)["result"]["content"][0]["text"],
        "a (2026-07-28)"
    );
}

#[tokio::test]
async fn streaming_costs_no_delayed_acknowledgement() {
    /// The median of 31 calls.
    async fn median(api: &RuntimeApi, event: &serde_json::Value) -> Duration {
        let mut times = Vec::new();
        for _ in 0..31 {
            let began = Instant::now();
            assert_eq!(api.invoke(event).await.how, "response");
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times[15]
    }
    let (buffered, _) = function(LambdaResponse::Buffered).await;
    let (streamed, _) = function(LambdaResponse::Streamed).await;
    let mut progress = call(MODERN, "progress", json!({}));
    progress["params"]["_meta"]["progressToken"] = json!("p");
    for message in [call(MODERN, "echo", json!({"text": "a"})), progress] {
        let event = event(DOOR, MODERN, &message);
        let (plain, stream) = (median(&buffered, &event).await, median(&streamed, &event).await);
        println!(
            "{}: buffered {plain:?}, streamed {stream:?}",
            message["params"]["name"]
        );
        // with Nagle's algorithm it is more than tenfold
        assert!(stream < plain * 4, "buffered {plain:?}, streamed {stream:?}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_door_that_cannot_stream_is_named_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _log = tracing::subscriber::set_default(subscriber);
    let (api, _) = function(LambdaResponse::Streamed).await;
    let list = event("alb", MODERN, &message(MODERN, "tools/list", json!({})));
    for _ in 0..2 {
        assert!(!api.invoke(&list).await.is_streamed());
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("one piece only").count(), 1, "{text}");
    assert!(text.contains("door=\"Application Load Balancer\""), "{text}");
    assert!(text.contains("request_id=\"invocation-0\""), "{text}");
    assert!(text.contains("trace_id=\"Root=1-5bef4de7;Sampled=1\""), "{text}");
}

#[tokio::test]
async fn changes_are_not_promised_where_they_cannot_be_told() {
    for response in [LambdaResponse::Buffered, LambdaResponse::Streamed] {
        let api = RuntimeApi::start().await;
        tokio::spawn(skydock::Host::new(Newsroom).with(lambda(&api, response)).run());
        for (version, message) in [
            (OLD, initialize()),
            (MODERN, message(MODERN, "server/discover", json!({}))),
        ] {
            let answer = api.invoke(&event(DOOR, version, &message)).await;
            let tools = &last(&read(DOOR, &answer).1)["result"]["capabilities"]["tools"];
            assert!(tools.is_object(), "{version} {answer:?}");
            assert_eq!(tools.get("listChanged"), None, "{version} {response:?}");
        }
    }
}

/// A server whose tools change.
struct Newsroom;

impl rmcp::ServerHandler for Newsroom {
    fn get_info(&self) -> rmcp::model::ServerConfig {
        let capabilities = rmcp::model::ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        rmcp::model::ServerConfig::new(capabilities)
    }
}
