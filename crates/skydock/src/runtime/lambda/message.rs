//! What Lambda's runtime has to know of JSON-RPC and MCP: events that are messages and no HTTP, and answers that take
//! the place of one that cannot be delivered. In rmcp's own types.

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, header};
use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, ErrorCode, RequestId, ServerJsonRpcMessage},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// The protocol version of a call that names none itself, made for AgentCore Gateway.
const VERSION: &str = "2025-11-25";
const EVENTS: &str = "text/event-stream";

/// What a request says about itself.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Target>,
}

#[derive(Default, Deserialize)]
struct Target {
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    uri: Option<Value>,
    #[serde(default, rename = "taskId")]
    task_id: Option<Value>,
    #[serde(default, rename = "_meta")]
    meta: Option<Value>,
}

impl Asked {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn id(&self) -> Option<RequestId> {
        serde_json::from_value(self.id.clone()?).ok()
    }
}

/// The headers with which a message would have come over HTTP (2026-07-28 repeats in them what the body says).
pub(super) fn headers(body: &[u8]) -> HeaderMap {
    let mut headers = content_headers();
    let asked = Asked::read(body);
    let params = asked.params.unwrap_or_default();
    let version = params
        .meta
        .as_ref()
        .and_then(|meta| meta.get("io.modelcontextprotocol/protocolVersion")?.as_str());
    let Some(version) = version else { return headers };
    let name = match asked.method.as_deref() {
        Some("resources/read" | "resources/subscribe" | "resources/unsubscribe") => params.uri,
        Some("tasks/get" | "tasks/update" | "tasks/cancel") => params.task_id,
        _ => params.name,
    };
    let pairs = [
        ("mcp-protocol-version", Some(version)),
        ("mcp-method", asked.method.as_deref()),
        ("mcp-name", name.as_ref().and_then(Value::as_str)),
    ];
    for (header, value) in pairs {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(header, value);
        }
    }
    headers
}

/// The call of a tool, as a message.
pub(super) fn call(name: &str, arguments: &RawValue) -> (HeaderMap, Bytes) {
    let mut headers = content_headers();
    headers.insert("mcp-protocol-version", HeaderValue::from_static(VERSION));
    // the arguments stay as they came: a number may be larger than we can hold
    let name = json!(name);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name},"arguments":{arguments}}}}}"#
    );
    (headers, body.into())
}

fn content_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    headers
}

/// Whether the client takes events; one that says nothing takes all.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .peekable();
    accepted.peek().is_none()
        || accepted
            .flat_map(|value| value.split(','))
            .filter_map(|entry| entry.split(';').next())
            .any(|media| {
                ["*/*", "text/*", EVENTS]
                    .iter()
                    .any(|ours| media.trim().eq_ignore_ascii_case(ours))
            })
}

/// Whether a body is made of events.
pub(super) fn is_events(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(EVENTS))
}

/// The answer within a body of events: the last message that is one. What else there is cannot be delivered.
pub(super) fn answer_of(events: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        method: Option<serde::de::IgnoredAny>,
    }
    let text = std::str::from_utf8(events).ok()?;
    let mut answer = None;
    let mut dropped = 0_usize;
    for data in text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim)
    {
        match serde_json::from_str::<Message>(data) {
            Ok(Message { method: None }) => answer = Some(Bytes::copy_from_slice(data.as_bytes())),
            Ok(_) => dropped += 1,
            Err(_) if data.is_empty() => {}
            Err(error) => tracing::debug!(%error, "an event is no message"),
        }
    }
    if dropped > 0 {
        tracing::debug!(
            dropped,
            "notifications were dropped: this client takes one answer only"
        );
    }
    answer
}

/// What a tool's caller gets that takes a value and no MCP: what the tool returned, or what went wrong.
pub(super) fn value_of(answer: &[u8]) -> Result<Vec<u8>, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        result: Option<Value>,
        #[serde(default)]
        error: Option<ErrorData>,
    }
    let unreadable = || "the server gave no answer that can be read".to_owned();
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| {
        tracing::error!(%error, "cannot read an answer of our own");
        unreadable()
    })?;
    if let Some(error) = answer.error {
        return Err(error.message.into_owned());
    }
    let mut result = answer.result.ok_or_else(unreadable)?;
    let mut take = |key: &str| result.get_mut(key).map(Value::take);
    let failed = take("isError").is_some_and(|failed| failed == true);
    let structured = take("structuredContent").filter(|content| !content.is_null());
    let content = take("content").unwrap_or_default();
    let texts: Option<Vec<&str>> = content
        .as_array()
        .and_then(|blocks| blocks.iter().map(|block| block.get("text")?.as_str()).collect());
    if failed {
        return Err(texts.map_or_else(|| content.to_string(), |texts| texts.join("\n")));
    }
    let value = match (structured, texts.as_deref()) {
        (Some(value), _) => value,
        (None, Some([text])) => serde_json::from_str(text).unwrap_or_else(|_plain| json!(text)),
        (None, _) => content,
    };
    Ok(value.to_string().into_bytes())
}

