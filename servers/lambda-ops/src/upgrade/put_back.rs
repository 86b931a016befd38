//! Puts the old runtime back after a change that did not work, and makes sure that it is in force.

use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{
    Surroundings,
    report::{Outcome, Phase, Record, Report, State},
    settle::{Looks, Settled, wait},
};
use crate::account::{Account, Error, FunctionName, UpdateState};

/// Puts the old runtime back. Nothing cancels this; only its own time limit ends it.
pub(super) async fn run(
    account: &Account,
    function: &FunctionName,
    surroundings: &Surroundings,
    mut record: Record,
) -> Report {
    let pace = surroundings.patience.rollback;
    record.tell(format!("putting {} back", record.from));
    // One deadline for both halves: getting the request through, and waiting for it.
    let mut looks = Looks::new(pace);
    match request(account, function, &mut looks, &record).await {
        Ok(Sent::Request { from, to }) => record.left(from.as_deref(), to.as_deref()),
        Ok(Sent::Nothing { revision_id, detail }) => {
            record.note(Phase::Rollback, State::Done, detail);
            return record.close(Outcome::RolledBack, revision_id);
        }
        Err(obstacle) => return stuck(record, &obstacle),
    }
    match wait(account, function, looks, &CancellationToken::new(), &record).await {
        Settled::InForce(now) if now.runtime.as_deref() == Some(&record.from) => {
            record.note(
                Phase::Rollback,
                State::Done,
                format!("{} is in force again", record.from),
            );
            record.close(Outcome::RolledBack, now.revision_id)
        }
        Settled::InForce(now) => stuck(record, &Obstacle::SomebodyElse(now.runtime)),
        Settled::Not(reason) => stuck(record, &Obstacle::Passing(reason)),
    }
}

/// What it took.
enum Sent {
    /// An update, which has to settle: from one revision to another.
    Request {
        from: Option<String>,
        to: Option<String>,
    },
    /// AWS itself kept the old runtime.
    Nothing {
        revision_id: Option<String>,
        detail: String,
    },
}

/// What stands in the way, which decides what the caller can do.
enum Obstacle {
    /// It may be gone in a while.
    Passing(String),
    /// AWS does not take the old runtime.
    NotAccepted(String),
    /// The function is on another runtime than we set, or on none.
    SomebodyElse(Option<String>),
    /// Something that the server's operator has to mend, as the text says.
    Refused(String),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        let said = error.say();
        match error {
            error if error.may_pass() => Self::Passing(said),
            Error::Invalid { .. } => Self::NotAccepted(said),
            _ => Self::Refused(said),
        }
    }
}

/// Sends the update back, again and again while the function cannot take it. Only our own change is undone.
async fn request(
    account: &Account,
    function: &FunctionName,
    looks: &mut Looks,
    record: &Record,
) -> Result<Sent, Obstacle> {
    loop {
        let obstacle = match timeout_at(looks.deadline, attempt(account, function, record)).await {
            Ok(Ok(sent)) => return Ok(sent),
            Ok(Err(Obstacle::Passing(reason))) => reason,
            Ok(Err(obstacle)) => return Err(obstacle),
            Err(_) => return Err(Obstacle::Passing("AWS gave no answer in time".to_owned())),
        };
        record.tell(format!("cannot put {} back yet: {obstacle}", record.from));
        if !looks.pause().await {
            return Err(Obstacle::Passing(obstacle));
        }
    }
}

async fn attempt(account: &Account, function: &FunctionName, record: &Record) -> Result<Sent, Obstacle> {
    let now = account.configuration(function).await?;
    let passing = |reason: &str| Err(Obstacle::Passing(reason.to_owned()));
    if now.last_update == UpdateState::InProgress {
        return passing("the update is still in progress");
    }
    if record.is_past(now.revision_id.as_deref()) {
        return passing("AWS does not show the update yet");
    }
    if now.runtime.as_deref() == Some(&record.from) {
        let from = &record.from;
        let detail = if record.was_accepted() {
            format!("{from} is in force")
        } else {
            format!("{from} is still set, but the update may still take effect; look again with get-function")
        };
        return Ok(Sent::Nothing {
            revision_id: now.revision_id,
            detail,
        });
    }
    if now.runtime.as_deref() != Some(&record.to) {
        return Err(Obstacle::SomebodyElse(now.runtime));
    }
    let revised = account
        .set_runtime(function, &record.from, now.revision_id.as_deref())
        .await?;
    Ok(Sent::Request {
        from: now.revision_id,
        to: revised.revision_id,
    })
}

fn stuck(mut record: Record, obstacle: &Obstacle) -> Report {
    let Record {
        from, to, function, ..
    } = &record;
    tracing::error!(function, from, to, "an old runtime could not be put back");
    let detail = match obstacle {
        Obstacle::Passing(reason) => format!(
            "{from} could not be put back: {reason}. Look with get-function, and once no update is in progress call \
             update-function-runtime with runtime {from}"
        ),
        Obstacle::NotAccepted(reason) => format!(
            "{from} could not be put back: {reason}. It will not be accepted later either: choose another supported \
             runtime (get-runtime-info) or mend the code"
        ),
        Obstacle::SomebodyElse(runtime) => format!(
            "{from} was not put back: somebody else set the runtime to {} meanwhile. Leave it and ask the user",
            runtime.as_deref().unwrap_or("none")
        ),
        Obstacle::Refused(reason) => {
            format!("{from} could not be put back: {reason}. Tell the user that the function is on {to}")
        }
    };
    record.note(Phase::Rollback, State::Failed, detail);
    record.close(Outcome::RollbackFailed, None)
}
