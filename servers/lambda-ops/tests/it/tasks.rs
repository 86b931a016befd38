//! `plan-runtime-upgrades` as a task: for clients of 2026-07-28 that know the tasks extension.

use std::time::Duration;

use lambda_ops::{
    LambdaOps,
    embedded::{Operation, Pace},
};
use serde_json::{Value, json};
use skydock::Host;
use tokio::net::TcpListener;

use crate::{
    batching::{TOOL, rows, runtime_of},
    bench::{account, server},
};

/// A client of 2026-07-28 that knows tasks.
struct Modern {
    url: String,
    http: reqwest::Client,
}

impl Modern {
    async fn of(server: LambdaOps) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut listening = Host::new(server).listen(listener).expect("it listens");
        let url = listening.url();
        // it ends with the test's runtime
        tokio::spawn(async move { listening.wait().await });
        Self {
            url,
            http: reqwest::Client::new(),
        }
    }

    async fn request(&self, method: &str, name: &str, mut params: Value) -> Value {
        const VERSION: &str = "2026-07-28";
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {
                "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} }
            },
        });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answered = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header("mcp-method", method)
            .header("mcp-name", name)
            .body(body.to_string())
            .send()
            .await
            .expect("it answers");
        let text = answered.text().await.expect("UTF-8");
        let messages = text
            .lines()
            .map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
        let answer = messages
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|message| message["id"] == 1);
        answer.unwrap_or_else(|| panic!("no answer to {method}: {text}"))["result"].clone()
    }

    /// Calls the tool, agrees, and gives the task.
    async fn begin(&self, arguments: Value) -> String {
        let mut params = json!({ "name": TOOL, "arguments": arguments });
        let asked = self.request("tools/call", TOOL, params.clone()).await;
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = json!({ "change": { "action": "accept", "content": { "change": true } } });
        let begun = self.request("tools/call", TOOL, params).await;
        assert_eq!(begun["resultType"], "task", "{begun}");
        begun["taskId"].as_str().expect("an id").to_owned()
    }

    /// Asks again until the task has ended. There is no event: tasks are polled.
    async fn ended(&self, task: &str) -> Value {
        for _ in 0..1000 {
            let now = self.request("tasks/get", task, json!({ "taskId": task })).await;
            if now["status"] != "working" {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the task never ends");
    }
}

#[tokio::test]
async fn a_client_with_tasks_gets_one_after_its_user_has_agreed() {
    let account = account();
    let client = Modern::of(server(&account)).await;
    let task = client
        .begin(json!({ "functions": ["orders-api", "catalog-api"], "to": "nodejs24.x", "apply": true }))
        .await;
    let ended = client.ended(&task).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let report = &ended["result"]["structuredContent"];
    assert_eq!(report["outcome"], "done", "{ended}");
    assert_eq!(runtime_of(&account, "catalog-api").await, "nodejs24.x");
}

#[tokio::test]
async fn a_task_that_is_cancelled_puts_back_what_it_is_at_and_says_so() {
    let account = account();
    account.set_pace(Pace {
        reads: 40,
        time: Duration::ZERO,
    });
    let client = Modern::of(server(&account)).await;
    let task = client
        .begin(json!({ "functions": ["orders-api", "catalog-api"], "to": "nodejs24.x", "apply": true }))
        .await;
    let update = Operation::UpdateFunctionConfiguration;
    while !account.calls().contains(&update) {
        tokio::task::yield_now().await;
    }
    client
        .request("tasks/cancel", &task, json!({ "taskId": task }))
        .await;
    let ended = client.ended(&task).await;
    let report = &ended["result"]["structuredContent"];
    assert_eq!(report["outcome"], "stopped", "{ended}");
    assert_eq!(
        rows(report, "outcome"),
        [("orders-api", "rolled-back"), ("catalog-api", "–")]
    );
    assert_eq!(runtime_of(&account, "orders-api").await, "nodejs20.x");
}

#[tokio::test]
async fn a_plan_that_is_cancelled_before_it_begins_is_not_done() {
    let account = account();
    account.faults().never_answer(Operation::PublishVersion);
    let client = Modern::of(server(&account)).await;
    let task = client
        .begin(json!({ "functions": ["orders-api"], "to": "nodejs24.x", "apply": true }))
        .await;
    client
        .request("tasks/cancel", &task, json!({ "taskId": task }))
        .await;
    let ended = client.ended(&task).await;
    assert_eq!(
        ended["result"]["structuredContent"]["outcome"], "stopped",
        "{ended}"
    );
    assert_eq!(runtime_of(&account, "orders-api").await, "nodejs20.x");
}
