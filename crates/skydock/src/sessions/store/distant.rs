//! A store that is somewhere else: connected to when it is first asked something, so that a program starts without it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{Entry, Failure, Patience, Place, Record, Store, Written};

/// The store at a place.
#[derive(Debug)]
pub(super) struct Distant {
    place: Place,
    limit: usize,
    store: OnceCell<Arc<dyn Store>>,
}

impl Distant {
    /// The store at `place`, whose values have at most `limit` bytes.
    pub(super) fn new(place: Place, limit: usize) -> Self {
        Self {
            place,
            limit,
            store: OnceCell::new(),
        }
    }

    async fn store(&self) -> Result<&dyn Store, Failure> {
        let store = self.store.get_or_try_init(|| self.place.connect()).await?;
        Ok(&**store)
    }
}

#[async_trait]
impl Store for Distant {
    fn limit(&self) -> usize {
        self.limit
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        self.store().await?.read(key).await
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        replaces: Option<u64>,
        ttl: Duration,
    ) -> Result<Written, Failure> {
        self.store().await?.write(key, value, replaces, ttl).await
    }

    async fn touch(&self, key: &str, ttl: Duration) -> Result<Option<Record>, Failure> {
        self.store().await?.touch(key, ttl).await
    }

    async fn append(&self, log: &str, entries: Vec<Bytes>, ttl: Duration) -> Result<u64, Failure> {
        self.store().await?.append(log, entries, ttl).await
    }

    async fn follow(&self, log: &str, after: u64, patience: Patience) -> Result<Vec<Entry>, Failure> {
        self.store().await?.follow(log, after, patience).await
    }

    async fn trim(&self, log: &str, through: u64) -> Result<(), Failure> {
        self.store().await?.trim(log, through).await
    }

    async fn announce(&self, instance: &str, ttl: Duration) -> Result<(), Failure> {
        self.store().await?.announce(instance, ttl).await
    }

    async fn roll(&self) -> Result<Vec<String>, Failure> {
        self.store().await?.roll().await
    }
}
