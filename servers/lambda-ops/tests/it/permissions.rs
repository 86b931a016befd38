//! The IAM policies in docs/reference/iam against the calls that the tools make: all of them, and no more.

use std::{collections::BTreeSet, fs, path::Path};

use lambda_ops::{LambdaOps, allow::Allow, embedded::Embedded};
use rmcp::model::{
    ArgumentInfo, CompleteRequestParams, GetPromptRequestParams, ReadResourceRequestParams, Reference,
};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

type Actions = BTreeSet<String>;

/// A policy file, by its name.
fn policy(kind: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/reference/iam/{kind}.json"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).expect("a policy is JSON")
}

/// One value, or a list of them: IAM takes both.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().expect("text")).collect(),
        value => vec![value.as_str().expect("text")],
    }
}

fn statements(policy: &Value) -> &Vec<Value> {
    policy["Statement"].as_array().expect("a list of statements")
}

fn actions(kind: &str) -> Actions {
    let policy = policy(kind);
    let actions = statements(&policy)
        .iter()
        .flat_map(|statement| strings(&statement["Action"]));
    actions.map(str::to_owned).collect()
}

/// The permissions that the calls to an account need.
fn needed(account: &Embedded) -> Actions {
    let calls = account.calls();
    let actions = calls.iter().filter_map(|operation| operation.iam_action());
    actions.map(str::to_owned).collect()
}

/// Holds every call that was made to an account against the three policies, whatever made it.
pub(crate) fn assert_within_the_policies(account: &Embedded) {
    let all: Actions = ["read", "invoke", "write"]
        .iter()
        .flat_map(|kind| actions(kind))
        .collect();
    let beyond: Vec<_> = needed(account).difference(&all).cloned().collect();
    assert!(beyond.is_empty(), "{beyond:?} is in no policy");
}

/// A server that may do everything to tagged functions, so that it reads tags wherever a rule asks for them.
fn tag_minding(account: &Embedded) -> LambdaOps {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let allow = Allow::read(&list(&["invoke", "write"]), &[], &list(&["stage"])).expect("nothing is wrong");
    server(account).with_allow(allow)
}

/// A client of a new account, and what is called there.
async fn at_work() -> (Embedded, Client) {
    let account = account();
    let client = Client::of(tag_minding(&account)).await;
    (account, client)
}

/// The calls of every tool that only reads, by all the ways through it.
async fn reading() -> (Actions, BTreeSet<String>) {
    let (account, client) = at_work().await;
    let reads = [
        ("get-runtime-info", json!({})),
        ("list-functions", json!({})),
        (
            "list-functions",
            json!({ "tag": "team=shop", "owned": true, "deprecatedBefore": "2027-01-01" }),
        ),
        ("get-function", json!({ "functionName": "order-events" })),
        ("get-function", json!({ "functionName": "sales-figures" })),
        ("get-function", json!({ "functionName": "media-transcoder" })),
        ("report-deprecated-functions", json!({ "regions": ["all"] })),
        ("report-deprecated-functions", json!({ "tag": "team=shop" })),
    ];
    let mut tools = BTreeSet::new();
    for (tool, arguments) in reads {
        client.ok(tool, arguments).await;
        tools.insert(tool.to_owned());
    }
    picking(&client).await;
    (needed(&account), tools)
}

/// What people and clients pick from: resources, prompts, completion.
async fn picking(client: &Client) {
    let peer = client.peer();
    let resources = peer
        .list_resources(None)
        .await
        .expect("resources are listed")
        .resources;
    assert!(resources.len() > 1, "functions beside the runtimes");
    for resource in resources.into_iter().take(2) {
        let asked = ReadResourceRequestParams::new(resource.uri);
        peer.read_resource(asked).await.expect("a resource is read");
    }
    let asked = json!({ "functionName": "order-events" });
    let arguments = serde_json::from_value(asked).expect("an object");
    let prompt = GetPromptRequestParams::new("explain-function").with_arguments(arguments);
    peer.get_prompt(prompt).await.expect("a prompt");
    let argument = ArgumentInfo::new("functionName", "or");
    let written = CompleteRequestParams::new(Reference::for_prompt("explain-function"), argument);
    let completed = peer.complete(written).await.expect("names").completion;
    assert!(
        completed.values.contains(&"order-events".to_owned()),
        "{completed:?}"
    );
}

