//! Where conversations are kept. A store knows nothing of what is in them: it keeps a body under a user and a name,
//! and lets nobody write over what he has not read.

mod dynamodb;
mod packed;
mod s3;
mod sqlite;

use std::{
    fmt::Debug,
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;

pub use self::{dynamodb::DynamoDb, s3::S3, sqlite::Sqlite};

/// Whose conversation, and which. Two are the same when user and session are.
#[derive(Debug, Clone)]
pub struct Key {
    /// The user; a user reaches no conversation of another.
    pub user: Arc<str>,
    /// The conversation's name, unique for this user.
    pub session: Arc<str>,
    /// What the user is called, where that is not what the user is known by.
    called: Option<Arc<str>>,
}

impl Key {
    /// The conversation `session` of `user`.
    pub fn new(user: impl Into<Arc<str>>, session: impl Into<Arc<str>>) -> Self {
        Self {
            user: user.into(),
            session: session.into(),
            called: None,
        }
    }

    /// The same of a user who is called this, by the model and by others that are to be polite.
    #[must_use]
    pub fn called(self, name: impl Into<Arc<str>>) -> Self {
        Self {
            called: Some(name.into()),
            ..self
        }
    }

    /// What the user is called; never to be kept by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.called.as_deref().unwrap_or(&self.user)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.user, &self.session) == (&other.user, &other.session)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.user, &self.session).hash(state);
    }
}

/// A body, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Changes with each write.
    pub version: String,
    /// What was written.
    pub body: Vec<u8>,
}

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub session: String,
    /// What it is about.
    pub title: String,
    /// When it was last written.
    pub written: Timestamp,
}

/// Why something was not stored or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Somebody else has written since it was read.
    #[error("the conversation was changed by somebody else")]
    Conflict,
    /// It does not fit.
    #[error("the conversation is too long for this store ({length} of {most} bytes)")]
    TooLong {
        /// What it takes.
        length: usize,
        /// What there is.
        most: usize,
    },
    /// The store does not do what it is asked.
    #[error("the store of conversations cannot be used")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Something to be written.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The version that it replaces; none for the first one.
    pub replaces: Option<&'a str>,
    /// What it is about.
    pub title: &'a str,
    /// What is written.
    pub body: &'a [u8],
}

/// A place for conversations.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// What was written last.
    async fn load(&self, key: &Key) -> Result<Option<Stored>, Failure>;

    /// Writes, and gives the new version.
    async fn save(&self, key: &Key, draft: Draft<'_>) -> Result<String, Failure>;

    /// The user's conversations, the one that was written last first; at most `most`.
    async fn list(&self, user: &str, most: usize) -> Result<Vec<Listed>, Failure>;

    /// Forgets it. What is not there is forgotten already.
    async fn remove(&self, key: &Key) -> Result<(), Failure>;
}
