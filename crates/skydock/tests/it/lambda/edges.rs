//! What goes wrong in Lambda, and what becomes of it.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{Router, routing::post};
use serde_json::{Value, json};
use skydock::{Failed, Function, Invocation, LambdaResponse, Site};

use super::{
    function::{call, event, function, lambda, last, message, read, start, wrap},
    runtime_api::{Answer, RuntimeApi, Taking, deadline},
};
use crate::{peer::MODERN, workshop::wait};

/// Calls a tool through a function URL, buffered, and gives its result.
async fn result(api: &RuntimeApi, tool: &str, arguments: Value) -> Value {
    let answer = api
        .invoke(&event("function-url", MODERN, &call(MODERN, tool, arguments)))
        .await;
    last(&read("function-url", &answer).1)["result"].clone()
}

fn is_error(answer: &Answer, kind: &str, words: &str) -> bool {
    let json = answer.json();
    answer.how == "error"
        && answer.headers["lambda-runtime-function-error-type"] == kind
        && json["errorType"] == kind
        && json["errorMessage"].as_str().unwrap().contains(words)
}

#[tokio::test]
async fn a_panic_is_answered_and_the_environment_stays_warm() {
    let (api, _) = function(LambdaResponse::Buffered).await;
    let panicked = result(&api, "panic", json!({})).await;
    assert_eq!(panicked["isError"], true);
    assert!(!panicked.to_string().contains("4711"));
    let text = result(&api, "echo", json!({"text": "a"})).await;
    assert_eq!(text["content"][0]["text"], "a (2026-07-28)");
}

