//! The models of the agent against what others wrote: Amazon Bedrock as ministack imitates it, and llama.cpp.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use axum::{Json, Router, extract::State, routing::post};
use checks::{
    llama, ministack,
    program::{self, Program},
    tools,
};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use skydock_agent::{
    message::Message,
    model::{Assembly, Bedrock, Failure, Model, OpenAi, Part, Piece, Request, Spec, Stop, Usage},
};
use tokio::{net::TcpListener, task::JoinHandle};

const CLAUDE: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

/// What ministack asks for its answers: an OpenAI-compatible endpoint that calls the first tool whose name is known
/// here, and then says what it found. ministack answers by itself when this cannot be reached.
struct Script {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Script {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&asked));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, task }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(asked): State<Arc<Mutex<Vec<Value>>>>, Json(body): Json<Value>) -> Json<Value> {
    let last = body["messages"].as_array().unwrap().last().unwrap();
    let has_tool = body["tools"].as_array().is_some_and(|tools| {
        tools
            .iter()
            .any(|tool| tool["function"]["name"] == "get-travel-policies")
    });
    let message = if last["role"] == "tool" {
        let found = last["content"].as_str().unwrap();
        let length = found.len();
        json!({"role": "assistant", "content": format!("The policies are {length} bytes long, and I have read them.")})
    } else if has_tool {
        let function = json!({"name": "get-travel-policies", "arguments": "{}"});
        json!({"role": "assistant", "content": "I look.", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]})
    } else {
        json!({"role": "assistant", "content": "There is nothing that I could call."})
    };
    asked.lock().unwrap().push(body);
    Json(json!({
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }))
}

async fn bedrock(home: &str) -> (Script, Program) {
    let script = Script::start().await;
    let ministack = ministack::start_with(home, &[("MINISTACK_BEDROCK_PROXY_URL", &script.url)]).await;
    (script, ministack.unwrap())
}

async fn settings(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region("eu-central-1")
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await
}

async fn said(
    model: &dyn Model,
    request: Request<'_>,
) -> Result<(Vec<Piece>, Message, Stop, Usage), Failure> {
    let pieces: Vec<_> = model.ask(request).await?.try_collect().await?;
    let mut assembly = Assembly::default();
    pieces.iter().cloned().for_each(|piece| assembly.add(piece));
    let (message, stop, usage) = assembly.finish();
    Ok((pieces, message, stop, usage))
}

fn question<'a>(messages: &'a [Message], tools: &'a [Spec]) -> Request<'a> {
    Request {
        system: "Be brief.",
        messages,
        tools,
        max_tokens: Some(16),
        user: "max",
    }
}

fn texts(pieces: &[Piece]) -> usize {
    let is_text = |piece: &&Piece| matches!(&piece.what, Part::Text(text) if !text.is_empty());
    pieces.iter().filter(is_text).count()
}

#[tokio::test]
async fn bedrock_streams_and_answers_in_one_piece() {
    let (script, ministack) = bedrock("ministack-bedrock").await;
    let config = settings(&ministack.url("")).await;
    let streamed = Bedrock::new(CLAUDE, &config).unwrap();
    let whole = streamed.clone().without_streaming();
    let messages = [Message::user("What are the rules?")];
    let tools = [Spec {
        name: "get-travel-policies".to_owned(),
        description: "The rules".to_owned(),
        schema: Arc::default(),
    }];
    for (model, pieces_of_text) in [(&streamed, 2..), (&whole, 1..)] {
        let (pieces, message, stop, usage) = said(model, question(&messages, &[])).await.unwrap();
        assert_eq!(message.text(), "There is nothing that I could call.");
        assert!(pieces_of_text.contains(&texts(&pieces)), "{pieces:?}");
        assert_eq!(
            (stop, usage.input_tokens, usage.output_tokens),
            (Stop::EndTurn, 11, 7)
        );
        let (_, message, stop, _) = said(model, question(&messages, &tools)).await.unwrap();
        assert_eq!((message.text().as_str(), stop), ("I look.", Stop::ToolUse));
        let call = message.calls().next().unwrap();
        assert_eq!(
            (call.name.as_str(), &call.input),
            ("get-travel-policies", &json!({}))
        );
    }
    let asked = script.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!(
        asked[0]["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );
    assert_eq!(asked[0]["max_tokens"], 16);
    assert_eq!(asked[1], asked[3]);
    assert!(ministack.stop().await.is_ok());
}

#[tokio::test]
async fn the_program_works_with_tools_by_bedrock() {
    let (script, ministack) = bedrock("ministack-agent").await;
    let bookings = tools::built("bookings").unwrap();
    let ran = program::command(&tools::built("skydock").unwrap())
        .args(["agent", "--json", "--store", "memory"])
        .args(["-p", "What are the rules?", "--server"])
        .arg(format!("{} --store memory", bookings.display()))
        // in the environment, where the server must not find it
        .env("SKYDOCK_MODEL", format!("bedrock:{CLAUDE}"))
        .envs([
            ("AWS_ENDPOINT_URL", ministack.url("").as_str()),
            ("AWS_REGION", "eu-central-1"),
        ])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let answer = report["answer"].as_str().unwrap();
    assert!(
        answer.starts_with("The policies are ") && answer.ends_with(" read them."),
        "{report}"
    );
    assert_eq!(report["calls"][0]["name"], "get-travel-policies", "{report}");
    let asked = script.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let last = asked[1]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["tool_call_id"], "call_1");
    assert_eq!(asked[0]["tools"], asked[1]["tools"]);
    assert!(ministack.stop().await.is_ok());
}

#[tokio::test]
async fn llama_cpp_streams_and_counts_and_knows_what_it_was_asked_before() {
    let llama = llama::start().await.unwrap();
    let model = OpenAi::new(&llama.url("/v1"), "smollm2").unwrap();
    let hello = [Message::user("Say hello to the world.")];
    let (pieces, message, _, usage) = said(&model, question(&hello, &[])).await.unwrap();
    assert!(texts(&pieces) > 1, "{pieces:?}");
    assert!(!message.text().is_empty());
    assert!(
        usage.input_tokens > 5 && (1..=16).contains(&usage.output_tokens),
        "{usage:?}"
    );

    let (_, again, _, usage) = said(&model, question(&hello, &[])).await.unwrap();
    assert_eq!(again, message);
    assert!(
        usage.cache_read_tokens + 1 >= usage.input_tokens,
        "the same is asked, so it is known: {usage:?}"
    );

    let long = [Message::user("word ".repeat(3_000))];
    let failure = said(&model, question(&long, &[])).await.unwrap_err();
    assert!(matches!(failure, Failure::Overflow(_)), "{failure}");

    let ran = program::command(&tools::built("skydock").unwrap())
        .args(["agent", "--json", "--store", "memory", "-p", "Say hello."])
        .args(["--model", &format!("openai:{}#smollm2", llama.url("/v1"))])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    let report: Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"));
    assert!(!report["answer"].as_str().unwrap().is_empty(), "{report}");
    assert!(report["usage"]["outputTokens"].as_u64().unwrap() > 0, "{report}");
}