/// The calls of running.
async fn invoking() -> Actions {
    let (account, client) = at_work().await;
    for function in ["orders-api", "payment-webhook"] {
        let arguments = json!({ "functionName": function, "payload": "{}" });
        client.call("invoke-function", arguments).await;
    }
    needed(&account)
}

/// The calls of changing: a change that succeeds, one that is put back, one with older runtimes, a recovery.
async fn changing() -> Actions {
    let (account, client) = at_work().await;
    let tool = "update-function-runtime";
    for (function, runtime, outcome) in [
        ("orders-api", "nodejs24.x", "updated"),
        ("invoice-pdf", "nodejs22.x", "rolled-back"),
        ("email-renderer", "nodejs22.x", ""),
        ("loyalty-points", "java21", "updated"),
        ("checkout-api", "nodejs22.x", "owned-by-template"),
    ] {
        let arguments = json!({
            "functionName": function, "runtime": runtime, "testEvent": "{}", "tryOlder": true, "acceptNoRollback": true
        });
        let answered = client.call(tool, arguments).await;
        if !outcome.is_empty() {
            assert_eq!(answered.json["outcome"], outcome, "{function}: {}", answered.text);
        }
    }
    let batch = json!({ "functions": ["catalog-api", "stock-sync"], "to": "nodejs24.x", "apply": true });
    client.ok("plan-runtime-upgrades", batch).await;
    client.ok("recover-updates", json!({})).await;
    needed(&account)
}

#[tokio::test]
async fn each_call_is_in_the_policy_of_its_kind_and_no_policy_has_more() {
    let (read, _) = reading().await;
    assert_eq!(
        read,
        actions("read"),
        "reading (left: needed, right: docs/reference/iam/read.json)"
    );
    let adds = |needed: Actions| -> Actions { needed.difference(&read).cloned().collect() };
    assert_eq!(adds(invoking().await), actions("invoke"), "invoke.json");
    assert_eq!(adds(changing().await), actions("write"), "write.json");
}

#[tokio::test]
async fn every_tool_is_held_against_a_policy() {
    let (_, mut held) = reading().await;
    let changing = [
        "invoke-function",
        "plan-runtime-upgrades",
        "recover-updates",
        "update-function-runtime",
    ];
    held.extend(changing.map(str::to_owned));
    let (_, client) = at_work().await;
    let listed: BTreeSet<String> = client.tools.iter().map(|tool| tool.name.to_string()).collect();
    assert_eq!(
        listed, held,
        "a new tool is run in this file by all the ways through it"
    );
}

#[test]
fn policies_are_documents_that_iam_takes() {
    for kind in ["read", "invoke", "write"] {
        let policy = policy(kind);
        assert_eq!(policy["Version"], "2012-10-17", "{kind}");
        let mut names = BTreeSet::new();
        for statement in statements(&policy) {
            let name = statement["Sid"].as_str().expect("a name");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{kind}: {name}"
            );
            assert!(names.insert(name), "{kind}: {name} twice");
            assert_eq!(statement["Effect"], "Allow", "{kind}: {name}");
            let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
            let members = statement.as_object().expect("a statement").keys();
            for member in members {
                assert!(known.contains(&member.as_str()), "{kind}: {name} has {member}");
            }
            for action in strings(&statement["Action"]) {
                assert!(!action.contains('*'), "{kind}: {action} is more than one action");
            }
            // what acts on no function in particular has no narrower resource
            let lists = name == "FindFunctions";
            for resource in strings(&statement["Resource"]) {
                assert_eq!(resource == "*", lists, "{kind}: {name} on {resource}");
            }
            let tagged = statement["Condition"]["StringEquals"]["aws:ResourceTag/lambda-ops"] == "allow";
            assert_eq!(
                tagged,
                kind != "read",
                "{kind}: {name} holds for tagged functions only"
            );
        }
    }
}

#[test]
fn no_tool_can_bring_a_function_within_its_reach() {
    let all: Actions = ["read", "invoke", "write"]
        .iter()
        .flat_map(|kind| actions(kind))
        .collect();
    for forbidden in [
        "lambda:TagResource",
        "lambda:GetFunction",
        "lambda:UpdateFunctionCode",
        "iam:PassRole",
    ] {
        assert!(!all.contains(forbidden), "{forbidden}");
    }
}
