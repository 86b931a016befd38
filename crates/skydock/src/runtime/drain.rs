//! Ending without losing an answer: first no new work, then the answers that are being worked on, then the streams.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Handlers are told to stop when this part of the grace period is left, so that what they say still gets out.
const LAST_PART: u32 = 5;

/// How long requests are still taken in that were on their way when the shutdown began: a balancer that has just been
/// told sends no more, but has sent.
const ON_THEIR_WAY: Duration = Duration::from_millis(200);

/// The state of a shutdown, shared by the door and the service behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    draining: CancellationToken,
    streams: CancellationToken,
    answers: TaskTracker,
    deadline: Arc<OnceLock<Instant>>,
    /// From when on requests are refused.
    closes: Arc<OnceLock<Instant>>,
}

impl Drain {
    /// Whether a shutdown has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Whether new work is refused: a moment after the shutdown has begun.
    pub(crate) fn is_closed(&self) -> bool {
        self.closes.get().is_some_and(|closes| *closes <= Instant::now())
    }

    /// Cancelled when a shutdown begins.
    pub(crate) const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when streams without an end of their own have to end.
    pub(crate) const fn streams(&self) -> &CancellationToken {
        &self.streams
    }

    /// When a shutdown that has begun is over, whatever is still being worked on.
    pub(crate) fn deadline(&self) -> Instant {
        // a moment for the last bytes, even at the very end
        let last = Instant::now() + Duration::from_millis(200);
        self.deadline.get().map_or(last, |deadline| last.max(*deadline))
    }

    /// Refuses new work, waits until every answer is delivered, and ends the streams. When most of `grace` is gone
    /// the handlers are told to stop (`stop`); when all of it is, nobody is waited for. The address is listened on for
    /// at least `linger`, so that a balancer that still sends requests hears why it should not.
    pub(crate) async fn run(&self, grace: Duration, linger: Duration, stop: &CancellationToken) {
        let begun = Instant::now();
        let deadline = *self.deadline.get_or_init(|| begun + grace);
        let closes = *self.closes.get_or_init(|| begun + ON_THEIR_WAY.min(grace / 10));
        self.draining.cancel();
        self.answers.close();
        tokio::time::sleep_until(closes).await;
        let told = deadline - grace / LAST_PART;
        if tokio::time::timeout_at(told, self.answers.wait()).await.is_err() {
            stop.cancel();
            if tokio::time::timeout_at(deadline, self.answers.wait())
                .await
                .is_err()
            {
                let left = self.answers.len();
                tracing::warn!(
                    left,
                    ?grace,
                    "answers were not ready at the end of the grace period"
                );
            }
        }
        tokio::time::sleep_until(deadline.min(begun + linger)).await;
        self.streams.cancel();
    }

    /// An answer that a shutdown waits for, until the token is dropped.
    pub(crate) fn answer(&self) -> TaskTrackerToken {
        self.answers.token()
    }
}

/// The same response, with what is to be kept until its last byte is written or its reader has gone.
pub(crate) fn hold<K: Send + Unpin + 'static>(response: Response<Body>, keep: K) -> Response<Body> {
    response.map(|body| Body::new(Held { body, _keep: keep }))
}

/// A body that keeps something until it ends.
struct Held<K> {
    body: Body,
    _keep: K,
}

impl<K: Unpin> HttpBody for Held<K> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
