//! What is said: the messages of a conversation, as they are stored and as models get them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user, and the tools that answer in the user's name.
    User,
    /// The model.
    Assistant,
}

/// One turn of speech. In a conversation the two roles alternate, and every call of a tool is answered in the next
/// message: models insist on both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub blocks: Vec<Block>,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Block {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A passage from the knowledge that belongs to a question; the user did not write it.
    Passage(Passage),
    /// What a model thought. It goes back to that model unchanged.
    Reasoning(Reasoning),
    /// A tool that the model wants called.
    Call(ToolCall),
    /// What came of a call.
    Result(ToolResult),
}

/// A passage that was found for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Where it stands: a file and its heading, or a URI.
    pub source: String,
    /// The words.
    pub text: String,
}

/// A piece of reasoning, with what the model's provider wants back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasoning {
    /// The words, where the provider shows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The provider's signature of the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Reasoning that the provider keeps to itself, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// The model that thought so: no other one is given it back. Empty when nobody noted it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
}

/// A call of a tool, as the model wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's name for this call.
    pub id: String,
    /// The tool, by the name that the model was given.
    pub name: String,
    /// The tool's title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its arguments: an object.
    pub input: Value,
    /// What is wrong with the arguments, when they are no JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// The model's name for the call.
    pub id: String,
    /// What the model reads.
    pub text: String,
    /// What programs read, when the tool gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// Whether the call failed.
    #[serde(default)]
    pub is_error: bool,
}

impl ToolResult {
    /// A call that came to nothing, and why.
    #[must_use]
    pub fn error(id: &str, text: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            text: text.into(),
            structured: None,
            is_error: true,
        }
    }
}

impl Message {
    /// What a user says.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            blocks: vec![Block::Text { text: text.into() }],
        }
    }

    /// What a model says.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            blocks: vec![Block::Text { text: text.into() }],
        }
    }

    /// Its words, without passages, reasoning and tools.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.blocks.iter().filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The calls in it.
    pub fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Call(call) => Some(call),
            _ => None,
        })
    }

    /// Whether it brings results of tools.
    #[must_use]
    pub fn has_results(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, Block::Result(_)))
    }
}
