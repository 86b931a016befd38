//! Keeps a conversation for this process while it is at it, and stores it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    conversation::Conversation,
    store::{Draft, Failure, Key, Store},
};

/// How often a process says that it is still at it.
const BEAT: Duration = Duration::from_secs(5);
/// How soon it says so again when the store did not take it.
const AGAIN: Duration = Duration::from_secs(1);
/// How long after one another the end of a turn is tried to be stored.
const LAST: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// The conversation's place in the store, and the version that was read or written last.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    key: Key,
    version: Option<String>,
    holder: String,
    lease: Lease,
    /// Whether the last write may have landed though its answer did not come.
    unsure: bool,
}

/// Until when this process has the conversation for itself. Clones know the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lease(Arc<AtomicI64>);

impl Lease {
    /// Whether nobody else can be at the conversation.
    pub(crate) fn holds(&self) -> bool {
        Timestamp::now().as_millisecond() < self.0.load(Ordering::Acquire)
    }
}

/// Why something that was waited for is not waited for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The user stopped the turn.
    Stopped,
    /// The time for it is used up.
    Late,
}

/// Until when a turn waits for anything.
#[derive(Debug, Clone)]
pub(crate) struct Until {
    pub(crate) stop: CancellationToken,
    pub(crate) deadline: Instant,
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
        let keeper = Self {
            store,
            key,
            version,
            holder: Uuid::new_v4().to_string(),
            lease: Lease::default(),
            unsure: false,
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

    pub(crate) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Takes the conversation for this process, and stores it.
    pub(crate) async fn take(&mut self, conversation: &mut Conversation) -> Result<(), Failure> {
        let until = conversation.hold(&self.holder);
        self.save(conversation).await?;
        self.lease.0.store(until.as_millisecond(), Ordering::Release);
        Ok(())
    }

    /// Stores it as it is.
    async fn save(&mut self, conversation: &Conversation) -> Result<(), Failure> {
        let body = serde_json::to_vec(conversation).map_err(|error| Failure::Broken(error.into()))?;
        let title = conversation.title();
        match self.write(&title, &body).await {
            Err(Failure::Conflict) if self.unsure => {
                if self.found_own(&body).await? {
                    return Ok(());
                }
                self.write(&title, &body).await
            }
            written => written,
        }
    }

    async fn write(&mut self, title: &str, body: &[u8]) -> Result<(), Failure> {
        let draft = Draft {
            replaces: self.version.as_deref(),
            title,
            body,
        };
        let written = self.store.save(&self.key, draft).await;
        self.unsure = matches!(written, Err(Failure::Broken(_)));
        self.version = Some(written?);
        Ok(())
    }

    /// Looks whether it was this keeper that wrote what stands in the way of a write, and goes on from there; true when
    /// nothing is left to be written.
    async fn found_own(&mut self, body: &[u8]) -> Result<bool, Failure> {
        let Some(stored) = self.store.load(&self.key).await? else {
            return Err(Failure::Conflict);
        };
        let same = stored.body == body;
        let found: Conversation =
            serde_json::from_slice(&stored.body).map_err(|error| Failure::Broken(error.into()))?;
        if !same && !found.is_held_by(&self.holder) {
            return Err(Failure::Conflict);
        }
        self.version = Some(stored.version);
        Ok(same)
    }

    /// Stores how a turn ended. A store that does not answer is asked again: what was done is worth it.
    pub(crate) async fn finish(&mut self, conversation: &Conversation) -> Result<(), Failure> {
        for pause in LAST {
            match self.save(conversation).await {
                Err(Failure::Broken(error)) => {
                    tracing::warn!(
                        error = &*error,
                        "the end of a turn could not be stored; it is tried again"
                    );
                }
                done => return done,
            }
            tokio::time::sleep(pause).await;
        }
        self.save(conversation).await
    }

    /// Waits for something, and meanwhile says that this process is still at it. `stored` is what the store has. A write
    /// is never given up in the middle, because nobody would know then what the store has.
    pub(crate) async fn during<T>(
        &mut self,
        stored: &mut Conversation,
        until: &Until,
        work: impl Future<Output = T>,
    ) -> Result<Result<T, Over>, Failure> {
        let mut work = std::pin::pin!(work.fuse());
        let mut beat = Instant::now() + BEAT;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Ok(done)),
                () = until.stop.cancelled() => return Ok(Err(Over::Stopped)),
                () = tokio::time::sleep_until(until.deadline) => return Ok(Err(Over::Late)),
                () = tokio::time::sleep_until(beat) => {}
            }
            beat = Instant::now() + BEAT;
            match self.take(stored).await {
                Err(Failure::Broken(error)) if self.lease.holds() => {
                    tracing::warn!(error = &*error, "a lease could not be renewed; it is tried again");
                    beat = Instant::now() + AGAIN;
                }
                taken => taken?,
            }
        }
    }
}
