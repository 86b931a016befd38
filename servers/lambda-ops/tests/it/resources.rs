//! The resources and the completion of their names.

use lambda_ops::embedded::{Embedded, Operation, REGION};
use rmcp::{
    ServiceError,
    model::{
        ArgumentInfo, CompleteRequestParams, CompletionInfo, ErrorCode, PaginatedRequestParams,
        ReadResourceRequestParams, Reference, Resource,
    },
};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

async fn read(client: &Client, uri: &str) -> Value {
    let read = client
        .peer()
        .read_resource(ReadResourceRequestParams::new(uri))
        .await;
    let read = serde_json::to_value(read.expect("it is there")).expect("JSON");
    assert_eq!(read["contents"][0]["uri"], uri);
    assert_eq!(read["contents"][0]["mimeType"], "application/json");
    let text = read["contents"][0]["text"].as_str().expect("a text");
    serde_json::from_str(text).expect("it is JSON")
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ServiceError>) -> (ErrorCode, String) {
    match answer.expect_err("it is refused") {
        ServiceError::McpError(error) => (error.code, error.message.into_owned()),
        other => panic!("not an error of MCP: {other:?}"),
    }
}

async fn complete(client: &Client, of: Reference, argument: &str, written: &str) -> CompletionInfo {
    let asked = CompleteRequestParams::new(of, ArgumentInfo::new(argument, written));
    client.peer().complete(asked).await.expect("an answer").completion
}

#[tokio::test]
async fn the_runtimes_and_every_function_are_listed_page_by_page() {
    let client = Client::of(server(&account())).await;
    let (mut all, mut cursor): (Vec<Resource>, _) = (Vec::new(), None);
    let mut pages = 0;
    loop {
        let page = PaginatedRequestParams::default().with_cursor(cursor);
        let page = client.peer().list_resources(Some(page)).await.expect("a page");
        all.extend(page.resources);
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), pages), (121, 3));
    assert_eq!(all[0].uri, "lambda://runtimes");
    let orders = all
        .iter()
        .find(|resource| resource.uri == "lambda://functions/orders-api");
    let orders = orders.expect("it is listed");
    assert_eq!(orders.description.as_deref(), Some("Lambda function, nodejs20.x"));
    let templates = client
        .peer()
        .list_all_resource_templates()
        .await
        .expect("templates");
    assert_eq!(templates[0].uri_template, "lambda://functions/{name}");
    let wrong = PaginatedRequestParams::default().with_cursor(Some("x".into()));
    let (code, text) = refused(client.peer().list_resources(Some(wrong)).await);
    assert_eq!(code, ErrorCode::INVALID_PARAMS, "{text}");
}

#[tokio::test]
async fn a_function_reads_as_the_tool_shows_it_and_without_its_secrets() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let shown = client
        .ok("get-function", json!({ "functionName": "order-events" }))
        .await;
    let resource = read(&client, "lambda://functions/order-events").await;
    assert_eq!(resource, shown);
    let said = resource.to_string();
    assert!(account.secrets().iter().all(|secret| !said.contains(secret)));
    let alias = read(&client, "lambda://functions/order-events%3Alive").await;
    assert_eq!(alias["version"], "1");
    let runtimes = read(&client, "lambda://runtimes").await;
    assert_eq!(runtimes, client.ok("get-runtime-info", json!({})).await);
}

#[tokio::test]
async fn what_is_not_there_is_told_by_its_code() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let asked = |uri: &str| client.peer().read_resource(ReadResourceRequestParams::new(uri));
    for uri in [
        "lambda://functions/nobody",
        "lambda://functions/",
        "lambda://functions/us-east-1:123456789012:function:orders-api",
        "lambda://x",
        "file:///etc/passwd",
    ] {
        let (code, text) = refused(asked(uri).await);
        assert_eq!(code, ErrorCode::RESOURCE_NOT_FOUND, "{uri}: {text}");
    }
    account.faults().deny(Operation::GetFunctionConfiguration, 1);
    let (code, text) = refused(asked("lambda://functions/orders-api").await);
    assert_eq!(code, ErrorCode::INTERNAL_ERROR);
    assert!(text.contains("may not call GetFunctionConfiguration"), "{text}");
}

#[tokio::test]
async fn names_are_completed_by_their_beginning_a_hundred_at_most() {
    let account = Embedded::sized(1, &[REGION], 300);
    let client = Client::of(server(&account)).await;
    let template = || Reference::for_resource("lambda://functions/{name}");
    let orders = complete(&client, template(), "name", "orders-a").await;
    assert!(orders.values.contains(&"orders-api".to_owned()));
    assert!(orders.values.iter().all(|name| name.starts_with("orders-a")));
    assert_eq!(orders.has_more, Some(false));
    let all = complete(&client, template(), "name", "").await;
    assert_eq!(
        (all.values.len(), all.total, all.has_more),
        (100, Some(300), Some(true))
    );
    let prompt = complete(
        &client,
        Reference::for_prompt("explain-function"),
        "functionName",
        "orders-a",
    )
    .await;
    assert_eq!(prompt.values, orders.values);
    assert_eq!(
        account.calls().len(),
        6,
        "the names are read once and kept for a minute"
    );
    let runtime = complete(
        &client,
        Reference::for_prompt("who-is-affected"),
        "runtime",
        "nodejs2",
    )
    .await;
    assert_eq!(runtime.values, ["nodejs20.x", "nodejs22.x", "nodejs24.x"]);
    let other = complete(
        &client,
        Reference::for_prompt("upgrade-deprecated-functions"),
        "tag",
        "t",
    )
    .await;
    assert!(other.values.is_empty());
    let unknown = CompleteRequestParams::new(Reference::for_prompt("none"), ArgumentInfo::new("a", "b"));
    let (code, _) = refused(client.peer().complete(unknown).await);
    assert_eq!(code, ErrorCode::INVALID_PARAMS);
}

#[tokio::test]
async fn languages_and_regions_are_completed() {
    let client = Client::of(server(&account())).await;
    let complete = async |argument: &str, written: &str| {
        let prompt = Reference::for_prompt("upgrade-deprecated-functions");
        complete(&client, prompt, argument, written).await.values
    };
    assert_eq!(complete("runtimeFamily", "p").await, ["python", "provided"]);
    let all = complete("regions", "").await;
    assert_eq!((all.len(), all[0].as_str()), (18, "all"));
    assert_eq!(complete("regions", "eu-c").await, ["eu-central-1"]);
    assert_eq!(
        complete("regions", "eu-central-1, us-east").await,
        ["eu-central-1, us-east-1", "eu-central-1, us-east-2"]
    );
    let more = complete("regions", "us-east-1,").await;
    assert_eq!(more.len(), 16, "neither the same again nor all: {more:?}");
}
