//! The audit: what is written down of a run, and that nothing is run that cannot be written down.

use std::path::Path;

use lambda_ops::{
    allow::Allow,
    audit::Audit,
    embedded::{Embedded, Operation},
};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

/// Runs a function, and gives the audit's lines.
async fn lines(account: &Embedded, function: &str, payload: &str) -> Vec<Value> {
    let audit = Audit::in_memory();
    let client = Client::of(server(account).with_audit(audit.clone())).await;
    let arguments = json!({ "functionName": function, "payload": payload });
    client.call("invoke-function", arguments).await;
    audit.lines()
}

/// How a run ended, by the audit.
async fn end(account: &Embedded, function: &str) -> (Value, Value) {
    let lines = lines(account, function, "{}").await;
    let [begun, ended] = lines.as_slice() else {
        panic!("a beginning and an end: {lines:?}");
    };
    assert_eq!(begun["outcome"], "begun");
    assert_eq!(begun["id"], ended["id"]);
    (ended["outcome"].clone(), ended["reason"].clone())
}

#[tokio::test]
async fn a_run_is_written_down_at_its_beginning_and_its_end() {
    let lines = lines(&account(), "orders-api", r#"{"card":"4111-1111"}"#).await;
    let [begun, ended] = lines.as_slice() else {
        panic!("a beginning and an end: {lines:?}");
    };
    for line in [begun, ended] {
        assert_eq!(line["event"], "invoke-function");
        assert_eq!(line["function"], "orders-api");
        assert_eq!(line["who"]["client"], "bench");
        assert_eq!(line["principal"]["region"], "eu-central-1");
        assert_eq!(line["run"]["payloadBytes"], 20);
        assert!(!line.to_string().contains("4111-1111"), "{line}");
    }
    assert_eq!((&begun["id"], &begun["outcome"]), (&ended["id"], &json!("begun")));
    assert_eq!(ended["outcome"], "succeeded");
    assert!(ended["run"]["elapsedMs"].is_u64(), "{ended}");
}

#[tokio::test]
async fn a_function_is_written_down_as_it_was_named() {
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:order-events:live";
    for line in lines(&account(), arn, "{}").await {
        assert_eq!(
            (&line["function"], &line["run"]["qualifier"]),
            (&json!(arn), &json!("live"))
        );
    }
}

#[tokio::test]
async fn a_run_that_is_refused_is_written_down_too() {
    let account = account();
    let audit = Audit::in_memory();
    let limits = ["other-*".to_owned()];
    let allow = Allow::read(&["invoke".to_owned()], &limits, &[]).expect("nothing is wrong");
    let client = Client::of(server(&account).with_allow(allow).with_audit(audit.clone())).await;
    let arguments = json!({ "functionName": "orders-api", "payload": "{}" });
    let told = client.refusal("invoke-function", arguments).await;
    let lines = audit.lines();
    let [refused] = lines.as_slice() else {
        panic!("one line: {lines:?}");
    };
    assert_eq!(
        (&refused["outcome"], &refused["reason"]),
        (&json!("refused"), &json!(told))
    );
}

#[tokio::test]
async fn every_end_of_a_run_has_its_name() {
    let account = account();
    let failed = end(&account, "payment-webhook").await;
    assert_eq!(failed, (json!("function-error"), json!("Unhandled")));
    let (outcome, _) = end(&account, "no-such-function").await;
    assert_eq!(outcome, "not-run");
    account.faults().deny(Operation::Invoke, 1);
    let (outcome, reason) = end(&account, "orders-api").await;
    assert_eq!(outcome, "not-run");
    assert!(
        reason.as_str().expect("a reason").contains("may not call Invoke"),
        "{reason}"
    );
    account.faults().lose_the_answer(Operation::Invoke);
    let (outcome, _) = end(&account, "orders-api").await;
    assert_eq!(outcome, "unknown", "it may have run");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_run() {
    let account = account();
    let full = Audit::file(Path::new("/dev/full")).expect("it opens");
    let client = Client::of(server(&account).with_audit(full)).await;
    let arguments = json!({ "functionName": "orders-api", "payload": "{}" });
    let text = client.refusal("invoke-function", arguments).await;
    assert!(
        text.starts_with("nothing was begun, because the audit cannot be written"),
        "{text}"
    );
    assert!(text.contains("the reference "), "its cause is in the log: {text}");
    assert!(!account.calls().contains(&Operation::Invoke));
}

#[tokio::test]
async fn what_cannot_be_named_is_not_run() {
    let account = account();
    account.faults().break_down(Operation::GetCallerIdentity, 10);
    let audit = Audit::in_memory();
    let client = Client::of(server(&account).with_audit(audit.clone())).await;
    let arguments = json!({ "functionName": "orders-api", "payload": "{}" });
    let text = client.refusal("invoke-function", arguments).await;
    assert!(text.contains("AWS does not say which account this is"), "{text}");
    assert!(!account.calls().contains(&Operation::Invoke));
    assert!(audit.lines().is_empty());
}

/// Changes a runtime; the user agrees.
async fn change(client: &Client, function: &str, runtime: &str) -> Value {
    let event = r#"{"card":"4111-1111"}"#;
    let arguments = json!({ "functionName": function, "runtime": runtime, "testEvent": event });
    client.call("update-function-runtime", arguments).await.json
}

#[tokio::test]
async fn a_change_is_written_down_with_its_plan_and_both_its_ends() {
    let account = account();
    let audit = Audit::in_memory();
    let client = Client::of(server(&account).with_audit(audit.clone())).await;
    assert_eq!(
        change(&client, "orders-api", "nodejs24.x").await["outcome"],
        "updated"
    );
    let lines = audit.lines();
    let [begun, ended] = lines.as_slice() else {
        panic!("planning is no attempt, so a beginning and an end: {lines:?}");
    };
    for line in [begun, ended] {
        assert_eq!(line["event"], "update-function-runtime");
        assert_eq!(
            (&line["plan"]["from"], &line["plan"]["to"]),
            (&json!("nodejs20.x"), &json!("nodejs24.x"))
        );
        assert_eq!(line["before"]["runtime"], "nodejs20.x");
        assert_eq!(line["who"]["client"], "bench");
        assert!(!line.to_string().contains("4111-1111"), "{line}");
    }
    assert_eq!((&begun["id"], &begun["outcome"]), (&ended["id"], &json!("begun")));
    assert_eq!(
        (&ended["outcome"], &ended["after"]["runtime"]),
        (&json!("updated"), &json!("nodejs24.x"))
    );
}

#[tokio::test]
async fn a_change_that_was_put_back_says_why_without_what_the_function_said() {
    let account = account();
    let audit = Audit::in_memory();
    let client = Client::of(server(&account).with_audit(audit.clone())).await;
    assert_eq!(
        change(&client, "invoice-pdf", "nodejs22.x").await["outcome"],
        "rolled-back"
    );
    let ended = audit.lines().pop().expect("an end");
    assert_eq!(
        (&ended["outcome"], &ended["after"]["runtime"]),
        (&json!("rolled-back"), &json!("nodejs16.x"))
    );
    assert!(ended["reason"].is_string(), "{ended}");
    assert!(
        !ended.to_string().contains("aws-sdk"),
        "the function's own words: {ended}"
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_written_down_does_not_begin() {
    let account = account();
    let full = Audit::file(Path::new("/dev/full")).expect("it opens");
    let client = Client::of(server(&account).with_audit(full)).await;
    change(&client, "orders-api", "nodejs24.x").await;
    let touched = [Operation::PublishVersion, Operation::UpdateFunctionConfiguration];
    let calls = account.calls();
    assert!(!calls.iter().any(|call| touched.contains(call)), "{calls:?}");
}
