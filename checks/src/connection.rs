//! One kept connection to an MCP endpoint, as thin as a client can be: what is measured through it is the server.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, request::Builder};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::AbortHandle};

const VERSION: &str = "2025-11-25";

/// A connection that is kept between requests, one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: AbortHandle,
    host: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // whoever sends a request is told
            let _broken = driver.await;
        });
        Ok(Self {
            sender,
            driver: driver.abort_handle(),
            host: addr.to_string(),
        })
    }

    /// Opens a session whose client can be asked: two requests, `initialize` and `initialized`. Gives its id.
    ///
    /// # Errors
    /// It is not opened.
    pub async fn initialize(&mut self) -> Result<String> {
        let client = json!({
            "protocolVersion": VERSION,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "bench", "version": "1"},
        });
        let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": client});
        let answer = self.post("", &initialize).await?;
        let id = answer.headers().get("mcp-session-id").context("no session")?;
        let id = id.to_str()?.to_owned();
        answer.into_body().collect().await?;
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.whole(&id, &initialized).await?;
        Ok(id)
    }

    /// Sends a message and reads its answer to the last byte.
    ///
    /// # Errors
    /// It is refused, or the connection breaks.
    pub async fn whole(&mut self, session: &str, message: &Value) -> Result<Bytes> {
        let answer = self.post(session, message).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }

    /// Sends a message and reads the events of its answer one by one.
    ///
    /// # Errors
    /// It is refused, or the connection breaks.
    pub async fn events(&mut self, session: &str, message: &Value) -> Result<Events> {
        Ok(Events::of(self.post(session, message).await?))
    }

    /// Comes back for what follows an event.
    ///
    /// # Errors
    /// It is refused, or the connection breaks.
    pub async fn resume(&mut self, session: &str, last: &str) -> Result<Events> {
        let get = Request::get("/mcp").header("accept", "text/event-stream");
        let get = get.header("last-event-id", last);
        Ok(Events::of(self.send(session, get, Bytes::new()).await?))
    }

    async fn post(&mut self, session: &str, message: &Value) -> Result<Response<Incoming>> {
        let post = Request::post("/mcp").header("content-type", "application/json");
        let post = post.header("accept", "application/json, text/event-stream");
        self.send(session, post, message.to_string().into()).await
    }

    async fn send(&mut self, session: &str, head: Builder, body: Bytes) -> Result<Response<Incoming>> {
        let mut head = head.header("host", &self.host);
        if !session.is_empty() {
            head = head
                .header("mcp-session-id", session)
                .header("mcp-protocol-version", VERSION);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(head.body(Full::new(body))?).await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}");
        Ok(answer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The events of an answer, as they come.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    text: String,
}

/// One event: where it is in its stream, and what it says; null when it says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What to come back with.
    pub id: String,
    /// The message.
    pub message: Value,
}

impl Events {
    fn of(answer: Response<Incoming>) -> Self {
        Self {
            body: answer.into_body(),
            text: String::new(),
        }
    }

    /// The next event, `None` at the end.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| {
                    let found = event.lines().find_map(|line| line.strip_prefix(name));
                    found.map(str::trim).unwrap_or_default()
                };
                let event = Event {
                    id: field("id:").to_owned(),
                    message: serde_json::from_str(field("data:")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await.transpose()? else {
                return Ok(None);
            };
            if let Some(data) = frame.data_ref() {
                self.text.push_str(&String::from_utf8_lossy(data));
            }
        }
    }

    /// The next event whose message has this in it, whatever comes before.
    ///
    /// # Errors
    /// The stream ends before.
    pub async fn until(&mut self, what: &str) -> Result<Event> {
        loop {
            let event = self.next().await?;
            let event = event.with_context(|| format!("the stream ended without {what}"))?;
            if event.message.to_string().contains(what) {
                return Ok(event);
            }
        }
    }

    /// Reads to the end, so that the connection can be used again.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn finish(mut self) -> Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}
