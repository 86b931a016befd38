//! `plan-runtime-upgrades`: many functions planned at once, agreed to at once, changed one by one.

use std::{collections::BTreeSet, time::Duration};

use lambda_ops::{
    allow::Allow,
    audit::Audit,
    embedded::{Embedded, Operation, Pace},
};
use serde_json::{Value, json};

use crate::{
    bench::{Client, User, account, server},
    updating::shown,
};

pub(crate) const TOOL: &str = "plan-runtime-upgrades";
/// Functions that run on each Node.js, one that does not survive on 24, one that a template owns, and an image.
const FIVE: [&str; 5] = [
    "orders-api",
    "catalog-api",
    "thumbnail-maker",
    "stock-sync",
    "media-transcoder",
];

pub(crate) fn rows<'a>(answer: &'a Value, key: &str) -> Vec<(&'a str, &'a str)> {
    let rows = answer["functions"].as_array().expect("rows");
    rows.iter()
        .map(|row| {
            let name = row["functionName"].as_str().expect("a name");
            (name, row[key].as_str().unwrap_or("–"))
        })
        .collect()
}

/// What an assistant would give each function to be tested with.
fn events(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!("{}")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(crate) async fn runtime_of(account: &Embedded, function: &str) -> String {
    shown(account, function).await.0
}

#[tokio::test]
async fn a_plan_says_of_each_function_what_would_be_done_and_changes_nothing() {
    let account = account();
    let reader = Client::of(server(&account).with_allow(Allow::nothing())).await;
    let plan = reader
        .ok(TOOL, json!({ "functions": FIVE, "to": "nodejs24.x" }))
        .await;
    assert_eq!(plan["outcome"], "planned");
    assert_eq!(
        rows(&plan, "action"),
        [
            ("orders-api", "upgrade"),
            ("catalog-api", "upgrade"),
            ("thumbnail-maker", "upgrade"),
            ("stock-sync", "change-template"),
            ("media-transcoder", "leave"),
        ]
    );
    let counts = json!({ "upgrade": 3, "changeTemplate": 1, "leave": 1, "leftOut": 0 });
    assert_eq!(plan["counts"], counts);
    let patch = plan["functions"][3]["patch"]["diff"].as_str().expect("a patch");
    assert!(patch.contains("nodejs24.x"), "{patch}");
    let summary = plan["summary"].as_str().expect("a table");
    let row = "| orders-api | nodejs20.x | nodejs24.x | upgrade | a dry run | ready |";
    assert!(summary.contains(row), "{summary}");
    assert!(
        plan["planToken"].is_null(),
        "a server that only reads promises nothing"
    );
    let changing = [Operation::UpdateFunctionConfiguration, Operation::PublishVersion];
    assert!(!account.calls().iter().any(|call| changing.contains(call)));
}

#[tokio::test]
async fn without_a_choice_it_is_about_all_that_is_deprecated() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let report = client.ok("report-deprecated-functions", json!({})).await;
    let reported: BTreeSet<String> = report["runtimes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|runtime| runtime["functions"].as_array().unwrap())
        .map(|function| function["name"].as_str().unwrap().to_owned())
        .collect();
    let plan = client.ok(TOOL, json!({ "runtimeFamily": "nodejs" })).await;
    let planned = rows(&plan, "action");
    assert!(planned.len() > 5, "{planned:?}");
    for (name, _) in &planned {
        assert!(reported.contains(*name), "{name} is planned, and not reported");
    }
    let all = client.ok(TOOL, json!({})).await;
    let beyond = all["counts"]["leftOut"].as_u64().expect("a number");
    assert_eq!(rows(&all, "action").len() as u64 + beyond, reported.len() as u64);
}

#[tokio::test]
async fn what_is_not_changed_takes_nobodys_place() {
    let account = Embedded::of_size(1, 600);
    let client = Client::with(server(&account), User::OutOfReach).await;
    let plan = client.ok(TOOL, json!({})).await;
    assert_eq!(plan["counts"]["upgrade"], 50, "{}", plan["counts"]);
    assert!(
        plan["counts"]["changeTemplate"].as_u64().unwrap() > 10,
        "{}",
        plan["counts"]
    );
    assert!(
        plan["counts"]["leftOut"].as_u64().unwrap() > 10,
        "{}",
        plan["counts"]
    );
    let token = plan["planToken"].as_str().unwrap();
    assert!(
        token.len() < 500,
        "a model has to copy {} characters",
        token.len()
    );
}

#[tokio::test]
async fn one_consent_changes_all_with_the_canary_first() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let arguments = json!({
        "functions": ["orders-api", "catalog-api", "stock-sync"], "to": "nodejs24.x", "canary": "catalog-api",
        "testEvents": events(&["orders-api", "catalog-api"]), "apply": true,
    });
    let done = client.ok(TOOL, arguments).await;
    assert_eq!(done["outcome"], "done", "{done}");
    assert_eq!(
        rows(&done, "outcome"),
        [
            ("catalog-api", "updated"),
            ("orders-api", "updated"),
            ("stock-sync", "–")
        ]
    );
    assert_eq!(runtime_of(&account, "orders-api").await, "nodejs24.x");
    assert_eq!(runtime_of(&account, "stock-sync").await, "nodejs18.x");
    let asked = client.questions().await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    for text in [
        "2 functions",
        "- catalog-api: nodejs22.x to nodejs24.x",
        "- orders-api: nodejs20.x to nodejs24.x",
        "123456789012",
    ] {
        assert!(asked[0].contains(text), "{text}: {}", asked[0]);
    }
    client.hear("1 of 2: catalog-api").await;
    client.hear("2 of 2: orders-api").await;
}

