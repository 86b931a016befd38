//! Puts the old runtime back after a change that did not work, and makes sure that it is in force.

use jiff::{Timestamp, tz::TimeZone};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{
    journal::Event,
    procedure::Change,
    report::{Phase, State},
    settle::{Looks, Settled, passes, wait},
    trail::{SIGNED_FOR, Shown, in_force},
};
use crate::{
    account::{Configuration, Error, UpdateState},
    runtimes::{self, Table},
};

/// How it ended.
pub(super) enum Back {
    /// The old runtime is in force, and the function is as this says.
    InForce(Box<Configuration>),
    Stuck(Obstacle),
}

/// What stands in the way, which decides what can be done.
pub(super) enum Obstacle {
    /// It may be gone in a while.
    Passing(String),
    /// The old runtime is set, but the update may still come.
    Unsure(String),
    /// AWS does not take the old runtime.
    NotAccepted(String),
    /// The function is not as we left it, as the text says. The runtime that is in force, if it is known.
    SomebodyElse { runtime: Option<String>, what: String },
    /// AWS refuses the function as it is, which can be mended, as the text says.
    Mendable(String),
    /// Something that the server's operator has to mend, as the text says.
    Refused(String),
}

impl Obstacle {
    /// What an error says about putting `from` back. AWS uses one code for a value that it takes never again and for
    /// what can be mended, such as a role that it cannot assume.
    fn of(error: Error, from: &str) -> Self {
        let said = error.say();
        match error {
            error if passes(&error) => Self::Passing(said),
            Error::Invalid { message, .. } if is_final(&message, from) => Self::NotAccepted(said),
            Error::Invalid { .. } => Self::Mendable(said),
            _ => Self::Refused(said),
        }
    }

    /// True if the old runtime may still have to be put back later.
    pub(super) const fn stays_open(&self) -> bool {
        !matches!(self, Self::NotAccepted(_) | Self::SomebodyElse { .. })
    }

    fn somebody(change: &Change<'_>, now: &Configuration) -> Self {
        Self::SomebodyElse {
            runtime: in_force(now),
            what: change.record.trail.foreign(now),
        }
    }
}

