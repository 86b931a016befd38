//! What such a server is asked: only what all of them know.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{Request, history, schema};
use crate::message::{Block, Role};

/// A request.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Body<'a> {
    /// `completion` says that the bound has its newer name.
    pub(super) fn new(model: &'a str, request: &Request<'_>, completion: bool) -> Self {
        let mut messages = Vec::new();
        if !request.system.trim().is_empty() {
            messages.push(json!({"role": "system", "content": request.system}));
        }
        for said in history::in_order(request.messages, model) {
            match said.role {
                Role::User => user(&said, &mut messages),
                Role::Assistant => messages.push(assistant(&said)),
            }
        }
        let tools = request.tools.iter().map(|spec| {
            // a tool without arguments may leave both out by MCP's rules, and may not by OpenAI's
            let mut parameters = (*spec.schema).clone();
            parameters.entry("type").or_insert_with(|| "object".into());
            parameters.entry("properties").or_insert_with(|| json!({}));
            let parameters = schema::sorted(&parameters);
            let function =
                json!({"name": spec.name, "description": spec.description, "parameters": parameters});
            json!({"type": "function", "function": function})
        });
        Self {
            model,
            messages,
            tools: tools.collect(),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            max_tokens: request.max_tokens.filter(|_| !completion),
            max_completion_tokens: request.max_tokens.filter(|_| completion),
        }
    }
}

/// Each result is a message of its own; what the user says comes after them.
fn user(said: &history::Said<'_>, messages: &mut Vec<Value>) {
    let mut texts = Vec::new();
    for block in &said.blocks {
        match block.as_ref() {
            Block::Result(result) => {
                let content = history::words(result, false);
                messages.push(json!({"role": "tool", "tool_call_id": result.id, "content": content}));
            }
            Block::Text { text } => texts.push(text.clone()),
            Block::Passage(passage) => texts.push(history::framed(passage)),
            Block::Reasoning(_) | Block::Call(_) => {}
        }
    }
    if !texts.is_empty() {
        messages.push(json!({"role": "user", "content": texts.join("\n\n")}));
    }
}

/// Reasoning stays behind: some servers want it back, some refuse it, and the field has several names.
fn assistant(said: &history::Said<'_>) -> Value {
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    for block in &said.blocks {
        match block.as_ref() {
            Block::Text { text } => texts.push(text.as_str()),
            Block::Call(call) => {
                let mut input = call.input.clone();
                input.sort_all_objects();
                let function = json!({"name": call.name, "arguments": input.to_string()});
                calls.push(json!({"id": call.id, "type": "function", "function": function}));
            }
            _ => {}
        }
    }
    let mut message = json!({"role": "assistant", "content": texts.join("\n\n")});
    if !calls.is_empty()
        && let Value::Object(message) = &mut message
    {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
        if texts.is_empty() {
            message.insert("content".to_owned(), Value::Null);
        }
    }
    message
}
