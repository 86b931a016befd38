//! Versions, validation, and the errors of both bindings (specification 3.3.2, 3.6.2, 5.4, 9.5, 11.6).

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::instance::{alone, code, rest, rpc, user_message};

#[tokio::test]
async fn s3_6_2_other_versions_and_none_are_refused_by_json_rpc() {
    let (instance, _) = alone().await;
    for version in [
        None,
        Some("0.3"),
        Some("2.0"),
        Some("99.0"),
        Some("1.x"),
        Some("one"),
        Some(""),
    ] {
        let answer = rpc(&instance.url, version, "SendMessage", user_message("hi")).await;
        assert_eq!(answer["error"]["code"], -32009, "{version:?}: {answer}");
    }
    for version in ["1.0", "1"] {
        let answer = rpc(&instance.url, Some(version), "SendMessage", user_message("hi")).await;
        assert!(answer["result"]["task"].is_object(), "{version}: {answer}");
    }
}

#[tokio::test]
async fn s3_6_2_other_versions_and_none_are_refused_by_every_operation_of_http_json() {
    let (instance, _) = alone().await;
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), body);
    let get = |path: &str| (Method::GET, path.to_owned(), Value::Null);
    let operations = [
        post("/message:send", user_message("hi")),
        post("/message:stream", user_message("hi")),
        get("/tasks"),
        get("/tasks/t"),
        post("/tasks/t:cancel", json!({})),
        post("/tasks/t:subscribe", json!({})),
        post(
            "/tasks/t/pushNotificationConfigs",
            json!({"url": "https://example.com/hook"}),
        ),
        get("/tasks/t/pushNotificationConfigs"),
        get("/tasks/t/pushNotificationConfigs/c"),
        (
            Method::DELETE,
            "/tasks/t/pushNotificationConfigs/c".to_owned(),
            Value::Null,
        ),
        get("/extendedAgentCard"),
    ];
    for (method, path, body) in operations {
        for version in [None, Some("0.3"), Some("99.0")] {
            let mut request = Client::new().request(method.clone(), format!("{}{path}", instance.url));
            if !body.is_null() {
                request = request.json(&body);
            }
            if let Some(version) = version {
                request = request.header("A2A-Version", version);
            }
            let (status, _, body) = rest(request).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {version:?}: {body}");
            let detail = &body["error"]["details"][0];
            assert_eq!(detail["reason"], "VERSION_NOT_SUPPORTED", "{path}: {body}");
            assert_eq!(detail["domain"], "a2a-protocol.org", "11.6");
        }
    }
}

#[tokio::test]
async fn s3_3_2_a_message_that_says_nothing_is_refused() {
    let (instance, _) = alone().await;
    let message = |change: fn(&mut Value)| {
        let mut params = user_message("hi");
        change(&mut params["message"]);
        params
    };
    let wrong = [
        json!({}),
        json!({"message": {}}),
        message(|message| message["parts"] = json!([])),
        message(|message| message["messageId"] = json!("")),
        message(|message| message["role"] = json!("ROLE_AGENT")),
        message(|message| message["contextId"] = json!("x".repeat(300))),
        message(|message| message["parts"] = json!([{}])),
    ];
    for params in wrong {
        assert_eq!(
            code(&instance.url, "SendMessage", params.clone()).await,
            -32602,
            "{params}"
        );
        assert_eq!(
            code(&instance.url, "SendStreamingMessage", params.clone()).await,
            -32602,
            "{params}"
        );
        for path in ["/message:send", "/message:stream"] {
            let request = Client::new()
                .post(format!("{}{path}", instance.url))
                .json(&params);
            let (status, kind, body) = rest(request.header("A2A-Version", "1.0")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{params}: {body}");
            assert_eq!(kind, "application/problem+json");
        }
    }
}

#[tokio::test]
async fn s3_1_1_media_that_is_not_taken_is_named() {
    let (instance, _) = alone().await;
    let mut params = user_message("hi");
    params["message"]["parts"] = json!([{"raw": "dGNr", "mediaType": "application/x-unknown"}]);
    assert_eq!(code(&instance.url, "SendMessage", params.clone()).await, -32005);
    params["message"]["parts"] = json!([{"text": "hi", "mediaType": "text/plain; charset=utf-8"}]);
    let answer = rpc(&instance.url, Some("1.0"), "SendMessage", params).await;
    assert!(answer["result"]["task"].is_object(), "{answer}");
}

#[tokio::test]
async fn s9_5_and_5_4_errors_of_json_rpc_have_their_codes() {
    let (instance, _) = alone().await;
    let url = &instance.url;
    let done = rpc(url, Some("1.0"), "SendMessage", user_message("hi")).await;
    let id = done["result"]["task"]["id"].as_str().unwrap().to_owned();
    let config = json!({"taskId": id, "url": "https://example.com/hook"});
    let reply = |id: &str| {
        let mut params = user_message("more");
        params["message"]["taskId"] = json!(id);
        params
    };
    let cases = [
        ("GetTask", json!({"id": "none"}), -32001),
        ("CancelTask", json!({"id": "none"}), -32001),
        ("SubscribeToTask", json!({"id": "none"}), -32001),
        ("SendMessage", reply("none"), -32001),
        ("CancelTask", json!({"id": id}), -32002),
        ("CreateTaskPushNotificationConfig", config, -32003),
        ("ListTaskPushNotificationConfigs", json!({"taskId": id}), -32003),
        (
            "GetTaskPushNotificationConfig",
            json!({"taskId": id, "id": "c"}),
            -32003,
        ),
        (
            "DeleteTaskPushNotificationConfig",
            json!({"taskId": id, "id": "c"}),
            -32003,
        ),
        ("SubscribeToTask", json!({"id": id}), -32004),
        ("SendMessage", reply(&id), -32004),
        ("SendStreamingMessage", reply(&id), -32004),
        ("ListTasks", json!({"pageToken": "not one"}), -32602),
        ("GetTask", json!({"id": 5}), -32602),
        ("tasks/get", json!({"id": id}), -32601),
        ("message/send", user_message("hi"), -32601),
    ];
    for (method, params, expected) in cases {
        assert_eq!(
            code(url, method, params.clone()).await,
            expected,
            "{method} {params}"
        );
    }
    let not_found = rpc(url, Some("1.0"), "GetTask", json!({"id": "none"})).await;
    let detail = &not_found["error"]["data"][0];
    assert_eq!(
        (&detail["reason"], &detail["domain"]),
        (&json!("TASK_NOT_FOUND"), &json!("a2a-protocol.org"))
    );
}

#[tokio::test]
async fn s9_what_is_no_json_rpc_is_told_so() {
    let (instance, _) = alone().await;
    for (body, expected) in [
        ("{", -32700),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"GetTask","params":{}}"#,
            -32600,
        ),
    ] {
        let answer = Client::new()
            .post(&instance.url)
            .header("A2A-Version", "1.0")
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["error"]["code"], expected, "{answer}");
    }
}

