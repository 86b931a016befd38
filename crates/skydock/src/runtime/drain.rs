//! Ending without losing an answer: first no new work, then the answers that are being worked on, then the streams.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http::Response;
use http_body::{Frame, SizeHint};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The state of a shutdown, shared by the door and the service behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    draining: CancellationToken,
    streams: CancellationToken,
    answers: TaskTracker,
}

impl Drain {
    /// Whether new work is refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Cancelled when streams without an end of their own have to end.
    pub(crate) fn streams(&self) -> &CancellationToken {
        &self.streams
    }

    /// Refuses new work from now on.
    pub(crate) fn begin(&self) {
        self.draining.cancel();
        self.answers.close();
    }

    /// Waits until every answer is delivered, then ends the streams.
    pub(crate) async fn finish(&self, grace: Duration) {
        if tokio::time::timeout(grace, self.answers.wait()).await.is_err() {
            tracing::warn!(
                left = self.answers.len(),
                ?grace,
                "answers were still being worked on at the end of the grace period"
            );
        }
        self.streams.cancel();
    }

    /// An answer that a shutdown waits for, until the token is dropped.
    pub(crate) fn answer(&self) -> TaskTrackerToken {
        self.answers.token()
    }

    /// The same response, held until its last byte is written or its reader has gone.
    pub(crate) fn hold(response: Response<Body>, token: TaskTrackerToken) -> Response<Body> {
        response.map(|body| Body::new(Held { body, _token: token }))
    }
}

/// A body that counts as being worked on until it ends.
struct Held {
    body: Body,
    _token: TaskTrackerToken,
}

impl HttpBody for Held {
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
