//! `invoke-function`: what a function answers, and how its failure is told.

use lambda_ops::embedded::{ACCOUNT_ID, Embedded, Operation, REGION};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

fn run(function: &str, payload: &str) -> Value {
    json!({ "functionName": function, "payload": payload })
}

fn runs(account: &Embedded) -> usize {
    let calls = account.calls();
    calls.iter().filter(|call| **call == Operation::Invoke).count()
}

#[tokio::test]
async fn a_function_answers_with_the_end_of_its_log_and_a_label() {
    let client = Client::of(server(&account())).await;
    let ran = client
        .ok("invoke-function", run("orders-api", r#"{"orderId":7}"#))
        .await;
    assert_eq!(
        (&ran["statusCode"], &ran["functionError"]),
        (&json!(200), &Value::Null)
    );
    let payload: Value = serde_json::from_str(ran["payload"].as_str().unwrap()).expect("the payload is JSON");
    assert!(payload["body"].as_str().unwrap().contains(r#""orderId":7"#));
    assert!(ran["logTail"].as_str().unwrap().contains("REPORT RequestId"));
    assert!(ran["notice"].as_str().unwrap().contains("untrusted"));
    assert_eq!(ran["executedVersion"], "$LATEST");
}

#[tokio::test]
async fn a_run_says_how_long_it_took_and_in_whose_account() {
    let client = Client::of(server(&account())).await;
    let ran = client.ok("invoke-function", run("orders-api", "{}")).await;
    assert_eq!(
        (&ran["durationMs"], &ran["billedMs"]),
        (&json!(12.34), &json!(13))
    );
    assert_eq!(ran["maxMemoryMb"], 74);
    assert!(ran["elapsedMs"].is_u64(), "{ran}");
    let identity = &ran["identity"];
    assert_eq!(identity["account"], ACCOUNT_ID);
    assert_eq!(identity["region"], REGION);
    assert!(
        identity["arn"].as_str().unwrap().starts_with("arn:aws:"),
        "{identity}"
    );
}

#[tokio::test]
async fn a_qualifier_that_cannot_be_one_is_never_sent() {
    let account = account();
    let client = Client::of(server(&account)).await;
    for (function, qualifier, told) in [
        ("orders-api", "", "is not the name of a version or alias"),
        ("orders-api", "live now", "is not the name of a version or alias"),
        ("orders-api", "$NEWEST", "is not the name of a version or alias"),
        ("orders-api:1", "live", "and so does qualifier"),
    ] {
        let arguments = json!({ "functionName": function, "payload": "{}", "qualifier": qualifier });
        let text = client.refusal("invoke-function", arguments).await;
        assert!(text.contains(told), "{text}");
    }
    assert_eq!(account.calls(), [], "AWS was not asked");
}

#[tokio::test]
async fn a_run_that_aws_stopped_as_a_loop_is_not_said_to_have_run() {
    let account = account();
    account.faults().stop_a_loop(Operation::Invoke, 1);
    let client = Client::of(server(&account)).await;
    let text = client.refusal("invoke-function", run("orders-api", "{}")).await;
    assert!(
        text.contains("recursive loop") && text.contains("before its code"),
        "{text}"
    );
    assert!(!text.contains("may have run"), "{text}");
}

#[tokio::test]
async fn a_function_that_fails_is_an_error_with_all_its_details() {
    let client = Client::of(server(&account())).await;
    let failed = client.call("invoke-function", run("payment-webhook", "{}")).await;
    assert!(failed.is_error);
    assert_eq!(
        (&failed.json["statusCode"], &failed.json["functionError"]),
        (&json!(200), &json!("Unhandled"))
    );
    assert!(
        failed.json["payload"]
            .as_str()
            .unwrap()
            .contains("missing required key")
    );
}

#[tokio::test]
async fn a_payload_that_is_no_json_is_never_sent() {
    let account = account();
    let client = Client::of(server(&account)).await;
    for payload in ["", "{", "{\"a\":}", "hello", "{} {}"] {
        let text = client
            .refusal("invoke-function", run("orders-api", payload))
            .await;
        assert!(
            text.starts_with("payload is not JSON") && text.contains("\"{}\""),
            "{text}"
        );
    }
    let huge = format!("\"{}\"", "x".repeat(6 * 1024 * 1024));
    let text = client.refusal("invoke-function", run("orders-api", &huge)).await;
    assert!(text.contains("Lambda takes at most 6291456"), "{text}");
    assert_eq!(account.calls(), [], "AWS was not asked");
}

#[tokio::test]
async fn a_version_is_run_by_its_number_or_alias() {
    let account = account();
    let (client, sdk) = (Client::of(server(&account)).await, account.client());
    sdk.publish_version()
        .function_name("orders-api")
        .send()
        .await
        .expect("version 1");
    sdk.create_alias()
        .function_name("orders-api")
        .name("live")
        .function_version("1")
        .send()
        .await
        .expect("an alias");
    for qualifier in ["1", "live"] {
        let ran = client
            .ok(
                "invoke-function",
                json!({ "functionName": "orders-api", "payload": "{}", "qualifier": qualifier }),
            )
            .await;
        assert_eq!(ran["executedVersion"], "1");
    }
    let text = client
        .refusal(
            "invoke-function",
            json!({ "functionName": "orders-api", "payload": "{}", "qualifier": "9" }),
        )
        .await;
    assert!(
        text.starts_with("there is no function \"orders-api\" with a version or alias \"9\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_run_whose_answer_is_lost_is_not_repeated() {
    let account = account();
    account.faults().lose_the_answer(Operation::Invoke);
    let client = Client::of(server(&account)).await;
    let text = client.refusal("invoke-function", run("orders-api", "{}")).await;
    let told = "AWS answered Invoke with ServiceException; the function may have run all the same; \
                do not repeat it; look at its effects, or ask the user";
    assert!(
        text.starts_with(told) && text.contains("the reference "),
        "{text}"
    );
    assert_eq!(runs(&account), 1, "the function may have run: once is enough");
}

#[tokio::test]
async fn a_run_that_aws_could_not_start_is_not_said_to_have_run() {
    let account = account();
    account.faults().deny_the_key(Operation::Invoke, 1);
    let client = Client::of(server(&account)).await;
    let text = client.refusal("invoke-function", run("orders-api", "{}")).await;
    assert!(
        text.starts_with(
            "AWS could not start the function (KMSAccessDeniedException), so its code was not run"
        ),
        "{text}"
    );
    assert!(!text.contains("may have run"), "{text}");
}

#[tokio::test]
async fn a_run_that_was_throttled_is_repeated() {
    let account = account();
    account.faults().throttle(Operation::Invoke, 2);
    let client = Client::of(server(&account)).await;
    client.ok("invoke-function", run("orders-api", "{}")).await;
    assert_eq!(runs(&account), 3);
}

#[tokio::test]
async fn a_long_answer_is_cut_and_says_so() {
    let client = Client::of(server(&account())).await;
    let long = format!("\"{}\"", "ä".repeat(100_000));
    let ran = client.ok("invoke-function", run("orders-api", &long)).await;
    assert_eq!(ran["payloadTruncated"], true);
    assert!(ran["payload"].as_str().unwrap().len() <= 64 * 1024);
}
