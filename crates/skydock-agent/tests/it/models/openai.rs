//! The wire of OpenAI and of those who imitate it.

use std::time::Duration;

use axum::body::Bytes;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use skydock_agent::{
    Outcome,
    message::{Block, Message, Passage, Role, ToolCall, ToolResult},
    model::{Assembly, Failure, Model as _, OpenAi, Request, Spec, Stop, Usage, openai::Key},
};

use super::{
    loops,
    provider::{Answer, End, Provider},
};

fn model(provider: &Provider) -> OpenAi {
    OpenAi::new(&provider.url("/v1"), "some-model").unwrap()
}

async fn said(model: &OpenAi, messages: &[Message]) -> Result<(Message, Stop, Usage), Failure> {
    let request = Request {
        system: "Be brief.",
        messages,
        tools: &[],
        max_tokens: None,
        user: "max",
    };
    let pieces: Vec<_> = model.ask(request).await?.try_collect().await?;
    let mut assembly = Assembly::default();
    pieces.into_iter().for_each(|piece| assembly.add(piece));
    Ok(assembly.finish())
}

fn delta(delta: &Value) -> Value {
    json!({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": null}], "usage": null})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn cost(read: u64, written: u64) -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written, "prompt_tokens_details": {"cached_tokens": 5}}})
}

/// Two calls at once, in fragments, then an answer.
fn talk() -> [Answer; 2] {
    let call = |index: u64, id: &str, name: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]});
    let more =
        |index: u64, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    [
        Answer::events(&[
            delta(&json!({"role": "assistant", "content": null, "reasoning_content": "Which city? "})),
            delta(&json!({"reasoning_content": "Rome."})),
            delta(&json!({"content": "I look."})),
            delta(&call(0, "call_a", "get-weather")),
            delta(&call(1, "call_b", "get-time")),
            delta(&more(0, "{\"ci")),
            delta(&more(0, "ty\": \"Rome\"}")),
            end("tool_calls"),
            cost(40, 9),
        ]),
        Answer::events(&[
            delta(&json!({"content": "Sun, "})),
            delta(&json!({"content": "at noon."})),
            end("stop"),
            cost(60, 4),
        ]),
    ]
}

#[tokio::test]
async fn an_agent_calls_two_tools_at_once_and_answers() {
    let provider = Provider::start(talk()).await;
    let report = loops::turn(model(&provider), "How is Rome?").await;
    assert_eq!(report.answer, "Sun, at noon.", "{report:?}");
    let ended = report.ended.unwrap();
    assert_eq!(ended.outcome, Outcome::Answered);
    let results: Vec<_> = report.results.iter().map(|result| result.text.as_str()).collect();
    assert_eq!(results, ["Sun in Rome", "noon"]);
    let expected = Usage {
        input_tokens: 100,
        output_tokens: 13,
        cache_read_tokens: 10,
        cache_write_tokens: 0,
    };
    assert_eq!(ended.usage, expected);

    let asked = provider.asked();
    let [first, second] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(first.path, "/v1/chat/completions");
    assert!(first.headers.get("authorization").is_none());
    let (first, second) = (first.body(), second.body());
    assert_eq!(first["model"], "some-model");
    assert_eq!(first["stream_options"], json!({"include_usage": true}));
    assert_eq!(first["max_tokens"], 500);
    assert!(first.get("max_completion_tokens").is_none());
    let names: Vec<_> = first["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["function"]["name"])
        .collect();
    assert!(names.contains(&&json!("get-weather")), "{names:?}");
    let messages = second["messages"].as_array().unwrap();
    let answered = &messages[messages.len() - 3..];
    assert_eq!(answered[0]["content"], "I look.");
    assert_eq!(answered[0]["tool_calls"][0]["id"], "call_a");
    assert_eq!(
        answered[0]["tool_calls"][0]["function"]["arguments"],
        r#"{"city":"Rome"}"#
    );
    assert_eq!(answered[0]["tool_calls"][1]["function"]["arguments"], "{}");
    assert_eq!(
        answered[1],
        json!({"role": "tool", "tool_call_id": "call_a", "content": "Sun in Rome"})
    );
    assert_eq!(
        answered[2],
        json!({"role": "tool", "tool_call_id": "call_b", "content": "noon"})
    );
}

#[tokio::test]
async fn a_failed_call_is_told_as_one_and_a_cut_answer_is_asked_for_again() {
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get-weather", "arguments": "{\"city\":\"Atlantis\"}"}}]});
    let [_, last] = talk();
    let provider = Provider::start([
        Answer::events(&[delta(&call), end("stop")]),
        Answer::json(503, &json!({"error": {"message": "Loading model"}})),
        Answer::open(&[delta(&json!({"content": "Half an ans"}))]).ending(End::Cut),
        last,
    ])
    .await;
    let report = loops::turn(model(&provider), "How is Atlantis?").await;
    assert_eq!(report.answer, "Sun, at noon.", "{report:?}");
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    assert!(report.notes[0].contains("Loading model"), "{:?}", report.notes);
    assert!(report.notes[1].contains("cut off"), "{:?}", report.notes);
    let asked = provider.asked();
    assert_eq!(asked.len(), 4);
    // what is asked again is the same, to the byte
    assert!(asked[1].bytes == asked[2].bytes && asked[2].bytes == asked[3].bytes);
    let body = asked[3].body();
    let told = body["messages"].as_array().unwrap().last().unwrap()["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        told.starts_with("Error: ") && told.contains("name another one"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_said_goes_out_in_order() {
    let [_, last] = talk();
    let provider = Provider::start([last]).await;
    let schema = json!({"type": "object", "required": ["b", "a"], "properties": {"b": {}, "a": {}}});
    let tools = [Spec {
        name: "look".to_owned(),
        description: "Looks".to_owned(),
        schema: schema.as_object().unwrap().clone().into(),
    }];
    let mut question = Message::user("What now?");
    question.blocks.push(Block::Passage(Passage {
        source: "rules.md".to_owned(),
        text: "No dogs.".to_owned(),
    }));
    let request = Request {
        system: "Be brief.",
        messages: &[question],
        tools: &tools,
        max_tokens: Some(9),
        user: "max",
    };
    let pieces = model(&provider).ask(request).await.unwrap();
    pieces.try_collect::<Vec<_>>().await.unwrap();
    let asked = &provider.asked()[0];
    let body = asked.body();
    assert_eq!(
        body["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );
    let content = body["messages"][1]["content"].as_str().unwrap();
    assert!(
        content.starts_with("What now?\n\n") && content.contains("<passage source=\"rules.md\">\nNo dogs.\n"),
        "{content}"
    );
    assert_eq!(
        body["tools"][0]["function"]["parameters"]["required"],
        json!(["a", "b"])
    );
    let text = String::from_utf8(asked.bytes.to_vec()).unwrap();
    assert!(!text.contains("max\""), "the user's name stays here: {text}");
}

#[tokio::test]
async fn a_key_goes_to_the_named_host_only() {
    let elsewhere = Provider::start([]).await;
    let [_, last] = talk();
    let moved = Answer::json(307, &json!({})).with("location", &elsewhere.url("/v1/chat/completions"));
    let provider = Provider::start([moved, last]).await;
    let model = model(&provider).with_key(Key::new("sk-secret").unwrap());
    assert!(!format!("{model:?}").contains("sk-secret"));
    let failure = said(&model, &[Message::user("x")]).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Refused(text) if text.contains(&elsewhere.url("/"))),
        "{failure}"
    );
    assert!(elsewhere.asked().is_empty());
    said(&model, &[Message::user("x")]).await.unwrap();
    let asked = provider.asked();
    assert_eq!(asked[1].headers["authorization"], "Bearer sk-secret");
}

