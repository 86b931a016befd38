//! How long a request may go without a sign of life from the server.

use std::{pin::pin, time::Duration};

use tokio::sync::watch;

/// Waits for answers, but not for ever.
#[derive(Debug)]
pub(super) struct Vigil {
    limit: Duration,
    /// How many questions a person has before him; each change is a sign of life.
    questions: watch::Sender<usize>,
}

impl Vigil {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            questions: watch::Sender::new(0),
        }
    }

    /// The silence after which a request counts as lost.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The server told progress: the wait begins anew.
    pub(super) fn sign(&self) {
        self.questions.send_modify(|_| {});
    }

    /// The server waits for an answer of ours until this is dropped; meanwhile it cannot be late.
    pub(super) fn pause(&self) -> Pause<'_> {
        self.questions.send_modify(|open| *open += 1);
        Pause(self)
    }

    /// The outcome of the request; `None` when the server was silent for too long.
    pub(super) async fn keep<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        let mut signs = self.questions.subscribe();
        let mut request = pin!(request);
        loop {
            let ours = *signs.borrow_and_update() > 0;
            tokio::select! {
                biased;
                outcome = &mut request => return Some(outcome),
                // the sender is ours, so it cannot be gone
                _ = signs.changed() => {}
                () = tokio::time::sleep(self.limit), if !ours => return None,
            }
        }
    }
}

/// A question that is on our side.
#[derive(Debug)]
pub(super) struct Pause<'a>(&'a Vigil);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0
            .questions
            .send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(400);
    const STEP: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn silence_ends_a_request_and_progress_does_not() {
        let vigil = Vigil::new(LIMIT);
        assert_eq!(vigil.keep(std::future::pending::<()>()).await, None);
        let busy = async {
            for _ in 0..6 {
                sleep(STEP).await;
                vigil.sign();
            }
        };
        assert_eq!(vigil.keep(busy).await, Some(()));
    }

    #[tokio::test]
    async fn a_person_who_thinks_does_not_make_the_server_late() {
        let vigil = Vigil::new(STEP);
        let asking = async {
            let pause = vigil.pause();
            sleep(LIMIT).await;
            drop(pause);
        };
        assert_eq!(vigil.keep(asking).await, Some(()));
    }
}
