//! `get-function`: everything that may be known, and nothing that is secret.

use std::collections::HashSet;

use lambda_ops::{
    account::FunctionName,
    embedded::{ACCOUNT_ID, Embedded, Operation, REGION},
};
use serde_json::{Value, json};

use super::listing::{all, names};
use crate::bench::{BRISK, Client, account, server};

#[tokio::test]
async fn no_value_of_an_environment_variable_ever_leaves() {
    let account = Embedded::sized(1, &[REGION], 120);
    account.set_pace(BRISK);
    let secrets = account.secrets();
    assert!(secrets.len() > 150, "the fleet is full of secrets");
    let client = Client::of(server(&account)).await;
    let functions = all(&client, json!({})).await;
    let mut said = serde_json::to_string(&functions).unwrap();
    let mut variables = 0;
    for name in names(&functions) {
        let shown = client.call("get-function", json!({ "functionName": name })).await;
        variables += shown.json["environmentVariableNames"]
            .as_array()
            .expect("names are shown")
            .len();
        said.push_str(&shown.text);
        said.push_str(&shown.json.to_string());
    }
    let update = json!({ "functionName": "orders-api", "runtime": "nodejs24.x", "testEvent": "{}" });
    said.push_str(&client.call("update-function-runtime", update).await.text);
    assert_eq!(variables, secrets.len(), "every variable is named");
    for secret in &secrets {
        assert!(!said.contains(secret), "{secret} got out");
    }
}

#[tokio::test]
async fn a_zip_function_shows_what_an_upgrade_needs_to_know() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let shown = client
        .ok("get-function", json!({ "functionName": "orders-api" }))
        .await;
    assert_eq!(shown["runtime"], "nodejs20.x");
    assert_eq!(shown["packageType"], "Zip");
    assert_eq!(shown["handler"], "index.handler");
    assert_eq!(shown["state"], "Active");
    assert_eq!(shown["lastUpdateStatus"], "Successful");
    assert!(shown["revisionId"].is_string() && shown["tags"]["team"].is_string());
    assert!(shown.get("code").is_none() && shown.get("environment").is_none());
    let asked: HashSet<Operation> = account.calls().into_iter().collect();
    let wanted = [
        Operation::GetFunctionConfiguration,
        Operation::GetFunctionConcurrency,
        Operation::ListAliases,
        Operation::ListEventSourceMappings,
        Operation::ListTags,
        Operation::ListVersionsByFunction,
    ];
    assert_eq!(
        asked,
        wanted.into(),
        "GetFunction would give a URL of the code; there is no layer to ask for"
    );
    assert_eq!(account.calls().len(), wanted.len(), "each is asked once");
    assert_eq!(shown["versions"], json!([]));
    assert_eq!(shown["aliases"], json!([]));
    assert_eq!(shown["owner"], Value::Null);
    assert_eq!(shown["snapStart"], false);
    assert!(shown.get("notPermitted").is_none() && shown.get("hint").is_none());
}

#[tokio::test]
async fn a_container_image_is_told_apart() {
    let client = Client::of(server(&account())).await;
    let shown = client
        .ok("get-function", json!({ "functionName": "media-transcoder" }))
        .await;
    assert_eq!(shown["packageType"], "Image");
    assert!(shown["runtime"].is_null() && shown["handler"].is_null());
    assert_eq!(shown["owner"]["tool"], "sam");
    let hint = shown["hint"].as_str().expect("a hint");
    assert!(
        hint.contains("update-function-runtime cannot change it"),
        "{hint}"
    );
}

#[tokio::test]
async fn what_stands_around_a_function_is_shown() {
    let client = Client::of(server(&account())).await;
    let look = async |name: &str| client.ok("get-function", json!({ "functionName": name })).await;
    let orders = look("order-events").await;
    let versions = json!([
        { "version": "2", "runtime": "nodejs20.x" },
        { "version": "1", "runtime": "nodejs18.x" }
    ]);
    assert_eq!(orders["versions"], versions);
    let weights = json!([{ "version": "2", "weight": 0.1 }]);
    let alias = json!({ "name": "live", "version": "1", "additionalWeights": weights });
    assert_eq!(orders["aliases"], json!([alias]));
    let queue = "arn:aws:sqs:eu-central-1:123456789012:orders";
    assert_eq!(
        orders["eventSources"],
        json!([{ "arn": queue, "state": "Enabled", "batchSize": 10 }])
    );
    assert_eq!(orders["reservedConcurrency"], 20);
    let by_alias = look("order-events:live").await;
    assert_eq!(
        (&by_alias["version"], &by_alias["runtime"]),
        (&json!("1"), &json!("nodejs18.x"))
    );
    assert_eq!(
        by_alias["versions"], versions,
        "the function's, whatever was named"
    );
    assert_eq!(look("loyalty-points").await["snapStart"], true);
    let replica = look("us-east-1.geo-redirect").await;
    assert!(
        replica["masterArn"]
            .as_str()
            .is_some_and(|arn| arn.contains("us-east-1"))
    );
    assert!(
        replica["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("Lambda@Edge"))
    );
    let images = look("email-renderer").await;
    assert_eq!(
        images["layers"][0]["compatibleRuntimes"],
        json!(["nodejs18.x", "nodejs20.x", "nodejs22.x"])
    );
    let owned = look("search-indexer").await;
    assert_eq!(owned["owner"]["tool"], "cloudformation");
    assert!(owned["owner"]["stack"].is_string());
}

#[tokio::test]
async fn parts_that_may_not_be_read_are_named_and_the_rest_is_shown() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let foreign = client
        .ok("get-function", json!({ "functionName": "partner-feed" }))
        .await;
    assert_eq!(foreign["notPermitted"], json!(["GetLayerVersion"]));
    assert!(foreign["layers"][0].get("compatibleRuntimes").is_none());
    for (operation, said, part) in [
        (Operation::ListTags, "ListTags", "tags"),
        (
            Operation::ListVersionsByFunction,
            "ListVersionsByFunction",
            "versions",
        ),
        (Operation::ListAliases, "ListAliases", "aliases"),
        (
            Operation::ListEventSourceMappings,
            "ListEventSourceMappings",
            "eventSources",
        ),
        (
            Operation::GetFunctionConcurrency,
            "GetFunctionConcurrency",
            "reservedConcurrency",
        ),
    ] {
        account.faults().deny(operation, 1);
        let shown = client
            .ok("get-function", json!({ "functionName": "order-events" }))
            .await;
        assert_eq!(shown["notPermitted"], json!([said]));
        assert_eq!(shown[part], Value::Null);
        assert_eq!(shown["runtime"], "nodejs20.x");
    }
}

