//! Sends the update, and looks for it if its answer is lost.

use super::{
    procedure::Change,
    report::{Phase, State},
    settle::{Looks, passes},
    trail::Shown,
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
pub(super) async fn update(change: &mut Change<'_>) -> Sent {
    let to = change.record.to.clone();
    let revision = change.record.trail.sent_to.clone();
    let mut looks = Looks::new(change.surroundings.patience.lost);
    loop {
        match change
            .account
            .set_runtime(change.function, &to, revision.as_deref())
            .await
        {
            Ok(revised) => {
                let at = revised.revision_id.as_deref();
                change.record.trail.took(at, revised.last_modified);
                change
                    .record
                    .note(Phase::Update, State::Done, format!("AWS accepted {to}"));
                return Sent::Surely;
            }
            Err(error) if error.is_ambiguous() => return look_for(change, &error).await,
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
pub(super) async fn look_for(change: &mut Change<'_>, lost: &Error) -> Sent {
    let said = lost.say();
    let mut looks = Looks::new(change.surroundings.patience.lost);
    loop {
        change
            .record
            .tell(format!("looking for the update, because {said}"));
        let look = change.account.configuration(change.function).await;
        let reason = match look {
            Ok(now) if change.record.trail.shown(&now) == Shown::New => {
                let detail = format!("{said}, but the function shows {}", change.record.to);
                let at = now.revision_id.as_deref();
                change.record.trail.took(at, now.last_modified);
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