#[tokio::test]
async fn the_deadline_of_the_invocation_bounds_the_tool_and_its_winding_up() {
    for response in [LambdaResponse::Buffered, LambdaResponse::Streamed] {
        let (api, events) = function(response).await;
        let call = event("function-url", MODERN, &call(MODERN, "stop", json!({})));
        let began = std::time::Instant::now();
        let time = Duration::from_secs(2);
        let limit = deadline(time);
        let headers = [("lambda-runtime-deadline-ms", limit.as_str())];
        let answer = api.invoke_with(&headers, call.to_string().into_bytes()).await;
        assert!(began.elapsed() < time, "{response:?} {:?}", began.elapsed());
        let result = &last(&read("function-url", &answer).1)["result"];
        assert_eq!(result["isError"], true, "{response:?} {result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("no answer within 1."), "{text}");
        // the client has its answer; the environment is not frozen before the handler has wound up
        wait(&events.told_to_stop).await;
        let asked = |api: &RuntimeApi| api.seen().iter().filter(|path| path.ends_with("/next")).count();
        assert_eq!(asked(&api), 2, "one of the function, one of the extension");
        events.may_end.add_permits(1);
        wait(&events.wound_up).await;
        let warm = api.invoke(&json!({"warmer": true})).await;
        assert_eq!(warm.body, b"null");
    }
}

#[tokio::test]
async fn more_headers_than_can_be_held_are_an_error_and_the_environment_lives_on() {
    let (api, _) = function(LambdaResponse::Buffered).await;
    // as many as a map holds leave no room for those that we add
    for (count, kind, words) in [
        (40_000, Failed::UNKNOWN_EVENT, "more headers"),
        (24_576, "Skydock.Internal", "internal error (reference "),
    ] {
        let mut event = event("http-api", MODERN, &message(MODERN, "tools/list", json!({})));
        event["headers"] = (0..count)
            .map(|number| (format!("x-{number}"), json!("a")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let answer = api.invoke(&event).await;
        assert!(is_error(&answer, kind, words), "{}", answer.json());
        let text = result(&api, "echo", json!({"text": "a"})).await;
        assert_eq!(text["content"][0]["text"], "a (2026-07-28)");
    }
}

#[tokio::test]
async fn sessions_that_a_program_asks_for_are_refused() {
    let api = RuntimeApi::start().await;
    let mut config = lambda(&api, LambdaResponse::Buffered);
    config.mode = skydock::Mode::Stateful;
    let (running, _) = start(config);
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.report().contains("json or stateless"), "{}", error.report());
}

#[tokio::test]
async fn what_a_door_cannot_carry_is_a_result_that_says_so() {
    let (api, _) = function(LambdaResponse::Streamed).await;
    for door in ["alb", "alb-multi"] {
        let answer = api
            .invoke(&event(door, MODERN, &call(MODERN, "huge", json!({}))))
            .await;
        assert!(answer.body.len() < 2_000);
        let (status, body) = read(door, &answer);
        let result = &last(&body)["result"];
        assert_eq!((status, &result["isError"]), (200, &json!(true)), "{body}");
        assert!(body.contains("larger than the 1 MB"), "{body}");
    }
    for door in ["function-url", "http-api", "invoke"] {
        let answer = api
            .invoke(&event(door, MODERN, &call(MODERN, "huge", json!({}))))
            .await;
        let text = last(&read(door, &answer).1)["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .len();
        assert_eq!(text, 1 << 20, "{door}");
    }
}

#[tokio::test]
async fn events_that_are_nobodys_are_named_and_the_function_lives() {
    let (api, _) = function(LambdaResponse::Buffered).await;
    for (event, words) in [
        (
            json!({"Records": [{"eventSource": "aws:sqs", "body": "secret-1"}]}),
            "records of aws:sqs",
        ),
        (
            json!({"Records": [{"EventSource": "aws:sns"}]}),
            "records of aws:sns",
        ),
        (
            json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}),
            "an event of aws.s3 from EventBridge",
        ),
        (
            json!({"requestContext": {"connectionId": "1", "eventType": "CONNECT"}, "isBase64Encoded": false}),
            "WebSocket",
        ),
        (
            json!({"type": "TOKEN", "methodArn": "arn:…", "authorizationToken": "secret-2"}),
            "authorizer",
        ),
        (json!({"b": 1, "a": "secret-3"}), "the keys a, b;"),
        (json!(7), "no JSON object"),
        (
            json!({"httpMethod": 7, "path": "/mcp"}),
            "looks like one of API Gateway REST API",
        ),
        (
            json!({"requestContext": {"elb": {}}, "httpMethod": "P O", "path": "/mcp"}),
            "method",
        ),
    ] {
        let answer = api.invoke(&event).await;
        assert!(
            is_error(&answer, Failed::UNKNOWN_EVENT, words),
            "{event}: {}",
            answer.json()
        );
        assert!(!answer.json().to_string().contains("secret"), "{event}");
    }
    let garbage = api.invoke_with(&[], b"\xff\x00{".to_vec()).await;
    assert!(is_error(&garbage, Failed::UNKNOWN_EVENT, "no JSON object"));
    for warm in [
        json!({}),
        Value::Null,
        json!("ping"),
        json!({"warmer": true}),
        json!({"source": "aws.events"}),
    ] {
        let answer = api.invoke(&warm).await;
        assert_eq!(
            (answer.how.as_str(), answer.body.as_slice()),
            ("response", &b"null"[..]),
            "{warm}"
        );
    }
}

#[tokio::test]
async fn only_names_of_the_platform_and_configured_ones_are_served() {
    let api = RuntimeApi::start().await;
    let mut config = lambda(&api, LambdaResponse::Buffered);
    config.hosts = vec!["mcp.example.com".to_owned()];
    let (_running, _) = start(config);
    let list = message(MODERN, "tools/list", json!({}));
    for (door, host, status) in [
        ("alb", "mcp.example.com", 200),
        ("alb", "evil.example.com", 403),
        ("lattice-v2", "evil.example.com", 403),
        ("function-url", "evil.example.com", 403),
        ("http-api", "mcp.example.com", 200),
    ] {
        let mut event = event(door, MODERN, &list);
        event["headers"]["host"] = json!(host);
        let answer = api.invoke(&event).await;
        assert_eq!(read(door, &answer).0, status, "{door} {host}");
    }
}

#[tokio::test]
async fn a_stranger_page_may_not_call_through_a_door() {
    let (api, _) = function(LambdaResponse::Buffered).await;
    let mut event = event("rest-api", MODERN, &message(MODERN, "tools/list", json!({})));
    event["multiValueHeaders"]["origin"] = json!(["https://evil.example.com"]);
    assert_eq!(read("rest-api", &api.invoke(&event).await).0, 403);
}

#[tokio::test]
async fn health_and_other_methods_pass_through_the_doors() {
    let (api, _) = function(LambdaResponse::Streamed).await;
    for door in ["rest-api", "function-url", "alb", "lattice-v1"] {
        let mut event = wrap(door, "GET", &json!({}), "");
        for key in ["path", "rawPath", "raw_path"] {
            if let Some(path) = event.get_mut(key) {
                *path = json!(path.as_str().unwrap().replace("mcp", "readyz"));
            }
        }
        assert_eq!(
            read(door, &api.invoke(&event).await),
            (200, "ready\n".to_owned()),
            "{door}"
        );
        let answer = api.invoke(&wrap(door, "GET", &json!({}), "")).await;
        assert_eq!(read(door, &answer).0, 405, "{door}");
    }
}

#[tokio::test]
async fn a_target_of_agentcore_gateway_takes_arguments_and_returns_a_value() {
    let (api, _) = function(LambdaResponse::Streamed).await;
    let call = |tool: &'static str, arguments: Value| {
        let context = json!({"custom": {"bedrockAgentCoreToolName": format!("shop___{tool}"), "bedrockAgentCoreGatewayId": "g"}});
        let api = &api;
        async move {
            let headers = [("lambda-runtime-client-context", context.to_string())];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            api.invoke_with(&headers, arguments.to_string().into_bytes())
                .await
        }
    };
    let answer = call("echo", json!({"text": "a", "jsonrpc": "b"})).await;
    assert_eq!(
        (answer.how.as_str(), answer.json()),
        ("response", json!("a (2025-11-25)"))
    );
    assert!(!answer.is_streamed());
    // without arguments it looks like a warmer
    assert_eq!(
        call("progress", json!({})).await.json(),
        json!("nobody wants to know")
    );
    assert!(is_error(
        &call("panic", json!({})).await,
        "Skydock.ToolError",
        "internal error (reference "
    ));
    assert!(is_error(
        &call("nothing", json!({})).await,
        "Skydock.ToolError",
        "tool not found"
    ));
    assert!(is_error(
        &call("echo", json!([])).await,
        Failed::UNKNOWN_EVENT,
        "arguments"
    ));
}

