//! The tasks of other agents, done by programs of ours: killed in the middle of one, and in AWS Lambda, where who has
//! answered is frozen.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use checks::{
    emulator::Emulator,
    program::{Program, command},
    scratch::Scratch,
    tools,
};
use reqwest::Client;
use serde_json::{Value, json};
use skydock_agent::identity::FileKey;
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    a2a,
    agent::{AUDIENCE, PATIENCE, SCRIPT, events, issued},
};

/// The messages that were sent; each has an id of its own.
static SENT: AtomicUsize = AtomicUsize::new(0);

/// A caller of an agent, by JSON-RPC.
struct Caller {
    client: Client,
    url: String,
    token: String,
}

impl Caller {
    fn new(url: &str, token: &str) -> Self {
        Self {
            client: Client::new(),
            url: url.to_owned(),
            token: token.to_owned(),
        }
    }

    fn ask(&self, method: &str, params: &Value) -> reqwest::RequestBuilder {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.client
            .post(&self.url)
            .header("A2A-Version", "1.0")
            .bearer_auth(&self.token)
            .json(&body)
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let answer: Value = self
            .ask(method, &params)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(answer["result"].is_object(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Sends a message, and gives the task at once.
    async fn send(&self, message: Value, webhook: Option<&str>) -> Value {
        let mut configuration = json!({"returnImmediately": true});
        if let Some(url) = webhook {
            configuration["taskPushNotificationConfig"] = json!({"url": url});
        }
        let params = json!({"message": message, "configuration": configuration});
        self.call("SendMessage", params).await["task"].clone()
    }

    /// Until the task is in this state.
    async fn becomes(&self, task: &Value, state: &str) -> Value {
        let becoming = async {
            loop {
                let found = self.call("GetTask", json!({"id": task["id"]})).await;
                if found["status"]["state"] == state {
                    return found;
                }
                assert_ne!(found["status"]["state"], "TASK_STATE_FAILED", "{found}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, becoming).await.unwrap()
    }
}

fn says(text: &str) -> Value {
    let id = SENT.fetch_add(1, Ordering::Relaxed);
    json!({"messageId": format!("m{id}"), "role": "ROLE_USER", "parts": [{"text": text}]})
}

fn words(task: &Value) -> String {
    let artifacts = task["artifacts"].as_array().into_iter().flatten();
    let parts = artifacts.flat_map(|artifact| artifact["parts"].as_array().unwrap());
    parts.map(|part| part["text"].as_str().unwrap()).collect()
}

/// An agent that answers others, with everything in files of this folder.
async fn serve(folder: &Path, bookings: &str) -> Program {
    let binary = tools::built("skydock").unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    std::fs::write(file("script.toml"), SCRIPT).unwrap();
    let serve = |addr: SocketAddr| {
        let mut command = command(&binary);
        command
            .args(["agent", "serve", "--listen", &addr.to_string(), "--user", "max"])
            .args(["--server", bookings, "--a2a"])
            .args(["--model", &format!("scripted:{}", file("script.toml"))])
            .args(["--store", &format!("sqlite:{}", file("agent.sqlite"))])
            .args(["--a2a-tasks", &format!("sqlite:{}", file("tasks.sqlite"))]);
        command
    };
    Program::start(serve, "/readyz").await.unwrap()
}

/// Killed in the middle of an answer and in the middle of a call: another process does both tasks to their ends, and what
/// the call does is done once. It takes as long as a conversation is held for a process that is gone: 15 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_killed_agent_are_done_by_another_process() {
    let scratch = Scratch::new("tasks-killed").unwrap();
    let store = format!("sqlite:{}", scratch.path().join("bookings.sqlite").display());
    let flags = ["--store", &store, "--consent", "host"];
    let binary = tools::built("bookings").unwrap();
    let bookings = Program::serve(&binary, &flags).await.unwrap();
    let mut doomed = serve(scratch.path(), &bookings.mcp()).await;
    let caller = Caller::new(&doomed.url("/"), "");
    let booking = caller.send(says("book 2"), None).await;
    let asked = caller.becomes(&booking, "TASK_STATE_INPUT_REQUIRED").await;
    let mut yes = says("approve");
    yes["taskId"] = asked["id"].clone();
    // frozen, so that the call is made and not answered
    bookings.pause().unwrap();
    caller.send(yes, None).await;
    let calling = caller.becomes(&booking, "TASK_STATE_WORKING").await;
    let talk = json!({"message": says("talk")});
    let mut stream = caller.ask("SendStreamingMessage", &talk).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("artifactUpdate") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    let talking = events(&text)[0]["result"]["task"].clone();
    doomed.kill().await.unwrap();
    bookings.resume().unwrap();
    let other = serve(scratch.path(), &bookings.mcp()).await;
    let caller = Caller::new(&other.url("/"), "");
    let talked = words(&caller.becomes(&talking, "TASK_STATE_COMPLETED").await);
    assert!(
        talked.starts_with("one two") && talked.ends_with("the end"),
        "{talked}"
    );
    let booked = words(&caller.becomes(&calling, "TASK_STATE_COMPLETED").await);
    assert!(booked.contains("\"status\":\"booked\""), "{booked}");
    let listed = crate::wire::Http::new(bookings.mcp())
        .modern("tools/call", json!({"name": "list-bookings", "arguments": {}}))
        .await;
    let listed = listed.body["result"]["structuredContent"]["bookings"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}

/// Takes what a webhook is told.
async fn webhook() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (sender, told) = mpsc::unbounded_channel();
    let take = |State(sender): State<mpsc::UnboundedSender<Value>>, Json(event): Json<Value>| async move {
        sender.send(event).unwrap();
    };
    let app = Router::new().route("/hook", post(take)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (origin, told)
}

/// How a function in Lambda is told what to be, with a key and a script in this folder.
fn flags(folder: &Path, keys: &str, trusted: &str) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    std::fs::write(file("script.toml"), SCRIPT).unwrap();
    std::fs::write(file("push.pem"), FileKey::generate().unwrap().pem().unwrap()).unwrap();
    let (model, push, tasks) = (
        format!("scripted:{}", file("script.toml")),
        file("push.pem"),
        format!("dynamodb://{}", a2a::TABLE),
    );
    let pairs = [
        ["agent", "serve"],
        ["--model", &model],
        ["--store", "dynamodb://conversations"],
        ["--a2a", "https://agent.example.com"],
        ["--a2a-tasks", &tasks],
        ["--a2a-push-key", &push],
        ["--a2a-push-trust", trusted],
        ["--auth-issuer", "issuer"],
        ["--auth-audience", AUDIENCE],
        ["--auth-keys", keys],
    ];
    pairs.as_flattened().iter().map(|&flag| flag.to_owned()).collect()
}

/// A function behind an HTTP API, and the same one behind `Invoke`, which it invokes.
async fn deployed(dynamodb: &str, arguments: &[String]) -> [Emulator; 2] {
    let skydock = tools::built("skydock").unwrap();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut aws = vec![
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let worker = Emulator::start_with(&aws, "invoke", &["--timeout", "60"], &skydock, &arguments);
    let worker = worker.await.unwrap();
    let invoked = worker.at("");
    aws.push(("AWS_ENDPOINT_URL_LAMBDA", &invoked));
    let front = Emulator::start_with(&aws, "apigw-v2", &[], &skydock, &arguments);
    [front.await.unwrap(), worker]
}

/// The function that answers is frozen when it has, and what it was asked for is done by an invocation of its own, which
/// tells the webhook.
#[tokio::test(flavor = "multi_thread")]
async fn in_lambda_tasks_are_done_by_invocations_of_its_own() {
    let scratch = Scratch::new("tasks-lambda").unwrap();
    let (keys, token) = issued(scratch.path(), AUDIENCE).await;
    let (dynamodb, _) = a2a::local().await;
    dynamodb.create_table("conversations").await.unwrap();
    let (origin, mut told) = webhook().await;
    let [front, worker] = deployed(&dynamodb.url(), &flags(scratch.path(), &keys, &origin)).await;
    let card = reqwest::get(front.at("/.well-known/agent-card.json"))
        .await
        .unwrap();
    let card: Value = card.json().await.unwrap();
    assert_eq!(card["capabilities"]["pushNotifications"], true, "{card}");
    let caller = Caller::new(&front.at("/"), &token);
    let task = caller.send(says("talk"), Some(&format!("{origin}/hook"))).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED", "{task}");
    let talked = words(&caller.becomes(&task, "TASK_STATE_COMPLETED").await);
    assert!(
        talked.starts_with("one two") && talked.ends_with("the end"),
        "{talked}"
    );
    let last = async {
        while told.recv().await.unwrap()["statusUpdate"]["status"]["state"] != "TASK_STATE_COMPLETED" {}
    };
    tokio::time::timeout(PATIENCE, last).await.unwrap();
    // who waits for it gets it, too
    let params = json!({"message": says("talk")});
    let waited = caller.call("SendMessage", params).await["task"].clone();
    assert_eq!(waited["status"]["state"], "TASK_STATE_COMPLETED", "{waited}");
    // what a schedule sends finds that nothing is left to do
    let invoke = worker.at("/2015-03-31/functions/skydock/invocations");
    let scheduled = json!({"source": "aws.events", "detail-type": "Scheduled Event"});
    let swept = Client::new().post(invoke).json(&scheduled).send().await.unwrap();
    let swept: Value = swept.json().await.unwrap();
    assert_eq!(swept, json!({"sent": 0, "told": 0}));
    dynamodb.stop().await.unwrap();
}
