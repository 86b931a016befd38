//! Where an executor tells what happens, and how a worker holds a task: each change is written before it is told, and is
//! refused when the task is not the worker's any more.

use std::{sync::Arc, time::Duration};

use ::a2a::{
    Artifact, Message, StreamResponse, TaskArtifactUpdateEvent, TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use chrono::SubsecRound as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    executor::said,
    service::Inner,
    store::{Failure, Lease, Record},
    worker::silence,
};

/// How often a change is tried that others get in the way of.
const TRIES: usize = 10;
/// How soon a store is asked again that did not take a change.
const AGAIN: Duration = Duration::from_millis(200);

/// The task is not this worker's any more: it was cancelled, or another worker has it, or it cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task is not this worker's any more")]
pub struct Lost;

/// A task in the hands of a worker. Clones are the same.
#[derive(Debug, Clone)]
pub struct Sink(Arc<Held>);

#[derive(Debug)]
struct Held {
    service: Arc<Inner>,
    holder: String,
    record: tokio::sync::Mutex<Record>,
    lost: CancellationToken,
    over: CancellationToken,
}

impl Sink {
    /// A sink for a worker; `over` is cancelled by whoever ends the task in this process.
    pub(super) fn new(service: Arc<Inner>, holder: String, record: Record, over: CancellationToken) -> Self {
        Self(Arc::new(Held {
            service,
            holder,
            record: tokio::sync::Mutex::new(record),
            lost: CancellationToken::new(),
            over,
        }))
    }

    /// Ready when the task is not this worker's any more.
    pub async fn lost(&self) {
        self.0.lost.cancelled().await;
    }

