//! The wire of Amazon Bedrock, by its official SDK.

use std::{collections::BTreeSet, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_bedrockruntime::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message as Frame};
use axum::body::Bytes;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use skydock_agent::{
    Outcome,
    message::{Block, Message, Reasoning, Role, ToolCall, ToolResult},
    model::{
        Assembly, Bedrock, Failure, Model as _, Request, Spec, Stop, Usage,
        bedrock::{Family, Guardrail},
    },
};

use super::{
    loops,
    provider::{Answer, End, Provider},
};

const CLAUDE: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const LLAMA: &str = "meta.llama3-1-70b-instruct-v1:0";

fn model(provider: &Provider, id: &str) -> Bedrock {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = settings(&provider.url(""))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Bedrock::new(id, &config).unwrap()
}

fn settings(url: &str) -> aws_types::sdk_config::Builder {
    let mut config = SdkConfig::builder()
        .region(Region::new("eu-central-1"))
        .endpoint_url(url);
    config.set_behavior_version(Some(BehaviorVersion::latest()));
    config
}

async fn asked(model: &Bedrock, request: Request<'_>) -> Result<(Message, Stop, Usage), Failure> {
    let pieces: Vec<_> = model.ask(request).await?.try_collect().await?;
    let mut assembly = Assembly::default();
    pieces.into_iter().for_each(|piece| assembly.add(piece));
    Ok(assembly.finish())
}

fn request<'a>(messages: &'a [Message], tools: &'a [Spec]) -> Request<'a> {
    Request {
        system: "Be brief.",
        messages,
        tools,
        max_tokens: Some(99),
        user: "max",
    }
}

async fn said(model: &Bedrock) -> Result<(Message, Stop, Usage), Failure> {
    asked(model, request(&[Message::user("Hello")], &[])).await
}

fn frame(kind: &'static str, name: &'static str, payload: &Value) -> Bytes {
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let of = if kind == "exception" {
        ":exception-type"
    } else {
        ":event-type"
    };
    let frame = Frame::new(payload.to_string())
        .add_header(header(":message-type", kind))
        .add_header(header(of, name))
        .add_header(header(":content-type", "application/json"));
    let mut bytes = Vec::new();
    write_message_to(&frame, &mut bytes).unwrap();
    bytes.into()
}

