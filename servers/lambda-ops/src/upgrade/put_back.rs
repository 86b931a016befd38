//! Puts the old runtime back after a change that did not work, and makes sure that it is in force.

use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{
    journal::Event,
    procedure::Change,
    report::{Phase, State},
    settle::{Looks, Settled, passes, wait},
};
use crate::account::{Error, UpdateState};

/// How it ended.
pub(super) enum Back {
    /// The old runtime is in force, at this revision.
    InForce(Option<String>),
    Stuck(Obstacle),
}

/// What stands in the way, which decides what can be done.
pub(super) enum Obstacle {
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
            error if passes(&error) => Self::Passing(said),
            Error::Invalid { .. } => Self::NotAccepted(said),
            _ => Self::Refused(said),
        }
    }
}

/// Puts the old runtime back. Nothing cancels this; only its own time limit ends it. What fails once is tried again.
pub(super) async fn run(change: &mut Change<'_>) -> Back {
    change
        .record
        .tell(format!("putting {} back", change.record.from()));
    // the function matters more than the journal, which has the update as begun and not as ended in any case
    change.note_in_journal(Event::Restoring).await;
    // One deadline for both halves: getting the request through, and waiting for it.
    let mut looks = Looks::new(change.surroundings.patience.rollback);
    let mut failed_before = false;
    loop {
        let obstacle = match once(change, &mut looks).await {
            Ok((revision, detail)) => {
                change.note_in_journal(Event::Restored).await;
                change.record.note(Phase::Rollback, State::Done, detail);
                return Back::InForce(revision);
            }
            Err(obstacle) => obstacle,
        };
        let again = match &obstacle {
            Obstacle::Passing(reason) | Obstacle::Refused(reason) if !failed_before => {
                change.record.tell(format!(
                    "trying once more to put {} back, because {reason}",
                    change.record.from()
                ));
                looks.pause().await
            }
            _ => false,
        };
        if !again {
            stuck(change, &obstacle);
            return Back::Stuck(obstacle);
        }
        failed_before = true;
    }
}

/// Sends the old runtime and waits for it.
async fn once(change: &mut Change<'_>, looks: &mut Looks) -> Result<(Option<String>, String), Obstacle> {
    match request(change, looks).await? {
        Sent::Request { from, to } => {
            // what has to be undone has come
            change.record.taken = true;
            change.record.left(from.as_deref(), to.as_deref());
        }
        Sent::Fence { from, to } => change.record.left(from.as_deref(), to.as_deref()),
        Sent::Nothing { revision_id, detail } => return Ok((revision_id, detail)),
    }
    let settled = wait(
        change.account,
        change.function,
        looks,
        &CancellationToken::new(),
        &change.record,
    )
    .await;
    match settled {
        Settled::InForce(now) if now.runtime.as_deref() == Some(change.record.from()) => {
            let detail = match (change.record.taken, &change.record.new_version) {
                (false, _) => format!(
                    "the update never took effect; {} is in force",
                    change.record.from()
                ),
                (true, None) => format!("{} is in force again", change.record.from()),
                (true, Some(version)) => format!(
                    "{} is in force again; version {version}, published on {}, stays without anything pointing to it",
                    change.record.from(),
                    change.record.to
                ),
            };
            Ok((now.revision_id, detail))
        }
        Settled::InForce(now) => Err(Obstacle::SomebodyElse(now.runtime)),
        Settled::Failed(reason) | Settled::Not(reason) => Err(Obstacle::Passing(reason)),
    }
}

/// What it took.
enum Sent {
    /// An update, which has to settle: from one revision to another.
    Request {
        from: Option<String>,
        to: Option<String>,
    },
    /// The same, so that an update which may still be on its way is not taken.
    Fence {
        from: Option<String>,
        to: Option<String>,
    },
    /// The old runtime is in force without one.
    Nothing {
        revision_id: Option<String>,
        detail: String,
    },
}

