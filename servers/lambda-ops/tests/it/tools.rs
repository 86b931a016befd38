//! What the server says about its tools.

use serde_json::{Value, json};

use crate::bench::{Client, account, server};

async fn tool(name: &str) -> Value {
    let client = Client::of(server(&account())).await;
    let tool = client
        .tools
        .iter()
        .find(|tool| tool.name == name)
        .expect("the tool is listed");
    serde_json::to_value(tool).expect("JSON")
}

#[tokio::test]
async fn the_tools_are_listed_under_their_names() {
    let client = Client::of(server(&account())).await;
    let mut names: Vec<&str> = client.tools.iter().map(|tool| tool.name.as_ref()).collect();
    names.sort_unstable();
    let wanted = [
        "get-function",
        "get-runtime-info",
        "invoke-function",
        "list-functions",
        "plan-runtime-upgrades",
        "recover-updates",
        "report-deprecated-functions",
        "update-function-runtime",
    ];
    assert_eq!(names, wanted);
}

#[tokio::test]
async fn every_tool_tells_a_model_what_it_needs() {
    let client = Client::of(server(&account())).await;
    for tool in &client.tools {
        assert!(tool.title.is_some(), "{} has no title", tool.name);
        assert!(
            tool.description.as_ref().is_some_and(|text| text.len() > 100),
            "{} is not described",
            tool.name
        );
        let input = Value::from(tool.input_schema.as_ref().clone());
        assert_eq!(
            input["additionalProperties"], false,
            "{} takes unknown arguments",
            tool.name
        );
        let properties = input["properties"].as_object();
        assert_eq!(
            properties.is_none(),
            tool.name == "recover-updates",
            "{} takes arguments",
            tool.name
        );
        for (name, property) in properties.into_iter().flatten() {
            let described = property["description"].is_string();
            assert!(described, "{}: {name} is not described: {property}", tool.name);
        }
    }
}

#[tokio::test]
async fn hints_tell_reading_from_changing() {
    for name in ["get-runtime-info", "list-functions", "get-function"] {
        let hints = &tool(name).await["annotations"];
        assert_eq!(hints["readOnlyHint"], true, "{name}");
    }
    let invoke = tool("invoke-function").await;
    let wanted = json!({ "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true });
    assert_eq!(invoke["annotations"], wanted);
    let update = tool("update-function-runtime").await;
    assert_eq!(update["annotations"]["destructiveHint"], true);
    assert_eq!(
        update["annotations"]["idempotentHint"], false,
        "a second call runs the test again"
    );
    for name in ["list-functions", "update-function-runtime"] {
        let told = tool(name).await["description"].to_string();
        assert!(told.contains("$LATEST only"), "{told}");
    }
}

#[tokio::test]
async fn inputs_are_the_seeds() {
    assert_eq!(
        tool("get-function").await["inputSchema"]["required"],
        json!(["functionName"])
    );
    assert_eq!(
        tool("invoke-function").await["inputSchema"]["required"],
        json!(["functionName", "payload"])
    );
    assert_eq!(
        tool("update-function-runtime").await["inputSchema"]["required"],
        json!(["functionName", "runtime"])
    );
    assert!(tool("list-functions").await["inputSchema"]["properties"]["marker"].is_object());
}

#[tokio::test]
async fn an_argument_that_does_not_exist_is_named() {
    let client = Client::of(server(&account())).await;
    let text = client
        .refusal("get-function", json!({ "function_name": "orders-api" }))
        .await;
    assert!(
        text.contains("function_name") && text.contains("functionName"),
        "{text}"
    );
}

#[tokio::test]
async fn what_a_number_or_its_absence_means_is_said() {
    let list = tool("list-functions").await;
    let told = list["description"].to_string();
    assert!(told.contains("`owner` is given only with the filters"), "{told}");
    let owner = &list["outputSchema"]["$defs"]["Function"]["properties"]["owner"]["description"];
    assert!(
        owner.to_string().contains("does not mean that nobody owns"),
        "{owner}"
    );
    let report = tool("report-deprecated-functions").await;
    let totals = &report["outputSchema"]["$defs"]["Totals"]["properties"];
    for (field, words) in [
        ("functions", "do not narrow it"),
        ("containerImages", "whatever `tag` and `runtimeFamily` say"),
    ] {
        let told = totals[field]["description"].to_string();
        assert!(told.contains(words), "{field}: {told}");
    }
}