/// An answer of these events.
fn events(events: &[(&'static str, Value)]) -> Answer {
    let chunks = events.iter().map(|(name, payload)| {
        let kind = if name.ends_with("Exception") {
            "exception"
        } else {
            "event"
        };
        frame(kind, name, payload)
    });
    Answer {
        status: 200,
        headers: vec![("content-type", "application/vnd.amazon.eventstream".to_owned())],
        chunks: chunks.collect(),
        end: End::Whole,
    }
}

fn delta(block: u64, delta: &Value) -> (&'static str, Value) {
    (
        "contentBlockDelta",
        json!({"contentBlockIndex": block, "delta": delta}),
    )
}

fn call(block: u64, id: &str, name: &str) -> (&'static str, Value) {
    let start = json!({"toolUse": {"toolUseId": id, "name": name}});
    (
        "contentBlockStart",
        json!({"contentBlockIndex": block, "start": start}),
    )
}

fn close(block: u64) -> (&'static str, Value) {
    ("contentBlockStop", json!({"contentBlockIndex": block}))
}

fn stop(reason: &str) -> (&'static str, Value) {
    ("messageStop", json!({"stopReason": reason}))
}

fn cost() -> (&'static str, Value) {
    let usage = json!({"inputTokens": 7, "outputTokens": 3, "totalTokens": 10, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 1});
    ("metadata", json!({"usage": usage, "metrics": {"latencyMs": 5}}))
}

fn text(words: &str) -> Answer {
    let begin = ("messageStart", json!({"role": "assistant"}));
    events(&[
        begin,
        delta(0, &json!({"text": words})),
        close(0),
        stop("end_turn"),
        cost(),
    ])
}

/// Thinks, says something, and makes two calls.
fn thinks() -> Answer {
    events(&[
        ("messageStart", json!({"role": "assistant"})),
        delta(0, &json!({"reasoningContent": {"text": "Which "}})),
        delta(0, &json!({"reasoningContent": {"text": "city?"}})),
        delta(0, &json!({"reasoningContent": {"signature": "c2ln"}})),
        close(0),
        delta(1, &json!({"text": "I look."})),
        close(1),
        call(2, "a", "get-weather"),
        delta(2, &json!({"toolUse": {"input": "{\"city\":"}})),
        delta(2, &json!({"toolUse": {"input": " \"Rome\"}"}})),
        close(2),
        call(3, "b", "get-time"),
        delta(3, &json!({"toolUse": {"input": ""}})),
        close(3),
        stop("tool_use"),
        cost(),
    ])
}

#[tokio::test]
async fn an_agent_thinks_calls_two_tools_at_once_and_answers() {
    let provider = Provider::start([thinks(), text("Sun, at noon.")]).await;
    let report = loops::turn(model(&provider, CLAUDE), "How is Rome?").await;
    assert_eq!(report.answer, "Sun, at noon.", "{report:?}");
    let ended = report.ended.unwrap();
    assert_eq!(ended.outcome, Outcome::Answered);
    let expected = Usage {
        input_tokens: 56,
        output_tokens: 6,
        cache_read_tokens: 40,
        cache_write_tokens: 2,
    };
    assert_eq!(ended.usage, expected);

    let asked = provider.asked();
    assert!(asked[0].path.ends_with("/converse-stream"), "{}", asked[0].path);
    assert!(asked[0].path.contains("claude-haiku-4-5"), "{}", asked[0].path);
    let (first, second) = (asked[0].body(), asked[1].body());
    assert_eq!(first["inferenceConfig"], json!({"maxTokens": 500}));
    let point = json!({"cachePoint": {"type": "default"}});
    assert_eq!(first["system"][1], point);
    let tools = first["toolConfig"]["tools"].as_array().unwrap();
    assert_eq!(tools.last().unwrap(), &point);
    assert!(tools.iter().any(|tool| tool["toolSpec"]["name"] == "get-weather"));
    assert_eq!(
        first["messages"][0]["content"]
            .as_array()
            .unwrap()
            .last()
            .unwrap(),
        &point
    );
    // the same prefix again, and the last message alone has a point
    assert_eq!(first["toolConfig"], second["toolConfig"]);
    assert_eq!(first["system"], second["system"]);
    assert_eq!(second["messages"][0]["content"].as_array().unwrap().len(), 1);
    let answered = json!([
        {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Which city?", "signature": "c2ln"}}},
            {"text": "I look."},
            {"toolUse": {"toolUseId": "a", "name": "get-weather", "input": {"city": "Rome"}}},
            {"toolUse": {"toolUseId": "b", "name": "get-time", "input": {}}},
        ]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "a", "content": [{"text": "Sun in Rome"}], "status": "success"}},
            {"toolResult": {"toolUseId": "b", "content": [{"text": "noon"}], "status": "success"}},
            point,
        ]},
    ]);
    assert_eq!(
        &second["messages"].as_array().unwrap()[1..],
        answered.as_array().unwrap()
    );
}

/// A schema with so many keys that a random order is never the same twice.
fn spec() -> Spec {
    let properties: serde_json::Map<_, _> = (0..20)
        .map(|number| {
            (
                format!("p{number}"),
                json!({"type": "string", "description": "d", "enum": ["b", "a"]}),
            )
        })
        .collect();
    let schema = json!({"type": "object", "properties": properties, "required": ["p2", "p1"], "additionalProperties": false});
    Spec {
        name: "look".to_owned(),
        description: String::new(),
        schema: schema.as_object().unwrap().clone().into(),
    }
}

