//! Sends the update, and looks for it if its answer is lost.

use super::{
    Refusal,
    report::{Phase, Record, State},
    settle::{Looks, Pace},
};
use crate::account::{Account, Configuration, Error, FunctionName};

/// Whether AWS has the update.
pub(super) enum Sent {
    Surely,
    Perhaps,
}

/// Sends the update. An answer that leaves open whether it took effect is settled by looking, for as long as `pace`.
pub(super) async fn update(
    account: &Account,
    function: &FunctionName,
    before: &Configuration,
    pace: Pace,
    record: &mut Record,
) -> Result<Sent, Refusal> {
    record.begin();
    let to = record.to.clone();
    let sent = account
        .set_runtime(function, &to, before.revision_id.as_deref())
        .await;
    match sent {
        Ok(revised) => {
            record.left(before.revision_id.as_deref(), revised.revision_id.as_deref());
            record.note(Phase::Update, State::Done, format!("AWS accepted {to}"));
            Ok(Sent::Surely)
        }
        Err(error) if error.is_ambiguous() => {
            let lost = Lost {
                error,
                before: before.revision_id.as_deref(),
                pace,
            };
            look_for(account, function, lost, record).await
        }
        Err(error) => {
            record.nothing_happened();
            Err(error.into())
        }
    }
}

/// An update without an answer.
struct Lost<'a> {
    error: Error,
    /// The revision it was sent to.
    before: Option<&'a str>,
    /// How long to look for it.
    pace: Pace,
}

/// AWS may carry an update out a little after its answer was lost, so one look is not enough.
async fn look_for(
    account: &Account,
    function: &FunctionName,
    lost: Lost<'_>,
    record: &mut Record,
) -> Result<Sent, Refusal> {
    let Lost {
        error: lost,
        before,
        pace,
    } = lost;
    let said = lost.say();
    let mut looks = Looks::new(pace);
    loop {
        record.tell(format!("looking for the update, because {said}"));
        let look = account.configuration(function).await;
        match &look {
            Ok(now) if now.runtime.as_deref() == Some(&record.to) => {
                let detail = format!("{said}, but the function shows {}", record.to);
                record.left(before, now.revision_id.as_deref());
                record.note(Phase::Update, State::Done, detail);
                return Ok(Sent::Surely);
            }
            // somebody else's change
            Ok(now) if now.revision_id.as_deref() != before => return Err(Refusal::Open(lost)),
            Ok(_) => {}
            Err(blind) if blind.may_pass() => {}
            Err(blind) => return Ok(unseen(&said, blind, record)),
        }
        if looks.pause().await {
            continue;
        }
        return match look {
            Ok(_) => Err(Refusal::Open(lost)),
            Err(blind) => Ok(unseen(&said, &blind, record)),
        };
    }
}

fn unseen(said: &str, blind: &Error, record: &mut Record) -> Sent {
    record.note(
        Phase::Update,
        State::Failed,
        format!("{said}, and then {}", blind.say()),
    );
    Sent::Perhaps
}
