//! MCP by hand, as a client that has no SDK: JSON over HTTP, and JSON lines over stdio.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use checks::program;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{ACCEPT, HeaderMap},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

/// The newest revision, which has no handshake.
pub(crate) const MODERN: &str = "2026-07-28";
/// Long enough for any answer of a healthy server.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What came back for one POST.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The JSON-RPC response; null when there is none.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn error_code(&self) -> Option<i64> {
        self.body.pointer("/error/code")?.as_i64()
    }

    /// The first text of a tool's result.
    pub(crate) fn text(&self) -> &str {
        self.body
            .pointer("/result/content/0/text")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(crate) fn session(&self) -> Option<String> {
        Some(self.headers.get("mcp-session-id")?.to_str().ok()?.to_owned())
    }
}

/// A client with, after `initialize`, a revision and perhaps a session.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    url: String,
    pub(crate) version: String,
    pub(crate) session: Option<String>,
    /// Ids are unique within a session, whoever shares it.
    ids: Arc<AtomicU64>,
}

impl Http {
    /// A client that has not said a word yet.
    pub(crate) fn new(url: String) -> Self {
        Self {
            client: reqwest::Client::new(),
            url,
            version: String::new(),
            session: None,
            ids: Arc::new(AtomicU64::new(1_000)),
        }
    }

    /// A client after its handshake.
    pub(crate) async fn initialized(url: String, version: &str) -> Self {
        let mut client = Self::new(url);
        let answer = client.initialize(version).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        client.version = answer.body["result"]["protocolVersion"]
            .as_str()
            .unwrap()
            .to_owned();
        client.session = answer.session();
        let done = client
            .post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        assert_eq!(done.status, StatusCode::ACCEPTED, "{done:?}");
        client
    }

    pub(crate) async fn initialize(&self, version: &str) -> Answer {
        self.post(&initialize(version)).await
    }

    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// A request in the manner of this client's revision.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Answer {
        self.post(&request(self.id(), method, params)).await
    }

    /// A request of 2026-07-28: everything about the client travels with it.
    pub(crate) async fn modern(&self, method: &str, params: Value) -> Answer {
        let body = modern(self.id(), method, params);
        let mut post = self
            .builder()
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        if let Some(name) = body.pointer("/params/name").and_then(Value::as_str) {
            post = post.header("mcp-name", name);
        }
        answer(post.json(&body).send().await.unwrap()).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
    }

    pub(crate) async fn post(&self, body: &Value) -> Answer {
        answer(self.send(body.to_string()).await).await
    }

    /// Any body at all; the answer's body is not read.
    pub(crate) async fn send(&self, body: impl Into<reqwest::Body>) -> Response {
        let mut post = self.builder().header("content-type", "application/json");
        if !self.version.is_empty() {
            post = post.header("mcp-protocol-version", &self.version);
        }
        if let Some(session) = &self.session {
            post = post.header("mcp-session-id", session);
        }
        post.body(body).send().await.unwrap()
    }

    fn builder(&self) -> RequestBuilder {
        self.client
            .post(&self.url)
            .header(ACCEPT, "application/json, text/event-stream")
            .timeout(PATIENCE * 3)
    }
}

pub(crate) fn initialize(version: &str) -> Value {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": { "name": "checks", "version": "1" }
    });
    request(0, "initialize", params)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the parameters are written where it is called"
)]
pub(crate) fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

pub(crate) fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "checks", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} }
    });
    request(id, method, params)
}

/// Reads a response to its end: the one JSON object, or the last message of an SSE stream.
pub(crate) async fn answer(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let events = headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = if events {
        let mut data = text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(str::trim);
        data.rfind(|data| !data.is_empty()).unwrap_or("null").to_owned()
    } else {
        text
    };
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        body,
    }
}

/// A server at the other end of two pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Pipes {
    pub(crate) fn start(binary: &Path, arguments: &[&str]) -> Self {
        let mut command = program::command(binary);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.input
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .await
            .unwrap();
    }

    /// Sends a request and waits for its response; other messages are passed over.
    pub(crate) async fn ask(&mut self, message: &Value) -> Value {
        self.send(message).await;
        loop {
            let line = timeout(PATIENCE, self.output.next_line())
                .await
                .expect("an answer in time")
                .unwrap();
            let line = line.expect("an answer before the end of the output");
            let answer: Value = serde_json::from_str(&line).expect("only protocol on stdout");
            if answer["id"] == message["id"] {
                return answer;
            }
        }
    }

    /// Closes the server's input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }
}
