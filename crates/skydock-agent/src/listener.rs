//! Who is told what happens in a turn. A turn goes on when nobody listens any more: what comes of it is stored.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;

use crate::event::Event;

/// How many events wait for a listener before the turn waits for it.
const BACKLOG: usize = 256;
/// How long a turn waits for a listener that does not read, once: then the listener counts as gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is told. Clones tell the same.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    events: mpsc::Sender<Event>,
    gone: Arc<AtomicBool>,
}

/// A listener, and what it hears.
pub(crate) fn listener() -> (Listener, mpsc::Receiver<Event>) {
    let (events, receiver) = mpsc::channel(BACKLOG);
    let gone = Arc::default();
    (Listener { events, gone }, receiver)
}

impl Listener {
    /// Tells; false when nobody hears it.
    pub(crate) async fn tell(&self, event: Event) -> bool {
        if self.gone.load(Ordering::Relaxed) {
            // it may read again, and the end is worth hearing
            return self.events.try_send(event).is_ok();
        }
        let told = self.events.send_timeout(event, PATIENCE).await.is_ok();
        self.gone.store(!told, Ordering::Relaxed);
        told
    }

    /// Tells what nobody needs to know, when the listener keeps up.
    pub(crate) fn mention(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}