#[tokio::test]
async fn a_refusal_says_what_helps_and_keeps_the_key() {
    let wrong =
        json!({"error": {"message": "Incorrect API key provided: sk-secret.", "code": "invalid_api_key"}});
    for (answer, with_key, parts) in [
        (
            Answer::json(401, &wrong),
            true,
            ["Incorrect API key", "another one with --model-key"],
        ),
        (
            Answer::json(401, &json!({"error": "unauthorized"})),
            false,
            ["unauthorized", "--model-key env:VARIABLE"],
        ),
        (
            Answer::json(404, &json!({"error": {"message": "model 'x' not found"}})),
            false,
            ["not found", "/v1/chat/completions"],
        ),
        (
            Answer {
                status: 404,
                ..Answer::default()
            },
            false,
            ["404 without a word", "/v1/chat/completions"],
        ),
    ] {
        let provider = Provider::start([answer]).await;
        let mut model = model(&provider);
        if with_key {
            model = model.with_key(Key::new("sk-secret").unwrap());
        }
        let failure = said(&model, &[Message::user("x")]).await.unwrap_err();
        let Failure::Refused(text) = failure else {
            panic!("{failure}");
        };
        for part in parts {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("sk-secret"), "{text}");
    }
}

#[tokio::test]
async fn what_passes_is_told_from_what_stays() {
    let limited = json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}});
    let provider = Provider::start([
        Answer::json(429, &limited).with("retry-after", "7"),
        Answer::json(429, &limited).with("retry-after-ms", "1500"),
        Answer::json(
            400,
            &json!({"error": {"message": "too long", "code": "context_length_exceeded"}}),
        ),
        Answer::json(500, &json!({"error": {"message": "oops"}})),
        Answer::events(&[
            delta(&json!({"content": "a"})),
            json!({"error": {"message": "overloaded"}}),
        ]),
        Answer::events(&[json!({"error": {"message": "maximum context length is 9", "code": 400}})]),
    ])
    .await;
    let model = model(&provider);
    let mut failures = Vec::new();
    for _ in 0..6 {
        failures.push(said(&model, &[Message::user("x")]).await.unwrap_err());
    }
    let after = |failure: &Failure| match failure {
        Failure::Throttled { after, .. } => *after,
        failure => panic!("{failure}"),
    };
    assert_eq!(after(&failures[0]), Some(Duration::from_secs(7)));
    assert_eq!(after(&failures[1]), Some(Duration::from_millis(1500)));
    assert!(matches!(failures[2], Failure::Overflow(_)), "{}", failures[2]);
    assert!(matches!(failures[3], Failure::Unavailable(_)), "{}", failures[3]);
    assert!(matches!(failures[4], Failure::Unavailable(_)), "{}", failures[4]);
    assert!(matches!(failures[5], Failure::Overflow(_)), "{}", failures[5]);
}

