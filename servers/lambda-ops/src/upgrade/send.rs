//! Sends the update, and looks for it if its answer is lost.

use super::{
    procedure::Change,
    report::{Phase, State},
    settle::{Looks, passes},
};
use crate::account::Error;

/// Whether AWS has the update.
pub(super) enum Sent {
    Surely,
    /// Nobody can see it now.
    Perhaps,
    /// AWS refused it. True if another runtime may be taken.
    Refused {
        another: bool,
    },
}

/// Sends the update. While another one is in the way it is sent again; an answer that leaves open whether it took
/// effect is settled by looking, for as long as the patience for lost answers.
pub(super) async fn update(change: &mut Change<'_>, revision: Option<&str>) -> Sent {
    let to = change.record.to.clone();
    let mut looks = Looks::new(change.surroundings.patience.lost);
    change.record.begin(revision);
    loop {
        match change.account.set_runtime(change.function, &to, revision).await {
            Ok(revised) => {
                change.record.left(revision, revised.revision_id.as_deref());
                change.record.taken = true;
                change
                    .record
                    .note(Phase::Update, State::Done, format!("AWS accepted {to}"));
                return Sent::Surely;
            }
            Err(error) if error.is_ambiguous() => return look_for(change, &error, revision).await,
            Err(error @ Error::Conflict { .. }) => {
                change
                    .record
                    .tell(format!("sending it again, because {}", error.say()));
                if looks.pause().await && !change.surroundings.cancelled.is_cancelled() {
                    continue;
                }
                return refused(change, &error);
            }
            Err(error) => return refused(change, &error),
        }
    }
}

fn refused(change: &mut Change<'_>, error: &Error) -> Sent {
    change.record.note(Phase::Update, State::Failed, error.say());
    Sent::Refused {
        another: matches!(error, Error::Invalid { .. }),
    }
}

/// AWS may carry an update out a little after its answer was lost, so one look is not enough.
pub(super) async fn look_for(change: &mut Change<'_>, lost: &Error, before: Option<&str>) -> Sent {
    let said = lost.say();
    let mut looks = Looks::new(change.surroundings.patience.lost);
    loop {
        change
            .record
            .tell(format!("looking for the update, because {said}"));
        let look = change.account.configuration(change.function).await;
        let reason = match look {
            Ok(now) if now.runtime.as_deref() == Some(&change.record.to) => {
                let detail = format!("{said}, but the function shows {}", change.record.to);
                change.record.left(before, now.revision_id.as_deref());
                change.record.taken = true;
                change.record.note(Phase::Update, State::Done, detail);
                return Sent::Surely;
            }
            Ok(_) => format!("{said}, and the function does not show it"),
            Err(blind) if passes(&blind) => format!("{said}, and then {}", blind.say()),
            Err(blind) => {
                let detail = format!("{said}, and then {}", blind.say());
                change.record.note(Phase::Update, State::Failed, detail);
                return Sent::Perhaps;
            }
        };
        if !looks.pause().await {
            change.record.note(Phase::Update, State::Failed, reason);
            return Sent::Perhaps;
        }
    }
}
