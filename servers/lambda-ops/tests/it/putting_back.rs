//! `update-function-runtime`: what becomes of the function when the new runtime does not work.

use std::{sync::Arc, time::Duration};

use lambda_ops::{
    LambdaOps,
    embedded::{Operation, Pace},
    upgrade::Patience,
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams, ServerConfig},
    service::RequestContext,
};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    bench::{Client, account, patient, server},
    updating::{pair, shown, steps, to, update},
};

#[tokio::test]
async fn functions_that_break_on_the_new_runtime_are_put_back() {
    let cases = [
        (
            "invoice-pdf",
            "nodejs16.x",
            "nodejs22.x",
            "Cannot find module 'aws-sdk'",
        ),
        (
            "thumbnail-maker",
            "nodejs18.x",
            "nodejs24.x",
            "callback-based function handlers",
        ),
        (
            "customer-export",
            "python3.9",
            "python3.13",
            "No module named 'distutils'",
        ),
        ("price-forecast", "python3.11", "python3.14", "pydantic_core"),
        ("tax-rules", "java8.al2", "java21", "javax/xml/bind"),
        ("webhook-relay", "go1.x", "provided.al2023", "bootstrap"),
        (
            "catalog-api",
            "nodejs22.x",
            "python3.14",
            "Unable to import module",
        ),
    ];
    for (function, from, runtime, reason) in cases {
        let account = account();
        let rolled_back = update(&account, to(function, runtime, Some("{}"))).await;
        assert!(rolled_back.is_error, "a change that did not last is an error");
        assert_eq!(rolled_back.json["outcome"], "rolled-back", "{function}");
        assert_eq!(
            steps(&rolled_back.json),
            [
                "check done",
                "consent done",
                "save done",
                "update done",
                "settle done",
                "publish done",
                "dry-run done",
                "test failed",
                "rollback done"
            ]
        );
        let test = &rolled_back.json["steps"][7];
        assert!(test["detail"].as_str().unwrap().contains("untrusted"), "{test}");
        assert!(test["output"].as_str().unwrap().contains(reason), "{test}");
        assert_eq!(
            shown(&account, function).await,
            pair(from, "Successful"),
            "{function}"
        );
    }
}

/// What the last step of a report says.
fn last(report: &serde_json::Value) -> &str {
    report["steps"]
        .as_array()
        .and_then(|steps| steps.last())
        .and_then(|step| step["detail"].as_str())
        .expect("a report has steps")
}

#[tokio::test]
async fn who_accepts_that_there_is_no_way_back_may_go_on() {
    let account = account();
    let mut arguments = to("session-cleanup", "nodejs24.x", Some("{}"));
    arguments["acceptNoRollback"] = json!(true);
    assert_eq!(update(&account, arguments).await.json["outcome"], "updated");

    let mut broken = to("session-cleanup", "python3.14", Some("{}"));
    broken["acceptNoRollback"] = json!(true);
    let account = crate::bench::account();
    let stuck = update(&account, broken).await;
    assert_eq!(
        stuck.json["outcome"], "rollback-failed",
        "AWS does not take nodejs12.x back"
    );
    let detail = last(&stuck.json);
    assert!(
        detail.contains("nodejs12.x could not be put back") && detail.contains("no longer supported"),
        "{detail}"
    );
    assert!(
        detail.contains("choose another supported runtime")
            && !detail.contains("call update-function-runtime"),
        "what AWS blocks stays blocked: {detail}"
    );
}