#[tokio::test]
async fn an_end_without_done_counts_when_the_answer_was_finished() {
    let text = |text: &str| delta(&json!({"content": text}));
    let mut last = Answer::open(&[text("all of it")]);
    // no blank line after the last event
    last.chunks.push(format!("data: {}", end("length")).into());
    let provider = Provider::start([last, Answer::open(&[text("half of")])]).await;
    let model = model(&provider);
    let (message, stop, _) = said(&model, &[Message::user("x")]).await.unwrap();
    assert_eq!((message.text().as_str(), stop), ("all of it", Stop::MaxTokens));
    let failure = said(&model, &[Message::user("x")]).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Unavailable(text) if text.contains("cut off")),
        "{failure}"
    );
}

#[tokio::test]
async fn events_may_come_in_any_pieces_and_with_comments() {
    let text = format!(
        "\u{feff}: hello\r\n\r\ndata: {}\r\n\r\nevent: ping\r\n\r\ndata: {}\r\n\r\ndata: [DONE]\r\n\r\ndata: no json\r\n\r\n",
        delta(&json!({"content": "Grüße 🍕"})),
        end("stop")
    );
    let bytes: Vec<Bytes> = text.bytes().map(|byte| Bytes::copy_from_slice(&[byte])).collect();
    let mut answer = Answer::open(&[]);
    answer.chunks = bytes;
    let provider = Provider::start([answer]).await;
    let (message, ..) = said(&model(&provider), &[Message::user("x")]).await.unwrap();
    assert_eq!(message.text(), "Grüße 🍕");
}

#[tokio::test]
async fn an_answer_in_one_piece_is_taken() {
    let call = json!({"id": "a", "function": {"name": "f", "arguments": {"x": 1}}});
    let whole = json!({
        "choices": [{"message": {"content": "hi", "tool_calls": [call]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    });
    let provider = Provider::start([
        Answer::json(200, &whole),
        Answer::json(200, &json!({"error": "gone"})),
    ])
    .await;
    let model = model(&provider);
    let (message, stop, usage) = said(&model, &[Message::user("x")]).await.unwrap();
    assert_eq!(
        (message.text().as_str(), stop, usage.total()),
        ("hi", Stop::ToolUse, 4)
    );
    assert_eq!(message.calls().next().unwrap().input, json!({"x": 1}));
    assert!(said(&model, &[Message::user("x")]).await.is_err());
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_for_ever() {
    let provider =
        Provider::start([Answer::open(&[delta(&json!({"content": "a"}))]).ending(End::Never)]).await;
    let model = model(&provider).with_patience(Duration::from_millis(100));
    let failure = said(&model, &[Message::user("x")]).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Unavailable(text) if text.contains("100ms")),
        "{failure}"
    );
    let nobody = OpenAi::new("http://127.0.0.1:9/v1", "m").unwrap();
    let failure = said(&nobody, &[Message::user("x")]).await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable(_)), "{failure}");
}

#[tokio::test]
async fn an_answer_without_bounds_is_ended() {
    let line: Bytes = format!(": {}\n", "x".repeat(1 << 20)).into();
    let mut answer = Answer::open(&[]);
    answer.chunks = vec![line; 40];
    let provider = Provider::start([answer]).await;
    let failure = said(&model(&provider), &[Message::user("x")]).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Refused(text) if text.contains("longer than")),
        "{failure}"
    );
}

#[tokio::test]
async fn a_history_that_lost_something_is_mended() {
    let [_, last] = talk();
    let provider = Provider::start([last]).await;
    let call = |id: &str| {
        Block::Call(ToolCall {
            title: None,
            id: id.to_owned(),
            name: "look".to_owned(),
            input: json!({"b": 1, "a": 2}),
            fault: None,
        })
    };
    let messages = [
        Message::user("Look."),
        Message {
            role: Role::Assistant,
            blocks: vec![call("1"), call("2")],
        },
        Message {
            role: Role::User,
            blocks: vec![Block::Result(ToolResult::error("2", ""))],
        },
    ];
    said(&model(&provider), &messages).await.unwrap();
    let body = provider.asked()[0].body();
    let sent = body["messages"].as_array().unwrap();
    assert_eq!(sent[2]["content"], Value::Null);
    assert_eq!(
        sent[2]["tool_calls"][0]["function"]["arguments"],
        r#"{"a":2,"b":1}"#
    );
    assert_eq!(
        sent[3],
        json!({"role": "tool", "tool_call_id": "1", "content": "Error: This call was not made."})
    );
    assert_eq!(
        sent[4],
        json!({"role": "tool", "tool_call_id": "2", "content": "Error: (nothing)"})
    );
}
