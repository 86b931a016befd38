//! What happens to a task, read from its log: by streams, and by callers who wait for the end.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ::a2a::{A2AError, StreamResponse, TaskState};
use futures::{Stream, stream};
use tokio::time::Instant;

use super::{bell::Waiting, refusal::failed, service::Inner, store::Logged};

/// How many events are read at once.
const AT_ONCE: usize = 64;

/// When nothing more is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// When the task is over.
    Over,
    /// When it is over, or the caller has to do something.
    Paused,
}

impl Until {
    pub(super) fn reached(self, state: &TaskState) -> bool {
        let paused = matches!(state, TaskState::InputRequired | TaskState::AuthRequired);
        state.is_terminal() || (self == Self::Paused && paused)
    }
}

struct Follower {
    service: Arc<Inner>,
    id: String,
    after: u64,
    until: Until,
    waiting: Waiting,
    pause: Duration,
    read: VecDeque<Logged>,
    ended: bool,
}

/// The events of a task behind number `after`, as they come, to the end.
pub(super) fn follow(
    service: Arc<Inner>,
    id: String,
    after: u64,
    until: Until,
) -> impl Stream<Item = Result<Logged, A2AError>> + Send + 'static {
    let waiting = service.bells.wait(&id);
    let pause = service.limits.poll;
    let follower = Follower {
        service,
        id,
        after,
        until,
        waiting,
        pause,
        read: VecDeque::new(),
        ended: false,
    };
    stream::try_unfold(follower, |mut follower| async move {
        let next = follower.next().await?;
        Ok(next.map(|logged| (logged, follower)))
    })
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Logged>, A2AError> {
        while !self.ended {
            // from now on, so that nothing is missed between the look and the wait
            let rung = self.waiting.rung();
            tokio::pin!(rung);
            rung.as_mut().enable();
            if self.read.is_empty() {
                let read = self.service.tasks.log(&self.id, self.after, AT_ONCE).await;
                self.read = read.map_err(|failure| failed(&failure))?.into();
            }
            if let Some(logged) = self.read.pop_front() {
                self.after = logged.sequence;
                self.pause = self.service.limits.poll;
                self.ended = self.is_last(&logged.event);
                return Ok(Some(logged));
            }
            let again = Instant::now() + self.pause;
            // a task that sleeps is looked at less often
            self.pause = (self.pause * 3 / 2).min(self.service.limits.poll * 8);
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep_until(again) => {}
                () = self.service.stop.cancelled() => self.ended = true,
            }
        }
        Ok(None)
    }

    fn is_last(&self, event: &StreamResponse) -> bool {
        match event {
            StreamResponse::StatusUpdate(update) => self.until.reached(&update.status.state),
            StreamResponse::Task(task) => self.until.reached(&task.status.state),
            StreamResponse::ArtifactUpdate(_) => false,
            StreamResponse::Message(_) => true,
        }
    }
}