#[tokio::test]
async fn an_update_that_cannot_be_looked_up_is_put_back_when_it_can() {
    let account = account();
    account
        .faults()
        .lose_the_answer(Operation::UpdateFunctionConfiguration);
    // the check, and the look after the version to go back to
    account.faults().let_pass(Operation::GetFunctionConfiguration, 2);
    account.faults().throttle(Operation::GetFunctionConfiguration, 6);
    let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
    patience.lost.limit = Duration::ZERO;
    let client = Client::of(server(&account).with_patience(patience)).await;
    let report = client
        .call("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    assert_eq!(report.json["outcome"], "rolled-back", "{}", report.text);
    assert_eq!(
        steps(&report.json),
        [
            "check done",
            "consent done",
            "save done",
            "update failed",
            "rollback done"
        ]
    );
    assert_eq!(
        last(&report.json),
        "nodejs20.x is in force again",
        "the update had come"
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn an_update_that_aws_cannot_apply_is_put_back() {
    let account = account();
    account
        .faults()
        .fail_the_update("orders-api", "We currently do not have sufficient capacity");
    let rolled_back = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
    assert!(rolled_back.is_error);
    assert_eq!(rolled_back.json["outcome"], "rolled-back");
    assert_eq!(
        steps(&rolled_back.json),
        [
            "check done",
            "consent done",
            "save done",
            "update done",
            "settle failed",
            "rollback done"
        ]
    );
    assert!(rolled_back.text.contains("sufficient capacity"));
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn an_update_that_never_settles_is_given_up_and_says_what_to_do() {
    let account = account();
    account.faults().never_settle("orders-api");
    let client = Client::of(patient(&account, Duration::from_millis(80))).await;
    let stuck = client
        .call(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    assert!(stuck.is_error);
    assert_eq!(stuck.json["outcome"], "rollback-failed");
    assert_eq!(
        steps(&stuck.json),
        [
            "check done",
            "consent done",
            "save done",
            "update done",
            "settle failed",
            "rollback failed"
        ]
    );
    assert!(
        stuck.text.contains("still in progress after 0.08 s"),
        "{}",
        stuck.text
    );
    assert!(
        stuck
            .text
            .contains("once no update is in progress call recover-updates"),
        "{}",
        stuck.text
    );
    assert!(account.runs().is_empty(), "what is not in force is not tested");
}

#[tokio::test]
async fn a_rollback_that_is_refused_in_passing_is_tried_again() {
    let account = account();
    account
        .faults()
        .let_pass(Operation::UpdateFunctionConfiguration, 1);
    // more than the SDK repeats by itself
    account
        .faults()
        .throttle(Operation::UpdateFunctionConfiguration, 5);
    let rolled_back = update(&account, to("invoice-pdf", "nodejs22.x", Some("{}"))).await;
    assert_eq!(rolled_back.json["outcome"], "rolled-back", "{}", rolled_back.text);
    assert_eq!(
        shown(&account, "invoice-pdf").await,
        pair("nodejs16.x", "Successful")
    );
}

#[tokio::test]
async fn a_rollback_that_is_not_permitted_is_not_hidden() {
    let account = account();
    account
        .faults()
        .let_pass(Operation::UpdateFunctionConfiguration, 1);
    account.faults().deny(Operation::UpdateFunctionConfiguration, 2);
    let stuck = update(&account, to("invoice-pdf", "nodejs22.x", Some("{}"))).await;
    assert!(stuck.is_error);
    assert_eq!(stuck.json["outcome"], "rollback-failed");
    assert!(
        stuck.text.contains("may not call UpdateFunctionConfiguration"),
        "{}",
        stuck.text
    );
}

#[tokio::test]
async fn a_test_that_is_not_permitted_counts_as_failed() {
    let account = account();
    // the dry runs of the function as it is, and of its new version
    account.faults().let_pass(Operation::Invoke, 2);
    account.faults().deny(Operation::Invoke, 1);
    let rolled_back = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
    assert_eq!(rolled_back.json["outcome"], "rolled-back", "{}", rolled_back.text);
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn a_runtime_that_somebody_else_set_meanwhile_is_left_to_the_user() {
    let account = account();
    account.faults().never_answer_after(Operation::Invoke, 2);
    let client = Client::of(patient(&account, Duration::from_secs(2))).await;
    let call = client
        .begin(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    client.hear("AWS would run version").await;
    let others = account.client().update_function_configuration();
    others
        .function_name("orders-api")
        .runtime("nodejs22.x".into())
        .send()
        .await
        .expect("somebody else's update");
    let stuck = client.end("update-function-runtime", call).await;
    assert_eq!(stuck.json["outcome"], "left-to-user", "{}", stuck.text);
    let detail = last(&stuck.json);
    assert!(
        detail.contains("somebody else set the runtime to nodejs22.x")
            && detail.ends_with("Leave it and ask the user"),
        "{detail}"
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs22.x", "Successful")
    );
}

#[tokio::test]
async fn a_test_without_an_answer_ends_at_its_limit_and_is_put_back() {
    let account = account();
    account.faults().never_answer_after(Operation::Invoke, 2);
    let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
    patience.test = Duration::from_millis(50);
    let client = Client::of(server(&account).with_patience(patience)).await;
    let report = client
        .call(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    assert_eq!(report.json["outcome"], "rolled-back", "{}", report.text);
    let detail = report.json["steps"][7]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("test failed: no answer within 0.05 s"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_cancelled_update_is_put_back() {
    let account = account();
    account.set_pace(Pace {
        reads: 30,
        time: Duration::ZERO,
    });
    let client = Client::of(server(&account)).await;
    let call = client
        .begin(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    client.hear("waiting until AWS has applied the update").await;
    call.cancel(Some("the user changed their mind".to_owned()))
        .await
        .expect("the cancellation is sent");
    client.hear("cancelled while the update was in progress").await;
    client.hear("nodejs20.x is in force again").await;
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
    assert!(account.runs().is_empty());
}

/// A host that lets go of a call when it is told to, as one does at its deadline.
struct Impatient {
    server: LambdaOps,
    enough: Arc<Notify>,
}

impl ServerHandler for Impatient {
    fn get_info(&self) -> ServerConfig {
        self.server.get_info()
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.list_tools(page, context).await
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tokio::select! {
            answer = self.server.call_tool(call, context) => answer,
            () = self.enough.notified() => Err(ErrorData::internal_error("the time is up", None)),
        }
    }
}

#[tokio::test]
async fn an_update_that_its_host_lets_go_of_is_put_back() {
    let account = account();
    account.set_pace(Pace {
        reads: 30,
        time: Duration::ZERO,
    });
    let enough = Arc::new(Notify::new());
    let client = Client::of(Impatient {
        server: server(&account),
        enough: Arc::clone(&enough),
    })
    .await;
    let _call = client
        .begin("update-function-runtime", to("orders-api", "nodejs24.x", None))
        .await;
    client.hear("waiting until AWS has applied the update").await;
    enough.notify_one();
    let back = async {
        while shown(&account, "orders-api").await != pair("nodejs20.x", "Successful") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back)
        .await
        .expect("the old runtime is put back");
}

#[tokio::test]
async fn a_rollback_that_fails_once_is_tried_again() {
    let account = account();
    account.faults().never_answer_after(Operation::Invoke, 2);
    let mut patience = Patience::every(Duration::from_millis(1), Duration::from_secs(10));
    patience.test = Duration::from_millis(300);
    let client = Client::of(server(&account).with_patience(patience)).await;
    let call = client
        .begin(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    client.hear("AWS would run version").await;
    account
        .faults()
        .fail_the_update("orders-api", "a moment without capacity");
    let report = client.end("update-function-runtime", call).await;
    assert_eq!(report.json["outcome"], "rolled-back", "{}", report.text);
    let updates = account.calls();
    let updates = updates
        .iter()
        .filter(|call| **call == Operation::UpdateFunctionConfiguration);
    assert_eq!(updates.count(), 3, "there, back in vain, and back");
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

/// Lets the test of a change hang until somebody else has changed the function, and gives the report.
async fn changed_during_the_test(
    account: &lambda_ops::embedded::Embedded,
    runtime: Option<&str>,
) -> serde_json::Value {
    account.faults().never_answer_after(Operation::Invoke, 2);
    let client = Client::of(patient(account, Duration::from_secs(2))).await;
    let mut arguments = to("orders-api", "nodejs24.x", Some("{}"));
    arguments["tryOlder"] = json!(true);
    let call = client.begin("update-function-runtime", arguments).await;
    client.hear("AWS would run version").await;
    let others = account.client().update_function_configuration();
    let others = others.function_name("orders-api").timeout(17);
    let others = others.set_runtime(runtime.map(Into::into));
    others.send().await.expect("somebody else's update");
    client.end("update-function-runtime", call).await.json
}

#[tokio::test]
async fn a_function_that_somebody_else_changed_meanwhile_is_not_touched() {
    for (set, end) in [(None, "nodejs24.x"), (Some("nodejs20.x"), "nodejs20.x")] {
        let account = account();
        let report = changed_during_the_test(&account, set).await;
        assert_eq!(report["outcome"], "left-to-user", "{report}");
        assert_eq!(report["runtime"], end, "{report}");
        assert!(last(&report).contains("somebody else"), "{report}");
        let updates = account.calls();
        let updates = updates
            .iter()
            .filter(|call| **call == Operation::UpdateFunctionConfiguration);
        assert_eq!(updates.count(), 2, "ours and theirs: {report}");
        assert_eq!(shown(&account, "orders-api").await, pair(end, "Successful"));
    }
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_does_not_end_a_rollback_for_good() {
    for (times, outcome) in [(5, "rolled-back"), (1_000_000, "rollback-failed")] {
        let account = account();
        account
            .faults()
            .let_pass(Operation::UpdateFunctionConfiguration, 1);
        account
            .faults()
            .refuse_the_role(Operation::UpdateFunctionConfiguration, times);
        let client = Client::of(patient(&account, Duration::from_secs(1))).await;
        let arguments = to("invoice-pdf", "nodejs22.x", Some("{}"));
        let report = client.call("update-function-runtime", arguments.clone()).await;
        assert_eq!(report.json["outcome"], outcome, "{}", report.text);
        if outcome == "rollback-failed" {
            assert!(
                last(&report.json).contains("when that is mended"),
                "{}",
                report.text
            );
            let again = client.refusal("update-function-runtime", arguments).await;
            assert!(again.contains("recover-updates"), "its entry is open: {again}");
        }
    }
}

#[tokio::test]
async fn a_lost_update_that_cannot_be_fenced_off_is_not_called_rolled_back() {
    let account = account();
    account
        .faults()
        .break_down(Operation::UpdateFunctionConfiguration, 1);
    account
        .faults()
        .refuse_the_role(Operation::UpdateFunctionConfiguration, 1_000_000);
    let client = Client::of(patient(&account, Duration::from_millis(100))).await;
    let arguments = to("orders-api", "nodejs24.x", None);
    let report = client.call("update-function-runtime", arguments.clone()).await;
    assert_eq!(report.json["outcome"], "rollback-failed", "{}", report.text);
    assert!(
        last(&report.json).contains("the update may still come"),
        "{}",
        report.text
    );
    let again = client.refusal("update-function-runtime", arguments).await;
    assert!(again.contains("recover-updates"), "its entry is open: {again}");
}

/// The reads of a change up to its last look: check, save, two until it has settled, and the new version.
const LOOKS: usize = 5;

#[tokio::test]
async fn what_somebody_else_changed_before_the_last_look_is_not_called_updated() {
    let account = account();
    account
        .faults()
        .let_pass(Operation::GetFunctionConfiguration, LOOKS);
    account.faults().throttle(Operation::GetFunctionConfiguration, 6);
    let client = Client::of(server(&account)).await;
    let call = client
        .begin(
            "update-function-runtime",
            to("orders-api", "nodejs24.x", Some("{}")),
        )
        .await;
    client.hear("the function ran without an error").await;
    client.hear("looking again").await;
    let others = account.client().update_function_configuration();
    let others = others.function_name("orders-api").runtime("nodejs22.x".into());
    others.send().await.expect("somebody else's update");
    let report = client.end("update-function-runtime", call).await;
    assert_eq!(report.json["outcome"], "left-to-user", "{}", report.text);
    assert!(
        last(&report.json).contains("somebody else set the runtime to nodejs22.x"),
        "{}",
        report.text
    );
}

#[tokio::test]
async fn a_last_look_without_an_answer_leaves_the_runtime_unknown() {
    let account = account();
    account
        .faults()
        .let_pass(Operation::GetFunctionConfiguration, LOOKS);
    account.faults().deny(Operation::GetFunctionConfiguration, 1);
    let report = update(&account, to("orders-api", "nodejs24.x", Some("{}"))).await;
    assert_eq!(report.json["outcome"], "updated", "{}", report.text);
    assert_eq!(report.json["runtime"], serde_json::Value::Null);
    assert!(
        last(&report.json).contains("whether it is still in force is not known"),
        "{}",
        report.text
    );
}
