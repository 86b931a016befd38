//! One instance calls another, and waits for what it says; and what both of them keep beside sessions.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Absent, Sessions, TRIES,
    post::Letter,
    record::{pack, unpack},
    store::{Failure, Written},
};

/// How long a call waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who answers the calls of other instances.
pub(crate) trait Answers: Send + Sync {
    /// Does what a call asks for.
    fn answer(&self, body: Value) -> BoxFuture<'_, Value>;
}

/// The calls that wait for an answer.
#[derive(Default)]
pub(super) struct Calls {
    numbers: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    answers: OnceLock<Weak<dyn Answers>>,
}

impl Calls {
    fn waiting<T>(&self, with: impl FnOnce(&mut HashMap<u64, oneshot::Sender<Value>>) -> T) -> T {
        with(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn reply(&self, number: u64, body: Value) {
        if let Some(caller) = self.waiting(|waiting| waiting.remove(&number)) {
            // it may have lost its patience
            let _ = caller.send(body);
        }
    }
}

impl Sessions {
    /// The name of this instance among those that share the store.
    pub(crate) fn instance(&self) -> &str {
        &self.post.instance
    }

    /// Whether an instance has ended.
    ///
    /// # Errors
    /// When the store cannot say.
    pub(crate) async fn has_gone(&self, instance: &str) -> Result<bool, Absent> {
        Ok(self.post.has_gone(instance).await?)
    }

    /// From now on `answers` does what other instances call for.
    pub(crate) fn answer_with(&self, answers: Weak<dyn Answers>) {
        // the sessions belong to one service
        let _ = self.calls.answers.set(answers);
    }

    /// Calls another instance.
    ///
    /// # Errors
    /// When the store does not take the call, or there is no answer in time.
    pub(crate) async fn call(&self, instance: &str, body: Value) -> Result<Value, Absent> {
        let number = self.calls.numbers.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.calls.waiting(|waiting| waiting.insert(number, answered));
        // the answer is fetched as fast as one of a user
        let _expecting = self.post.expects();
        let from = self.instance().to_owned();
        let letter = Letter::Call { from, number, body };
        let called = async {
            self.post.send(instance, &letter).await?;
            let late =
                |error: Box<dyn std::error::Error + Send + Sync>| Absent::Store(Failure::Unavailable(error));
            let answer = tokio::time::timeout(PATIENCE, answer)
                .await
                .map_err(|elapsed| late(elapsed.into()))?;
            answer.map_err(|gone| late(gone.into()))
        };
        let called = called.await;
        self.calls.waiting(|waiting| waiting.remove(&number));
        called
    }

    /// Does what another instance calls for, and tells it how that went.
    pub(super) fn answer_call(self: Arc<Self>, from: String, number: u64, body: Value) {
        let Some(answers) = self.calls.answers.get().and_then(Weak::upgrade) else {
            return;
        };
        tokio::spawn(async move {
            let body = answers.answer(body).await;
            if let Err(error) = self.post.send(&from, &Letter::Reply { number, body }).await {
                tracing::warn!(%error, "another instance is not told how its call went");
            }
        });
    }

    /// What is kept under a key.
    ///
    /// # Errors
    /// When the store fails, or holds something else there.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Absent> {
        let found = self.store.read(key).await?;
        found
            .map(|found| unpack(&found.value))
            .transpose()
            .map_err(|error| Absent::Broken(error.into()))
    }

    /// Keeps a value under a key, whatever was there, for `ttl`.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) async fn set<T: Serialize + Sync>(
        &self,
        key: &str,
        value: &T,
        ttl: Duration,
    ) -> Result<(), Absent> {
        let value = pack(value).map_err(|error| Absent::Broken(error.into()))?;
        for _ in 0..TRIES {
            let replaces = self.store.read(key).await?.map(|found| found.version);
            if let Written::Done(_) = self.store.write(key, value.clone(), replaces, ttl).await? {
                return Ok(());
            }
        }
        Err(Absent::Store(Failure::Unavailable(
            "others write the same all the time".into(),
        )))
    }
}
