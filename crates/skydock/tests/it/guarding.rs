//! Whatever a handler does, its caller gets an answer.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use skydock::Mode;

use crate::{
    peer::{Client, LEGACY, MODERN, MODES, config, router},
    workshop::wait,
};

#[tokio::test]
async fn every_mode_serves_both_eras() {
    for mode in MODES {
        let (router, _) = router(config(mode));
        let modern = Client::modern(&router)
            .call("echo", json!({"text": "hello"}))
            .await;
        assert_eq!(modern.tool_text(), format!("hello ({MODERN})"), "{mode:?}");
        let legacy = Client::legacy(&router)
            .await
            .call("echo", json!({"text": "hello"}))
            .await;
        assert_eq!(legacy.tool_text(), format!("hello ({LEGACY})"), "{mode:?}");
    }
}

#[tokio::test]
async fn a_panicking_tool_answers_at_once_and_the_server_lives() {
    for mode in MODES {
        let (router, _) = router(config(mode));
        for client in [Client::modern(&router), Client::legacy(&router).await] {
            let reply = client.call("panic", json!({})).await;
            let answer = reply.answer();
            assert_eq!(answer["result"]["isError"], true, "{mode:?} {answer}");
            let text = reply.tool_text();
            assert!(text.starts_with("internal error (reference "), "{text}");
            assert!(
                !reply.text.contains("4711"),
                "the panic's own text is not public: {}",
                reply.text
            );
            assert_eq!(
                client.call("echo", json!({"text": "on"})).await.status,
                StatusCode::OK
            );
        }
    }
}

#[tokio::test]
async fn a_tool_past_its_deadline_is_told_to_stop_and_its_caller_gets_an_error() {
    for mode in MODES {
        let mut config = config(mode);
        config.limits.timeout = Duration::from_millis(50);
        let (router, events) = router(config);
        for client in [Client::modern(&router), Client::legacy(&router).await] {
            let reply = client.call("stop", json!({})).await;
            assert_eq!(reply.answer()["result"]["isError"], true);
            assert_eq!(
                reply.tool_text(),
                "no answer within 0.05 s; the work was told to stop"
            );
            wait(&events.told_to_stop).await;
            // it may still put things in order
            events.may_end.add_permits(1);
            wait(&events.wound_up).await;
        }
    }
}

#[tokio::test]
async fn a_tool_whose_caller_went_away_is_told_to_stop_and_may_wind_up() {
    for mode in [Mode::Stateless, Mode::Json] {
        let (router, events) = router(config(mode));
        for client in [Client::modern(&router), Client::legacy(&router).await] {
            let call = client.calling_in_background("stop");
            wait(&events.began).await;
            call.abort();
            wait(&events.told_to_stop).await;
            events.may_end.add_permits(1);
            wait(&events.wound_up).await;
        }
    }
}

#[tokio::test]
async fn a_session_cancels_a_tool_by_notification() {
    let (router, events) = router(config(Mode::Stateful));
    let client = Client::legacy(&router).await;
    let call = client.calling_in_background("stop");
    wait(&events.began).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(client.send(cancel).await.status, StatusCode::ACCEPTED);
    wait(&events.told_to_stop).await;
    events.may_end.add_permits(1);
    wait(&events.wound_up).await;
    call.abort();
}

#[tokio::test]
async fn a_request_to_a_client_that_cannot_be_asked_fails_at_once() {
    for mode in [Mode::Stateless, Mode::Json] {
        let (router, _) = router(config(mode));
        let client = Client::legacy(&router).await;
        let reply = client.call("ask_raw", json!({})).await;
        assert!(reply.tool_text().starts_with("refused: "), "{reply:?}");
        // the version that tools see is still the client's own
        assert_eq!(
            client.call("echo", json!({"text": "a"})).await.tool_text(),
            format!("a ({LEGACY})")
        );
    }
}

#[tokio::test]
async fn progress_reaches_the_client_in_every_mode() {
    for mode in MODES {
        let (router, _) = router(config(mode));
        for client in [Client::modern(&router), Client::legacy(&router).await] {
            let params = json!({"name": "progress", "arguments": {}, "_meta": {"progressToken": "p"}});
            let reply = client.request("tools/call", params).await;
            let messages = reply.messages();
            assert_eq!(messages.len(), 3, "{mode:?} {messages:?}");
            assert_eq!(messages[1]["params"]["progress"], 2.0);
            assert_eq!(reply.tool_text(), "told");
        }
    }
}

#[tokio::test]
async fn lists_are_private_unless_their_author_says_otherwise() {
    for mode in MODES {
        let (router, _) = router(config(mode));
        let reply = Client::modern(&router).request("tools/list", json!({})).await;
        assert_eq!(reply.answer()["result"]["cacheScope"], "private", "{reply:?}");
    }
}