#[tokio::test]
async fn an_invocation_gets_one_message_and_loses_notifications_only() {
    let (api, _) = function(LambdaResponse::Buffered).await;
    let mut call = call(MODERN, "progress", json!({}));
    call["params"]["_meta"]["progressToken"] = json!("p");
    let answer = api.invoke(&call).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "told");
    // over HTTP they are delivered with the answer, to those who take events
    let answer = api.invoke(&event("alb", MODERN, &call)).await;
    let (_, body) = read("alb", &answer);
    assert_eq!(body.matches("notifications/progress").count(), 2, "{body}");
    let mut no_events = event("alb", MODERN, &call);
    no_events["headers"]["accept"] = json!("application/json");
    let answer = api.invoke(&no_events).await;
    assert_eq!(answer.json()["headers"]["content-type"], "application/json");
    assert_eq!(
        last(&read("alb", &answer).1)["result"]["content"][0]["text"],
        "told"
    );
    let batch = api.invoke(&json!([call])).await;
    assert_eq!(batch.json()["error"]["code"], -32600);
}

#[tokio::test]
async fn an_answer_that_lambda_did_not_get_is_sent_again() {
    let taking = Taking::default();
    taking.cuts.store(1, Ordering::Relaxed);
    let api = RuntimeApi::start_taking(taking).await;
    let (_running, _) = start(lambda(&api, LambdaResponse::Buffered));
    let text = result(&api, "echo", json!({"text": "again"})).await;
    assert_eq!(text["content"][0]["text"], "again (2026-07-28)");
    let sent = api
        .seen()
        .iter()
        .filter(|path| path.ends_with("/response"))
        .count();
    assert_eq!(sent, 2);
}

#[tokio::test]
async fn a_runtime_api_that_is_gone_ends_the_process() {
    let api = RuntimeApi::start().await;
    let (running, _) = start(lambda(&api, LambdaResponse::Buffered));
    api.extension().await;
    drop(api);
    let ended = tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .expect("it goes on");
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(
        error
            .report()
            .starts_with("the runtime API of Lambda cannot be used: "),
        "{}",
        error.report()
    );
}

