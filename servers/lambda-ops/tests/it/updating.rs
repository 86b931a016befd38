//! `update-function-runtime`: what it changes, what it refuses, and what it tells.

use std::time::Duration;

use lambda_ops::{
    embedded::{Embedded, Operation},
    upgrade::Patience,
};
use serde_json::{Value, json};

use crate::bench::{Answered, Client, account, server};

pub(crate) fn to(function: &str, runtime: &str, test_event: Option<&str>) -> Value {
    let mut arguments = json!({ "functionName": function, "runtime": runtime });
    if let Some(event) = test_event {
        arguments["testEvent"] = json!(event);
    }
    arguments
}

/// The steps of a report, as `step status`.
pub(crate) fn steps(report: &Value) -> Vec<String> {
    let step = |step: &Value| {
        format!(
            "{} {}",
            step["step"].as_str().unwrap(),
            step["status"].as_str().unwrap()
        )
    };
    report["steps"]
        .as_array()
        .expect("a report has steps")
        .iter()
        .map(step)
        .collect()
}

/// The runtime that the account itself shows, and the state of its last update.
pub(crate) async fn shown(account: &Embedded, function: &str) -> (String, String) {
    let now = account
        .client()
        .get_function_configuration()
        .function_name(function)
        .send()
        .await
        .expect("it is there");
    let runtime = now
        .runtime()
        .map(|runtime| runtime.as_str().to_owned())
        .unwrap_or_default();
    (
        runtime,
        now.last_update_status()
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
    )
}

pub(crate) fn pair(runtime: &str, status: &str) -> (String, String) {
    (runtime.to_owned(), status.to_owned())
}

pub(crate) async fn update(account: &Embedded, arguments: Value) -> Answered {
    Client::of(server(account))
        .await
        .call("update-function-runtime", arguments)
        .await
}

#[tokio::test]
async fn an_update_waits_until_it_is_in_force_and_tests_the_function() {
    let account = account();
    let updated = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
    assert!(!updated.is_error, "{}", updated.text);
    assert_eq!(updated.json["outcome"], "updated");
    assert_eq!(
        (&updated.json["from"], &updated.json["to"]),
        (&json!("nodejs20.x"), &json!("nodejs24.x"))
    );
    assert_eq!(
        steps(&updated.json),
        [
            "check done",
            "consent done",
            "save done",
            "update done",
            "settle done",
            "publish done",
            "dry-run done",
            "test done"
        ]
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs24.x", "Successful")
    );
    let revision = account
        .client()
        .get_function_configuration()
        .function_name("orders-api")
        .send()
        .await
        .unwrap();
    assert_eq!(updated.json["revisionId"].as_str(), revision.revision_id());
}

#[tokio::test]
async fn without_a_test_event_the_function_is_not_run() {
    let account = account();
    let updated = update(&account, to("orders-api", "nodejs24.x", None)).await;
    assert_eq!(
        steps(&updated.json),
        [
            "check done",
            "consent done",
            "save done",
            "update done",
            "settle done",
            "publish done",
            "dry-run done",
            "test skipped"
        ]
    );
    assert!(account.runs().is_empty(), "dry runs run nothing");
}

#[tokio::test]
async fn a_function_that_breaks_only_later_may_take_the_step_between() {
    let updated = update(&account(), to("thumbnail-maker", "nodejs22.x", Some("{}"))).await;
    assert_eq!(updated.json["outcome"], "updated");
}

#[tokio::test]
async fn the_runtime_it_has_already_is_no_change() {
    let account = account();
    let unchanged = update(&account, to("orders-api", "nodejs20.x", Some("{}"))).await;
    assert!(!unchanged.is_error);
    assert_eq!(unchanged.json["outcome"], "unchanged");
    assert_eq!(
        steps(&unchanged.json),
        ["check done", "test skipped"],
        "a test that was asked for is not passed over in silence"
    );
    let looks = [
        Operation::GetFunctionConfiguration,
        Operation::ListTags,
        Operation::GetCallerIdentity,
    ];
    assert_eq!(account.calls(), looks);
}

#[tokio::test]
async fn what_cannot_be_updated_is_refused_before_anything_is_changed() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let cases = [
        (to("media-transcoder", "nodejs24.x", None), "is a container image"),
        (
            to("orders-api", "nodejs99.x", None),
            "among them nodejs22.x, nodejs24.x",
        ),
        (
            to("orders-api", "cobol", None),
            "among them nodejs22.x, nodejs24.x",
        ),
        (
            to("webhook-relay", "go9.x", None),
            "get-runtime-info has them, among them dotnet",
        ),
        (
            to("orders-api", "python3.14", None),
            "nodejs20.x and python3.14 are of different languages",
        ),
        (
            to("orders-api", "nodejs12.x", None),
            "accepts no updates to nodejs12.x since 2023-04-30",
        ),
        (
            to("session-cleanup", "nodejs24.x", None),
            "call again with acceptNoRollback: true",
        ),
        (to("orders-api", "nodejs24.x", Some("{")), "testEvent is not JSON"),
        (
            to("orders-api:live", "nodejs24.x", None),
            "only $LATEST can be changed",
        ),
        (to("no-such-function", "nodejs24.x", None), "there is no function"),
    ];
    for (arguments, remedy) in cases {
        let text = client.refusal("update-function-runtime", arguments).await;
        assert!(text.contains(remedy), "{text}");
    }
    assert!(!account.calls().contains(&Operation::UpdateFunctionConfiguration));
}

