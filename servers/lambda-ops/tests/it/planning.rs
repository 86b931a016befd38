//! `update-function-runtime` before anything is changed: the plan, who agrees to it, and the client's own token.

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
use skydock::{Host, Key};

use crate::{
    bench::{Client, User, account, server},
    updating::{pair, shown, steps, to, update},
};

const TOOL: &str = "update-function-runtime";

/// The arguments with one more.
fn and(mut arguments: Value, name: &str, value: impl Into<Value>) -> Value {
    arguments[name] = value.into();
    arguments
}

fn node24() -> Value {
    to("orders-api", "nodejs24.x", None)
}

fn only(deeds: &[&str]) -> Allow {
    let deeds: Vec<String> = deeds.iter().map(|deed| (*deed).to_owned()).collect();
    Allow::read(&deeds, &[], &[]).expect("nothing is wrong")
}

fn changed(account: &Embedded) -> bool {
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

async fn planned(account: &Embedded, arguments: Value) -> Value {
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
    assert!(planned["planToken"].is_string());
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
async fn the_user_is_shown_the_plan_and_asked() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let updated = client.ok(TOOL, node24()).await;
    assert_eq!(updated["outcome"], "updated");
    assert_eq!(updated["identity"]["account"], "123456789012");
    let questions = client.questions().await;
    assert_eq!(questions.len(), 1);
    for text in [
        "Change the runtime of orders-api from nodejs20.x to nodejs24.x?",
        "function:orders-api, $LATEST at revision ",
        "account 123456789012, region eu-central-1",
        "Tried with: a dry run only",
        "Undone by: putting nodejs20.x back",
    ] {
        assert!(questions[0].contains(text), "{text}: {}", questions[0]);
    }
}

#[tokio::test]
async fn who_does_not_agree_keeps_the_function_as_it_is() {
    for user in [User::Declines, User::Closes, User::Disagrees] {
        let account = account();
        let client = Client::with(server(&account), user).await;
        let declined = client.ok(TOOL, node24()).await;
        assert_eq!(declined["outcome"], "declined", "{user:?}");
        assert!(!changed(&account));
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_shows_the_plan_and_brings_its_token() {
    let account = account();
    let client = Client::with(server(&account), User::OutOfReach).await;
    let planned = client.call(TOOL, node24()).await;
    assert!(planned.is_error, "nobody agreed yet");
    assert_eq!(planned.json["outcome"], "planned");
    assert!(
        planned.text.contains("only if they agree call again"),
        "{}",
        planned.text
    );
    assert!(!changed(&account));
    let updated = client
        .ok(
            TOOL,
            and(node24(), "planToken", planned.json["planToken"].clone()),
        )
        .await;
    assert_eq!(updated["outcome"], "updated");
}

#[tokio::test]
async fn a_client_that_can_be_asked_is_asked_although_it_brings_a_token() {
    let account = account();
    let token = planned(&account, node24()).await["planToken"].clone();
    let client = Client::with(server(&account), User::Declines).await;
    let declined = client.ok(TOOL, and(node24(), "planToken", token)).await;
    assert_eq!(declined["outcome"], "declined");
    assert_eq!(client.questions().await.len(), 1);
}

#[tokio::test]
async fn a_token_holds_for_its_plan_alone() {
    let account = account();
    let key = Key::random();
    let of = async |arguments: Value| {
        let client = Client::with(server(&account).with_key(&key), User::OutOfReach).await;
        client.call(TOOL, arguments).await
    };
    let token = of(node24()).await.json["planToken"].clone();
    let other_server = Client::with(server(&account), User::OutOfReach).await;
    let text = other_server
        .refusal(TOOL, and(node24(), "planToken", token.clone()))
        .await;
    assert!(text.contains("not one of this server"), "{text}");
    for (arguments, reason) in [
        (and(node24(), "testEvent", "{}"), "testEvent differs"),
        (and(node24(), "tryOlder", true), "tryOlder differs"),
        (and(node24(), "overrideOwner", true), "overrideOwner differs"),
        (to("orders-api", "nodejs22.x", None), "runtime differs"),
        (to("partner-feed", "nodejs24.x", None), "function differs"),
    ] {
        let refused = of(and(arguments, "planToken", token.clone())).await;
        assert!(
            refused.is_error && refused.text.contains(reason),
            "{reason}: {}",
            refused.text
        );
        assert!(
            refused.text.contains("plan anew with dryRun: true"),
            "{}",
            refused.text
        );
    }
    let change = account
        .client()
        .update_function_configuration()
        .function_name("orders-api")
        .timeout(9);
    change.send().await.expect("somebody else's update");
    while shown(&account, "orders-api").await.1 != "Successful" {}
    let stale = of(and(node24(), "planToken", token)).await;
    assert!(
        stale.text.contains("was changed since planToken was made"),
        "{}",
        stale.text
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn instances_that_share_a_key_take_each_others_tokens() {
    let (account, key) = (account(), Key::random());
    let one = Client::with(server(&account).with_key(&key), User::OutOfReach).await;
    let token = one.call(TOOL, node24()).await.json["planToken"].clone();
    let other = Client::with(server(&account).with_key(&key), User::OutOfReach).await;
    let updated = other.ok(TOOL, and(node24(), "planToken", token)).await;
    assert_eq!(updated["outcome"], "updated");
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

/// A client of 2026-07-28 over HTTP, which brings answers with its next request.
struct Modern {
    http: reqwest::Client,
    url: String,
}

impl Modern {
    async fn call(&self, mut params: Value) -> Value {
        params["name"] = json!(TOOL);
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let request = self.http.post(&self.url).body(message.to_string());
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", TOOL);
        let text = request
            .send()
            .await
            .expect("it answers")
            .text()
            .await
            .expect("text");
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .rfind(|data| !data.is_empty());
        let answer: Value = serde_json::from_str(last.unwrap_or(&text)).expect("JSON");
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }
}

#[tokio::test]
async fn a_client_without_a_session_is_asked_by_its_next_request() {
    let account = account();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let mut listening = Host::new(server(&account)).listen(listener).expect("it listens");
    let client = Modern {
        http: reqwest::Client::new(),
        url: listening.url(),
    };
    let asked = client.call(json!({ "arguments": node24() })).await;
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = asked["inputRequests"]["change"]["params"]["message"]
        .as_str()
        .expect("a question");
    assert!(
        question.starts_with("Change the runtime of orders-api"),
        "{question}"
    );
    assert!(!changed(&account));

    // the function is not the one that the user saw, so the user is asked anew
    let change = account
        .client()
        .update_function_configuration()
        .function_name("orders-api")
        .timeout(9);
    change.send().await.expect("somebody else's update");
    while shown(&account, "orders-api").await.1 != "Successful" {}
    let answer = json!({ "change": { "action": "accept", "content": { "change": true } } });
    let again = client
        .call(
            json!({ "arguments": node24(), "requestState": asked["requestState"], "inputResponses": answer }),
        )
        .await;
    assert_eq!(again["resultType"], "input_required", "{again}");
    let updated = client
        .call(
            json!({ "arguments": node24(), "requestState": again["requestState"], "inputResponses": answer }),
        )
        .await;
    assert_eq!(updated["structuredContent"]["outcome"], "updated", "{updated}");
    listening.stop().await;
}

#[tokio::test]
async fn without_a_host_nobody_is_asked_and_nothing_changed() {
    let account = account();
    let bare = server(&account);
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let running = rmcp::ServiceExt::serve(bare, far)
            .await
            .expect("the client opens");
        running.waiting().await
    });
    let client = rmcp::ServiceExt::serve((), near).await.expect("the server opens");
    let arguments = serde_json::from_value(node24()).expect("an object");
    let params = rmcp::model::CallToolRequestParams::new(TOOL).with_arguments(arguments);
    let planned = client.call_tool(params).await.expect("it answers");
    assert_eq!(
        planned.structured_content.expect("structured")["outcome"],
        "planned"
    );
    assert!(!changed(&account));
}
