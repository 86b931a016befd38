//! `report-deprecated-functions`: the talk's question, answered in one call.

use std::collections::BTreeMap;

use lambda_ops::{
    account::Listed,
    embedded::{Embedded, Operation, REGION},
    runtimes::Table,
};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

/// All functions of a region, by the SDK.
async fn listed(account: &Embedded, region: &str) -> Vec<Listed> {
    let account = account.account().in_region(region);
    let (mut functions, mut marker) = (Vec::new(), None);
    loop {
        let page = account.list(marker.as_deref()).await.expect("a page");
        functions.extend(page.functions);
        marker = page.next;
        if marker.is_none() {
            return functions;
        }
    }
}

/// How many functions there are on each runtime that has ended on the account's day.
fn ended(account: &Embedded, functions: &[Listed]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for runtime in functions.iter().filter_map(|function| function.runtime.as_ref()) {
        let known = Table::snapshot().find(runtime).expect("every runtime is known");
        if known.deprecation_date.is_some_and(|day| day <= account.today()) {
            *counts.entry(runtime.clone()).or_default() += 1;
        }
    }
    counts
}

fn counts(report: &Value) -> BTreeMap<String, u64> {
    let count = |group: &Value| {
        let runtime = group["runtime"].as_str().expect("a runtime").to_owned();
        (runtime, group["count"].as_u64().expect("a count"))
    };
    report["runtimes"]
        .as_array()
        .expect("groups")
        .iter()
        .map(count)
        .collect()
}

fn rows(report: &Value) -> Vec<&Value> {
    report["runtimes"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["functions"].as_array().expect("functions"))
        .collect()
}

#[tokio::test]
async fn one_call_names_every_function_on_a_runtime_that_has_ended() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let report = client.ok("report-deprecated-functions", json!({})).await;
    let calls = account.calls();
    let asked = |operation| calls.iter().filter(|call| **call == operation).count();
    assert_eq!(
        asked(Operation::ListFunctions),
        3,
        "120 functions are three pages"
    );
    assert_eq!(asked(Operation::GetResources), 2, "and their tags two");
    assert_eq!(calls.len(), 5, "nothing is asked for each function: {calls:?}");
    let functions = listed(&account, REGION).await;
    let wanted = ended(&account, &functions);
    assert_eq!(counts(&report), wanted);
    assert_eq!(report["totals"]["affected"], wanted.values().sum::<u64>());
    assert_eq!(report["totals"]["functions"], 120);
    assert_eq!(report["totals"]["leftOut"], 0);
    let images = functions
        .iter()
        .filter(|function| function.runtime.is_none())
        .count();
    assert_eq!(report["totals"]["containerImages"], images);
    assert_eq!(rows(&report).len() as u64, wanted.values().sum::<u64>());
    let groups = report["runtimes"].as_array().expect("groups");
    let node16 = groups
        .iter()
        .find(|group| group["runtime"] == "nodejs16.x")
        .expect("in use");
    assert_eq!(node16["status"], "deprecated");
    assert_eq!(node16["deprecationDate"], "2024-06-12");
    assert_eq!(node16["successor"], "nodejs24.x");
    assert!(node16["daysLeft"].as_i64().is_some_and(|days| days < 0));
    let ends: Vec<_> = groups
        .iter()
        .map(|group| group["deprecationDate"].as_str())
        .collect();
    assert!(ends.is_sorted(), "the earliest end comes first: {ends:?}");
    let stock = rows(&report)
        .into_iter()
        .find(|row| row["name"] == "stock-sync")
        .expect("on nodejs18.x");
    assert_eq!(stock["owner"], "Terraform");
    assert!(stock.get("region").is_none(), "there is one region");
    assert_eq!(
        stock["lastModified"].as_str().map(str::len),
        Some(10),
        "a day: {stock}"
    );
    let orders = rows(&report)
        .into_iter()
        .find(|row| row["name"] == "orders-api")
        .expect("on nodejs20.x");
    assert!(orders.get("owner").is_none(), "nobody's");
}

#[tokio::test]
async fn a_day_to_come_takes_in_what_ends_until_then() {
    let client = Client::of(server(&account())).await;
    let by = async |day: &str| {
        counts(
            &client
                .ok("report-deprecated-functions", json!({ "deprecatedBefore": day }))
                .await,
        )
    };
    let now = counts(&client.ok("report-deprecated-functions", json!({})).await);
    assert!(!now.contains_key("nodejs22.x"));
    assert!(
        !by("2027-04-30").await.contains_key("nodejs22.x"),
        "it ends on that day"
    );
    let soon = by("2027-05-01").await;
    assert!(soon.contains_key("nodejs22.x") && soon.len() > now.len());
    assert!(!by("2024-06-12").await.contains_key("nodejs16.x"));
}

