//! Who waits in this process for something to happen to a task is told at once; what happens elsewhere is found in the
//! store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// The bells of tasks that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Bells(Mutex<HashMap<String, Arc<Notify>>>);

/// Somebody who waits for a task.
#[derive(Debug)]
pub(super) struct Waiting {
    bells: Arc<Bells>,
    id: String,
    bell: Arc<Notify>,
}

impl Bells {
    /// Tells everybody who waits for this task.
    pub(super) fn ring(&self, id: &str) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(id) {
            bell.notify_waiters();
        }
    }

    /// Begins to wait for this task.
    pub(super) fn wait(self: &Arc<Self>, id: &str) -> Waiting {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Waiting {
            bells: Arc::clone(self),
            id: id.to_owned(),
            bell: Arc::clone(bells.entry(id.to_owned()).or_default()),
        }
    }
}

impl Waiting {
    /// Ready when the bell rings after this was called.
    pub(super) fn rung(&self) -> OwnedNotified {
        Arc::clone(&self.bell).notified_owned()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut bells = self.bells.0.lock().unwrap_or_else(PoisonError::into_inner);
        // the map and this one
        if Arc::strong_count(&self.bell) <= 2 {
            bells.remove(&self.id);
        }
    }
}
