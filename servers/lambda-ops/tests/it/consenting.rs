//! Who agrees to a change of runtime: the user who is asked, in whatever way, or the token of the plan that they saw.

use serde_json::{Value, json};
use skydock::{Host, Key};

use crate::{
    bench::{Client, User, account, server},
    planning::{TOOL, and, changed, node24, planned},
    updating::{pair, shown, to},
};

#[tokio::test]
async fn the_user_is_shown_the_plan_and_asked() {
    let account = account();
    let client = Client::of(server(&account)).await;
    let updated = client.ok(TOOL, node24()).await;
    assert_eq!(updated["outcome"], "updated");
    assert_eq!(updated["identity"]["account"], "123456789012");
    let questions = client.questions().await;
    assert_eq!(questions.len(), 1);
    for text in [
        "Change the runtime of orders-api from nodejs20.x to nodejs24.x?",
        "function:orders-api, $LATEST at revision ",
        "account 123456789012, region eu-central-1",
        "Tried with: a dry run only",
        "Undone by: putting nodejs20.x back",
    ] {
        assert!(questions[0].contains(text), "{text}: {}", questions[0]);
    }
}

#[tokio::test]
async fn who_does_not_agree_keeps_the_function_as_it_is() {
    for user in [User::Declines, User::Closes, User::Disagrees] {
        let account = account();
        let client = Client::with(server(&account), user).await;
        let declined = client.ok(TOOL, node24()).await;
        assert_eq!(declined["outcome"], "declined", "{user:?}");
        assert!(!changed(&account));
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_shows_the_plan_and_brings_its_token() {
    let account = account();
    let client = Client::with(server(&account), User::OutOfReach).await;
    let planned = client.call(TOOL, node24()).await;
    assert!(planned.is_error, "nobody agreed yet");
    assert_eq!(planned.json["outcome"], "planned");
    assert!(
        planned.text.contains("only if they agree call again"),
        "{}",
        planned.text
    );
    assert!(!changed(&account));
    let updated = client
        .ok(
            TOOL,
            and(node24(), "planToken", planned.json["planToken"].clone()),
        )
        .await;
    assert_eq!(updated["outcome"], "updated");
}

#[tokio::test]
async fn a_client_that_can_be_asked_is_asked_although_it_brings_a_token() {
    let account = account();
    let token = planned(&account, node24()).await["planToken"].clone();
    let client = Client::with(server(&account), User::Declines).await;
    let declined = client.ok(TOOL, and(node24(), "planToken", token)).await;
    assert_eq!(declined["outcome"], "declined");
    assert_eq!(client.questions().await.len(), 1);
}

#[tokio::test]
async fn a_token_holds_for_its_plan_alone() {
    let account = account();
    let key = Key::random();
    let of = async |arguments: Value| {
        let client = Client::with(server(&account).with_key(&key), User::OutOfReach).await;
        client.call(TOOL, arguments).await
    };
    let token = of(node24()).await.json["planToken"].clone();
    let other_server = Client::with(server(&account), User::OutOfReach).await;
    let text = other_server
        .refusal(TOOL, and(node24(), "planToken", token.clone()))
        .await;
    assert!(text.contains("not one of this server"), "{text}");
    for (arguments, reason) in [
        (and(node24(), "testEvent", "{}"), "testEvent differs"),
        (and(node24(), "tryOlder", true), "tryOlder differs"),
        (and(node24(), "overrideOwner", true), "overrideOwner differs"),
        (to("orders-api", "nodejs22.x", None), "runtime differs"),
        (to("partner-feed", "nodejs24.x", None), "function differs"),
    ] {
        let refused = of(and(arguments, "planToken", token.clone())).await;
        assert!(
            refused.is_error && refused.text.contains(reason),
            "{reason}: {}",
            refused.text
        );
        assert!(
            refused.text.contains("plan anew with dryRun: true"),
            "{}",
            refused.text
        );
    }
    let change = account
        .client()
        .update_function_configuration()
        .function_name("orders-api")
        .timeout(9);
    change.send().await.expect("somebody else's update");
    while shown(&account, "orders-api").await.1 != "Successful" {}
    let stale = of(and(node24(), "planToken", token)).await;
    assert!(
        stale.text.contains("was changed since planToken was made"),
        "{}",
        stale.text
    );
    assert_eq!(
        shown(&account, "orders-api").await,
        pair("nodejs20.x", "Successful")
    );
}

#[tokio::test]
async fn instances_that_share_a_key_take_each_others_tokens() {
    let (account, key) = (account(), Key::random());
    let one = Client::with(server(&account).with_key(&key), User::OutOfReach).await;
    let token = one.call(TOOL, node24()).await.json["planToken"].clone();
    let other = Client::with(server(&account).with_key(&key), User::OutOfReach).await;
    let updated = other.ok(TOOL, and(node24(), "planToken", token)).await;
    assert_eq!(updated["outcome"], "updated");
}

/// A client of 2026-07-28 over HTTP, which brings answers with its next request.
struct Modern {
    http: reqwest::Client,
    url: String,
}

impl Modern {
    async fn call(&self, mut params: Value) -> Value {
        params["name"] = json!(TOOL);
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let request = self.http.post(&self.url).body(message.to_string());
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", TOOL);
        let text = request
            .send()
            .await
            .expect("it answers")
            .text()
            .await
            .expect("text");
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .rfind(|data| !data.is_empty());
        let answer: Value = serde_json::from_str(last.unwrap_or(&text)).expect("JSON");
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }
}

#[tokio::test]
async fn a_client_without_a_session_is_asked_by_its_next_request() {
    let account = account();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let mut listening = Host::new(server(&account)).listen(listener).expect("it listens");
    let client = Modern {
        http: reqwest::Client::new(),
        url: listening.url(),
    };
    let asked = client.call(json!({ "arguments": node24() })).await;
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = asked["inputRequests"]["change"]["params"]["message"]
        .as_str()
        .expect("a question");
    assert!(
        question.starts_with("Change the runtime of orders-api"),
        "{question}"
    );
    assert!(!changed(&account));

    // the function is not the one that the user saw, so the user is asked anew
    let change = account
        .client()
        .update_function_configuration()
        .function_name("orders-api")
        .timeout(9);
    change.send().await.expect("somebody else's update");
    while shown(&account, "orders-api").await.1 != "Successful" {}
    let answer = json!({ "change": { "action": "accept", "content": { "change": true } } });
    let again = client
        .call(
            json!({ "arguments": node24(), "requestState": asked["requestState"], "inputResponses": answer }),
        )
        .await;
    assert_eq!(again["resultType"], "input_required", "{again}");
    let updated = client
        .call(
            json!({ "arguments": node24(), "requestState": again["requestState"], "inputResponses": answer }),
        )
        .await;
    assert_eq!(updated["structuredContent"]["outcome"], "updated", "{updated}");
    listening.stop().await;
}

#[tokio::test]
async fn without_a_host_nobody_is_asked_and_nothing_changed() {
    let account = account();
    let bare = server(&account);
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let running = Box::pin(rmcp::ServiceExt::serve(bare, far))
            .await
            .expect("the client opens");
        running.waiting().await
    });
    let client = rmcp::ServiceExt::serve((), near).await.expect("the server opens");
    let arguments = serde_json::from_value(node24()).expect("an object");
    let params = rmcp::model::CallToolRequestParams::new(TOOL).with_arguments(arguments);
    let planned = client.call_tool(params).await.expect("it answers");
    assert_eq!(
        planned.structured_content.expect("structured")["outcome"],
        "planned"
    );
    assert!(!changed(&account));
}
