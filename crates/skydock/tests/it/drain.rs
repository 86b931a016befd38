//! Ending without losing an answer, over a real socket.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use skydock::{Config, Host, Listening, Mode};
use tokio::net::TcpListener;

use crate::{
    peer::config,
    workshop::{Events, Workshop, wait},
};

async fn listen(config: Config) -> (Listening, Events) {
    let events = Events::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (
        Host::new(Workshop::new(events.clone()))
            .with(config)
            .listen(listener)
            .unwrap(),
        events,
    )
}

fn call(client: &reqwest::Client, url: &str, session: Option<&str>, tool: &str) -> reqwest::RequestBuilder {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"text": "a"}}});
    post(client, url, session).body(message.to_string())
}

fn post(client: &reqwest::Client, url: &str, session: Option<&str>) -> reqwest::RequestBuilder {
    let request = client.post(url).header("content-type", "application/json");
    match session {
        Some(session) => request.header("mcp-session-id", session),
        None => request,
    }
}

async fn open(client: &reqwest::Client, url: &str) -> String {
    let info = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info});
    let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let reply = post(client, url, None)
        .body(message.to_string())
        .send()
        .await
        .unwrap();
    let session = reply.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    reply.text().await.unwrap();
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    post(client, url, Some(&session))
        .body(initialized.to_string())
        .send()
        .await
        .unwrap();
    session
}

#[tokio::test]
async fn answers_are_delivered_new_work_is_refused_and_streams_end() {
    for mode in [Mode::Stateful, Mode::Json] {
        let (mut listening, events) = listen(config(mode)).await;
        let (url, root) = (listening.url(), format!("http://{}", listening.addr()));
        let client = reqwest::Client::new();
        let session = if mode == Mode::Stateful {
            Some(open(&client, &url).await)
        } else {
            None
        };

        let answer = tokio::spawn(call(&client, &url, session.as_deref(), "work").send());
        wait(&events.began).await;
        let stream = match &session {
            Some(session) => {
                let get = client
                    .get(&url)
                    .header("accept", "text/event-stream")
                    .header("mcp-session-id", session);
                Some(get.send().await.unwrap().bytes_stream())
            }
            None => None,
        };

        let stopping = tokio::spawn(async move {
            listening.stop().await;
        });
        // a new connection is still answered, so that a load balancer hears that it should go elsewhere
        let ready = async {
            while reqwest::get(format!("{root}/readyz")).await.unwrap().status() != 503 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ready)
            .await
            .unwrap();
        assert_eq!(reqwest::get(format!("{root}/livez")).await.unwrap().status(), 200);
        // what may have been on its way is taken in, and then nothing
        let refused = async {
            loop {
                let answer = call(&client, &url, session.as_deref(), "echo").send();
                let answer = answer.await.unwrap();
                if answer.status() == 503 {
                    return answer;
                }
                assert_ne!(answer.status().as_u16() / 100, 5);
                tokio::task::yield_now().await;
            }
        };
        let refused = tokio::time::timeout(Duration::from_secs(10), refused)
            .await
            .unwrap();
        assert_eq!(refused.headers()["retry-after"], "1");

        events.may_end.add_permits(1);
        let answer = answer.await.unwrap().unwrap().text().await.unwrap();
        assert!(answer.contains("worked"), "{answer}");
        if let Some(mut stream) = stream {
            while stream.next().await.is_some() {}
        }
        stopping.await.unwrap();
        assert!(
            reqwest::get(format!("{root}/livez")).await.is_err(),
            "nobody listens any more"
        );
    }
}

#[tokio::test]
async fn a_tool_that_takes_too_long_is_told_to_stop_and_its_answer_is_delivered() {
    for mode in [Mode::Stateful, Mode::Json] {
        let mut config = config(mode);
        config.limits.grace = Duration::from_secs(2);
        let (mut listening, events) = listen(config).await;
        let client = reqwest::Client::new();
        let session = if mode == Mode::Stateful {
            Some(open(&client, &listening.url()).await)
        } else {
            None
        };
        let answer = tokio::spawn(call(&client, &listening.url(), session.as_deref(), "stop").send());
        wait(&events.began).await;
        events.may_end.add_permits(1);
        let began = std::time::Instant::now();
        listening.stop().await;
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "the grace period is one, not two"
        );
        let answer = answer.await.unwrap().unwrap().text().await.unwrap();
        assert!(answer.contains("stopped"), "{mode:?} {answer}");
    }
}

#[tokio::test]
async fn a_tool_that_never_ends_does_not_keep_the_server() {
    let mut config = config(Mode::Json);
    config.limits.grace = Duration::from_millis(100);
    let (mut listening, events) = listen(config).await;
    let call = tokio::spawn(call(&reqwest::Client::new(), &listening.url(), None, "work").send());
    wait(&events.began).await;
    tokio::time::timeout(Duration::from_secs(2), listening.stop())
        .await
        .expect("the server did not end");
    listening.wait().await;
    call.abort();
}

#[tokio::test]
async fn a_listener_that_is_dropped_takes_its_connections_along() {
    let (listening, events) = listen(config(Mode::Json)).await;
    let call = tokio::spawn(call(&reqwest::Client::new(), &listening.url(), None, "stop").send());
    wait(&events.began).await;
    drop(listening);
    assert!(call.await.unwrap().is_err(), "the connection is closed");
    wait(&events.told_to_stop).await;
}

#[tokio::test]
async fn a_router_of_ones_own_drains_too() {
    let events = Events::default();
    let stop = tokio_util::sync::CancellationToken::new();
    let (router, ended) = Host::new(Workshop::new(events.clone()))
        .with(config(Mode::Json))
        .router_until(stop.clone());
    let ended = tokio::spawn(ended);
    let client = crate::peer::Client::modern(&router);
    let answer = client.calling_in_background("work");
    wait(&events.began).await;
    stop.cancel();
    while client.call("echo", json!({"text": "a"})).await.status != 503 {
        tokio::task::yield_now().await;
    }
    events.may_end.add_permits(1);
    assert_eq!(answer.await.unwrap().tool_text(), "worked");
    ended.await.unwrap();
}
