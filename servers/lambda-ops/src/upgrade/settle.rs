//! Waits until an update is in force: AWS takes it at once, but applies it later.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{record::Record, trail::Shown};
use crate::account::{Account, Configuration, Error, FunctionName, UpdateState};

/// How long a change may take.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Patience {
    /// Until the new runtime must be in force. The default is 45 seconds: most MCP clients give a call 60.
    pub update: Pace,
    /// Until a published version must be ready; with SnapStart AWS runs it first to keep its snapshot. The default is 2
    /// minutes.
    pub version: Pace,
    /// Until the old runtime must be in force again. The default is 2 minutes: the caller may be gone, but the
    /// function is worth the wait.
    pub rollback: Pace,
    /// How long an update whose answer was lost is looked for. The default is 8 seconds.
    pub lost: Pace,
    /// Until the test must have answered. The default is 2 minutes, below the host's limit of a tool call.
    pub test: Duration,
}

/// How often to look, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The pause before the second look; it doubles each time.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// When to give up.
    pub limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let pace = |limit| Pace {
            first: Duration::from_millis(250),
            longest: Duration::from_secs(4),
            limit,
        };
        Self {
            update: pace(Duration::from_secs(45)),
            version: pace(Duration::from_mins(2)),
            rollback: pace(Duration::from_mins(2)),
            lost: pace(Duration::from_secs(8)),
            test: Duration::from_mins(2),
        }
    }
}

impl Patience {
    /// A look every `pause`, and at most `limit` for each part.
    #[must_use]
    pub fn every(pause: Duration, limit: Duration) -> Self {
        let pace = Pace {
            first: pause,
            longest: pause,
            limit,
        };
        Self {
            update: pace,
            version: pace,
            rollback: pace,
            lost: pace,
            test: limit,
        }
    }
}

/// A deadline and the pauses up to it.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) limit: Duration,
    next: Duration,
    longest: Duration,
    pub(super) deadline: Instant,
}

impl Looks {
    pub(super) fn new(
        Pace {
            first,
            longest,
            limit,
        }: Pace,
    ) -> Self {
        Self {
            limit,
            next: first,
            longest,
            deadline: Instant::now() + limit,
        }
    }

    /// Sleeps until it is time for the next look; false if the time is up.
    pub(super) async fn pause(&mut self) -> bool {
        let until = (Instant::now() + self.next).min(self.deadline);
        self.next = (self.next * 2).min(self.longest);
        sleep_until(until).await;
        Instant::now() < self.deadline
    }
}

/// True if the same call may succeed a little later. Credentials are among what passes: while a change is under way
/// somebody may renew them, and giving up would leave the function in the middle.
pub(super) fn passes(error: &Error) -> bool {
    error.may_pass() || matches!(error, Error::Credentials(_))
}

/// How the waiting ended.
#[derive(Debug)]
pub(super) enum Settled {
    /// The last update is in force.
    InForce(Box<Configuration>),
    /// AWS gave up, for this reason.
    Failed(String),
    /// It is not, for this reason.
    Not(String),
}

/// Looks at the function until its last update is in force. A look that fails in passing is taken again.
pub(super) async fn wait(
    account: &Account,
    function: &FunctionName,
    looks: &mut Looks,
    cancelled: &CancellationToken,
    record: &Record,
) -> Settled {
    let limit = looks.limit.as_secs_f32();
    loop {
        let look = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Settled::Not("cancelled while the update was in progress".to_owned()),
            look = timeout_at(looks.deadline, account.configuration(function)) => look,
        };
        match look {
            Ok(Ok(now)) if record.trail.shown(&now) == Shown::Past => {
                record.tell("waiting until AWS shows the update");
            }
            Ok(Ok(now)) => match &now.last_update {
                UpdateState::Successful => return Settled::InForce(Box::new(now)),
                UpdateState::Failed(reason) => {
                    return Settled::Failed(format!("AWS could not apply it: {reason}"));
                }
                UpdateState::InProgress => record.tell("waiting until AWS has applied the update"),
            },
            Ok(Err(error)) if passes(&error) => {
                record.tell(format!("looking again, because {}", error.say()));
            }
            Ok(Err(error)) => return Settled::Not(error.say()),
            Err(_) => return Settled::Not(format!("still in progress after {limit} s")),
        }
        let in_time = tokio::select! {
            biased;
            () = cancelled.cancelled() => continue,
            in_time = looks.pause() => in_time,
        };
        if !in_time {
            return Settled::Not(format!("still in progress after {limit} s"));
        }
    }
}
