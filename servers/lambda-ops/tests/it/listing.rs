//! `list-functions`: pages, filters, markers.

use std::collections::{BTreeMap, BTreeSet};

use lambda_ops::embedded::{Embedded, Operation};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

/// All functions of a list, page by page; each page is as full as it can be.
pub(crate) async fn all(client: &Client, mut arguments: Value) -> Vec<Value> {
    let mut functions = Vec::new();
    loop {
        let page = client.ok("list-functions", arguments.clone()).await;
        let rows = page["functions"]
            .as_array()
            .expect("a page has functions")
            .clone();
        functions.extend(rows.iter().cloned());
        match page.get("marker") {
            Some(marker) => {
                let size = arguments.get("pageSize").and_then(Value::as_u64).unwrap_or(50);
                assert_eq!(rows.len() as u64, size, "a page with a marker is full");
                arguments["marker"] = marker.clone();
            }
            None => return functions,
        }
    }
}

pub(crate) fn names(functions: &[Value]) -> Vec<&str> {
    functions
        .iter()
        .map(|function| function["name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn every_function_is_listed_exactly_once_whatever_the_page_size() {
    let client = Client::of(server(&account())).await;
    for size in [1, 7, 49, 50] {
        let functions = all(&client, json!({ "pageSize": size })).await;
        let names = names(&functions);
        assert_eq!(names.len(), 120, "at page size {size}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 120);
    }
    assert_eq!(all(&client, json!({})).await.len(), 120);
    assert_eq!(
        all(&client, json!({ "marker": "" })).await.len(),
        120,
        "the seed's clients begin with an empty marker"
    );
}

#[tokio::test]
async fn a_container_image_has_no_runtime() {
    let client = Client::of(server(&account())).await;
    let functions = all(&client, json!({ "namePrefix": "media-transcoder" })).await;
    assert_eq!(functions[0]["runtime"], Value::Null);
    assert_eq!(functions[0]["packageType"], "Image");
}

#[tokio::test]
async fn filters_find_what_is_there_and_nothing_else() {
    let client = Client::of(server(&account())).await;
    let everything = all(&client, json!({})).await;
    let mut by_runtime: BTreeMap<String, usize> = BTreeMap::new();
    for function in &everything {
        if let Some(runtime) = function["runtime"].as_str() {
            *by_runtime.entry(runtime.to_owned()).or_default() += 1;
        }
    }
    for (runtime, count) in &by_runtime {
        let found = all(&client, json!({ "runtime": runtime, "pageSize": 3 })).await;
        assert_eq!(found.len(), *count, "{runtime}");
        assert!(found.iter().all(|function| function["runtime"] == **runtime));
    }
    let node = all(&client, json!({ "runtimeFamily": "nodejs" })).await;
    let wanted: usize = by_runtime
        .iter()
        .filter(|(id, _)| id.starts_with("nodejs"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(node.len(), wanted);
    assert!(wanted > 20, "the fleet is full of Node.js");
    let orders = all(&client, json!({ "namePrefix": "orders-" })).await;
    assert!(!orders.is_empty() && names(&orders).iter().all(|name| name.starts_with("orders-")));
    assert!(all(&client, json!({ "namePrefix": "no-such-" })).await.is_empty());
}

#[tokio::test]
async fn a_filtered_page_reads_on_until_it_is_full() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let found = client
        .ok("list-functions", json!({ "runtime": "java8.al2" }))
        .await;
    assert!(found.get("marker").is_none());
    let pages = account
        .calls()
        .iter()
        .filter(|call| **call == Operation::ListFunctions)
        .count();
    assert_eq!(pages, 3, "120 functions are three pages of AWS's");
}

#[tokio::test]
async fn a_marker_of_another_list_is_refused() {
    let client = Client::of(server(&account())).await;
    let page = client
        .ok(
            "list-functions",
            json!({ "runtimeFamily": "nodejs", "pageSize": 5 }),
        )
        .await;
    let marker = page["marker"].as_str().expect("there is more");
    let other = client
        .refusal(
            "list-functions",
            json!({ "runtimeFamily": "python", "marker": marker }),
        )
        .await;
    assert!(other.contains("other filters"), "{other}");
    let mut tampered = marker.to_owned();
    tampered.replace_range(0..1, if marker.starts_with('A') { "B" } else { "A" });
    let tampered = client
        .refusal(
            "list-functions",
            json!({ "runtimeFamily": "nodejs", "marker": tampered }),
        )
        .await;
    assert!(tampered.contains("other filters"), "{tampered}");
    for garbled in ["50", "orders-api", "!!", "eyJhIjoxfQ"] {
        let text = client
            .refusal("list-functions", json!({ "marker": garbled }))
            .await;
        assert!(text.contains("not one of list-functions"), "{text}");
    }
}

#[tokio::test]
async fn the_page_size_may_change_on_the_way() {
    let client = Client::of(server(&account())).await;
    let first = client.ok("list-functions", json!({ "pageSize": 7 })).await;
    let rest = all(&client, json!({ "marker": first["marker"] })).await;
    assert_eq!(rest.len(), 120 - 7);
    let text = client.refusal("list-functions", json!({ "pageSize": 51 })).await;
    assert!(text.contains("from 1 to 50"), "{text}");
}

#[tokio::test]
async fn a_list_that_changes_between_pages_loses_nothing() {
    let account = account();
    let (client, sdk) = (Client::of(server(&account)).await, account.client());
    let first = client.ok("list-functions", json!({ "pageSize": 10 })).await;
    let seen: Vec<String> = first["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap().to_owned())
        .collect();
    sdk.delete_function()
        .function_name(&seen[0])
        .send()
        .await
        .expect("the first function goes");
    let rest = all(&client, json!({ "marker": first["marker"] })).await;
    assert_eq!(rest.len(), 110, "nobody is skipped because somebody before went");
    sdk.delete_function()
        .function_name(&seen[9])
        .send()
        .await
        .expect("the last one given goes too");
    let text = client
        .refusal("list-functions", json!({ "marker": first["marker"] }))
        .await;
    assert!(text.contains("begin anew"), "{text}");
}

#[tokio::test]
async fn an_empty_account_is_an_empty_list() {
    let client = Client::of(server(&Embedded::empty())).await;
    assert_eq!(
        client.ok("list-functions", json!({})).await,
        json!({ "functions": [] })
    );
}

#[tokio::test]
async fn a_runtime_that_does_not_exist_is_not_an_empty_list() {
    let client = Client::of(server(&account())).await;
    let text = client
        .refusal("list-functions", json!({ "runtime": "nodejs18" }))
        .await;
    assert!(text.contains("there is no runtime \"nodejs18\""), "{text}");
    let empty = Client::of(server(&Embedded::empty())).await;
    assert_eq!(
        empty
            .ok("list-functions", json!({ "runtime": "nodejs18.x" }))
            .await,
        json!({ "functions": [] }),
        "a runtime that nobody uses is one"
    );
}

#[tokio::test]
async fn tags_dates_and_owners_filter_and_are_told_then() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let everything = all(&client, json!({})).await;
    let tags = account.account().tagged().await.expect("all tags");
    let team = |function: &Value| tags[function["arn"].as_str().expect("an ARN")]["team"].clone();
    for wanted in ["team=payments", "team=nobody", "team", "no-such-tag"] {
        let found = all(&client, json!({ "tag": wanted, "pageSize": 9 })).await;
        let by_hand: Vec<&Value> = everything
            .iter()
            .filter(|function| match wanted.split_once('=') {
                Some((_, value)) => team(function) == value,
                None => wanted == "team",
            })
            .collect();
        assert_eq!(
            names(&found),
            by_hand
                .iter()
                .map(|f| f["name"].as_str().unwrap())
                .collect::<Vec<_>>()
        );
    }
    let owned = all(&client, json!({ "owned": true })).await;
    let free = all(&client, json!({ "owned": false })).await;
    assert_eq!(owned.len() + free.len(), 120);
    assert!(owned.iter().all(|function| function["owner"].is_string()));
    assert!(free.iter().all(|function| function.get("owner").is_none()));
    let stock = owned.iter().find(|function| function["name"] == "stock-sync");
    assert_eq!(stock.expect("it is owned")["owner"], "Terraform");
    let asked = account
        .calls()
        .iter()
        .filter(|call| **call == Operation::GetResources)
        .count();
    assert_eq!(
        asked, 4,
        "two pages for this test and two for the server, which keeps them"
    );
}

#[tokio::test]
async fn a_runtime_ends_before_a_day_or_not() {
    let client = Client::of(server(&account())).await;
    let before = async |day: &str| all(&client, json!({ "deprecatedBefore": day, "pageSize": 9 })).await;
    let ended = |functions: &[Value], runtime: &str| functions.iter().any(|f| f["runtime"] == runtime);
    let old = before("2025-09-01").await;
    assert!(
        ended(&old, "nodejs16.x") && !ended(&old, "nodejs18.x"),
        "its end is that very day"
    );
    assert!(old.iter().all(|f| {
        f["deprecationDate"]
            .as_str()
            .is_some_and(|day| day < "2025-09-01")
    }));
    let older = before("2025-09-02").await;
    assert!(ended(&older, "nodejs18.x"));
    assert!(before("2016-01-01").await.is_empty());
    assert!(
        before("2100-01-01")
            .await
            .iter()
            .all(|f| f["runtime"].is_string()),
        "images have no date"
    );
    let text = client
        .refusal("list-functions", json!({ "deprecatedBefore": "soon" }))
        .await;
    assert!(
        text.contains("deprecatedBefore is \"soon\", but must be a day"),
        "{text}"
    );
    let text = client.refusal("list-functions", json!({ "tag": "=x" })).await;
    assert!(text.contains("key or key=value"), "{text}");
}

#[tokio::test]
async fn a_list_that_is_throttled_half_way_keeps_what_it_has() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let wanted = all(&client, json!({ "runtimeFamily": "nodejs" })).await;
    account.faults().let_pass(Operation::ListFunctions, 1);
    account.faults().throttle(Operation::ListFunctions, 4);
    let page = client
        .ok("list-functions", json!({ "runtimeFamily": "nodejs" }))
        .await;
    let mut found = page["functions"].as_array().expect("functions").clone();
    assert!(!found.is_empty() && found.len() < wanted.len());
    let notice = page["notice"].as_str().expect("a notice");
    assert!(notice.contains("refusing ListFunctions at this rate"), "{notice}");
    found.extend(
        all(
            &client,
            json!({ "runtimeFamily": "nodejs", "marker": page["marker"] }),
        )
        .await,
    );
    assert_eq!(found, wanted);
    account.faults().throttle(Operation::ListFunctions, 4);
    let text = client.refusal("list-functions", json!({})).await;
    assert!(text.contains("at this rate"), "nothing was gathered: {text}");
}

#[tokio::test]
async fn a_marker_belongs_to_its_account_and_to_each_filter() {
    let client = Client::of(server(&account())).await;
    let page = client
        .ok("list-functions", json!({ "owned": true, "pageSize": 5 }))
        .await;
    for other in [
        json!({}),
        json!({ "owned": false }),
        json!({ "owned": true, "tag": "team" }),
    ] {
        let mut other = other;
        other["marker"] = page["marker"].clone();
        let text = client.refusal("list-functions", other).await;
        assert!(text.contains("other filters"), "{text}");
    }
}