#[tokio::test]
async fn managed_instances_get_as_many_at_once_as_they_are_told() {
    let api = RuntimeApi::start().await;
    let mut config = lambda(&api, LambdaResponse::Buffered);
    config.lambda.as_mut().unwrap().concurrency = 4;
    let (_running, events) = start(config);
    let work = event("function-url", MODERN, &call(MODERN, "work", json!({})));
    let all = async {
        tokio::join!(
            api.invoke(&work),
            api.invoke(&work),
            api.invoke(&work),
            api.invoke(&work)
        )
    };
    let watch = async {
        for _ in 0..4 {
            wait(&events.began).await;
        }
        events.may_end.add_permits(4);
    };
    let ((first, ..), ()) = tokio::join!(all, watch);
    assert_eq!(
        last(&read("function-url", &first).1)["result"]["content"][0]["text"],
        "worked"
    );
}

/// The signal goes to this whole process, which nextest gives to one test alone.
#[tokio::test]
async fn a_shutdown_ends_the_process_in_order() {
    let api = RuntimeApi::start().await;
    let (running, _) = start(lambda(&api, LambdaResponse::Buffered));
    api.extension().await;
    result(&api, "echo", json!({"text": "a"})).await;
    let began: Vec<_> = api.seen();
    assert_eq!(
        began[0], "/2020-01-01/extension/register",
        "Lambda takes no registration later"
    );
    let pid = std::process::id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::time::timeout(Duration::from_millis(500), running).await;
    ended.expect("longer than Lambda waits").unwrap().unwrap();
}

#[tokio::test]
async fn nobody_can_subscribe_and_hold_an_environment() {
    for response in [LambdaResponse::Buffered, LambdaResponse::Streamed] {
        let (api, _) = function(response).await;
        let filter = json!({"notifications": {"toolsListChanged": true}});
        let listen = message(MODERN, "subscriptions/listen", filter);
        let answer = api.invoke(&event("function-url", MODERN, &listen)).await;
        let (status, body) = read("function-url", &answer);
        assert_eq!(
            (status, &last(&body)["error"]["code"]),
            (404, &json!(-32601)),
            "{response:?} {body}"
        );
    }
}

/// Says what it was asked, when that is a word.
#[derive(Debug)]
struct Echo;

impl Function for Echo {
    async fn answer(&self, event: Value, _invocation: &Invocation) -> Result<Value, Failed> {
        match event.get("word") {
            Some(word) => Ok(word.clone()),
            None => Err(Failed {
                kind: Failed::UNKNOWN_EVENT,
                message: "it is no word".to_owned(),
            }),
        }
    }
}

#[tokio::test]
async fn beside_a_site_a_function_answers_what_is_no_request_and_only_that() {
    let api = RuntimeApi::start().await;
    let router = Router::new().route("/mcp", post(|| async { "a page" }));
    let site = Site::new(router)
        .with_function(Echo)
        .with(lambda(&api, LambdaResponse::Buffered));
    tokio::spawn(site.run());
    assert_eq!(api.invoke(&json!({"word": "hello"})).await.json(), json!("hello"));
    // what keeps it warm is no error, whatever the function thinks of it
    for warmer in [json!({}), json!(null), json!("ping"), json!({"warmer": true})] {
        let answer = api.invoke(&warmer).await;
        assert_eq!(
            (answer.how.as_str(), answer.json()),
            ("response", json!(null)),
            "{warmer}"
        );
    }
    for other in [json!({"Records": []}), json!("hello")] {
        let answer = api.invoke(&other).await;
        assert!(
            is_error(&answer, Failed::UNKNOWN_EVENT, "it is no word"),
            "{other}"
        );
    }
    // a caller of the door cannot reach it, even with a request that cannot be read
    let mut request = event("function-url", MODERN, &json!({"word": "hello"}));
    request["word"] = json!("hello");
    assert_eq!(api.invoke(&request).await.json()["body"], "a page");
    request["rawPath"] = json!(7);
    let answer = api.invoke(&request).await;
    assert!(is_error(&answer, Failed::UNKNOWN_EVENT, "looks like one of"));
}
