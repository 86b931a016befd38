//! The prompts: what they ask, with which data.

use rmcp::{
    ServiceError,
    model::{ErrorCode, GetPromptRequestParams},
};
use serde_json::{Value, json};

use crate::bench::{Client, account, server};

async fn get(client: &Client, name: &str, arguments: Value) -> Result<Value, (ErrorCode, String)> {
    let arguments = serde_json::from_value(arguments).expect("an object");
    let asked = GetPromptRequestParams::new(name).with_arguments(arguments);
    match client.peer().get_prompt(asked).await {
        Ok(prompt) => Ok(serde_json::to_value(prompt).expect("JSON")["messages"].clone()),
        Err(ServiceError::McpError(error)) => Err((error.code, error.message.into_owned())),
        Err(other) => panic!("not an error of MCP: {other:?}"),
    }
}

fn text(messages: &Value) -> &str {
    messages[0]["content"]["text"].as_str().expect("a text")
}

#[tokio::test]
async fn the_three_prompts_are_described_and_name_tools_that_exist() {
    let client = Client::of(server(&account())).await;
    let prompts = client.peer().list_all_prompts().await.expect("prompts");
    let names: Vec<_> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "upgrade-deprecated-functions",
            "explain-function",
            "who-is-affected"
        ]
    );
    for prompt in &prompts {
        assert!(prompt.title.is_some() && prompt.description.is_some());
        let arguments = prompt.arguments.as_ref().expect("arguments");
        assert!(arguments.iter().all(|argument| argument.description.is_some()));
    }
    let all = json!({ "runtime": "nodejs22.x", "functionName": "orders-api" });
    for name in names {
        let messages = get(&client, name, all.clone()).await.expect("a prompt");
        let tools = client
            .tools
            .iter()
            .filter(|tool| text(&messages).contains(&*tool.name));
        assert!(tools.count() > 0, "{name} leads to a tool");
    }
}

#[tokio::test]
async fn upgrading_asks_the_user_and_passes_the_arguments_on() {
    let client = Client::of(server(&account())).await;
    let all = json!({ "runtimeFamily": "nodejs", "tag": "team=shop", "regions": "eu-central-1, us-east-1" });
    let messages = get(&client, "upgrade-deprecated-functions", all)
        .await
        .expect("a prompt");
    let with = "with runtimeFamily \"nodejs\", tag \"team=shop\", regions [\"eu-central-1\", \"us-east-1\"].";
    assert!(text(&messages).contains(with), "{}", text(&messages));
    let messages = get(&client, "upgrade-deprecated-functions", json!({ "tag": "" }))
        .await
        .expect("a prompt");
    assert!(
        text(&messages).contains("Call report-deprecated-functions."),
        "{}",
        text(&messages)
    );
    assert!(text(&messages).contains("dryRun true"));
}

#[tokio::test]
async fn explaining_brings_the_function_along_without_its_secrets() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let messages = get(
        &client,
        "explain-function",
        json!({ "functionName": "orders-api" }),
    )
    .await
    .expect("a prompt");
    let resource = &messages[1]["content"]["resource"];
    assert_eq!(resource["uri"], "lambda://functions/orders-api");
    let shown: Value = serde_json::from_str(resource["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(shown["runtime"], "nodejs20.x");
    let said = messages.to_string();
    assert!(account.secrets().iter().all(|secret| !said.contains(secret)));
}

#[tokio::test]
async fn the_end_of_a_runtime_becomes_the_day_of_the_report() {
    let client = Client::of(server(&account())).await;
    let messages = get(
        &client,
        "who-is-affected",
        json!({ "runtime": "nodejs22.x", "regions": "all" }),
    )
    .await;
    let messages = messages.expect("a prompt");
    let call = "deprecatedBefore \"2027-05-01\", runtimeFamily \"nodejs\", regions [\"all\"]";
    assert!(text(&messages).contains(call), "{}", text(&messages));
    let report = json!({ "deprecatedBefore": "2027-05-01", "runtimeFamily": "nodejs", "regions": ["all"] });
    let report = client.ok("report-deprecated-functions", report).await;
    let groups = report["runtimes"].as_array().expect("groups");
    assert!(
        groups.iter().any(|group| group["runtime"] == "nodejs22.x"),
        "the call that is named finds it"
    );
}

#[tokio::test]
async fn what_is_missing_or_unknown_is_named() {
    let client = Client::of(server(&account())).await;
    for (name, arguments, words) in [
        ("explain-function", json!({}), "functionName is missing"),
        (
            "explain-function",
            json!({ "functionName": "nobody" }),
            "there is no function \"nobody\"",
        ),
        (
            "who-is-affected",
            json!({ "runtime": "nodejs99.x" }),
            "there is no runtime \"nodejs99.x\"",
        ),
        (
            "upgrade-deprecated-functions",
            json!({ "runtimeFamily": "perl" }),
            "runtimeFamily is \"perl\", but must be one of nodejs, python",
        ),
        (
            "upgrade-deprecated-functions",
            json!({ "regions": "eu-central-1, mars" }),
            "regions has \"mars\"",
        ),
        (
            "who-is-affected",
            json!({ "runtime": "nodejs22.x", "regions": "mars" }),
            "regions has \"mars\"",
        ),
        (
            "explain-function",
            json!({ "functionName": "arn:aws:lambda:us-east-1:123456789012:function:orders-api" }),
            "of the region us-east-1",
        ),
        (
            "no-such-prompt",
            json!({}),
            "there are upgrade-deprecated-functions",
        ),
    ] {
        let (code, message) = get(&client, name, arguments).await.expect_err("it is refused");
        assert_eq!(code, ErrorCode::INVALID_PARAMS);
        assert!(message.contains(words), "{message}");
    }
}