/// True if AWS will not take the runtime later either.
fn is_final(message: &str, from: &str) -> bool {
    let named = message.contains(from) && message.to_lowercase().contains("runtime");
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let blocked = Table::snapshot()
        .find(from)
        .is_some_and(|runtime| runtime.phase(today) == runtimes::Phase::BlockedUpdate);
    named || blocked
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
            Ok((now, detail)) => {
                let revisions = &change.record.trail.revisions;
                let restored = Event::Restored {
                    revision: now.revision_id.clone(),
                    past: revisions.past().to_vec(),
                };
                change.note_in_journal(restored).await;
                change.record.note(Phase::Rollback, State::Done, detail);
                return Back::InForce(now);
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
async fn once(change: &mut Change<'_>, looks: &mut Looks) -> Result<(Box<Configuration>, String), Obstacle> {
    match request(change, looks).await? {
        // what has to be undone has come
        Sent::Request => change.record.trail.taken = true,
        Sent::Fence => {}
        Sent::Nothing { now, detail } => return Ok((now, detail)),
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
        Settled::InForce(now) if change.record.trail.shown(&now) == Shown::Old => {
            let detail = match (change.record.trail.taken, &change.record.new_version) {
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
            Ok((now, detail))
        }
        Settled::InForce(now) => Err(Obstacle::somebody(change, &now)),
        Settled::Failed(reason) | Settled::Not(reason) => Err(Obstacle::Passing(reason)),
    }
}

/// What it took.
enum Sent {
    /// An update, which has to settle.
    Request,
    /// The same, so that an update which may still be on its way is not taken.
    Fence,
    /// The old runtime is in force without one.
    Nothing { now: Box<Configuration>, detail: String },
}

/// Sends the update back, again and again while the function cannot take it. Only our own change is undone.
async fn request(change: &mut Change<'_>, looks: &mut Looks) -> Result<Sent, Obstacle> {
    loop {
        let obstacle = match timeout_at(looks.deadline, attempt(change)).await {
            Ok(Ok(sent)) => return Ok(sent),
            Ok(Err(obstacle)) => obstacle,
            Err(_) => return Err(Obstacle::Passing("AWS gave no answer in time".to_owned())),
        };
        let (Obstacle::Passing(reason) | Obstacle::Mendable(reason) | Obstacle::Unsure(reason)) = &obstacle
        else {
            return Err(obstacle);
        };
        change
            .record
            .tell(format!("cannot put {} back yet: {reason}", change.record.from()));
        if !looks.pause().await {
            return Err(obstacle);
        }
    }
}

async fn attempt(change: &mut Change<'_>) -> Result<Sent, Obstacle> {
    let from = change.record.from().to_owned();
    let now = change.account.configuration(change.function).await;
    let now = Box::new(now.map_err(|error| Obstacle::of(error, &from))?);
    let passing = |reason: &str| Err(Obstacle::Passing(reason.to_owned()));
    if now.last_update == UpdateState::InProgress {
        return passing("the update is still in progress");
    }
    let trail = &change.record.trail;
    match trail.shown(&now) {
        Shown::Past => return passing("AWS does not show the update yet"),
        Shown::Foreign => return Err(Obstacle::somebody(change, &now)),
        Shown::Old if !trail.taken => return fence(change, now).await,
        Shown::Old if now.last_update == UpdateState::Successful => {
            let detail = format!("{from} is in force");
            return Ok(Sent::Nothing { now, detail });
        }
        Shown::Old | Shown::New => {}
    }
    send(change, now.revision_id.as_deref()).await?;
    Ok(Sent::Request)
}

/// Sends the old runtime. What AWS shows of it from then on is our own doing, unless it is known not to have come.
async fn send(change: &mut Change<'_>, revision: Option<&str>) -> Result<(), Obstacle> {
    let from = change.record.from().to_owned();
    change.record.trail.may_be_back();
    let sent = change.account.set_runtime(change.function, &from, revision).await;
    let trail = &mut change.record.trail;
    match sent {
        Ok(revised) => {
            trail.went_back(revision, revised.revision_id.as_deref(), revised.last_modified);
            Ok(())
        }
        Err(error) => {
            if !error.is_ambiguous() {
                trail.is_not_back();
            }
            Err(Obstacle::of(error, &from))
        }
    }
}

/// An update that got no answer may still be on its way. Setting the old runtime once more moves the function on from
/// the revision that the update was sent to, and AWS takes it at no other.
async fn fence(change: &mut Change<'_>, now: Box<Configuration>) -> Result<Sent, Obstacle> {
    let from = change.record.from().to_owned();
    let trail = &change.record.trail;
    let moved_on = trail.sent_to.is_some() && now.revision_id != trail.sent_to;
    if moved_on || trail.is_stale(Timestamp::now()) {
        let detail = format!("the update never took effect, and cannot any more; {from} is in force");
        return Ok(Sent::Nothing { now, detail });
    }
    let revision = now.revision_id.clone();
    let unsure =
        |reason: &str| Obstacle::Unsure(format!("{from} is set, but the update may still come: {reason}"));
    match send(change, revision.as_deref()).await {
        Ok(()) if change.record.trail.revisions.last() != revision.as_deref() => Ok(Sent::Fence),
        Ok(()) => Err(unsure("AWS does not move the function on")),
        Err(Obstacle::NotAccepted(reason) | Obstacle::Mendable(reason) | Obstacle::Refused(reason)) => {
            Err(unsure(&reason))
        }
        Err(obstacle) => Err(obstacle),
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
        Obstacle::Unsure(reason) => format!(
            "{reason}. Look with get-function, and call recover-updates in {} minutes, when it cannot come any more",
            SIGNED_FOR.as_mins()
        ),
        Obstacle::SomebodyElse { what, .. } => {
            format!("{from} was not put back: {what}. Leave it and ask the user")
        }
        Obstacle::Mendable(reason) | Obstacle::Refused(reason) => format!(
            "{from} could not be put back: {reason}. Tell the user that the function is on {to}; when that is mended, \
             recover-updates puts {from} back"
        ),
    };
    change.record.note(Phase::Rollback, State::Failed, detail);
}