#[tokio::test]
async fn regions_are_asked_at_once_and_a_failed_one_stands_beside_the_others() {
    let account = account();
    account.faults().make_unreachable("eu-west-1");
    account.faults().deny_the_region("us-west-1");
    let client = Client::of(server(&account)).await;
    let report = client
        .ok("report-deprecated-functions", json!({ "regions": ["all"] }))
        .await;
    let region = |name: &str| {
        let regions = report["regions"].as_array().expect("regions");
        regions
            .iter()
            .find(|region| region["region"] == name)
            .expect("it was asked")
            .clone()
    };
    assert_eq!(report["regions"].as_array().map(Vec::len), Some(17));
    assert_eq!(region(REGION)["functions"], 120);
    assert_eq!(region("us-east-1")["functions"], 40);
    assert_eq!(
        region("sa-east-1"),
        json!({ "region": "sa-east-1", "functions": 0, "affected": 0 })
    );
    let lost = region("eu-west-1")["error"].to_string();
    assert!(
        lost.contains("AWS Lambda in eu-west-1 gave no answer to ListFunctions"),
        "{lost}"
    );
    let denied = region("us-west-1")["error"].to_string();
    assert!(denied.contains("may not call ListFunctions"), "{denied}");
    assert_eq!(report["totals"]["incompleteRegions"], 2);
    assert_eq!(
        account.calls_in("sa-east-1"),
        [Operation::ListFunctions],
        "no tags without functions"
    );
    let mut functions = Vec::new();
    for region in [REGION, "us-east-1", "ap-southeast-2"] {
        functions.extend(listed(&account, region).await);
    }
    assert_eq!(counts(&report), ended(&account, &functions));
    let there = rows(&report)
        .into_iter()
        .filter(|row| row["region"] == "us-east-1")
        .count();
    assert_eq!(region("us-east-1")["affected"], there);
}

#[tokio::test]
async fn a_region_that_breaks_off_keeps_what_was_read() {
    let account = account();
    account.faults().let_pass(Operation::ListFunctions, 1);
    account.faults().throttle(Operation::ListFunctions, 4);
    let client = Client::of(server(&account)).await;
    let report = client.ok("report-deprecated-functions", json!({})).await;
    assert_eq!(report["regions"][0]["functions"], 50);
    assert!(report["regions"][0]["error"].is_string());
    assert_eq!(report["totals"]["incompleteRegions"], 1);
    assert!(!rows(&report).is_empty());
}

#[tokio::test]
async fn owners_that_cannot_be_read_are_unknown_and_a_tag_that_cannot_be_read_is_an_error() {
    let account = account();
    account.faults().deny(Operation::GetResources, 2);
    let client = Client::of(server(&account)).await;
    let report = client.ok("report-deprecated-functions", json!({})).await;
    let why = report["regions"][0]["ownersUnknown"].to_string();
    assert!(why.contains("may not call GetResources"), "{why}");
    assert!(rows(&report).iter().all(|row| row.get("owner").is_none()));
    assert!(!rows(&report).is_empty());
    let report = client
        .ok("report-deprecated-functions", json!({ "tag": "team=shop" }))
        .await;
    assert!(rows(&report).is_empty(), "nobody knows who has the tag");
    assert_eq!(report["totals"]["incompleteRegions"], 1);
}

#[tokio::test]
async fn filters_and_the_limit_leave_the_counts_honest() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let whole = client.ok("report-deprecated-functions", json!({})).await;
    let few = client
        .ok("report-deprecated-functions", json!({ "limit": 7 }))
        .await;
    assert_eq!(counts(&few), counts(&whole));
    assert_eq!(rows(&few), rows(&whole)[..7]);
    let affected = whole["totals"]["affected"].as_u64().expect("a count");
    assert_eq!(few["totals"]["leftOut"], affected - 7);
    let node = client
        .ok(
            "report-deprecated-functions",
            json!({ "runtimeFamily": "nodejs" }),
        )
        .await;
    assert!(counts(&node).keys().all(|runtime| runtime.starts_with("nodejs")) && !counts(&node).is_empty());
    let shop = client
        .ok("report-deprecated-functions", json!({ "tag": "team=shop" }))
        .await;
    let tags = account.account().tagged().await.expect("all tags");
    let of_shop = |row: &&&Value| {
        let name = row["name"].as_str().expect("a name");
        tags[&format!("arn:aws:lambda:{REGION}:123456789012:function:{name}")]["team"] == "shop"
    };
    let wanted: Vec<&Value> = rows(&whole).iter().filter(of_shop).copied().collect();
    assert_eq!(rows(&shop), wanted);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_the_remedy() {
    let client = Client::of(server(&account())).await;
    for (arguments, words) in [
        (
            json!({ "regions": ["evil.example"] }),
            "is not the name of an AWS region",
        ),
        (json!({ "limit": 0 }), "from 1 to 5000"),
        (json!({ "deprecatedBefore": "31.12.2026" }), "must be a day"),
        (json!({ "tag": "" }), "key or key=value"),
        (json!({ "regions": vec!["eu-west-1"; 51] }), "at most 50"),
    ] {
        let text = client.refusal("report-deprecated-functions", arguments).await;
        assert!(text.contains(words), "{text}");
    }
}
