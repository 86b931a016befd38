//! One request of a handler at work: its deadline, its panic, and what becomes of it when nobody waits any more.

use std::{panic::AssertUnwindSafe, pin::Pin, task::Poll, time::Instant};

use futures::FutureExt;
use rmcp::{ErrorData, model::InputRequests};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{ask::Ask, limits::Limits};

/// How a request ended.
pub(super) enum End<T> {
    Done(Result<T, ErrorData>),
    Asked(InputRequests),
    Panicked,
    Late,
}

/// `None` is a panic.
type Work<T> = Pin<Box<dyn Future<Output = Option<Result<T, ErrorData>>> + Send>>;

/// A handler at work. When it is dropped before its end, the handler is told to stop and goes on in the background
/// until it has wound up or the grace period is over: a change to somebody's account is not cut off in the middle.
pub(super) struct Running<T: Send + 'static> {
    work: Option<Work<T>>,
    ask: Ask,
    ct: CancellationToken,
    limits: Limits,
    tracker: TaskTracker,
}

impl<T: Send + 'static> Running<T> {
    pub(super) fn new(
        work: impl Future<Output = Result<T, ErrorData>> + Send + 'static,
        ask: Ask,
        ct: CancellationToken,
        limits: Limits,
        tracker: TaskTracker,
    ) -> Self {
        let work: Work<T> = Box::pin(AssertUnwindSafe(work).catch_unwind().map(Result::ok));
        Self {
            work: Some(work),
            ask,
            ct,
            limits,
            tracker,
        }
    }

    /// Waits for the end, at most until the deadline. The user's thinking time does not count.
    pub(super) async fn end(mut self) -> End<T> {
        let _at_work = self.tracker.token();
        let started = Instant::now();
        let deadline = tokio::time::sleep(self.limits.timeout);
        tokio::pin!(deadline);
        std::future::poll_fn(|context| {
            if let Some(work) = &mut self.work
                && let Poll::Ready(result) = work.as_mut().poll(context)
            {
                self.work = None;
                return Poll::Ready(result.map_or(End::Panicked, End::Done));
            }
            if let Poll::Ready(requests) = self.ask.poll_pending(context) {
                // it waits for the next round; there is nothing to wind up
                self.work = None;
                return Poll::Ready(End::Asked(requests));
            }
            while deadline.as_mut().poll(context).is_ready() {
                let used = started.elapsed().saturating_sub(self.ask.waited());
                let Some(left) = self
                    .limits
                    .timeout
                    .checked_sub(used)
                    .filter(|left| !left.is_zero())
                else {
                    return Poll::Ready(End::Late);
                };
                deadline.as_mut().reset(tokio::time::Instant::now() + left);
            }
            Poll::Pending
        })
        .await
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        self.ct.cancel();
        // outside a runtime (it is being shut down) there is nobody left to run it
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let wind_up = tokio::time::timeout(self.limits.grace, work)
            .map(|_| ())
            .in_current_span();
        self.tracker.spawn_on(wind_up, &runtime);
    }
}