#[tokio::test]
async fn a_function_is_found_by_its_arn() {
    let client = Client::of(server(&account())).await;
    let arn = client
        .ok("get-function", json!({ "functionName": "orders-api" }))
        .await["arn"]
        .clone();
    let shown = client.ok("get-function", json!({ "functionName": arn })).await;
    assert_eq!(shown["name"], "orders-api");
}

#[tokio::test]
async fn a_wrong_name_is_told_with_the_remedy() {
    let client = Client::of(server(&account())).await;
    let text = client
        .refusal("get-function", json!({ "functionName": "oders-api" }))
        .await;
    assert_eq!(
        text,
        "there is no function \"oders-api\" in eu-central-1; list-functions has the names"
    );
    let text = client
        .refusal("get-function", json!({ "functionName": "../../etc" }))
        .await;
    assert!(text.contains("is not the name or ARN"), "{text}");
    for (name, version) in [("order-events:77", "77"), ("order-events:beta", "beta")] {
        let text = client
            .refusal("get-function", json!({ "functionName": name }))
            .await;
        let told = format!(
            "there is no function \"order-events\" with a version or alias {version:?} in eu-central-1"
        );
        assert!(
            text.starts_with(&told) && text.contains("get-function with the name alone"),
            "{text}"
        );
    }
    let latest = json!({ "functionName": "oders-api:$LATEST" });
    let text = client.refusal("get-function", latest).await;
    assert!(
        text.starts_with("there is no function \"oders-api\" in"),
        "every function has a $LATEST: {text}"
    );
}

#[tokio::test]
async fn a_function_of_another_place_is_not_taken_for_the_one_here() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let there = format!("arn:aws:lambda:us-east-1:{ACCOUNT_ID}:function:orders-api");
    let text = client
        .refusal("get-function", json!({ "functionName": there }))
        .await;
    for words in [there.as_str(), "of the region us-east-1", REGION] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(account.calls(), [], "AWS was not asked");
    for theirs in [
        format!("arn:aws:lambda:{REGION}:999999999999:function:orders-api"),
        "999999999999:orders-api".to_owned(),
    ] {
        let text = client
            .refusal("get-function", json!({ "functionName": theirs }))
            .await;
        assert!(text.contains("may not call GetFunctionConfiguration"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_permission_is_told_without_saying_who_we_are() {
    let account = account();
    account.faults().deny(Operation::GetFunctionConfiguration, 1);
    let client = Client::of(server(&account)).await;
    let text = client
        .refusal("get-function", json!({ "functionName": "orders-api" }))
        .await;
    assert_eq!(
        text,
        "this server may not call GetFunctionConfiguration here; its operator can permit it in IAM"
    );
}

#[tokio::test]
async fn throttling_is_waited_out_and_what_is_left_is_told() {
    let account = account();
    account.faults().throttle(Operation::GetFunctionConfiguration, 2);
    let client = Client::of(server(&account)).await;
    client
        .ok("get-function", json!({ "functionName": "orders-api" }))
        .await;
    let tries = account
        .calls()
        .iter()
        .filter(|call| **call == Operation::GetFunctionConfiguration)
        .count();
    assert_eq!(tries, 3, "the SDK tried again twice");
    account
        .faults()
        .throttle(Operation::GetFunctionConfiguration, 100);
    let text = client
        .refusal("get-function", json!({ "functionName": "orders-api" }))
        .await;
    assert!(
        text.contains("refusing GetFunctionConfiguration at this rate"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_told_without_what_stands_in_it() {
    let account = account();
    for _ in 0..2 {
        account
            .faults()
            .garble_the_answer(Operation::GetFunctionConfiguration);
        let name = FunctionName::parse("orders-api").expect("a name");
        let error = account
            .account()
            .configuration(&name)
            .await
            .expect_err("it is garbled");
        assert_eq!(
            error.to_string(),
            "AWS's answer to GetFunctionConfiguration could not be read"
        );
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains("HTTP status 200"), "{cause}");
        let everything = format!("{error:?} {cause}");
        for secret in account.secrets() {
            assert!(!everything.contains(&secret), "{everything}");
        }
    }
}