#[tokio::test]
async fn the_first_that_does_not_work_is_put_back_and_ends_it() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let names = ["orders-api", "thumbnail-maker", "catalog-api"];
    let arguments =
        json!({ "functions": names, "to": "nodejs24.x", "testEvents": events(&names), "apply": true });
    let stopped = client.call(TOOL, arguments).await;
    assert!(stopped.is_error);
    assert_eq!(stopped.json["outcome"], "stopped");
    assert_eq!(
        rows(&stopped.json, "outcome"),
        [
            ("orders-api", "updated"),
            ("thumbnail-maker", "rolled-back"),
            ("catalog-api", "–")
        ]
    );
    let detail = stopped.json["functions"][2]["detail"].as_str().unwrap();
    assert!(detail.contains("one before it did not work"), "{detail}");
    assert_eq!(runtime_of(&account, "thumbnail-maker").await, "nodejs18.x");
    assert_eq!(runtime_of(&account, "catalog-api").await, "nodejs22.x");
}

#[tokio::test]
async fn who_does_not_agree_changes_nothing() {
    for user in [User::Disagrees, User::Declines, User::Closes] {
        let account = account();
        let client = Client::with(server(&account), user).await;
        let declined = client
            .ok(
                TOOL,
                json!({ "functions": ["orders-api"], "to": "nodejs24.x", "apply": true }),
            )
            .await;
        assert_eq!(declined["outcome"], "declined");
        assert!(!account.calls().contains(&Operation::PublishVersion));
    }
}

#[tokio::test]
async fn who_cannot_be_asked_needs_the_token_of_that_very_plan() {
    let account = account();
    let client = Client::with(server(&account), User::OutOfReach).await;
    let mut arguments =
        json!({ "functions": ["orders-api", "catalog-api"], "to": "nodejs24.x", "apply": true });
    let planned = client.call(TOOL, arguments.clone()).await;
    assert!(planned.is_error, "nobody has agreed yet");
    assert_eq!(planned.json["outcome"], "planned");
    arguments["planToken"] = planned.json["planToken"].clone();
    let mut reversed = arguments.clone();
    reversed["canary"] = json!("catalog-api");
    let refusal = client.refusal(TOOL, reversed).await;
    assert!(
        refusal.contains("the functions or their order differs"),
        "{refusal}"
    );
    let mut single = arguments.clone();
    single["functions"] = json!(["orders-api"]);
    assert!(client.refusal(TOOL, single).await.contains("differs"));
    let update =
        json!({ "functionName": "orders-api", "runtime": "nodejs24.x", "planToken": arguments["planToken"] });
    let refusal = client.refusal("update-function-runtime", update).await;
    assert!(refusal.contains("not one of this server"), "{refusal}");
    let done = client.ok(TOOL, arguments.clone()).await;
    assert_eq!(done["outcome"], "done");
    let again = client.ok(TOOL, arguments).await;
    assert_eq!(again["outcome"], "nothing", "they are on it already: {again}");
}

#[tokio::test]
async fn what_is_out_of_reach_is_left_and_said() {
    let account = account();
    let allow = Allow::read(&["write".to_owned()], &["catalog-*".to_owned()], &[]).expect("it can be read");
    let client = Client::of(server(&account).with_allow(allow)).await;
    let done = client
        .ok(
            TOOL,
            json!({ "functions": ["orders-api", "catalog-api"], "to": "nodejs24.x", "apply": true }),
        )
        .await;
    assert_eq!(
        rows(&done, "outcome"),
        [("catalog-api", "updated"), ("orders-api", "–")]
    );
    let detail = done["functions"][1]["detail"].as_str().unwrap();
    assert!(detail.contains("--allow-function catalog-*"), "{detail}");
}

