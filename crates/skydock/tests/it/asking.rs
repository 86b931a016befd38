//! A question to the user is written once and works in both protocol eras.

use std::time::Duration;

use rmcp::{
    ClientHandler, ServiceExt,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
        ElicitationAction, Implementation, ProtocolVersion,
    },
    service::RequestContext,
};
use serde_json::{Value, json};
use skydock::Mode;

use crate::peer::{Client, MODES, config, router};

fn accept(content: Value) -> Value {
    Value::from_iter([("action", json!("accept")), ("content", content)])
}

/// Calls a tool and answers its questions, round by round (2026-07-28).
async fn rounds(client: &Client, tool: &str, answers: &[Value]) -> (Vec<Value>, Value) {
    let mut params = json!({"name": tool, "arguments": {}});
    let mut asked = Vec::new();
    let mut answers = answers.iter();
    loop {
        let answer = client.request("tools/call", params.clone()).await.answer();
        let result = answer["result"].clone();
        if result["resultType"] != "input_required" {
            return (asked, answer);
        }
        asked.push(result["inputRequests"].clone());
        params["requestState"] = result["requestState"].clone();
        params["inputResponses"] = answers.next().expect("more questions than answers").clone();
    }
}

#[tokio::test]
async fn questions_travel_in_rounds_where_the_server_cannot_ask() {
    for mode in MODES {
        let (router, _) = router(config(mode));
        let client = Client::modern(&router);
        let answers = [
            json!({"name": accept(json!({"name": "Ada"}))}),
            json!({"age": accept(json!({"age": 36}))}),
        ];
        let (asked, answer) = rounds(&client, "ask_twice", &answers).await;
        assert_eq!(answer["result"]["content"][0]["text"], "Ada, 36", "{answer}");
        assert_eq!(asked[0]["name"]["params"]["message"], "Who are you?");
        assert_eq!(asked[1].as_object().unwrap().keys().collect::<Vec<_>>(), ["age"]);
    }
}

#[tokio::test]
async fn questions_that_are_asked_together_reach_the_user_in_one_round() {
    let (router, _) = router(config(Mode::Json));
    let answers = [json!({"name": accept(json!({"name": "Ada"})), "age": accept(json!({"age": 36}))})];
    let (asked, answer) = rounds(&Client::modern(&router), "ask_together", &answers).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(answer["result"]["content"][0]["text"], "Ada, 36");
}

#[tokio::test]
async fn an_answer_that_is_missing_or_does_not_fit_is_asked_for_again() {
    let (router, _) = router(config(Mode::Json));
    let answers = [
        json!({"wrong key": accept(json!({"name": "Ada"}))}),
        json!({"name": 7}),
        json!({"name": accept(json!({"nom": "Ada"}))}),
        json!({"name": {"action": "decline"}}),
    ];
    let (asked, answer) = rounds(&Client::modern(&router), "ask_twice", &answers).await;
    assert_eq!(asked.len(), 4);
    assert_eq!(answer["result"]["content"][0]["text"], "nobody");
}

#[tokio::test]
async fn an_answer_holds_only_for_the_request_that_asked() {
    let (router, _) = router(config(Mode::Json));
    let client = Client::modern(&router);
    let call = |tool: &str, state: &Value| {
        json!({"name": tool, "arguments": {}, "requestState": state,
               "inputResponses": {"name": accept(json!({"name": "Ada"}))}})
    };
    let state = client.call("ask_twice", json!({})).await.answer()["result"]["requestState"].clone();
    for (tool, state) in [
        ("ask_together", state.clone()),
        (
            "ask_twice",
            json!(format!("{}-TAMPERED", state.as_str().unwrap())),
        ),
        ("ask_twice", json!("ask1.")),
    ] {
        let reply = client.request("tools/call", call(tool, &state)).await;
        assert_eq!(reply.error_code(), -32602, "{reply:?}");
    }
    // answers to questions that were never asked are none
    let mut params = call("ask_twice", &state);
    params.as_object_mut().unwrap().remove("requestState");
    let reply = client.request("tools/call", params).await;
    assert_eq!(reply.answer()["result"]["resultType"], "input_required");
}

#[tokio::test]
async fn who_cannot_be_asked_is_told_so_at_once() {
    let (stateless, _) = router(config(Mode::Json));
    let reply = Client::legacy(&stateless)
        .await
        .call("ask_twice", json!({}))
        .await;
    assert_eq!(reply.error_code(), -32600, "{reply:?}");
    assert!(reply.text.contains("stateful"), "the remedy is named: {reply:?}");

    let mut mute = Client::modern(&stateless);
    mute.capabilities = json!({});
    let reply = mute.call("ask_twice", json!({})).await;
    assert_eq!(reply.error_code(), -32021, "{reply:?}");
    assert_eq!(reply.status, http::StatusCode::BAD_REQUEST);
    assert_eq!(
        reply.answer()["error"]["data"]["requiredCapabilities"],
        json!({"elicitation": {}})
    );
}

/// A client of a session that answers forms, after some thought.
#[derive(Debug, Clone)]
struct Person {
    thinks: Duration,
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        let mut info = ClientConfig::new(capabilities, Implementation::new("person", "1"));
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<rmcp::RoleClient>,
    ) -> Result<ElicitResult, rmcp::ErrorData> {
        tokio::time::sleep(self.thinks).await;
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            panic!("not a form")
        };
        let content = if message.contains("old") {
            json!({"age": 36})
        } else {
            json!({"name": "Ada"})
        };
        let mut result = ElicitResult::new(ElicitationAction::Accept);
        result.content = Some(content);
        Ok(result)
    }
}

#[tokio::test]
async fn a_session_asks_its_client_and_the_users_time_does_not_count() {
    let mut config = config(Mode::Stateful);
    config.limits.timeout = Duration::from_millis(250);
    let handler = crate::workshop::Workshop::new(crate::workshop::Events::default());
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = tokio::spawn(skydock::Host::new(handler).with(config).serve(ours));
    let client = Person {
        thinks: Duration::from_millis(400),
    }
    .serve(theirs)
    .await
    .unwrap();
    for tool in ["ask_twice", "ask_together"] {
        let result = client.call_tool(CallToolRequestParams::new(tool)).await.unwrap();
        assert_eq!(
            serde_json::to_value(&result).unwrap()["content"][0]["text"],
            "Ada, 36",
            "{tool}"
        );
    }
    client.cancel().await.unwrap();
    server.await.unwrap().unwrap();
}
