//! The agent's programs as people and other programs use them: the web chat in a browser, and processes that are killed
//! in the middle of what they do.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use checks::{
    emulator::Emulator,
    program::{Program, command},
    scratch::Scratch,
    tools,
};
use futures::StreamExt as _;
use reqwest::Client;
use serde_json::{Value, json};
use skydock_agent::identity::{FileKey, Identity, Keys};
use tokio::process::Command;

/// How long something may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the agents are that ask for a token.
pub(crate) const AUDIENCE: &str = "https://agent.example.com/";

/// The script of the conversations that are killed.
pub(crate) const SCRIPT: &str = r#"
name = "slow"
pace_ms = 40
[[scenes]]
when = "talk"
steps = [{ say = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty twentyone twentytwo twentythree twentyfour the end" }]
[[scenes]]
when = "book (?<days>[0-9])"
steps = [
    { call = [{ tool = "book-car", input = { city = "Dallas", start = "{{ next_monday }}", days = "{{ captures.days | int }}", class = "sedan", purpose = "business" } }] },
    { say = "{{ results['book-car'].text }}" },
]
[[scenes]]
steps = [{ say = "hello {{ user }}" }]
"#;

/// What the browser saw.
async fn browse(url: &str, shots: &Path) -> Vec<(String, Value)> {
    let output = Command::new(tools::node().unwrap())
        .arg(tools::workspace().join("checks/tools/chat.mjs"))
        .args([url, &shots.display().to_string()])
        .arg(tools::installed("node/node_modules").unwrap())
        .env("CHROMIUM", tools::machine("chromium").unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 2, output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{problems}");
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["what"].as_str().unwrap().to_owned(), line["value"].clone())
    };
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_chat_books_a_trip_in_a_browser_on_a_phone_and_by_keyboard() {
    let binary = tools::built("skydock").unwrap();
    let demo = |addr: std::net::SocketAddr| {
        let mut command = command(&binary);
        command.args(["demo", "travel", "--listen", &addr.to_string()]);
        command
    };
    let program = Program::start(demo, "/readyz").await.unwrap();
    let shots = tools::workspace().join("target/check/chat");
    std::fs::create_dir_all(&shots).unwrap();
    let seen = browse(&program.url("/"), &shots).await;
    let seen = |what: &str| match seen.iter().find(|(name, _)| name == what) {
        Some((_, value)) => value.clone(),
        None => panic!("the browser did not tell {what:?}"),
    };
    let has = |what: &str, part: &str| {
        let value = seen(what).to_string();
        assert!(value.contains(part), "{what}: {value}");
    };
    has("greeting", "Hi Max, I'm your friendly corporate travel agent!");
    has("notice", "No model is thinking");
    has("cars", "Toyota Corolla (sedan), $45 a day");
    has("opened", "priceCents");
    has("paris", "the policy “countries” allows US");
    let decisions = json!(["May I? Book a car", "May I? Book a hotel"]);
    assert_eq!(seen("decisions"), decisions);
    assert_eq!(
        seen("decisions again"),
        decisions,
        "after the page was loaded again"
    );
    has("dallas", "Booked: Toyota Corolla in Dallas");
    has("mercedes", "no Mercedes, then");
    assert_eq!(seen("conversations"), 1);
    has("alice", "You have no bookings.");
    assert_eq!(seen("wide"), false, "nothing is wider than the phone");
    assert_eq!(seen("alice's conversations"), 1);
    assert_eq!(seen("decided by a stray key"), 0);
    has("by keyboard", "Booked: Elm Street Inn");
    assert_eq!(seen("stopped"), "Stopped.");
    assert_eq!(seen("read out whole"), Value::Null);
    assert_eq!(seen("still asked"), 1, "nothing, and too much, is no answer");
    assert_eq!(
        seen("several"),
        json!({"meals": ["breakfast", "dinner"], "seats": ["a"]})
    );
    assert_eq!(seen("problems"), json!([]), "errors, or requests to elsewhere");
    assert!(program.stop().await.unwrap().success());
}

/// An agent behind HTTP whose conversations are in a file.
struct Served {
    program: Program,
    client: Client,
}

impl Served {
    async fn start(folder: &Path, bookings: &str) -> Self {
        let binary = tools::built("skydock").unwrap();
        let script = folder.join("script.toml");
        std::fs::write(&script, SCRIPT).unwrap();
        let serve = |addr: std::net::SocketAddr| {
            let mut command = command(&binary);
            command
                .args(["agent", "serve", "--listen", &addr.to_string(), "--user", "max"])
                .args(["--server", bookings])
                .args(["--model", &format!("scripted:{}", script.display())])
                .args([
                    "--store",
                    &format!("sqlite:{}", folder.join("agent.sqlite").display()),
                ]);
            command
        };
        Self {
            program: Program::start(serve, "/readyz").await.unwrap(),
            client: Client::new(),
        }
    }

    async fn post(&self, session: &str, wish: Value) -> reqwest::Response {
        let url = self.program.url(&format!("/api/conversations/{session}/turns"));
        self.client.post(url).json(&wish).send().await.unwrap()
    }

    /// Takes a turn, and gives its events.
    async fn turn(&self, session: &str, wish: Value) -> Vec<Value> {
        events(&self.post(session, wish).await.text().await.unwrap())
    }

    /// Begins a turn, and reads until an event of this kind has come.
    async fn until(&self, session: &str, wish: Value, kind: &str) -> reqwest::Response {
        let response = self.post(session, wish).await;
        let mut stream = response.bytes_stream();
        let mut text = String::new();
        let wanted = format!("event: {kind}\n");
        let reading = async {
            while !text.contains(&wanted) {
                text.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap().unwrap()));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap();
        // the stream goes on to be read by nobody; the answer is of no use any more
        drop(stream);
        self.client.get(self.program.url("/livez")).send().await.unwrap()
    }

    async fn view(&self, session: &str) -> Value {
        let url = self.program.url(&format!("/api/conversations/{session}"));
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }
}

/// The events of a stream.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn said(events: &[Value]) -> String {
    let texts = events.iter().filter(|event| event["type"] == "text");
    texts.map(|event| event["text"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_agent_was_doing_goes_on_in_another_process() {
    let scratch = Scratch::new("agent-killed").unwrap();
    let store = format!("sqlite:{}", scratch.path().join("bookings.sqlite").display());
    let flags = ["--store", &store, "--consent", "host"];
    let bookings = Program::serve(&tools::built("bookings").unwrap(), &flags)
        .await
        .unwrap();
    let mut agent = Served::start(scratch.path(), &bookings.mcp()).await;
    // one waits for a decision, one is in the middle of an answer, one in the middle of a call
    let asked = agent.turn("asked", json!({"say": "book 2"})).await;
    assert_eq!(asked.last().unwrap()["outcome"], "waiting");
    agent.turn("calling", json!({"say": "book 3"})).await;
    agent.until("talking", json!({"say": "talk"}), "text").await;
    bookings.pause().unwrap();
    let yes = |events: &[Value]| {
        let call = events.iter().find(|event| event["type"] == "approval").unwrap();
        json!({"decide": [{"id": call["id"], "approve": true}]})
    };
    let view = agent.view("calling").await;
    let decide = json!({"decide": [{"id": view["asked"][0]["id"], "approve": true}]});
    agent.until("calling", decide, "call").await;
    agent.program.kill().await.unwrap();
    bookings.resume().unwrap();
    let agent = Served::start(scratch.path(), &bookings.mcp()).await;
    assert_eq!(agent.view("asked").await["standing"], "waiting");
    let booked = said(&agent.turn("asked", yes(&asked)).await);
    assert!(booked.contains("\"status\":\"booked\""), "{booked}");
    // the dead process has these for itself until its lease ends
    assert_eq!(agent.post("talking", json!({"say": "hello"})).await.status(), 409);
    for session in ["talking", "calling"] {
        let free = async {
            while agent.view(session).await["standing"] != "interrupted" {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(PATIENCE, free).await.unwrap();
    }
    let talked = said(&agent.turn("talking", json!({"resume": {}})).await);
    assert!(
        talked.starts_with("one two") && talked.ends_with("the end"),
        "{talked}"
    );
    let booked = said(&agent.turn("calling", json!({"resume": {}})).await);
    assert!(booked.contains("\"status\":\"booked\""), "{booked}");
    // the call was made by both, and booked once
    let listed = crate::wire::Http::new(bookings.mcp())
        .modern("tools/call", json!({"name": "list-bookings", "arguments": {}}))
        .await;
    let listed = listed.body["result"]["structuredContent"]["bookings"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
}

/// A token of an issuer called `issuer` for Max at this audience, and the file with the issuer's public keys.
pub(crate) async fn issued(folder: &Path, audience: &str) -> (String, String) {
    let keys = Keys::new(Arc::new(FileKey::generate().unwrap()));
    let file = folder.join("keys.json");
    std::fs::write(&file, serde_json::to_vec(&keys.jwks()).unwrap()).unwrap();
    let token = Identity::new("issuer", keys)
        .token(&"max".into(), &audience.parse().unwrap())
        .await;
    (file.display().to_string(), token.unwrap())
}

/// The agent as a Lambda function behind a function URL that streams, for callers who bring a token.
#[tokio::test(flavor = "multi_thread")]
async fn in_lambda_a_turn_streams_to_whoever_has_a_token() {
    let scratch = Scratch::new("agent-lambda").unwrap();
    let file = |name: &str| scratch.path().join(name).display().to_string();
    std::fs::write(file("script.toml"), SCRIPT).unwrap();
    let (keys, token) = issued(scratch.path(), AUDIENCE).await;
    let model = format!("scripted:{}", file("script.toml"));
    let arguments = [
        "agent",
        "serve",
        "--model",
        &model,
        "--store",
        "memory",
        "--lambda-response",
        "streamed",
        "--auth-issuer",
        "issuer",
        "--auth-audience",
        AUDIENCE,
        "--auth-keys",
        &keys,
    ];
    let skydock = tools::built("skydock").unwrap();
    let door = Emulator::start("url-stream", &[], &skydock, &arguments)
        .await
        .unwrap();
    let url = reqwest::Url::parse(door.url())
        .unwrap()
        .join("/api/conversations/a/turns")
        .unwrap();
    let client = Client::new();
    let ask = || client.post(url.clone()).json(&json!({"say": "talk"}));
    assert_eq!(ask().send().await.unwrap().status(), 401);
    let answer = ask().bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut stream = answer.bytes_stream();
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(bytes) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&bytes.unwrap()));
        pieces += 1;
    }
    assert!(pieces > 3, "it came in {pieces} pieces");
    let said = said(&events(&text));
    assert!(said.starts_with("one two") && said.ends_with("the end"), "{said}");
}
