//! What a client gets, door by door, when something is wrong; and what the one who tries it out is told.

use reqwest::{Client, header};
use serde_json::{Value, json};

use super::{call, echoed, function, server, text};

/// The status that each door gives for what a function does, and what the log explains.
async fn gives(mode: &str, explained: &str, statuses: &[(&str, u16)]) {
    for (door, status) in statuses {
        let emulator = function(door, &[], mode).await;
        let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
        assert_eq!(answered.status().as_u16(), *status, "{door}: {}", emulator.log());
        emulator.says(explained).await.unwrap();
    }
}

#[tokio::test]
async fn a_function_s_error_is_each_door_s_own() {
    let statuses = [
        ("apigw-v1", 502),
        ("apigw-v2", 500),
        ("url", 502),
        ("alb", 502),
        ("invoke", 502),
    ];
    gives("fail", "Shop.Closed: closed on mondays", &statuses).await;
}

#[tokio::test]
async fn an_answer_that_a_door_cannot_read_is_explained() {
    gives("malformed", "it has the key \"status\"", &[("apigw-v1", 502)]).await;
    gives("malformed", "missing field `statusCode`", &[("alb", 502)]).await;
    // where any JSON is an answer, it is a body
    for door in ["apigw-v2", "url"] {
        let emulator = function(door, &[], "malformed").await;
        let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
        assert_eq!(answered.status(), 200);
        assert_eq!(echoed(answered).await["status"], 200);
    }
}

#[tokio::test]
async fn an_answer_larger_than_lambda_takes_is_an_error_of_the_function() {
    let explained = "Function.ResponseSizeTooLarge: Response payload size exceeded";
    gives("large", explained, &[("url", 502), ("apigw-v1", 502)]).await;
}

#[tokio::test]
async fn a_stream_where_one_piece_is_wanted_is_explained_and_so_is_the_opposite() {
    let explained = "set SKYDOCK_LAMBDA_RESPONSE to buffered";
    let statuses = [("apigw-v1", 201), ("apigw-v2", 500), ("url", 502), ("alb", 502)];
    gives("stream", explained, &statuses).await;
    gives(
        "echo",
        "set SKYDOCK_LAMBDA_RESPONSE to streamed",
        &[("apigw-v1-stream", 500), ("url-stream", 200)],
    )
    .await;
    // our own server, told wrongly
    let emulator = server("url-stream", &["--lambda-response", "buffered"]).await;
    let answered = call(emulator.url(), "test_simple_text", &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        echoed(answered).await["statusCode"],
        200,
        "the client sees what was not unpacked"
    );
}

