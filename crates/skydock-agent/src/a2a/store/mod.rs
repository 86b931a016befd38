//! Where tasks, their logs of events and the mailboxes of their webhooks are kept, so that any instance can go on with
//! what another one began.
//!
//! A store knows no rules: it keeps a [`Record`] whole under its id, and lets nobody write over what he has not read.
//! Who works on a task, and until when that holds, stands in the record; so does whose it is.

mod dynamodb;
mod sqlite;

use std::fmt::Debug;

use ::a2a::{Message, StreamResponse, Task, TaskPushNotificationConfig, TaskState};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{dynamodb::DynamoDb, sqlite::Sqlite};

/// Why something was not stored or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Somebody else has written since it was read.
    #[error("the task was changed by somebody else; read it again")]
    Conflict,
    /// It does not fit.
    #[error(
        "the task {id} is too long for this store ({length} of {most} bytes); give large artifacts as URLs"
    )]
    TooLong {
        /// The task.
        id: String,
        /// What it takes, in bytes.
        length: usize,
        /// What there is, in bytes.
        most: usize,
    },
    /// The store does not do what it is asked.
    #[error("the store of tasks cannot be used")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Who works on a task, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker; empty while the task waits for one, which nobody else takes up before `until`.
    pub holder: String,
    /// When it ends unless the worker says again that it is still at it.
    pub until: Timestamp,
}

/// A task, and what is known of it beside what its caller sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// As its caller sees it.
    pub task: Task,
    /// Whose it is: to everybody else it is not there.
    pub caller: String,
    /// Grows with each write; the first one is 1.
    pub version: u64,
    /// The number of the last event in its log; the first one is 1.
    pub sequence: u64,
    /// When something that its caller sees changed last.
    pub changed: Timestamp,
    /// What the caller said last, which is worked on while the task is open.
    pub message: Message,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// How many workers have taken it up since the caller said something.
    #[serde(default)]
    pub attempts: u32,
    /// How many of these have given it back; the others have died, but for the one that has it.
    #[serde(default)]
    pub released: u32,
    /// Whether it has a mailbox.
    #[serde(default)]
    pub mail: bool,
    /// When it may be forgotten unless something changes.
    pub expires: Timestamp,
}

impl Record {
    /// Whether it is to be worked on: somebody does, or should.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.task.status.state, TaskState::Submitted | TaskState::Working)
    }

    /// From when on anybody may take it up; none when nothing is to be done.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let until = || {
            self.lease
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |lease| lease.until)
        };
        self.is_open().then(until)
    }

    /// When its state changed last.
    #[must_use]
    pub fn stated(&self) -> Timestamp {
        let stated = self.task.status.timestamp;
        let stated = stated.and_then(|at| Timestamp::from_microsecond(at.timestamp_micros()).ok());
        stated.unwrap_or(self.changed)
    }

    /// The record as it is written.
    fn body(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::Broken(error.into()))
    }
}

/// The name of a state on the wire (specification 4.1.3).
pub(crate) fn state_name(state: &TaskState) -> String {
    let name = serde_json::to_value(state).ok();
    name.and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// An event of a task, and its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Its number in the task's log.
    pub sequence: u64,
    /// What happened.
    pub event: StreamResponse,
}

/// A place in a list: the time and the id of the last task before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When the state of the task changed, in microseconds since 1970.
    pub at: i64,
    /// The task.
    pub id: String,
}

impl Cursor {
    /// The place behind this task.
    fn of(record: &Record) -> Self {
        Self {
            at: record.stated().as_microsecond(),
            id: record.task.id.clone(),
        }
    }
}

/// Which tasks are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this context.
    pub context: Option<String>,
    /// Those in this state.
    pub state: Option<TaskState>,
    /// Those whose state changed at this time or later.
    pub after: Option<Timestamp>,
    /// Those behind this one.
    pub cursor: Option<Cursor>,
    /// How many at most.
    pub size: usize,
}

/// Some tasks of a caller, the one whose state changed last first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The tasks.
    pub records: Vec<Record>,
    /// Where the next page begins; none after the last task.
    pub next: Option<Cursor>,
    /// How many tasks there are on all pages.
    pub total: usize,
}

/// A webhook of a task, and how far it has been told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Post {
    /// What the caller wants; its id is given.
    pub config: TaskPushNotificationConfig,
    /// The number of the last event that is settled: it was taken, or given up.
    pub settled: u64,
    /// How often the next one was tried in vain.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried again.
    pub due: Timestamp,
    /// The numbers of events that were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead: Vec<u64>,
}

/// The webhooks of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mailbox {
    /// The task.
    pub task: String,
    /// Whose it is.
    #[serde(default)]
    pub caller: String,
    /// The webhooks.
    pub posts: Vec<Post>,
    /// Grows with each write; the first one is 1.
    pub version: u64,
    /// The number of the last event of the task that its mailbox was told of.
    pub news: u64,
    /// When there is something to deliver; none when nothing is.
    pub due: Option<Timestamp>,
    /// Until when somebody is delivering.
    pub claimed: Timestamp,
    /// When it may be forgotten unless something changes.
    pub expires: Timestamp,
}

/// A place for tasks. What is written in one call is written whole or not at all.
#[async_trait]
pub trait Tasks: Debug + Send + Sync {
    /// A task by its id, whosever it is.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn load(&self, id: &str) -> Result<Option<Record>, Failure>;

    /// Writes a record in place of the version before it, appends the events, of which the last one has the record's
    /// sequence number, and tells the mailbox, if there is one and something happened.
    ///
    /// # Errors
    /// [`Failure::Conflict`] when another version is there, or for version 1 any.
    async fn save(&self, record: &Record, events: &[StreamResponse]) -> Result<(), Failure>;

    /// The events of a task behind this number, in their order, at most `most`.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn log(&self, id: &str, after: u64, most: usize) -> Result<Vec<Logged>, Failure>;

    /// The tasks of a caller.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn list(&self, caller: &str, filter: &Filter) -> Result<Page, Failure>;

    /// The ids of tasks that are to be worked on and that nobody holds, the longest waiting first.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn stranded(&self, now: Timestamp, most: usize) -> Result<Vec<String>, Failure>;

    /// The mailbox of a task.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn mailbox(&self, task: &str) -> Result<Option<Mailbox>, Failure>;

    /// Writes a mailbox in place of the version before it.
    ///
    /// # Errors
    /// [`Failure::Conflict`] when another version is there, or the task has news that this mailbox does not know of.
    async fn put_mailbox(&self, mailbox: &Mailbox) -> Result<(), Failure>;

    /// The ids of tasks whose mailboxes have something to deliver, the longest waiting first.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn mail(&self, now: Timestamp, most: usize) -> Result<Vec<String>, Failure>;

    /// Forgets what may be forgotten by now, and says how many tasks that were. A store that does so by itself does
    /// nothing here.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    async fn forget(&self, now: Timestamp) -> Result<usize, Failure> {
        let _ = now;
        Ok(0)
    }
}

/// The numbers of events that are written with a record.
fn numbered<'a>(
    record: &Record,
    events: &'a [StreamResponse],
) -> impl Iterator<Item = (u64, &'a StreamResponse)> {
    let before = u64::try_from(events.len()).map_or(0, |count| record.sequence.saturating_sub(count));
    (before.saturating_add(1)..).zip(events)
}

fn read<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::Broken(error.into()))
}

fn write<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Broken(error.into()))
}