/// Sends the update back, again and again while the function cannot take it. Only our own change is undone.
async fn request(change: &Change<'_>, looks: &mut Looks) -> Result<Sent, Obstacle> {
    loop {
        let obstacle = match timeout_at(looks.deadline, attempt(change)).await {
            Ok(Ok(sent)) => return Ok(sent),
            Ok(Err(Obstacle::Passing(reason))) => reason,
            Ok(Err(obstacle)) => return Err(obstacle),
            Err(_) => return Err(Obstacle::Passing("AWS gave no answer in time".to_owned())),
        };
        change.record.tell(format!(
            "cannot put {} back yet: {obstacle}",
            change.record.from()
        ));
        if !looks.pause().await {
            return Err(Obstacle::Passing(obstacle));
        }
    }
}

async fn attempt(change: &Change<'_>) -> Result<Sent, Obstacle> {
    let record = &change.record;
    let now = change.account.configuration(change.function).await?;
    let passing = |reason: &str| Err(Obstacle::Passing(reason.to_owned()));
    if now.last_update == UpdateState::InProgress {
        return passing("the update is still in progress");
    }
    if record.is_past(now.revision_id.as_deref()) {
        return passing("AWS does not show the update yet");
    }
    let from = record.from();
    let in_force = now.last_update == UpdateState::Successful;
    if now.runtime.as_deref() == Some(from) && (in_force || !record.taken) {
        let detail = if record.taken {
            format!("{from} is in force")
        } else if now.revision_id != record.sent_to {
            format!("the update never took effect, and cannot any more; {from} is in force")
        } else {
            return fence(change, now.revision_id).await;
        };
        return Ok(Sent::Nothing {
            revision_id: now.revision_id,
            detail,
        });
    }
    if now.runtime.as_deref() != Some(&record.to) && now.runtime.as_deref() != Some(from) {
        return Err(Obstacle::SomebodyElse(now.runtime));
    }
    let revised = change
        .account
        .set_runtime(change.function, from, now.revision_id.as_deref())
        .await?;
    Ok(Sent::Request {
        from: now.revision_id,
        to: revised.revision_id,
    })
}

/// An update that got no answer may still be on its way. Setting the old runtime once more moves the function on from
/// the revision that the update was sent to, and AWS takes it at no other.
async fn fence(change: &Change<'_>, revision: Option<String>) -> Result<Sent, Obstacle> {
    let from = change.record.from();
    match change
        .account
        .set_runtime(change.function, from, revision.as_deref())
        .await
    {
        Ok(revised) if revised.revision_id != revision => Ok(Sent::Fence {
            from: revision,
            to: revised.revision_id,
        }),
        // it moves nothing, or AWS does not take the old runtime any more
        Ok(_) | Err(Error::Invalid { .. }) => Ok(Sent::Nothing {
            revision_id: revision,
            detail: format!(
                "{from} is still set, but the update may still take effect; look again with get-function"
            ),
        }),
        Err(error) => Err(error.into()),
    }
}

fn stuck(change: &mut Change<'_>, obstacle: &Obstacle) {
    let (from, to) = (change.record.from(), &change.record.to);
    tracing::error!(
        function = change.record.plan.function_name,
        from,
        to,
        "an old runtime could not be put back"
    );
    let detail = match obstacle {
        Obstacle::Passing(reason) => format!(
            "{from} could not be put back: {reason}. Look with get-function, and once no update is in progress call \
             recover-updates"
        ),
        Obstacle::NotAccepted(reason) => format!(
            "{from} could not be put back: {reason}. It will not be accepted later either: choose another supported \
             runtime (get-runtime-info) or mend the code"
        ),
        Obstacle::SomebodyElse(runtime) => format!(
            "{from} was not put back: somebody else set the runtime to {} meanwhile. Leave it and ask the user",
            runtime.as_deref().unwrap_or("none")
        ),
        Obstacle::Refused(reason) => format!(
            "{from} could not be put back: {reason}. Tell the user that the function is on {to}; when that is mended, \
             recover-updates puts {from} back"
        ),
    };
    change.record.note(Phase::Rollback, State::Failed, detail);
}
