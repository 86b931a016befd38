//! What an agent can look up before it answers: passages that belong to a question, with their sources.

mod bedrock;
mod directory;
mod passages;

use std::fmt::Debug;

use async_trait::async_trait;

pub use self::{
    bedrock::BedrockKnowledgeBase,
    directory::{Directory, Error},
};
use crate::message::Passage;

/// Why nothing could be looked up.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A place to look things up.
#[async_trait]
pub trait Knowledge: Debug + Send + Sync {
    /// The passages that belong to a question, the best one first; at most `most`.
    async fn find(&self, question: &str, most: usize) -> Result<Vec<Passage>, Failure>;
}