#[tokio::test]
async fn the_same_request_is_the_same_bytes() {
    let provider = Provider::start((0..20).map(|_| text("ok"))).await;
    let input = (*spec().schema).clone();
    let messages = [
        Message::user("Look."),
        Message {
            role: Role::Assistant,
            blocks: vec![Block::Call(ToolCall {
                id: "1".to_owned(),
                name: "look".to_owned(),
                title: None,
                input: Value::Object(input),
                fault: None,
            })],
        },
        Message {
            role: Role::User,
            blocks: vec![Block::Result(ToolResult::error("1", "é \u{7f} \"/\" 🍕"))],
        },
    ];
    for _ in 0..20 {
        // another model each time: as after another cold start
        let model = model(&provider, CLAUDE);
        asked(&model, request(&messages, &[spec()])).await.unwrap();
    }
    let got = provider.asked();
    let bodies: BTreeSet<_> = got.iter().map(|asked| asked.bytes.clone()).collect();
    assert_eq!((got.len(), bodies.len()), (20, 1));
    let body = got[0].body();
    let tool = &body["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(tool["description"], "look");
    assert_eq!(tool["inputSchema"]["json"]["required"], json!(["p1", "p2"]));
    assert_eq!(
        tool["inputSchema"]["json"]["properties"]["p0"]["enum"],
        json!(["b", "a"])
    );
    let result = &body["messages"][2]["content"][0]["toolResult"];
    assert_eq!(result["content"][0]["text"], "é \u{7f} \"/\" 🍕");
    assert_eq!(result["status"], "error");
    // what they say: a set stays as the model wrote it in its arguments
    assert_eq!(
        body["messages"][1]["content"][0]["toolUse"]["input"]["required"],
        json!(["p2", "p1"])
    );
}

/// Three kinds of reasoning, and a call that failed.
fn history() -> [Message; 3] {
    let thought = |signature: Option<&str>| {
        Block::Reasoning(Reasoning {
            text: "hm".to_owned(),
            signature: signature.map(str::to_owned),
            ..Reasoning::default()
        })
    };
    let redacted = Block::Reasoning(Reasoning {
        redacted: Some("AAEC".to_owned()),
        ..Reasoning::default()
    });
    let call = Block::Call(ToolCall {
        id: "functions.look:0".to_owned(),
        name: "look".to_owned(),
        input: json!({}),
        title: None,
        fault: None,
    });
    [
        Message::user("Look."),
        Message {
            role: Role::Assistant,
            blocks: vec![thought(None), thought(Some("c2ln")), redacted, call],
        },
        Message {
            role: Role::User,
            blocks: vec![Block::Result(ToolResult::error("functions.look:0", "no"))],
        },
    ]
}

#[tokio::test]
async fn families_get_what_they_take() {
    let provider = Provider::start((0..6).map(|_| text("ok"))).await;
    let messages = history();
    let guardrail = Guardrail {
        id: "g".to_owned(),
        version: "1".to_owned(),
    };
    for model in [
        model(&provider, CLAUDE),
        model(&provider, NOVA),
        model(&provider, LLAMA),
        model(&provider, CLAUDE).with_caching(false),
        model(
            &provider,
            "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/x",
        )
        .with_family(Family::Claude),
        model(&provider, LLAMA).with_guardrail(guardrail),
    ] {
        asked(&model, request(&messages, &[])).await.unwrap();
    }
    let bodies: Vec<_> = provider
        .asked()
        .iter()
        .map(super::provider::Asked::body)
        .collect();
    let points = |body: &Value| body.to_string().matches("cachePoint").count();
    assert_eq!(bodies.iter().map(points).collect::<Vec<_>>(), [3, 2, 0, 0, 3, 0]);
    let [claude, nova, llama, ..] = bodies.as_slice() else {
        panic!("{bodies:?}");
    };
    // what was said has calls, so there has to be a tool
    assert_eq!(llama["toolConfig"]["tools"][0]["toolSpec"]["name"], "no-tool");
    assert_eq!(
        llama["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"],
        json!({"type": "object"})
    );
    let thoughts = |body: &Value| body["messages"][1]["content"].as_array().unwrap().len() - 1;
    assert_eq!((thoughts(claude), thoughts(nova), thoughts(llama)), (2, 3, 3));
    assert_eq!(
        claude["messages"][1]["content"][1],
        json!({"reasoningContent": {"redactedContent": "AAEC"}})
    );
    let result = |body: &Value| body["messages"][2]["content"][0]["toolResult"].clone();
    assert_eq!(result(nova)["status"], "error");
    assert_eq!(
        result(llama),
        json!({"toolUseId": "functions_look_0", "content": [{"text": "Error: no"}]})
    );
    assert_eq!(bodies[5]["guardrailConfig"]["guardrailIdentifier"], "g");
}

#[tokio::test]
async fn a_model_that_does_not_stream_is_asked_otherwise() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"text": "I look."},
        {"toolUse": {"toolUseId": "a", "name": "look", "input": {"b": [1, -2, 0.5, null, true], "a": {"c": "d"}}}},
    ]);
    let whole = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10, "cacheReadInputTokens": 2},
        "metrics": {"latencyMs": 1},
    });
    let provider = Provider::start([Answer::json(200, &whole)]).await;
    let model = model(&provider, LLAMA).without_streaming();
    let (message, stop, usage) = said(&model).await.unwrap();
    assert!(provider.asked()[0].path.ends_with("/converse"));
    assert_eq!(
        (message.text().as_str(), stop, usage.input_tokens),
        ("I look.", Stop::ToolUse, 9)
    );
    let call = message.calls().next().unwrap();
    assert_eq!(
        call.input,
        json!({"b": [1, -2, 0.5, null, true], "a": {"c": "d"}})
    );
    assert!(matches!(&message.blocks[0], Block::Reasoning(thought) if thought.signature.is_some()));
}