#[tokio::test]
async fn wrong_input_is_named() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let many: Vec<String> = (0..51).map(|number| format!("f{number}")).collect();
    for (arguments, text) in [
        (json!({ "functions": many }), "functions has 51 names"),
        (json!({ "functions": ["a", "a"] }), "functions names \"a\" twice"),
        (
            json!({ "functions": ["orders-api"], "tag": "team" }),
            "cannot be combined",
        ),
        (
            json!({ "functions": ["orders-api"], "to": "nodejs24.x", "canary": "catalog-api" }),
            "canary is \"catalog-api\"",
        ),
        (
            json!({ "functions": ["orders-api"], "testEvents": { "catalog-api": "{}" } }),
            "testEvents has \"catalog-api\"",
        ),
        (
            json!({ "functions": ["orders-api"], "testEvents": { "orders-api": "{" } }),
            "testEvents is not JSON",
        ),
        (
            json!({ "functions": ["orders-api:7"] }),
            "names a version or alias",
        ),
        (
            json!({ "deprecatedBefore": "soon" }),
            "deprecatedBefore is \"soon\"",
        ),
    ] {
        let refusal = client.refusal(TOOL, arguments).await;
        assert!(refusal.contains(text), "{text}: {refusal}");
    }
    let reader = Client::of(server(&account).with_allow(Allow::nothing())).await;
    let refusal = reader.refusal(TOOL, json!({ "apply": true })).await;
    assert!(refusal.contains("--allow write"), "{refusal}");
}

#[tokio::test]
async fn a_cancelled_batch_ends_with_the_function_it_is_at() {
    let account = account();
    account.set_pace(Pace {
        reads: 30,
        time: Duration::ZERO,
    });
    let client = Client::of(server(&account)).await;
    let arguments = json!({ "functions": ["orders-api", "catalog-api"], "to": "nodejs24.x", "apply": true });
    let call = client.begin(TOOL, arguments).await;
    client.hear("waiting until AWS has applied the update").await;
    call.cancel(None).await.expect("the cancellation is sent");
    client.hear("nodejs20.x is in force again").await;
    assert_eq!(runtime_of(&account, "orders-api").await, "nodejs20.x");
    assert_eq!(runtime_of(&account, "catalog-api").await, "nodejs22.x");
}

#[tokio::test]
async fn the_question_shows_what_will_be_run_and_where_there_is_no_way_back() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let event = r#"{"cmd":"count-orders"}"#;
    let arguments = json!({
        "functions": ["session-cleanup", "customer-export"], "acceptNoRollback": true, "tryOlder": true, "apply": true,
        "testEvents": { "customer-export": event },
    });
    let done = client.ok(TOOL, arguments).await;
    let asked = client.questions().await.concat();
    for text in [
        "AWS accepts no updates to nodejs12.x",
        event,
        "If it does not work, in its place: python3.13",
        "one real run with the given test event",
    ] {
        assert!(asked.contains(text), "{text}: {asked}");
    }
    let summary = done["summary"].as_str().unwrap();
    assert!(
        summary.contains("| customer-export | python3.9 | python3.11 | updated |"),
        "{summary}"
    );
    assert_eq!(
        rows(&done, "runtime")[1],
        ("customer-export", "python3.11"),
        "{done}"
    );
}

#[tokio::test]
async fn what_nobody_agreed_to_is_in_the_audit() {
    let account = account();
    let audit = Audit::in_memory();
    let client = Client::with(server(&account).with_audit(audit.clone()), User::Declines).await;
    client
        .ok(
            TOOL,
            json!({ "functions": ["orders-api", "catalog-api"], "to": "nodejs24.x", "apply": true }),
        )
        .await;
    client
        .ok(
            "update-function-runtime",
            json!({ "functionName": "orders-api", "runtime": "nodejs24.x" }),
        )
        .await;
    let outcomes: Vec<_> = audit.lines().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["declined", "declined", "declined"]);
    let limited = Allow::read(&["write".to_owned()], &["catalog-*".to_owned()], &[]).expect("it can be read");
    let client = Client::of(server(&account).with_audit(audit.clone()).with_allow(limited)).await;
    client
        .refusal(
            "update-function-runtime",
            json!({ "functionName": "orders-api", "runtime": "nodejs24.x" }),
        )
        .await;
    let last = audit.lines().pop().expect("a line");
    assert_eq!(
        (&last["outcome"], &last["function"]),
        (&json!("refused"), &json!("orders-api"))
    );
}
