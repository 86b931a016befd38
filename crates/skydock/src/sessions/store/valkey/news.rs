//! Who waits for which log to grow, and the connection on which the server tells of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use tokio::{
    sync::{Notify, futures::Notified},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use super::link::Link;

/// Where the names of logs that have grown are published. On a cluster every node tells it to all.
pub(super) const CHANNEL: &str = "skydock:news";
/// Before the connection is made again. What happens meanwhile is not told, but found by those who look.
const PAUSE: Duration = Duration::from_secs(1);

type Waiting = Arc<Mutex<HashMap<String, Arc<Notify>>>>;

/// News of logs, for whoever waits. One connection serves all, and is made when somebody waits for the first time.
pub(super) struct News {
    link: Arc<Link>,
    waiting: Waiting,
    listener: OnceLock<AbortOnDropHandle<()>>,
}

impl News {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            waiting: Waiting::default(),
            listener: OnceLock::new(),
        }
    }

    /// News of a log, as long as this is kept.
    pub(super) fn of(&self, log: &str) -> Of {
        self.listener.get_or_init(|| {
            let listening = listen(Arc::clone(&self.link), Arc::clone(&self.waiting));
            AbortOnDropHandle::new(tokio::spawn(listening))
        });
        let grown = Arc::clone(locked(&self.waiting).entry(log.to_owned()).or_default());
        Of {
            log: log.to_owned(),
            grown,
            waiting: Arc::clone(&self.waiting),
        }
    }
}

/// News of one log.
pub(super) struct Of {
    log: String,
    grown: Arc<Notify>,
    waiting: Waiting,
}

impl Of {
    pub(super) fn told(&self) -> Notified<'_> {
        self.grown.notified()
    }
}

impl Drop for Of {
    fn drop(&mut self) {
        let mut waiting = locked(&self.waiting);
        // this one's and the map's own
        if Arc::strong_count(&self.grown) == 2 {
            waiting.remove(&self.log);
        }
    }
}

async fn listen(link: Arc<Link>, waiting: Waiting) {
    loop {
        if let Ok(mut channel) = link.listen().await
            && channel.subscribe(CHANNEL).await.is_ok()
        {
            let mut told = channel.into_on_message();
            while let Some(message) = told.next().await {
                let log = std::str::from_utf8(message.get_payload_bytes()).unwrap_or_default();
                if let Some(grown) = locked(&waiting).get(log) {
                    grown.notify_waiters();
                }
            }
        }
        sleep(PAUSE).await;
    }
}

fn locked<T>(waiting: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
