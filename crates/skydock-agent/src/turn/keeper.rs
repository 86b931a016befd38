//! Keeps a conversation for this process while it is at it, and stores it.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use uuid::Uuid;

use crate::{
    conversation::Conversation,
    store::{Draft, Failure, Key, Store},
};

/// How often a process says that it is still at it.
const BEAT: Duration = Duration::from_secs(5);

/// The conversation's place in the store, and the version that was read or written last.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    key: Key,
    version: Option<String>,
    holder: String,
}

impl Keeper {
    /// Reads the conversation; a new one when there is none.
    pub(crate) async fn load(store: Arc<dyn Store>, key: Key) -> Result<(Self, Conversation), Failure> {
        let stored = store.load(&key).await?;
        let (version, conversation) = match stored {
            Some(stored) => {
                let read =
                    serde_json::from_slice(&stored.body).map_err(|error| Failure::Broken(error.into()))?;
                (Some(stored.version), read)
            }
            None => (None, Conversation::default()),
        };
        let holder = Uuid::new_v4().to_string();
        let keeper = Self {
            store,
            key,
            version,
            holder,
        };
        Ok((keeper, conversation))
    }

    pub(crate) fn session(&self) -> &str {
        &self.key.session
    }

    /// What the user is called.
    pub(crate) fn user(&self) -> &str {
        self.key.name()
    }

    /// Takes the conversation for this process, and stores it.
    pub(crate) async fn take(&mut self, conversation: &mut Conversation) -> Result<(), Failure> {
        conversation.hold(&self.holder);
        self.save(conversation).await
    }

    /// Stores it as it is.
    pub(crate) async fn save(&mut self, conversation: &Conversation) -> Result<(), Failure> {
        let body = serde_json::to_vec(conversation).map_err(|error| Failure::Broken(error.into()))?;
        let draft = Draft {
            replaces: self.version.as_deref(),
            title: &conversation.title(),
            body: &body,
        };
        self.version = Some(self.store.save(&self.key, draft).await?);
        Ok(())
    }

    /// Waits for something, and meanwhile says that this process is still at it. `stored` is what the store has.
    pub(crate) async fn during<T>(
        &mut self,
        stored: &mut Conversation,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work.fuse());
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(BEAT) => self.take(stored).await?,
            }
        }
    }
}