    /// Whether nobody goes on with the task: it was cancelled, or its time is over. A task that is [`lost`](Self::lost)
    /// and not over is another worker's.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.over.is_cancelled()
    }

    /// Ready when nobody goes on with this task, whoever has it: it is looked at a few times within a lease.
    pub(super) async fn over(&self, task: &str) {
        let Held { service, over, .. } = &*self.0;
        while !over.is_cancelled() {
            match self.is_open(task).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => {
                    let cause = crate::client::tell(&failure);
                    tracing::warn!(task, cause, "it cannot be seen whether a task is over");
                }
            }
            let _over = tokio::time::timeout(service.limits.lease / 3, over.cancelled()).await;
        }
    }

    /// How long ago its caller was told something.
    pub(super) async fn silence(&self) -> Duration {
        silence(&*self.0.record.lock().await)
    }

    /// Whether somebody works on a task, or should.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be looked for.
    pub(super) async fn is_open(&self, task: &str) -> Result<bool, Failure> {
        let found = self.0.service.tasks.load(task).await?;
        Ok(found.is_some_and(|record| record.is_open()))
    }

    /// Says what is being done. It is part of the task's status until something else is.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn working(&self, text: impl Into<String> + Send) -> Result<(), Lost> {
        self.status(TaskState::Working, Some(said(text)), false).await
    }

    /// Adds an artifact, or replaces the one of the same id; with `append`, its parts are added to that one. `last` says
    /// that no more parts follow (specification 4.2.2).
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn artifact(&self, artifact: Artifact, append: bool, last: bool) -> Result<(), Lost> {
        self.change(|record| {
            let append = keep(record, &artifact, append);
            vec![StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
                task_id: record.task.id.clone(),
                context_id: record.task.context_id.clone(),
                artifact: artifact.clone(),
                append: Some(append),
                last_chunk: Some(last),
                metadata: None,
            })]
        })
        .await
    }

    /// Writes another status; `leave` gives the task up with it.
    pub(super) async fn status(
        &self,
        state: TaskState,
        message: Option<Message>,
        leave: bool,
    ) -> Result<(), Lost> {
        self.change(|record| {
            if leave {
                record.lease = None;
            }
            vec![set(record, state.clone(), message.clone())]
        })
        .await
    }

    /// Says that this worker is still at it.
    pub(super) async fn beat(&self) -> Result<(), Lost> {
        self.change(|_| Vec::new()).await
    }

    /// Gives it back: others find it after `pause`.
    pub(super) async fn release(&self, pause: Duration) -> Result<(), Lost> {
        self.change(|record| {
            record.released = record.released.saturating_add(1);
            record.lease = Some(lease("", pause));
            Vec::new()
        })
        .await
    }

    async fn change(
        &self,
        mut change: impl FnMut(&mut Record) -> Vec<StreamResponse> + Send,
    ) -> Result<(), Lost> {
        let Held {
            service,
            holder,
            record,
            lost,
            over,
        } = &*self.0;
        let mut held = record.lock().await;
        // whether a change may have been written though nobody said so
        let mut unsure = false;
        let mut conflicts = 0_usize;
        while conflicts < TRIES && !lost.is_cancelled() {
            let mut next = held.clone();
            next.lease = Some(lease(holder, service.limits.lease));
            let events = change(&mut next);
            let failure = match service.save(&mut next, &events).await {
                Ok(()) => {
                    *held = next;
                    return Ok(());
                }
                Err(Failure::Conflict) => {
                    conflicts = conflicts.saturating_add(1);
                    match service.tasks.load(&held.task.id).await {
                        Ok(Some(other)) if unsure && is_this(&other, &next) => {
                            *held = other;
                            return Ok(());
                        }
                        // somebody else has changed something beside the work
                        Ok(Some(other)) if is_ours(&other, holder) => {
                            // what was written may still arrive as long as nothing stands in its place
                            unsure &= other.version < next.version;
                            *held = other;
                            continue;
                        }
                        Ok(other) => {
                            if other.is_none_or(|other| !other.is_open()) {
                                over.cancel();
                            }
                            break;
                        }
                        Err(failure) => failure,
                    }
                }
                Err(failure) => {
                    unsure = true;
                    failure
                }
            };
            self.log(&held, &failure);
            if matches!(failure, Failure::TooLong { .. }) {
                // who hears that it is over waits for nothing any more, so it is written first
                self.fail(&held, &failure).await;
                over.cancel();
                break;
            }
            if !holds(&held) {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        lost.cancel();
        Err(Lost)
    }

    /// Another worker would not fare better.
    async fn fail(&self, held: &Record, failure: &Failure) {
        let mut record = held.clone();
        record.lease = None;
        let event = set(&mut record, TaskState::Failed, Some(said(failure.to_string())));
        if let Err(failure) = self.0.service.save(&mut record, &[event]).await {
            self.log(held, &failure);
        }
    }

    fn log(&self, record: &Record, failure: &Failure) {
        let cause = crate::client::tell(failure);
        tracing::warn!(
            task = record.task.id,
            cause,
            "what happened to a task cannot be stored"
        );
    }
}

/// Whether a record has what a write of `next` would have put there: nobody but the worker appends events to an open task
/// or gives it up.
fn is_this(record: &Record, next: &Record) -> bool {
    let holder = |record: &Record| record.lease.as_ref().map(|lease| lease.holder.clone());
    record.version >= next.version
        && record.sequence == next.sequence
        && holder(record) == holder(next)
        && record.task.status.state == next.task.status.state
}

/// Whether nobody else can have taken the task.
fn holds(record: &Record) -> bool {
    record
        .lease
        .as_ref()
        .is_some_and(|lease| lease.until > Timestamp::now())
}

fn is_ours(record: &Record, holder: &str) -> bool {
    record.is_open() && record.lease.as_ref().is_some_and(|lease| lease.holder == holder)
}

/// A lease from now on.
pub(super) fn lease(holder: &str, time: Duration) -> Lease {
    let time = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
    Lease {
        holder: holder.to_owned(),
        until: Timestamp::now().saturating_add(time).unwrap_or(Timestamp::MAX),
    }
}

/// The time, as the wire has it: in milliseconds (specification 5.6.1).
pub(super) fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now().trunc_subsecs(3)
}

/// Gives the record another status, and says so.
pub(super) fn set(record: &mut Record, state: TaskState, message: Option<Message>) -> StreamResponse {
    let message = message.map(|message| Message {
        task_id: Some(record.task.id.clone()),
        context_id: Some(record.task.context_id.clone()),
        ..message
    });
    record.task.status = TaskStatus {
        state,
        message,
        timestamp: Some(now()),
    };
    StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: record.task.id.clone(),
        context_id: record.task.context_id.clone(),
        status: record.task.status.clone(),
        metadata: None,
    })
}

/// Takes an artifact into the task; says whether it was added to another one.
fn keep(record: &mut Record, artifact: &Artifact, append: bool) -> bool {
    let artifacts = record.task.artifacts.get_or_insert_default();
    let before = artifacts
        .iter_mut()
        .find(|before| before.artifact_id == artifact.artifact_id);
    match before {
        Some(before) if append => {
            before.parts.extend(artifact.parts.iter().cloned());
            if let Some(metadata) = &artifact.metadata {
                before.metadata.get_or_insert_default().extend(metadata.clone());
            }
            return true;
        }
        Some(before) => *before = artifact.clone(),
        None => artifacts.push(artifact.clone()),
    }
    false
}