#[tokio::test]
async fn every_reason_to_stop_has_a_meaning() {
    let expected = [
        ("end_turn", Stop::EndTurn),
        ("stop_sequence", Stop::EndTurn),
        ("tool_use", Stop::ToolUse),
        ("max_tokens", Stop::MaxTokens),
        ("guardrail_intervened", Stop::Filtered),
        ("content_filtered", Stop::Filtered),
        ("malformed_tool_use", Stop::Malformed),
        ("malformed_model_output", Stop::Malformed),
        ("model_context_window_exceeded", Stop::Overflow),
        ("something_new", Stop::EndTurn),
    ];
    let provider = Provider::start(expected.map(|(reason, _)| events(&[stop(reason)]))).await;
    let model = model(&provider, NOVA);
    for (reason, expected) in expected {
        assert_eq!(said(&model).await.unwrap().1, expected, "{reason}");
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"message": message})).with("x-amzn-errortype", code)
}

#[tokio::test]
async fn what_passes_is_told_from_what_stays_and_the_sdk_asks_once() {
    let provider = Provider::start([
        error(
            429,
            "ThrottlingException",
            "Too many tokens, please wait before trying again.",
        )
        .with("retry-after", "3"),
        error(503, "ServiceUnavailableException", "busy"),
        error(
            400,
            "ValidationException",
            "Input is too long for requested model.",
        ),
        error(400, "ValidationException", "messages.0: wrong"),
        error(
            403,
            "AccessDeniedException",
            "You don't have access to the model.",
        ),
        Answer::json(502, &json!("bad gateway")),
    ])
    .await;
    let model = model(&provider, NOVA);
    let mut failures = Vec::new();
    for _ in 0..6 {
        failures.push(said(&model).await.unwrap_err());
    }
    assert_eq!(provider.asked().len(), 6);
    let three = Some(Duration::from_secs(3));
    assert!(
        matches!(&failures[0], Failure::Throttled { after, .. } if *after == three),
        "{}",
        failures[0]
    );
    assert!(matches!(failures[1], Failure::Unavailable(_)), "{}", failures[1]);
    assert!(matches!(failures[2], Failure::Overflow(_)), "{}", failures[2]);
    assert!(
        matches!(&failures[3], Failure::Refused(text) if text.contains("messages.0: wrong")),
        "{}",
        failures[3]
    );
    assert!(
        matches!(&failures[4], Failure::Refused(text) if text.contains("bedrock:InvokeModel")),
        "{}",
        failures[4]
    );
    assert!(matches!(failures[5], Failure::Unavailable(_)), "{}", failures[5]);
}

#[tokio::test]
async fn an_error_in_the_middle_of_an_answer_is_one() {
    let half = || delta(0, &json!({"text": "Half an ans"}));
    let oops = |name: &'static str, message: &str| (name, json!({"message": message}));
    let provider = Provider::start([
        events(&[half(), oops("throttlingException", "slow down")]),
        events(&[half(), oops("modelStreamErrorException", "broken")]),
        events(&[
            half(),
            oops("validationException", "prompt is too long: 9 tokens > 8 maximum"),
        ]),
        events(&[half()]),
        events(&[half()]).ending(End::Cut),
        events(&[half()]).ending(End::Never),
    ])
    .await;
    let model = model(&provider, NOVA).with_patience(Duration::from_millis(300));
    let mut failures = Vec::new();
    for _ in 0..6 {
        failures.push(said(&model).await.unwrap_err());
    }
    assert!(
        matches!(failures[0], Failure::Throttled { .. }),
        "{}",
        failures[0]
    );
    assert!(matches!(failures[1], Failure::Unavailable(_)), "{}", failures[1]);
    assert!(matches!(failures[2], Failure::Overflow(_)), "{}", failures[2]);
    for failure in &failures[3..5] {
        assert!(
            matches!(failure, Failure::Unavailable(text) if text.contains("cut off")),
            "{failure}"
        );
    }
    assert!(
        matches!(&failures[5], Failure::Unavailable(text) if text.contains("300ms")),
        "{}",
        failures[5]
    );
}

#[tokio::test]
async fn without_credentials_or_a_peer_it_says_so() {
    let provider = Provider::start([]).await;
    let model_without = Bedrock::new(NOVA, &settings(&provider.url("")).build()).unwrap();
    let failure = said(&model_without).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Refused(text) if text.contains("aws sso login")),
        "{failure}"
    );
    assert!(provider.asked().is_empty());

    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = settings("http://127.0.0.1:9")
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let failure = said(&Bedrock::new(NOVA, &config).unwrap()).await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable(_)), "{failure}");
}
