//! A client of the router, without a socket: JSON goes in, status and JSON come out.

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use skydock::{Config, Host, Mode};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::workshop::{Events, Workshop};

pub(crate) const LEGACY: &str = "2025-06-18";
pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const MODES: [Mode; 3] = [Mode::Stateful, Mode::Stateless, Mode::Json];

/// One answer of the service.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// All JSON-RPC messages of the body, JSON or events.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if self
            .headers
            .get("content-type")
            .is_some_and(|media| media == "application/json")
        {
            return vec![serde_json::from_str(&self.text).unwrap()];
        }
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| !data.is_empty())
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// The last message: the answer.
    pub(crate) fn answer(&self) -> Value {
        self.messages()
            .pop()
            .unwrap_or_else(|| panic!("no answer in {self:?}"))
    }

    /// The text of a tool's result.
    pub(crate) fn tool_text(&self) -> String {
        let answer = self.answer();
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text in {answer}"))
            .to_owned()
    }

    pub(crate) fn error_code(&self) -> i64 {
        let answer = self.answer();
        answer["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no error in {answer}"))
    }
}

/// A client in one protocol era, with or without a session.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) router: Router,
    pub(crate) version: &'static str,
    pub(crate) session: Option<String>,
    pub(crate) capabilities: Value,
}

pub(crate) fn config(mode: Mode) -> Config {
    let mut config = Config::default();
    config.mode = mode;
    config
}

pub(crate) fn router(config: Config) -> (Router, Events) {
    let events = Events::default();
    (
        Host::new(Workshop::new(events.clone())).with(config).router(),
        events,
    )
}

impl Client {
    /// A client of 2026-07-28.
    pub(crate) fn modern(router: &Router) -> Self {
        Self {
            router: router.clone(),
            version: MODERN,
            session: None,
            capabilities: json!({"elicitation": {}}),
        }
    }

    /// A client of 2025-06-18 that has shaken hands.
    pub(crate) async fn legacy(router: &Router) -> Self {
        let mut client = Self {
            router: router.clone(),
            version: LEGACY,
            session: None,
            capabilities: json!({"elicitation": {}}),
        };
        let reply = client.initialize().await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        client.session = reply
            .headers
            .get("mcp-session-id")
            .map(|id| id.to_str().unwrap().to_owned());
        let reply = client
            .send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        client
    }

    pub(crate) async fn initialize(&self) -> Reply {
        let info = json!({"name": "test", "version": "1"});
        let params =
            json!({"protocolVersion": self.version, "capabilities": self.capabilities, "clientInfo": info});
        self.send(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.exchange(self.calling(tool, arguments)).await
    }

    /// The call of a tool that stays at work until its test lets it end.
    pub(crate) fn calling_in_background(&self, tool: &'static str) -> JoinHandle<Reply> {
        let client = self.clone();
        tokio::spawn(async move { client.call(tool, json!({})).await })
    }

    /// The request that [`call`](Self::call) sends.
    pub(crate) fn calling(&self, tool: &str, arguments: Value) -> Request<Body> {
        let mut params = json!({"name": tool});
        params["arguments"] = arguments;
        self.requesting("tools/call", params)
    }

    pub(crate) async fn request(&self, method: &str, params: Value) -> Reply {
        self.exchange(self.requesting(method, params)).await
    }

    fn requesting(&self, method: &str, mut params: Value) -> Request<Body> {
        if self.version == MODERN {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        self.sending(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    }

    pub(crate) async fn send(&self, message: Value) -> Reply {
        self.exchange(self.sending(&message)).await
    }

    fn sending(&self, message: &Value) -> Request<Body> {
        let mut request = self.post();
        if self.version == MODERN {
            request = request.header("mcp-method", message["method"].as_str().unwrap());
            if let Some(name) = message["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        request.body(Body::from(message.to_string())).unwrap()
    }

    pub(crate) fn post(&self) -> http::request::Builder {
        let mut request = Request::post("/mcp").header("content-type", "application/json");
        request = request.header("accept", "application/json, text/event-stream");
        self.with_session(request)
    }

    pub(crate) fn with_session(&self, request: http::request::Builder) -> http::request::Builder {
        let request = request
            .header("host", "localhost")
            .header("mcp-protocol-version", self.version);
        match &self.session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        }
    }

    pub(crate) async fn exchange(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}
