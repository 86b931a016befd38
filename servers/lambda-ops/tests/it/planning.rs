//! `update-function-runtime` before anything is changed: the plan, what is refused, and the client's own token.

use aws_sdk_lambda::{
    primitives::Blob,
    types::{Architecture, FunctionCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use lambda_ops::{
    allow::Allow,
    audit::Audit,
    embedded::{Embedded, Operation},
};
use serde_json::{Value, json};

use crate::{
    bench::{Client, account, server},
    updating::{pair, shown, steps, to, update},
};

pub(crate) const TOOL: &str = "update-function-runtime";

/// The arguments with one more.
pub(crate) fn and(mut arguments: Value, name: &str, value: impl Into<Value>) -> Value {
    arguments[name] = value.into();
    arguments
}

pub(crate) fn node24() -> Value {
    to("orders-api", "nodejs24.x", None)
}

fn only(deeds: &[&str]) -> Allow {
    let deeds: Vec<String> = deeds.iter().map(|deed| (*deed).to_owned()).collect();
    Allow::read(&deeds, &[], &[]).expect("nothing is wrong")
}

pub(crate) fn changed(account: &Embedded) -> bool {
    let calls = account.calls();
    [Operation::PublishVersion, Operation::UpdateFunctionConfiguration]
        .iter()
        .any(|operation| calls.contains(operation))
}

async fn tagged(account: &Embedded, function: &str, event: &str) {
    let arn = shown_arn(account, function).await;
    let tags = account.client().tag_resource().resource(arn);
    tags.tags("lambda-ops:test-event", event)
        .send()
        .await
        .expect("it is tagged");
}

async fn shown_arn(account: &Embedded, function: &str) -> String {
    let now = account
        .client()
        .get_function_configuration()
        .function_name(function)
        .send()
        .await;
    now.expect("it is there")
        .function_arn()
        .expect("an ARN")
        .to_owned()
}

fn notes(report: &Value) -> String {
    report["plan"]["notes"].to_string()
}

pub(crate) async fn planned(account: &Embedded, arguments: Value) -> Value {
    let client = Client::of(server(account)).await;
    client.ok(TOOL, and(arguments, "dryRun", true)).await
}

#[tokio::test]
async fn a_dry_run_tells_the_whole_plan_and_changes_nothing() {
    let account = account();
    let client = Client::of(server(&account).with_allow(Allow::nothing())).await;
    let planned = client.ok(TOOL, and(node24(), "dryRun", true)).await;
    assert_eq!(planned["outcome"], "planned");
    let plan = &planned["plan"];
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:orders-api";
    for (name, value) in [
        ("functionName", json!("orders-api")),
        ("functionArn", json!(arn)),
        ("from", json!("nodejs20.x")),
        ("to", json!("nodejs24.x")),
        ("validation", json!({ "by": "dry-run" })),
        ("fallbacks", json!([])),
    ] {
        assert_eq!(plan[name], value, "{name}");
    }
    assert_eq!(plan["revisionId"], planned["revisionId"]);
    assert_eq!(plan["identity"]["account"], "123456789012");
    assert_eq!(plan["identity"]["region"], "eu-central-1");
    assert!(
        plan["rollback"]
            .as_str()
            .unwrap()
            .contains("putting nodejs20.x back by itself")
    );
    assert!(
        planned["planToken"].is_null(),
        "a server that only reads promises nothing"
    );
    assert!(!changed(&account) && client.questions().await.is_empty());
}

#[tokio::test]
async fn without_permission_nothing_but_a_dry_run_goes() {
    let account = account();
    let client = Client::of(server(&account).with_allow(only(&["invoke"]))).await;
    let text = client.refusal(TOOL, node24()).await;
    assert!(text.contains("--allow write"), "{text}");
    assert!(!changed(&account));
}

#[tokio::test]
async fn a_function_of_a_template_is_not_changed_but_its_template_is_shown() {
    for (function, to_runtime, tool) in [
        ("search-indexer", "python3.13", "cloudformation"),
        ("stock-sync", "nodejs22.x", "terraform"),
        ("checkout-api", "nodejs22.x", "cdk"),
    ] {
        let in_the_template = if tool == "cdk" { "NODEJS_22_X" } else { to_runtime };
        let account = account();
        let owned = update(&account, to(function, to_runtime, None)).await;
        assert!(!owned.is_error, "{}", owned.text);
        assert_eq!(owned.json["outcome"], "owned-by-template", "{function}");
        assert_eq!(owned.json["owner"]["tool"], tool);
        let diff = owned.json["patch"]["diff"].as_str().expect("a patch");
        assert!(diff.contains(in_the_template), "{diff}");
        assert!(!changed(&account));

        let overridden = and(to(function, to_runtime, None), "overrideOwner", true);
        let plan = planned(&account, overridden.clone()).await;
        assert!(notes(&plan).contains("its next deployment puts"), "{plan}");
        assert_eq!(update(&account, overridden).await.json["outcome"], "updated");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let account = account();
    let client = Client::of(server(&account)).await;
    for (arguments, reason) in [
        (
            to("sales-figures", "python3.14", None),
            "layer:shop-dataframes:2 is made for python3.9",
        ),
        (
            to("email-renderer", "nodejs24.x", None),
            "layer:shop-images:4 is made for nodejs18.x",
        ),
        (
            to("loyalty-points", "nodejs24.x", Some("{}")),
            "uses SnapStart, which nodejs24.x does not support",
        ),
        (
            to("us-east-1.geo-redirect", "nodejs24.x", None),
            "is a Lambda@Edge replica",
        ),
    ] {
        let text = client.refusal(TOOL, arguments).await;
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert!(!changed(&account));
}

#[tokio::test]
async fn a_runtime_from_before_arm_is_refused_on_arm() {
    let account = account();
    let code = FunctionCode::builder().zip_file(Blob::new(b"zip")).build();
    let made = account
        .client()
        .create_function()
        .function_name("on-arm")
        .runtime("java8.al2".into());
    let made = made
        .handler("a")
        .role("arn:aws:iam::123456789012:role/a")
        .code(code);
    made.architectures(Architecture::Arm64)
        .send()
        .await
        .expect("it is made");
    let client = Client::of(server(&account)).await;
    let text = client.refusal(TOOL, to("on-arm", "java8", None)).await;
    assert!(text.contains("AWS does not offer java8 on arm64"), "{text}");
}

#[tokio::test]
async fn a_layer_that_may_not_be_read_is_a_note() {
    let account = account();
    let plan = planned(&account, to("partner-feed", "nodejs24.x", None)).await;
    assert!(
        notes(&plan).contains("layer:vendor-agent:7 may not be read"),
        "{plan}"
    );
}

#[tokio::test]
async fn aliases_are_named_with_the_runtime_they_go_on_with() {
    let account = account();
    let plan = planned(&account, to("order-events", "nodejs24.x", None)).await;
    assert!(
        notes(&plan).contains("the alias live points to version 1 and goes on with nodejs18.x"),
        "{plan}"
    );
}

#[tokio::test]
async fn a_function_that_could_not_be_run_is_not_changed() {
    let account = account();
    account.faults().deny(Operation::Invoke, 1);
    let client = Client::of(server(&account)).await;
    let text = client.refusal(TOOL, node24()).await;
    assert!(
        text.contains("a dry run of the function as it is failed"),
        "{text}"
    );
    assert!(!changed(&account) && client.questions().await.is_empty());
}

#[tokio::test]
async fn a_version_with_snapstart_is_waited_for() {
    let updated = update(&account(), to("loyalty-points", "java21", Some("{}"))).await;
    assert_eq!(updated.json["outcome"], "updated", "{}", updated.text);
    let saved = updated.json["steps"][2]["detail"].as_str().unwrap();
    assert!(saved.contains("AWS still gives it as Pending"), "{saved}");
}

#[tokio::test]
async fn a_test_event_without_permission_to_run_is_refused() {
    let account = account();
    let client = Client::of(server(&account).with_allow(only(&["write"]))).await;
    let text = client
        .refusal(TOOL, to("orders-api", "nodejs24.x", Some("{}")))
        .await;
    assert!(text.contains("leave testEvent out"), "{text}");
    assert!(!changed(&account));
}

#[tokio::test]
async fn the_event_of_a_tag_is_used_if_it_may_be_and_is_one() {
    let event = URL_SAFE_NO_PAD.encode(r#"{"orderId":7}"#);
    let account = account();
    tagged(&account, "orders-api", &event).await;
    let plan = planned(&account, node24()).await;
    assert_eq!(plan["plan"]["validation"]["by"], "tag");
    assert!(
        !plan.to_string().contains("orderId"),
        "a digest stands for the event"
    );
    let updated = update(&account, node24()).await;
    assert_eq!(updated.json["outcome"], "updated", "{}", updated.text);
    assert!(
        updated.text.contains("orderId"),
        "the function was run with it: {}",
        updated.text
    );
    assert_eq!(
        account.runs(),
        ["orders-api:2"],
        "the new version is run, not $LATEST"
    );

    let account = crate::bench::account();
    tagged(&account, "orders-api", &event).await;
    let careful = Client::of(server(&account).with_allow(only(&["write"]))).await;
    let plan = careful.ok(TOOL, and(node24(), "dryRun", true)).await;
    assert_eq!(plan["plan"]["validation"]["by"], "dry-run");
    assert!(
        notes(&plan).contains("the test event of its tag is not used"),
        "{plan}"
    );

    tagged(&account, "orders-api", "no event").await;
    let client = Client::of(server(&account)).await;
    let text = client.refusal(TOOL, node24()).await;
    assert!(
        text.contains("lambda-ops:test-event of \"orders-api\" is not an event"),
        "{text}"
    );
    assert!(!changed(&account));
}

#[tokio::test]
async fn older_runtimes_are_tried_down_to_the_one_it_has() {
    let account = account();
    let arguments = and(to("thumbnail-maker", "nodejs24.x", Some("{}")), "tryOlder", true);
    let updated = update(&account, arguments).await;
    assert_eq!(updated.json["outcome"], "updated", "{}", updated.text);
    assert_eq!(
        (&updated.json["to"], &updated.json["runtime"]),
        (&json!("nodejs24.x"), &json!("nodejs22.x"))
    );
    let runtimes: Vec<(&str, &str)> = updated.json["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter(|step| step["step"] == "test")
        .map(|step| {
            (
                step["runtime"].as_str().unwrap(),
                step["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(runtimes, [("nodejs24.x", "failed"), ("nodejs22.x", "done")]);
    assert_eq!(
        shown(&account, "thumbnail-maker").await,
        pair("nodejs22.x", "Successful")
    );
}

#[tokio::test]
async fn older_runtimes_that_all_fail_leave_the_one_it_had() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let arguments = and(to("price-forecast", "python3.14", Some("{}")), "tryOlder", true);
    let rolled_back = client.call(TOOL, arguments).await;
    assert!(rolled_back.is_error);
    assert_eq!(rolled_back.json["outcome"], "rolled-back", "{}", rolled_back.text);
    let tests = steps(&rolled_back.json)
        .iter()
        .filter(|step| *step == "test failed")
        .count();
    assert_eq!(tests, 3, "3.14, 3.13 and 3.12: {}", rolled_back.text);
    assert_eq!(
        shown(&account, "price-forecast").await,
        pair("python3.11", "Successful")
    );
    let questions = client.questions().await;
    assert_eq!(questions.len(), 1, "one consent covers all");
    assert!(
        questions[0].contains("in its place: python3.13, then python3.12"),
        "{}",
        questions[0]
    );
}

#[tokio::test]
async fn a_change_with_a_clients_token_is_made_once() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let arguments = and(
        to("orders-api", "nodejs24.x", Some("{}")),
        "clientToken",
        "upgrade-1",
    );
    let first = client.ok(TOOL, arguments.clone()).await;
    let second = client.ok(TOOL, arguments.clone()).await;
    let mut kept = first.clone();
    for step in kept["steps"].as_array_mut().expect("steps") {
        step.as_object_mut().expect("a step").remove("output");
    }
    assert_eq!(
        second, kept,
        "the report comes back, without what the function answered"
    );
    assert_eq!(account.runs().len(), 1);
    let text = client
        .refusal(TOOL, and(arguments, "runtime", "nodejs22.x"))
        .await;
    assert!(
        text.contains("was used for a change with other arguments"),
        "{text}"
    );
    for wrong in ["", "a b", &"a".repeat(65)] {
        let text = client.refusal(TOOL, and(node24(), "clientToken", wrong)).await;
        assert!(text.contains("1 to 64 characters"), "{text}");
    }
}

#[tokio::test]
async fn one_function_is_changed_by_one_at_a_time() {
    let account = account();
    account.faults().never_answer_after(Operation::Invoke, 2);
    let client = Client::of(server(&account)).await;
    let arguments = and(
        to("orders-api", "nodejs24.x", Some("{}")),
        "clientToken",
        "upgrade-1",
    );
    let call = client.begin(TOOL, arguments.clone()).await;
    client.hear("AWS would run version").await;
    let text = client.refusal(TOOL, arguments).await;
    assert!(text.contains("is running"), "{text}");
    let text = client.refusal(TOOL, to("orders-api", "nodejs22.x", None)).await;
    assert!(text.contains("a change of \"orders-api\" is running"), "{text}");
    call.cancel(None).await.expect("the cancellation is sent");
    client.hear("nodejs20.x is in force again").await;
}

#[tokio::test]
async fn a_change_is_in_the_audit_when_it_begins_and_when_it_ends() {
    let (account, audit) = (account(), Audit::in_memory());
    let client = Client::of(server(&account).with_audit(audit.clone())).await;
    client
        .call(TOOL, to("invoice-pdf", "nodejs22.x", Some(r#"{"secret":1}"#)))
        .await;
    let lines = audit.lines();
    let outcomes: Vec<&str> = lines
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["begun", "rolled-back"]);
    assert_eq!(lines[0]["id"], lines[1]["id"]);
    assert_eq!(lines[1]["plan"]["to"], "nodejs22.x");
    assert_eq!(lines[1]["after"]["runtime"], "nodejs16.x");
    assert!(!format!("{lines:?}").contains("secret"), "no event in the audit");
}
