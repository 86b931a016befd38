//! `get-function`: everything that may be known, and nothing that is secret.

use lambda_ops::{
    account::FunctionName,
    embedded::{Embedded, Operation, REGION},
};
use serde_json::json;

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
    let asked = [Operation::GetFunctionConfiguration, Operation::ListTags];
    assert_eq!(account.calls(), asked, "GetFunction would give a URL of the code");
}

#[tokio::test]
async fn a_container_image_is_told_apart() {
    let client = Client::of(server(&account())).await;
    let shown = client
        .ok("get-function", json!({ "functionName": "media-transcoder" }))
        .await;
    assert_eq!(shown["packageType"], "Image");
    assert!(shown["runtime"].is_null() && shown["handler"].is_null());
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
}

#[tokio::test]
async fn a_missing_permission_is_told_without_saying_who_we_are() {
    let account = account();
    account.faults().deny(Operation::ListTags, 1);
    let client = Client::of(server(&account)).await;
    let text = client
        .refusal("get-function", json!({ "functionName": "orders-api" }))
        .await;
    assert_eq!(
        text,
        "this server may not call ListTags here; its operator can permit it in IAM"
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
