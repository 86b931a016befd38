//! What HTTP says when something is wrong, and what sessions live and die by.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use skydock::{Config, Mode};
use tower::ServiceExt;

use crate::{
    peer::{Client, MODES, config, router},
    workshop::wait,
};

#[tokio::test]
async fn what_is_wrong_is_said_in_json_rpc() {
    for mode in MODES {
        let mut config = config(mode);
        config.limits.body = 1_000;
        let (router, _) = router(config);
        let client = Client::legacy(&router).await;
        let too_large = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","x":"{}"}}"#,
            "x".repeat(1_000)
        );
        for (body, status, code) in [
            ("{", 400, -32700),
            ("", 400, -32700),
            ("[]", 400, -32600),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400, -32600),
            ("7", 400, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#,
                200,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#,
                200,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"no/such/method"}"#,
                200,
                -32601,
            ),
            (too_large.as_str(), 413, -32600),
        ] {
            let reply = client
                .exchange(client.post().body(Body::from(body.to_owned())).unwrap())
                .await;
            assert_eq!(
                (reply.status.as_u16(), reply.error_code()),
                (status, code),
                "{mode:?} {body} {reply:?}"
            );
            let id = &reply.answer()["id"];
            assert!(id == 1 || id.is_null(), "{reply:?}");
            if status == 413 {
                let told = reply.answer()["error"]["message"].to_string();
                assert!(told.contains("--max-body"), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn doors_stay_shut_for_wrong_hosts_origins_types_and_methods() {
    let (router, _) = router(Config::default());
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (name, value, status) in [
        ("host", "evil.example.com", StatusCode::FORBIDDEN),
        ("origin", "https://evil.example.com", StatusCode::FORBIDDEN),
        ("content-type", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("accept", "text/html", StatusCode::NOT_ACCEPTABLE),
    ] {
        let mut request = Client::modern(&router).post().body(Body::from(ping)).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let reply = Client::modern(&router).exchange(request).await;
        assert_eq!(reply.status, status, "{name}: {value} {reply:?}");
        assert!(reply.error_code() < 0);
    }
    let put = Request::put("/mcp")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let reply = Client::modern(&router).exchange(put).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.headers["allow"], "GET, POST, DELETE");
}

#[tokio::test]
async fn a_configured_page_may_call_and_read() {
    let mut config = config(Mode::Json);
    config.origins = vec!["https://app.example.com".to_owned()];
    let (router, _) = router(config);
    let client = Client::modern(&router);
    let preflight = Request::options("/mcp")
        .header("host", "localhost")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "mcp-param-region,content-type")
        .body(Body::empty())
        .unwrap();
    let reply = client.exchange(preflight).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    assert!(
        reply.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("mcp-param-region")
    );

    let foreign = Request::options("/mcp")
        .header("host", "localhost")
        .header("origin", "https://evil.example.com")
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .unwrap();
    assert!(
        !client
            .exchange(foreign)
            .await
            .headers
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test]
async fn health_is_told_without_a_host_check() {
    let (router, _) = router(Config::default());
    for path in ["/livez", "/readyz", "/ping"] {
        let request = Request::get(path)
            .header("host", "10.0.0.7:8000")
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            Client::modern(&router).exchange(request).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_session_is_not_found_except_by_initialize() {
    let (router, _) = router(Config::default());
    let mut client = Client::legacy(&router).await;
    client.session = Some("a-session-of-the-platform".to_owned());
    let reply = client.call("echo", json!({"text": "a"})).await;
    assert_eq!(
        (reply.status, reply.error_code()),
        (StatusCode::NOT_FOUND, -32001),
        "{reply:?}"
    );
    for method in ["GET", "DELETE"] {
        let request = client
            .with_session(Request::builder().method(method).uri("/mcp"))
            .header("accept", "text/event-stream");
        let reply = client.exchange(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(client.initialize().await.status, StatusCode::OK);

    client.session = None;
    let reply = client.call("echo", json!({"text": "a"})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text.contains("Mcp-Session-Id is missing"), "{reply:?}");
}

#[tokio::test]
async fn a_session_ends_when_its_client_says_so() {
    let (router, _) = router(Config::default());
    let client = Client::legacy(&router).await;
    let delete = client
        .with_session(Request::delete("/mcp"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(client.exchange(delete).await.status, StatusCode::NO_CONTENT);
    assert_eq!(
        client.call("echo", json!({"text": "a"})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn sessions_are_bounded_and_a_place_comes_free_again() {
    let mut config = config(Mode::Stateful);
    config.limits.sessions = 2;
    let (router, _) = router(config);
    let first = Client::legacy(&router).await;
    let _second = Client::legacy(&router).await;
    let refused = first.initialize().await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert_eq!(refused.headers["retry-after"], "10");
    // clients of 2026-07-28 need no session
    assert_eq!(
        Client::modern(&router)
            .call("echo", json!({"text": "a"}))
            .await
            .status,
        StatusCode::OK
    );

    let delete = first
        .with_session(Request::delete("/mcp"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(first.exchange(delete).await.status, StatusCode::NO_CONTENT);
    Client::legacy(&router).await;
}

#[tokio::test]
async fn an_unused_session_ends_but_one_at_work_or_listened_to_does_not() {
    let mut config = config(Mode::Stateful);
    config.limits.session_ttl = Duration::from_millis(150);
    let (router, events) = router(config);
    let (unused, working, listening) = (
        Client::legacy(&router).await,
        Client::legacy(&router).await,
        Client::legacy(&router).await,
    );

    let call = working.calling_in_background("work");
    wait(&events.began).await;
    let get = listening
        .with_session(Request::get("/mcp"))
        .header("accept", "text/event-stream");
    let stream = listening
        .router
        .clone()
        .oneshot(get.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(stream.status(), StatusCode::OK);

    // the reaper has come when the unused session is gone, and left the two others alone
    let gone = async {
        while unused
            .router
            .clone()
            .oneshot(
                // asking would be a use, so the session is looked for by its absence in a DELETE of another client's kind
                unused
                    .with_session(Request::get("/mcp"))
                    .header("accept", "image/png")
                    .body(Body::empty())
                    .unwrap(),
            )
            .await
            .unwrap()
            .status()
            != StatusCode::NOT_FOUND
        {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the unused session was not ended");
    events.may_end.add_permits(1);
    assert_eq!(call.await.unwrap().tool_text(), "worked");
    assert_eq!(
        listening.call("echo", json!({"text": "on"})).await.status,
        StatusCode::OK
    );
    drop(stream);
}

#[tokio::test]
async fn a_client_that_drips_its_body_is_cut_off() {
    let mut config = config(Mode::Json);
    config.limits.body_timeout = Duration::from_millis(50);
    let (router, _) = router(config);
    let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let reply = Client::modern(&router)
        .exchange(Client::modern(&router).post().body(never).unwrap())
        .await;
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_late_answer_is_a_stream_and_a_ready_one_is_not() {
    let (router, events) = router(config(Mode::Stateless));
    let ready = Client::modern(&router).call("echo", json!({"text": "a"})).await;
    assert_eq!(ready.headers["content-type"], "text/event-stream");
    assert!(
        !ready.headers.contains_key("x-accel-buffering"),
        "a ready answer is one body: {ready:?}"
    );

    let request = Client::modern(&router).calling("work", json!({}));
    // the head comes while the tool still works
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    events.may_end.add_permits(1);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("worked"));
}

#[tokio::test]
async fn a_client_that_takes_no_events_gets_json() {
    for mode in MODES {
        let (router, _) = router(config(mode));
        let client = Client::modern(&router);
        let mut request = client.calling("echo", json!({"text": "a"}));
        request
            .headers_mut()
            .insert("accept", "application/json".parse().unwrap());
        let reply = client.exchange(request).await;
        assert_eq!(
            reply.headers["content-type"], "application/json",
            "{mode:?} {reply:?}"
        );
        assert_eq!(reply.tool_text(), "a (2026-07-28)");
    }
}

#[tokio::test]
async fn an_id_is_used_once_at_a_time_in_a_session() {
    let (router, events) = router(config(Mode::Stateful));
    let client = Client::legacy(&router).await;
    let first = client.calling_in_background("work");
    wait(&events.began).await;
    let second = client.call("echo", json!({"text": "a"})).await;
    assert_eq!(
        (second.status, second.error_code()),
        (StatusCode::BAD_REQUEST, -32600),
        "{second:?}"
    );
    events.may_end.add_permits(1);
    assert_eq!(first.await.unwrap().tool_text(), "worked");
    assert_eq!(
        client.call("echo", json!({"text": "a"})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn requests_at_once_are_bounded() {
    for mode in MODES {
        let mut config = config(mode);
        config.limits.requests = 1;
        let (router, events) = router(config);
        let client = Client::modern(&router);
        let first = client.calling_in_background("work");
        wait(&events.began).await;
        let second = client.call("echo", json!({"text": "a"})).await;
        assert_eq!(
            second.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{mode:?} {second:?}"
        );
        assert_eq!(second.headers["retry-after"], "1");
        events.may_end.add_permits(1);
        assert_eq!(first.await.unwrap().tool_text(), "worked");
        assert_eq!(
            client.call("echo", json!({"text": "a"})).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_version_that_does_not_exist_is_named_as_the_fault() {
    let (router, _) = router(Config::default());
    let mut client = Client::legacy(&router).await;
    client.version = "2099-01-01";
    for session in [client.session.clone(), None] {
        client.session = session;
        let reply = client.call("echo", json!({"text": "a"})).await;
        assert!(
            reply.text.contains("MCP-Protocol-Version names no version"),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn a_request_that_describes_itself_has_no_session_whatever_it_names() {
    let (router, _) = router(Config::default());
    let mut client = Client::legacy(&router).await;
    client.session = None;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": client.version,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}
    });
    let reply = client
        .request(
            "tools/call",
            json!({"name": "ask_twice", "arguments": {}, "_meta": meta}),
        )
        .await;
    // it cannot be asked, and hears so instead of waiting
    assert_eq!(reply.error_code(), -32600, "{reply:?}");
}

#[tokio::test]
async fn a_page_of_this_machine_may_call_and_read() {
    let (router, _) = router(Config::default());
    let preflight = Request::options("/mcp")
        .header("host", "127.0.0.1:8000")
        .header("origin", "http://localhost:6274")
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .unwrap();
    let reply = Client::modern(&router).exchange(preflight).await;
    assert_eq!(
        reply.headers["access-control-allow-origin"], "http://localhost:6274",
        "{reply:?}"
    );
}
