//! What does the tasks.

use std::{fmt::Debug, time::Duration};

use ::a2a::{Message, Part, Role, Task};
use async_trait::async_trait;
use tokio::time::Instant;

use super::sink::{Lost, Sink};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// For whom.
    pub caller: String,
    /// The task as it was when this worker took it up; its history ends with the message.
    pub task: Task,
    /// What the caller said last.
    pub message: Message,
    /// Which attempt this is: 1 for the first one, more when workers before have died in the middle or gave it back.
    pub attempt: u32,
    /// How long its caller has been told nothing: how long the task has waited, when it had to.
    pub silence: Duration,
    /// When the worker's time for it is over. What is not done then has failed.
    pub deadline: Instant,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum End {
    /// It is done.
    Completed(Option<Message>),
    /// The caller has to say something.
    InputRequired(Message),
    /// The caller has to log in somewhere.
    AuthRequired(Message),
    /// It will not be done, and why.
    Rejected(Message),
    /// It could not be done, and why.
    Failed(Message),
    /// Something else has to end first: it is taken up again after this time, and meanwhile nobody works on it.
    Later(Duration),
}

impl End {
    /// It is done, and there is nothing more to say than the artifacts do.
    #[must_use]
    pub const fn done() -> Self {
        Self::Completed(None)
    }

    /// It could not be done.
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed(said(why))
    }
}

/// What the agent says.
pub(super) fn said(text: impl Into<String>) -> Message {
    Message::new(Role::Agent, vec![Part::text(text)])
}

/// Does tasks. A worker drops the future when the task is cancelled, taken away or out of time: what is to be cleaned up,
/// `Drop` has to do, and [`Sink::is_over`] tells whether the task is over or goes on elsewhere.
#[async_trait]
pub trait Executor: Debug + Send + Sync {
    /// An answer that needs no task (specification 3.1.1): it is not stored. None when a task is to be made, as always
    /// unless this is implemented. It is asked for messages that belong to no task yet.
    async fn answer(&self, caller: &str, message: &Message) -> Option<Message> {
        let _ = (caller, message);
        None
    }

    /// Does a task, and tells the sink what happens meanwhile. It may be called again for the same message, with a
    /// higher `attempt`, after a worker died or its process was stopped.
    ///
    /// # Errors
    /// [`Lost`] when the sink said so: the task is another's now, or over.
    async fn execute(&self, job: Job, sink: &Sink) -> Result<End, Lost>;
}
