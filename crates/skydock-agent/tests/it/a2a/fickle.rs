//! A store of tasks that does not always do what it is asked.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use skydock_agent::a2a::{
    protocol::StreamResponse,
    store::{Failure, Filter, Logged, Mailbox, Page, Record, Tasks},
};

/// What goes wrong with a record that is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It is not written.
    Refused,
    /// It is written, and nobody is told so.
    Unsaid,
    /// It does not fit.
    TooLong { length: usize, most: usize },
}

/// The store, and what goes wrong.
pub(super) struct Fickle<F> {
    inner: Arc<dyn Tasks>,
    fault: F,
}

impl<F: Fn(&Record) -> Option<Fault>> Fickle<F> {
    pub(super) const fn new(inner: Arc<dyn Tasks>, fault: F) -> Self {
        Self { inner, fault }
    }
}

impl<F> std::fmt::Debug for Fickle<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Fickle").finish_non_exhaustive()
    }
}

fn broken() -> Failure {
    Failure::Broken("the store is away for a moment".into())
}

#[async_trait]
impl<F: Fn(&Record) -> Option<Fault> + Send + Sync> Tasks for Fickle<F> {
    async fn save(&self, record: &Record, events: &[StreamResponse]) -> Result<(), Failure> {
        // as over a network: whoever does not wait for it has not written
        tokio::task::yield_now().await;
        match (self.fault)(record) {
            None => self.inner.save(record, events).await,
            Some(Fault::Refused) => Err(broken()),
            Some(Fault::Unsaid) => {
                self.inner.save(record, events).await?;
                Err(broken())
            }
            Some(Fault::TooLong { length, most }) => {
                let id = record.task.id.clone();
                Err(Failure::TooLong { id, length, most })
            }
        }
    }

    async fn load(&self, id: &str) -> Result<Option<Record>, Failure> {
        self.inner.load(id).await
    }

    async fn log(&self, id: &str, after: u64, most: usize) -> Result<Vec<Logged>, Failure> {
        self.inner.log(id, after, most).await
    }

    async fn list(&self, caller: &str, filter: &Filter) -> Result<Page, Failure> {
        self.inner.list(caller, filter).await
    }

    async fn stranded(&self, now: Timestamp, most: usize) -> Result<Vec<String>, Failure> {
        self.inner.stranded(now, most).await
    }

    async fn mailbox(&self, task: &str) -> Result<Option<Mailbox>, Failure> {
        self.inner.mailbox(task).await
    }

    async fn put_mailbox(&self, mailbox: &Mailbox) -> Result<(), Failure> {
        self.inner.put_mailbox(mailbox).await
    }

    async fn mail(&self, now: Timestamp, most: usize) -> Result<Vec<String>, Failure> {
        self.inner.mail(now, most).await
    }
}
