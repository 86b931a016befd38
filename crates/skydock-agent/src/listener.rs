//! Who is told what happens in a turn. A turn goes on when nobody listens any more: what comes of it is stored.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::Event;

/// How many events wait for a listener before the turn waits for it.
const BACKLOG: usize = 256;
/// How long a turn waits for a listener that does not read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who is told.
#[derive(Debug, Clone)]
pub(crate) struct Listener(mpsc::Sender<Event>);

/// A listener, and what it hears.
pub(crate) fn listener() -> (Listener, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (Listener(sender), receiver)
}

impl Listener {
    /// Tells.
    pub(crate) async fn tell(&self, event: Event) {
        // a listener that is gone, or as good as gone, misses what is in the store
        let _ = self.0.send_timeout(event, PATIENCE).await;
    }

    /// Tells what nobody needs to know, when the listener keeps up.
    pub(crate) fn mention(&self, event: Event) {
        let _ = self.0.try_send(event);
    }
}
