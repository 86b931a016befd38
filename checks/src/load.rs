//! A client that does not give up: it counts what was answered, what may be sent again, and what is lost.

#![expect(clippy::indexing_slicing, reason = "JSON that is not there is null")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{Stream, StreamExt as _};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

const VERSION: &str = "2025-11-25";
/// How long a client comes back for an answer, or tries again.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How one request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was answered; this is the result.
    Done(Value),
    /// It failed in a way that says: try again.
    Retryable(String),
    /// It failed in any other way, or was never answered.
    Lost(String),
}

/// What happened to a number of requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sent, each try counted.
    pub sent: AtomicU64,
    /// Answered.
    pub done: AtomicU64,
    again: Mutex<Vec<String>>,
    lost: Mutex<Vec<String>>,
}

impl Tally {
    /// Counts one request.
    pub fn count(&self, outcome: &Outcome) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let (kept, why) = match outcome {
            Outcome::Done(_) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Outcome::Retryable(why) => (&self.again, why),
            Outcome::Lost(why) => (&self.lost, why),
        };
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(why.clone());
    }

    /// Why something is to be sent again.
    pub fn again(&self) -> Vec<String> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was lost, and why.
    pub fn lost(&self) -> Vec<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        write!(
            f,
            "{} requests sent, {} answered, {} to be sent again, {} lost",
            of(&self.sent),
            of(&self.done),
            self.again().len(),
            self.lost().len()
        )
    }
}

/// A session, as a client holds it.
#[derive(Debug, Clone)]
pub struct Session {
    http: Client,
    url: String,
    id: String,
    requests: Arc<AtomicU64>,
}