#[tokio::test]
async fn s11_6_errors_of_http_json_have_their_statuses_and_are_problems() {
    let (instance, _) = alone().await;
    let url = &instance.url;
    let done = rpc(url, Some("1.0"), "SendMessage", user_message("hi")).await;
    let id = done["result"]["task"]["id"].as_str().unwrap().to_owned();
    let http = Client::new();
    let get = |path: &str| http.get(format!("{url}{path}")).header("A2A-Version", "1.0");
    let post = |path: &str| http.post(format!("{url}{path}")).header("A2A-Version", "1.0");
    let json = "application/json";
    let cases = [
        (get("/tasks/none"), 404, "TASK_NOT_FOUND"),
        (post("/tasks/none:cancel"), 404, "TASK_NOT_FOUND"),
        (post("/tasks/none:subscribe"), 404, "TASK_NOT_FOUND"),
        (post(&format!("/tasks/{id}:cancel")), 400, "TASK_NOT_CANCELABLE"),
        (
            post(&format!("/tasks/{id}:subscribe")),
            400,
            "UNSUPPORTED_OPERATION",
        ),
        (
            get(&format!("/tasks/{id}/pushNotificationConfigs")),
            400,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        (get("/tasks?pageToken=not-one"), 400, "INVALID_PARAMS"),
        (get("/tasks?pageSize=many"), 400, "INVALID_PARAMS"),
        // the official crates read a negative number in JSON-RPC as none
        (get("/tasks?pageSize=-1"), 400, "INVALID_PARAMS"),
        (
            get(&format!("/tasks/{id}?historyLength=-1")),
            400,
            "INVALID_PARAMS",
        ),
        (get("/tasks?status=DONE"), 400, "INVALID_PARAMS"),
        (
            post("/message:send").header("content-type", json).body("{"),
            400,
            "INVALID_PARAMS",
        ),
        (
            post("/message:send")
                .header("content-type", "text/plain")
                .body("hi"),
            415,
            "CONTENT_TYPE_NOT_SUPPORTED",
        ),
        (get("/message:send"), 405, "METHOD_NOT_FOUND"),
    ];
    for (request, expected, reason) in cases {
        let request = request.build().unwrap();
        let path = request.url().path().to_owned();
        let (status, kind, body) = rest(reqwest::RequestBuilder::from_parts(http.clone(), request)).await;
        assert_eq!(status.as_u16(), expected, "{path}: {body}");
        assert_eq!(kind, "application/problem+json", "{path}");
        assert_eq!(body["error"]["code"], expected, "{path}: {body}");
        let details = body["error"]["details"].as_array().unwrap();
        assert!(
            details.iter().any(|detail| detail["reason"] == reason),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn s11_1_http_json_speaks_its_own_media_type() {
    let (instance, _) = alone().await;
    let request = Client::new()
        .post(format!("{}/message:send", instance.url))
        .header("A2A-Version", "1.0")
        .header("content-type", "application/a2a+json")
        .body(user_message("hi").to_string());
    let (status, kind, body) = rest(request).await;
    assert_eq!(
        (status, kind.as_str()),
        (StatusCode::OK, "application/a2a+json"),
        "{body}"
    );
}
