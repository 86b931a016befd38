//! One request of a handler at work: its deadline, its panic, and what becomes of it when nobody waits any more.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use futures::FutureExt;
use rmcp::{ErrorData, model::InputRequests};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::ask::Ask;

/// How a request ended.
pub(super) enum End<T> {
    Done(Result<T, ErrorData>),
    Asked(InputRequests),
    Panicked,
    Late,
}

/// `None` is a panic.
type Work<T> = Pin<Box<dyn Future<Output = Option<Result<T, ErrorData>>> + Send>>;

/// What a handler at work is held to.
pub(super) struct Terms {
    pub(super) ask: Ask,
    /// Told when the handler has to stop.
    pub(super) ct: CancellationToken,
    /// Cancelled when all handlers have to stop.
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
    pub(super) timeout: Duration,
    /// When it is over, whoever is thinking.
    pub(super) deadline: Option<tokio::time::Instant>,
    pub(super) wind_up: Duration,
    /// Lives as long as the handler is at work.
    pub(super) keep: Option<Arc<dyn Any + Send + Sync>>,
}

/// A handler at work. When it is dropped before its end, the handler is told to stop and goes on in the background
/// until it has wound up or its time for that is over: a change to somebody's account is not cut off in the middle.
pub(super) struct Running<T: Send + 'static> {
    work: Option<Work<T>>,
    terms: Terms,
}

impl<T: Send + 'static> Running<T> {
    pub(super) fn new(
        work: impl Future<Output = Result<T, ErrorData>> + Send + 'static,
        terms: Terms,
    ) -> Self {
        let work: Work<T> = Box::pin(AssertUnwindSafe(work).catch_unwind().map(Result::ok));
        Self {
            work: Some(work),
            terms,
        }
    }

    /// Waits for the end, at most until the deadline. The user's thinking time does not count.
    pub(super) async fn end(mut self) -> End<T> {
        let _at_work = self.terms.tracker.token();
        let started = Instant::now();
        let deadline = tokio::time::sleep(self.terms.timeout);
        let stop = self.terms.stop.clone();
        let mut stop = std::pin::pin!(stop.cancelled().fuse());
        tokio::pin!(deadline);
        std::future::poll_fn(|context| {
            if stop.as_mut().poll(context).is_ready() {
                self.terms.ct.cancel();
            }
            if let Some(work) = &mut self.work
                && let Poll::Ready(result) = work.as_mut().poll(context)
            {
                self.work = None;
                return Poll::Ready(result.map_or(End::Panicked, End::Done));
            }
            if let Poll::Ready(requests) = self.terms.ask.poll_pending(context) {
                // it waits for the next round; there is nothing to wind up
                self.terms.ct.cancel();
                self.work = None;
                return Poll::Ready(End::Asked(requests));
            }
            while deadline.as_mut().poll(context).is_ready() {
                let used = started.elapsed().saturating_sub(self.terms.ask.waited());
                let left = self
                    .terms
                    .timeout
                    .checked_sub(used)
                    .filter(|left| !left.is_zero());
                let now = tokio::time::Instant::now();
                let is_over = self.terms.deadline.is_some_and(|deadline| deadline <= now);
                let Some(left) = left.filter(|_| !is_over) else {
                    return Poll::Ready(End::Late);
                };
                let next = now + left;
                let next = self.terms.deadline.map_or(next, |deadline| next.min(deadline));
                deadline.as_mut().reset(next);
            }
            Poll::Pending
        })
        .await
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        self.terms.ask.end();
        let Some(work) = self.work.take() else { return };
        self.terms.ct.cancel();
        // outside a runtime (it is being shut down) there is nobody left to run it
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let keep = self.terms.keep.take();
        let wind_up = tokio::time::timeout(self.terms.wind_up, work).map(move |_| drop(keep));
        self.terms.tracker.spawn_on(wind_up.in_current_span(), &runtime);
    }
}