impl Session {
    /// Opens a session, however often that takes.
    ///
    /// # Errors
    /// It cannot be opened for long.
    pub async fn open(http: &Client, url: &str) -> Result<Self> {
        let client = json!({
            "protocolVersion": VERSION,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "load", "version": "1"},
        });
        let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": client});
        let mut session = Self {
            http: http.clone(),
            url: url.to_owned(),
            id: String::new(),
            requests: Arc::new(AtomicU64::new(1)),
        };
        let opened = session.send(&initialize).await?;
        let id = opened.headers().get("mcp-session-id").context("no session")?;
        session.id = id.to_str()?.to_owned();
        session
            .send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await?;
        Ok(session)
    }

    fn post(&self, message: &Value) -> RequestBuilder {
        let post = self.http.post(&self.url).json(message);
        let post = post.header("accept", "application/json, text/event-stream");
        if self.id.is_empty() {
            return post;
        }
        post.header("mcp-session-id", &self.id)
            .header("mcp-protocol-version", VERSION)
    }

    /// Sends a message that may be sent again, until it is taken.
    async fn send(&self, message: &Value) -> Result<Response> {
        let began = Instant::now();
        loop {
            let sent = self.post(message).send().await;
            let failed = match sent {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if may_try_again(answer.status()) => answer.status().to_string(),
                Ok(answer) => bail!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
                Err(error) => error.to_string(),
            };
            ensure!(began.elapsed() < PATIENCE, "not taken for long: {failed}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Calls a tool, once; comes back for the answer when the stream breaks, and answers what the tool asks.
    pub async fn call(&self, tool: &str, arguments: &Value) -> Outcome {
        let id = self.requests.fetch_add(1, Ordering::Relaxed);
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": id}});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let answer = match self.post(&message).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => answer,
            Ok(answer) if may_try_again(answer.status()) => {
                let status = answer.status();
                return Outcome::Retryable(format!("{status}: {}", answer.text().await.unwrap_or_default()));
            }
            Ok(answer) => return Outcome::Lost(format!("{tool}: {}", answer.status())),
            // nothing of an answer: the connection was refused, or broke
            Err(error) => return Outcome::Retryable(error.to_string()),
        };
        let began = Instant::now();
        let mut last = None;
        let mut answer = Some(answer);
        loop {
            if let Some(answer) = answer.take()
                && let Some(outcome) = self.read(answer, id, &mut last).await
            {
                return outcome;
            }
            let Some(last) = &last else {
                return Outcome::Retryable("the stream broke before it began".to_owned());
            };
            if began.elapsed() > PATIENCE {
                return Outcome::Lost(format!("{tool}: no answer in {PATIENCE:?} after {last}"));
            }
            tokio::time::sleep(PAUSE).await;
            answer = match self.get(Some(last)).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => Some(answer),
                Ok(answer) if may_try_again(answer.status()) => None,
                Ok(answer) => return Outcome::Lost(format!("{tool}, resumed: {}", answer.status())),
                Err(_refused) => None,
            };
        }
    }

    /// Reads a stream until the answer to request `id`, or until the stream breaks.
    async fn read(&self, answer: Response, id: u64, last: &mut Option<String>) -> Option<Outcome> {
        let mut events = std::pin::pin!(events(answer));
        while let Some(event) = events.next().await {
            if !event.id.is_empty() {
                *last = Some(event.id);
            }
            let message = event.message;
            if message["method"] == "elicitation/create" {
                let content =
                    json!({"action": "accept", "content": {"username": "Ada", "email": "ada@example.com"}});
                let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": content});
                if let Err(error) = self.send(&answer).await {
                    return Some(Outcome::Lost(format!("an answer of the user: {error:#}")));
                }
            }
            if message["id"] != id || message.get("method").is_some() {
                continue;
            }
            return Some(if let Some(result) = message.get("result") {
                Outcome::Done(result.clone())
            } else if message["error"]["data"]["retryable"] == true {
                Outcome::Retryable(message["error"]["message"].to_string())
            } else {
                Outcome::Lost(message.to_string())
            });
        }
        None
    }

    fn get(&self, last: Option<&str>) -> RequestBuilder {
        let get = self.http.get(&self.url).header("accept", "text/event-stream");
        let get = get
            .header("mcp-session-id", &self.id)
            .header("mcp-protocol-version", VERSION);
        match last {
            Some(last) => get.header("last-event-id", last),
            None => get,
        }
    }

    /// Listens on the standalone stream until the future is dropped, and comes back when it breaks. `heard` counts the
    /// numbers that were announced; `began` is told when it listens.
    ///
    /// # Errors
    /// The session is gone.
    pub async fn listen(
        &self,
        heard: &Mutex<HashMap<u64, u64>>,
        began: tokio::sync::oneshot::Sender<()>,
    ) -> Result<()> {
        let mut last: Option<String> = None;
        let mut began = Some(began);
        loop {
            let stream = match self.get(last.as_deref()).send().await {
                Ok(stream) if stream.status() == StatusCode::OK => stream,
                Ok(stream) if may_try_again(stream.status()) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(stream) => bail!("the standalone stream: {}", stream.status()),
                Err(_refused) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let mut events = std::pin::pin!(events(stream));
            while let Some(event) = events.next().await {
                if !event.id.is_empty() {
                    last = Some(event.id);
                }
                if let Some(began) = began.take() {
                    // whoever waits for it may have gone
                    let _ = began.send(());
                }
                if let Some(number) = event.message["params"]["number"].as_u64() {
                    *heard
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .entry(number)
                        .or_default() += 1;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends the session.
    ///
    /// # Errors
    /// It is not ended.
    pub async fn end(&self) -> Result<()> {
        let ended = self
            .http
            .delete(&self.url)
            .header("mcp-session-id", &self.id)
            .send()
            .await?;
        ensure!(ended.status().is_success(), "{}", ended.status());
        Ok(())
    }
}

/// What a balancer or a server says when it may go better the next time.
fn may_try_again(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// One event of a stream.
#[derive(Debug, Default)]
struct Event {
    id: String,
    message: Value,
}

/// The events of an answer, until it ends or breaks. An answer in JSON is one event.
fn events(answer: Response) -> impl Stream<Item = Event> {
    let is_json = answer
        .headers()
        .get("content-type")
        .is_some_and(|media| media.as_bytes().starts_with(b"application/json"));
    let chunks = answer.bytes_stream();
    futures::stream::unfold(
        (chunks, String::new()),
        move |(mut chunks, mut text)| async move {
            loop {
                if let Some((event, rest)) = text.split_once("\n\n") {
                    let (event, rest) = (parse(event), rest.to_owned());
                    return Some((event, (chunks, rest)));
                }
                match chunks.next().await {
                    Some(Ok(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
                    None if is_json && !text.is_empty() => {
                        let message = serde_json::from_str(&text).unwrap_or_default();
                        let event = Event {
                            id: String::new(),
                            message,
                        };
                        return Some((event, (chunks, String::new())));
                    }
                    Some(Err(_)) | None => return None,
                }
            }
        },
    )
}

fn parse(event: &str) -> Event {
    let field = |name: &str| {
        event
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    Event {
        id: field("id:").unwrap_or_default().to_owned(),
        message: serde_json::from_str(field("data:").unwrap_or_default()).unwrap_or_default(),
    }
}
