//! What such servers send. They deviate from OpenAI and from each other, so nothing is required and all is read kindly.

use serde::Deserialize;
use serde_json::Value;

/// A piece of a streamed answer, or an answer as a whole.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    pub(super) choices: Option<Vec<Choice>>,
    pub(super) usage: Option<Counts>,
    pub(super) error: Option<Value>,
    /// vLLM says `error` here, and `message` beside it.
    pub(super) object: Option<String>,
    pub(super) message: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    #[serde(alias = "message")]
    pub(super) delta: Option<Delta>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    /// A text, or a list of parts.
    pub(super) content: Option<Value>,
    pub(super) refusal: Option<String>,
    /// DeepSeek, llama.cpp, vLLM.
    pub(super) reasoning_content: Option<Value>,
    /// Ollama, OpenRouter, newer vLLM.
    pub(super) reasoning: Option<Value>,
    pub(super) tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CallDelta {
    pub(super) index: Option<usize>,
    pub(super) id: Option<String>,
    pub(super) function: Option<FunctionDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    pub(super) name: Option<String>,
    /// JSON as a text; with some servers an object.
    pub(super) arguments: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Counts {
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Details {
    pub(super) cached_tokens: Option<u64>,
}

/// The words of a content: a text, or parts that have texts.
pub(super) fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect(),
        _ => String::new(),
    }
}

/// The arguments of a call as JSON text.
pub(super) fn arguments(arguments: &Value) -> String {
    match arguments {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}