#[tokio::test]
async fn a_stream_is_read_however_it_is_cut_and_one_without_a_head_is_refused() {
    for (door, headless) in [("apigw-v1-stream", 500), ("url-stream", 502)] {
        for mode in ["stream", "stream-split"] {
            let emulator = function(door, &[], mode).await;
            let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
            assert_eq!(answered.status(), 201, "{door} {mode}");
            assert_eq!(answered.headers()[header::SET_COOKIE], "a=1");
            assert_eq!(answered.text().await.unwrap(), "one two");
        }
        let emulator = function(door, &[], "stream-headless").await;
        let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
        assert_eq!(answered.status(), headless);
        emulator.says("before its status and headers did").await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_fails_in_the_middle_breaks_off() {
    let emulator = function("url-stream", &[], "stream-fail").await;
    let mut answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
    assert_eq!(answered.status(), 200);
    assert_eq!(answered.chunk().await.unwrap().unwrap(), "one ");
    assert!(answered.chunk().await.is_err(), "it did not end in order");
    // and the environment is as good as before
    assert_eq!(emulator.functions().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_too_large_for_a_door_is_refused_by_it() {
    let emulator = server("alb", &[]).await;
    let large = call(
        emulator.url(),
        "test_simple_text",
        &json!({"x": "y".repeat(1_100_000)}),
    );
    assert_eq!(large.send().await.unwrap().status(), 413);
    let emulator = server("apigw-v2", &[]).await;
    let large = call(
        emulator.url(),
        "test_simple_text",
        &json!({"x": "\"".repeat(3_500_000)}),
    );
    assert_eq!(
        large.send().await.unwrap().status(),
        413,
        "an event is larger than its body"
    );
}

#[tokio::test]
async fn a_tool_s_answer_that_is_too_large_for_a_door_is_a_tool_s_error() {
    for (door, bytes, limit) in [("alb", 2_000_000, "1 MB"), ("url", 7_000_000, "6 MB")] {
        let emulator = server(door, &[]).await;
        let answered = call(emulator.url(), "huge", &json!({"bytes": bytes}))
            .send()
            .await
            .unwrap();
        assert_eq!(answered.status(), 200, "{door}: {}", emulator.log());
        let said = text(answered).await;
        assert!(said.contains(limit), "{door}: {said}");
    }
    // streamed, all of it gets out
    let emulator = server("url-stream", &[]).await;
    let answered = call(emulator.url(), "huge", &json!({"bytes": 7_000_000}))
        .send()
        .await
        .unwrap();
    assert!(text(answered).await.len() >= 7_000_000);
}

#[tokio::test]
async fn only_this_machine_is_answered_and_pages_of_others_are_not() {
    let emulator = server("url", &[]).await;
    let strange = call(emulator.url(), "test_simple_text", &json!({})).header("host", "evil.example.com");
    assert_eq!(strange.send().await.unwrap().status(), 403);
    emulator.says("it was called evil.example.com").await.unwrap();
    let page =
        call(emulator.url(), "test_simple_text", &json!({})).header("origin", "https://evil.example.com");
    assert_eq!(page.send().await.unwrap().status(), 403);
    // to Invoke no origin is handed on, so the door itself refuses
    let programs = server("invoke", &[]).await;
    let page =
        call(programs.url(), "test_simple_text", &json!({})).header("origin", "https://evil.example.com");
    assert_eq!(page.send().await.unwrap().status(), 403);
    let origin = emulator.at("");
    let own = call(emulator.url(), "test_simple_text", &json!({})).header("origin", &origin);
    let own = own.send().await.unwrap();
    assert_eq!(own.status(), 200);
    assert_eq!(
        own.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        origin.as_str()
    );
}

#[tokio::test]
async fn rest_apis_and_function_urls_rename_what_they_keep_for_themselves() {
    for door in ["apigw-v1", "url"] {
        let emulator = function(door, &[], "challenge").await;
        let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
        assert_eq!(answered.status(), 401);
        let headers = answered.headers();
        assert_eq!(headers["x-amzn-remapped-www-authenticate"], "Bearer", "{door}");
        assert!(!headers.contains_key("www-authenticate"));
        assert_eq!(headers["x-own"], "1");
    }
    for door in ["apigw-v2", "alb"] {
        let emulator = function(door, &[], "challenge").await;
        let answered = call(emulator.url(), "any", &json!({})).send().await.unwrap();
        assert_eq!(answered.headers()["www-authenticate"], "Bearer", "{door}");
    }
}

#[tokio::test]
async fn invoke_answers_an_sdk_as_lambda_does() {
    let emulator = function("invoke", &[], "fail").await;
    let invoke =
        |name: &str| Client::new().post(emulator.at(&format!("/2015-03-31/functions/{name}/invocations")));
    let failed = invoke("python").body("{}").send().await.unwrap();
    assert_eq!(failed.status(), 200);
    assert_eq!(failed.headers()["x-amz-function-error"], "Unhandled");
    assert_eq!(echoed(failed).await["errorMessage"], "closed on mondays");
    let unknown = invoke("pasta").body("{}").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.headers()["x-amzn-errortype"], "ResourceNotFoundException");
    let broken = invoke("python").body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    let dry = invoke("python")
        .header("x-amz-invocation-type", "DryRun")
        .body("{}");
    assert_eq!(dry.send().await.unwrap().status(), 204);
    let context = invoke("python")
        .header("x-amz-client-context", "no base64")
        .body("{}");
    assert_eq!(context.send().await.unwrap().status(), 400);

    let emulator = function("invoke", &[], "bare").await;
    let url = emulator
        .at("/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:python/invocations");
    // {"custom":{"a":"b"}}
    let context = "eyJjdXN0b20iOnsiYSI6ImIifX0=";
    let answered = Client::new()
        .post(url)
        .header("x-amz-client-context", context)
        .body("[1]");
    let said = echoed(answered.send().await.unwrap()).await;
    assert_eq!(said["event"], json!([1]));
    let context: Value = serde_json::from_str(said["clientContext"].as_str().unwrap()).unwrap();
    assert_eq!(context["custom"]["a"], "b");
}