#[tokio::test]
async fn an_update_that_is_under_way_is_left_alone() {
    let account = account();
    account.faults().never_settle("orders-api");
    let change = account
        .client()
        .update_function_configuration()
        .function_name("orders-api")
        .timeout(9);
    change.send().await.expect("somebody else began an update");
    let client = Client::of(server(&account)).await;
    let text = client
        .refusal("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert!(
        text.contains("another update of \"orders-api\" is in progress"),
        "{text}"
    );
    let text = client
        .refusal("update-function-runtime", to("orders-api", "nodejs20.x", None))
        .await;
    assert!(
        text.contains("is in progress"),
        "not in force yet is not unchanged: {text}"
    );
}

#[tokio::test]
async fn a_runtime_that_aws_could_not_apply_is_not_called_unchanged() {
    let account = account();
    account
        .faults()
        .fail_the_update("orders-api", "no capacity for the subnet");
    let change = account
        .client()
        .update_function_configuration()
        .function_name("orders-api");
    change
        .runtime("nodejs24.x".into())
        .send()
        .await
        .expect("somebody else began an update");
    while shown(&account, "orders-api").await.1 != "Failed" {}
    let client = Client::of(server(&account)).await;
    let text = client
        .refusal("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert!(
        text.contains("could not apply its last update: no capacity for the subnet"),
        "{text}"
    );
    let mended = client
        .ok("update-function-runtime", to("orders-api", "nodejs22.x", None))
        .await;
    assert_eq!(mended["outcome"], "updated", "another update mends it");
    let checked = mended["steps"][0]["detail"].as_str().unwrap();
    assert!(checked.contains("its last update had failed"), "{checked}");
}

#[tokio::test]
async fn a_target_that_is_not_patched_any_more_is_told() {
    let updated = update(&account(), to("invoice-pdf", "nodejs18.x", None)).await;
    assert_eq!(updated.json["outcome"], "updated", "{}", updated.text);
    let checked = updated.json["steps"][0]["detail"].as_str().unwrap();
    assert!(
        checked.contains("AWS does not patch nodejs18.x since 2025-"),
        "{checked}"
    );
}

#[tokio::test]
async fn an_update_that_aws_shows_late_is_waited_for() {
    for lost in [false, true] {
        let account = account();
        account.faults().show_the_past("orders-api", 4);
        if lost {
            account
                .faults()
                .lose_the_answer(Operation::UpdateFunctionConfiguration);
        }
        let updated = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
        assert_eq!(
            updated.json["outcome"], "updated",
            "answer lost: {lost}; {}",
            updated.text
        );
    }
}

#[tokio::test]
async fn an_update_that_is_never_seen_again_is_fenced_off() {
    let account = account();
    account
        .faults()
        .break_down(Operation::UpdateFunctionConfiguration, 1);
    let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
    patience.lost.limit = Duration::from_millis(50);
    let client = Client::of(server(&account).with_patience(patience)).await;
    let report = client
        .call("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert_eq!(report.json["outcome"], "rolled-back", "{}", report.text);
    assert!(
        report
            .text
            .contains("the update never took effect; nodejs20.x is in force"),
        "{}",
        report.text
    );
    let looks = account
        .calls()
        .iter()
        .filter(|call| **call == Operation::GetFunctionConfiguration)
        .count();
    assert!(looks > 2, "one look is not enough: {looks}");
}

#[tokio::test]
async fn a_change_under_our_feet_stops_us() {
    let account = account();
    account.faults().change_under_the_feet("orders-api");
    let client = Client::of(server(&account)).await;
    let report = client
        .call("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert!(report.is_error);
    assert_eq!(report.json["outcome"], "unchanged");
    assert_eq!(
        steps(&report.json),
        ["check done", "consent done", "save done", "update failed"]
    );
    let detail = report.json["steps"][3]["detail"].as_str().unwrap();
    assert!(
        detail.contains("somebody else changed \"orders-api\""),
        "{detail}"
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn an_update_that_was_throttled_twice_succeeds() {
    let account = account();
    account
        .faults()
        .throttle(Operation::UpdateFunctionConfiguration, 2);
    let updated = update(&account, to("orders-api", "nodejs24.x", None)).await;
    assert_eq!(updated.json["outcome"], "updated");
    let tries = account
        .calls()
        .iter()
        .filter(|call| **call == Operation::UpdateFunctionConfiguration)
        .count();
    assert_eq!(tries, 3);
}

#[tokio::test]
async fn an_update_that_is_always_throttled_changes_nothing() {
    let account = account();
    account
        .faults()
        .throttle(Operation::UpdateFunctionConfiguration, 100);
    let client = Client::of(server(&account)).await;
    let report = client
        .call("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert!(report.is_error);
    assert_eq!(report.json["outcome"], "unchanged");
    assert!(
        report
            .text
            .contains("refusing UpdateFunctionConfiguration at this rate"),
        "{}",
        report.text
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn an_update_whose_answer_is_lost_is_looked_up_not_sent_again() {
    let account = account();
    account
        .faults()
        .lose_the_answer(Operation::UpdateFunctionConfiguration);
    let updated = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
    assert_eq!(updated.json["outcome"], "updated", "{}", updated.text);
    let sent = account
        .calls()
        .iter()
        .filter(|call| **call == Operation::UpdateFunctionConfiguration)
        .count();
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn progress_is_told_while_it_works() {
    let client = Client::of(server(&account())).await;
    let call = client
        .begin(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    for text in [
        "a zip function on nodejs20.x",
        "AWS accepted",
        "waiting",
        "in force",
        "ran without an error",
    ] {
        client.hear(text).await;
    }
    assert_eq!(
        client.end("update-function-runtime", call).await.json["outcome"],
        "updated"
    );
}
