//! What a server may do that was permitted nothing, or something, and how it says so.

use lambda_ops::{
    LambdaOps,
    allow::Allow,
    embedded::{ACCOUNT_ID, Embedded, Operation, REGION},
};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

fn permitted(account: &Embedded, deeds: &[&str], functions: &[&str], tags: &[&str]) -> LambdaOps {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let allow = Allow::read(&strings(deeds), &strings(functions), &strings(tags)).expect("nothing is wrong");
    server(account).with_allow(allow)
}

fn names(client: &Client) -> Vec<&str> {
    client.tools.iter().map(|tool| tool.name.as_ref()).collect()
}

fn description(client: &Client) -> &str {
    let tool = client
        .tools
        .iter()
        .find(|tool| tool.name == "update-function-runtime");
    tool.and_then(|tool| tool.description.as_deref())
        .expect("it is always listed")
}

fn instructions(client: &Client) -> String {
    let server = client.peer().peer_info().expect("it said who it is");
    server.instructions.clone().expect("it has instructions")
}

fn run(function: &str) -> Value {
    json!({ "functionName": function, "payload": "{}" })
}

fn ran(account: &Embedded) -> bool {
    account.calls().contains(&Operation::Invoke)
}

#[tokio::test]
async fn nothing_may_be_run_or_changed_unless_it_is_permitted() {
    let account = account();
    let client = Client::of(server(&account).with_allow(Allow::nothing())).await;
    assert!(!names(&client).contains(&"invoke-function"));
    assert!(description(&client).contains("CHANGES ARE OFF"));
    assert!(
        instructions(&client).contains("reading only"),
        "{}",
        instructions(&client)
    );
    let text = client.refusal("invoke-function", run("orders-api")).await;
    assert!(text.contains("--allow invoke (SKYDOCK_ALLOW)"), "{text}");
    assert_eq!(account.calls(), [], "AWS was not asked");
}

#[tokio::test]
async fn the_embedded_account_is_no_exception() {
    let client = Client::of(LambdaOps::embedded(1)).await;
    assert!(!names(&client).contains(&"invoke-function"));
}

#[tokio::test]
async fn each_permission_lists_its_own_tools() {
    let account = account();
    let invoking = Client::of(permitted(&account, &["invoke"], &[], &[])).await;
    assert!(names(&invoking).contains(&"invoke-function"));
    assert!(description(&invoking).contains("CHANGES ARE OFF"));
    let writing = Client::of(permitted(&account, &["write"], &[], &[])).await;
    assert!(!names(&writing).contains(&"invoke-function"));
    assert!(!description(&writing).contains("CHANGES ARE OFF"));
}

#[tokio::test]
async fn a_function_is_run_if_its_name_fits() {
    let account = account();
    let client = Client::of(permitted(&account, &["invoke"], &["orders-*"], &[])).await;
    let told = instructions(&client);
    assert!(told.contains("their name fits orders-*"), "{told}");
    let text = client.refusal("invoke-function", run("catalog-api")).await;
    assert!(
        text.contains("\"catalog-api\"") && text.contains("--allow-function orders-*"),
        "{text}"
    );
    assert!(!ran(&account));
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:orders-api");
    client.ok("invoke-function", run(&arn)).await;
    assert!(
        !account.calls().contains(&Operation::ListTags),
        "no rule asks for tags"
    );
}

#[tokio::test]
async fn a_function_is_run_if_its_tags_fit_as_aws_has_them_now() {
    let account = account();
    let client = Client::of(permitted(&account, &["invoke"], &[], &["lambda-ops=allow"])).await;
    let text = client.refusal("invoke-function", run("orders-api")).await;
    assert!(text.contains("lambda-ops=allow (--allow-tag)"), "{text}");
    assert!(!ran(&account));
    let tagged = account
        .client()
        .tag_resource()
        .resource(format!(
            "arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:orders-api"
        ))
        .tags("lambda-ops", "allow");
    tagged.send().await.expect("it is tagged");
    client.ok("invoke-function", run("orders-api")).await;
}

#[tokio::test]
async fn a_function_whose_tags_cannot_be_read_is_not_run() {
    let account = account();
    account.faults().deny(Operation::ListTags, 1);
    let client = Client::of(permitted(&account, &["invoke"], &[], &["team"])).await;
    let text = client.refusal("invoke-function", run("orders-api")).await;
    assert!(text.contains("may not call ListTags"), "{text}");
    assert!(!ran(&account));
}

#[tokio::test]
async fn a_function_elsewhere_is_never_touched() {
    let account = account();
    let client = Client::of(server(&account)).await;
    for elsewhere in [
        format!("arn:aws:lambda:us-east-1:{ACCOUNT_ID}:function:orders-api"),
        format!("arn:aws:lambda:{REGION}:999999999999:function:orders-api"),
        "999999999999:orders-api".to_owned(),
    ] {
        let text = client.refusal("invoke-function", run(&elsewhere)).await;
        assert!(text.contains(&elsewhere) && text.contains(ACCOUNT_ID), "{text}");
    }
    assert!(!ran(&account));
}
