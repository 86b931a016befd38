//! Models behind one trait: they get a conversation and tools, and stream what they say.

mod assembly;
pub mod bedrock;
mod history;
pub mod openai;
mod overflow;
mod schema;
pub mod scripted;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{assembly::Assembly, bedrock::Bedrock, openai::OpenAi, scripted::Scripted};
use crate::message::{Message, Reasoning};

/// A tool, as a model is told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    /// Its name: `^[a-zA-Z0-9_-]{1,64}$`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Arc<Map<String, Value>>,
}

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who it is, and what holds in this conversation.
    pub system: &'a str,
    /// What was said; the last message is the user's.
    pub messages: &'a [Message],
    /// What it may call, always in the same order.
    pub tools: &'a [Spec],
    /// The longest answer, in tokens; the model's own bound without it.
    pub max_tokens: Option<u32>,
    /// For whom it works.
    pub user: &'a str,
}

/// A piece of an answer, and the number of the block that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The block: pieces of one block follow each other, blocks are in the order of their numbers.
    pub block: usize,
    /// What is added to it.
    pub what: Part,
}

/// What a piece adds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Words.
    Text(String),
    /// Reasoning: its words are added, the rest replaces what was there.
    Reasoning(Reasoning),
    /// A call begins.
    Call {
        /// The model's name for it.
        id: String,
        /// The tool.
        name: String,
    },
    /// A piece of the call's arguments, as JSON text.
    Input(String),
    /// Why the answer ends.
    Stop(Stop),
    /// What it cost.
    Usage(Usage),
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// All is said.
    #[default]
    EndTurn,
    /// Tools are to be called.
    ToolUse,
    /// The answer was cut at its bound.
    MaxTokens,
    /// The provider would not let it pass.
    Filtered,
    /// The model wrote a call that cannot be read.
    Malformed,
    /// What was said does not fit into the model.
    Overflow,
}

/// What answers cost, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Read by the model, what came from a cache included.
    pub input_tokens: u64,
    /// Written by the model.
    pub output_tokens: u64,
    /// Of those read, how many came from the provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_tokens: u64,
    /// How many were written to the provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Usage {
    /// Read and written together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
    }
}

/// Why a model did not answer, or not to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Too much was asked of it at once; later it may answer.
    #[error("the model is asked too much at once: {reason}")]
    Throttled {
        /// What the provider says.
        reason: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// It cannot be reached, or its provider has a fault; later it may answer.
    #[error("the model cannot be reached: {0}")]
    Unavailable(String),
    /// What was said does not fit into it.
    #[error("the conversation is too long for the model: {0}")]
    Overflow(String),
    /// Asking the same again is of no use: no access, no such model, or a wrong request.
    #[error("the model does not answer: {0}")]
    Refused(String),
}

impl Failure {
    /// Whether the same may work later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable(_))
    }
}

/// How long a provider is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the first piece: a model may have to be loaded, and what was said to be read.
    first: Duration,
    /// From piece to piece.
    next: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(300),
            next: Duration::from_secs(120),
        }
    }
}

impl Patience {
    const fn same(time: Duration) -> Self {
        Self {
            first: time,
            next: time,
        }
    }
}

/// What a provider says, short enough for a line.
fn short(text: &str) -> String {
    const LONGEST: usize = 600;
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// An answer on its way.
pub type Pieces = BoxStream<'static, Result<Piece, Failure>>;

/// A model.
#[async_trait]
pub trait Model: Debug + Send + Sync {
    /// Its name, such as `us.anthropic.claude-haiku-4-5`.
    fn name(&self) -> &str;

    /// Who runs it, by OpenTelemetry's `gen_ai.provider.name`.
    fn provider(&self) -> &'static str;

    /// What to tell the user about it before anything else; a script says here that no model is thinking.
    fn notice(&self) -> Option<String> {
        None
    }

    /// Answers.
    ///
    /// # Errors
    /// [`Failure`] here or in the stream, after which the answer counts for nothing.
    async fn ask(&self, request: Request<'_>) -> Result<Pieces, Failure>;
}

/// A model's answer as a whole.
///
/// # Errors
/// As [`Model::ask`].
pub async fn answer(model: &dyn Model, request: Request<'_>) -> Result<(Message, Stop, Usage), Failure> {
    let mut pieces = model.ask(request).await?;
    let mut assembly = Assembly::default();
    while let Some(piece) = pieces.next().await {
        assembly.add(piece?);
    }
    Ok(assembly.finish())
}