/// The answer in place of one that is larger than the door lets through.
pub(super) fn too_large(request: &[u8], limit: usize) -> Vec<u8> {
    let asked = Asked::read(request);
    let text = format!(
        "the answer is larger than the {} MB that can be delivered here; ask for less, or page by page",
        limit >> 20
    );
    let message = match asked.id() {
        Some(id) if asked.method.as_deref() == Some("tools/call") => {
            let result = CallToolResult::error(vec![ContentBlock::text(text)]);
            ServerJsonRpcMessage::response(result.into(), id)
        }
        id => ServerJsonRpcMessage::error(ErrorData::internal_error(text, None), id),
    };
    written(&message)
}

/// The answer in place of one that did not come in time.
pub(super) fn late(request: &[u8]) -> Vec<u8> {
    let text = "no answer within the time that the function has";
    let error = ErrorData::new(ErrorCode(-32000), text, None);
    written(&ServerJsonRpcMessage::error(error, Asked::read(request).id()))
}

/// The answer in place of one that we could not make; the cause stands in the log beside `reference`.
pub(super) fn broken(request: &[u8], reference: &str) -> Vec<u8> {
    let error = ErrorData::internal_error(format!("internal error (reference {reference})"), None);
    written(&ServerJsonRpcMessage::error(error, Asked::read(request).id()))
}

fn written(message: &ServerJsonRpcMessage) -> Vec<u8> {
    serde_json::to_vec(message)
        .inspect_err(|error| tracing::error!(%error, "cannot write an answer"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_brings_the_headers_of_its_era() {
        let old = headers(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        assert_eq!(old.get("mcp-method"), None);
        let new = headers(
            br#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"shop://menu","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        );
        assert_eq!(new["mcp-protocol-version"], "2026-07-28");
        assert_eq!(new["mcp-method"], "resources/read");
        assert_eq!(new["mcp-name"], "shop://menu");
        for (method, params) in [
            ("resources/subscribe", r#""uri":"a""#),
            ("resources/unsubscribe", r#""uri":"a""#),
            ("tasks/get", r#""taskId":"a""#),
            ("tasks/update", r#""taskId":"a""#),
            ("tasks/cancel", r#""taskId":"a","name":"b""#),
        ] {
            let message = format!(
                r#"{{"method":"{method}","params":{{{params},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
            );
            assert_eq!(headers(message.as_bytes())["mcp-name"], "a", "{method}");
        }
        assert_eq!(headers(b"[]"), content_headers());
    }

    #[test]
    fn the_answer_is_found_among_events() {
        let events = b"id: 0\nretry: 3000\ndata: \n\n:\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
        assert_eq!(
            answer_of(events).unwrap(),
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.as_bytes()
        );
        assert_eq!(answer_of(b":\n\n"), None);
    }

    #[test]
    fn a_tool_returns_a_value_or_fails() {
        let value = |result: Value| {
            let answer = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
            value_of(answer.as_bytes()).map(|value| String::from_utf8(value).unwrap())
        };
        let text = |text: &str| json!([{"type": "text", "text": text}]);
        assert_eq!(
            value(json!({"content": text("two pizzas")})),
            Ok(r#""two pizzas""#.to_owned())
        );
        assert_eq!(
            value(json!({"content": text(r#"{"a":1}"#)})),
            Ok(r#"{"a":1}"#.to_owned())
        );
        assert_eq!(
            value(json!({"content": text("x"), "structuredContent": {"b": 2}})),
            Ok(r#"{"b":2}"#.to_owned())
        );
        assert_eq!(value(json!({"content": []})), Ok("[]".to_owned()));
        assert_eq!(
            value(json!({"content": text("no oven"), "isError": true})),
            Err("no oven".to_owned())
        );
        let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"tool not found"}}"#;
        assert_eq!(value_of(error), Err("tool not found".to_owned()));
        assert!(value_of(b"").is_err());
    }

    #[test]
    fn what_takes_an_answers_place_has_its_id() {
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        let call = br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":7}}"#;
        let answer = read(too_large(call, 1 << 20));
        assert_eq!(
            (&answer["id"], &answer["result"]["isError"]),
            (&json!("a"), &json!(true))
        );
        assert!(
            answer["result"]["content"][0]["text"]
                .as_str()
                .unwrap()
                .contains("1 MB")
        );
        let list = br#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#;
        assert_eq!(read(too_large(list, 6 << 20))["error"]["code"], -32603);
        assert_eq!(read(late(list))["id"], 3);
        assert_eq!(read(late(b"garbage"))["error"]["code"], -32000);
        assert!(
            read(broken(list, "0badc0de"))["error"]["message"]
                .as_str()
                .unwrap()
                .contains("0badc0de")
        );
    }

    #[test]
    fn a_client_may_take_no_events() {
        let takes = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            takes_events(&headers)
        };
        assert!(
            takes(None) && takes(Some("*/*;q=0.1")) && takes(Some("application/json, Text/Event-Stream"))
        );
        assert!(!takes(Some("application/json")));
    }
}
