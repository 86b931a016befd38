//! Puts the old runtime back after a change that did not work, and makes sure that it is in force.

use tokio_util::sync::CancellationToken;

use super::{
    Surroundings,
    report::{Outcome, Phase, Record, Report, State},
    settle::{Looks, Settled, wait},
};
use crate::account::{Account, FunctionName, UpdateState};

/// Puts the old runtime back. Nothing cancels this; only its own time limit ends it.
pub(super) async fn run(
    account: &Account,
    function: &FunctionName,
    surroundings: &Surroundings,
    mut record: Record,
) -> Report {
    let pace = surroundings.patience.rollback;
    record.tell(format!("putting {} back", record.from));
    match request(account, function, Looks::new(pace), &record).await {
        Ok(Sent::Request) => {}
        Ok(Sent::Nothing { revision_id }) => {
            record.note(
                Phase::Rollback,
                State::Done,
                format!("{} never left", record.from),
            );
            return record.close(Outcome::RolledBack, revision_id);
        }
        Err(reason) => return stuck(record, &reason),
    }
    match wait(account, function, pace, &CancellationToken::new(), &record).await {
        Settled::InForce(now) if now.runtime.as_deref() == Some(&record.from) => {
            record.note(
                Phase::Rollback,
                State::Done,
                format!("{} is in force again", record.from),
            );
            record.close(Outcome::RolledBack, now.revision_id)
        }
        Settled::InForce(now) => {
            let runtime = now.runtime.unwrap_or_else(|| "none".to_owned());
            stuck(
                record,
                &format!("somebody else set the runtime to {runtime} meanwhile, which was left as it is"),
            )
        }
        Settled::Not(reason) => stuck(record, &reason),
    }
}

/// What it took.
enum Sent {
    /// An update, which has to settle.
    Request,
    /// AWS itself kept the old runtime.
    Nothing { revision_id: Option<String> },
}

/// Sends the update back, again and again while the function cannot take it. Only our own change is undone.
async fn request(
    account: &Account,
    function: &FunctionName,
    mut looks: Looks,
    record: &Record,
) -> Result<Sent, String> {
    loop {
        let obstacle = match account.configuration(function).await {
            Ok(now) if now.last_update == UpdateState::InProgress => {
                "the update is still in progress".to_owned()
            }
            Ok(now) if now.runtime.as_deref() == Some(&record.from) => {
                return Ok(Sent::Nothing {
                    revision_id: now.revision_id,
                });
            }
            Ok(now) if now.runtime.as_deref() != Some(&record.to) => {
                let runtime = now.runtime.unwrap_or_else(|| "none".to_owned());
                return Err(format!(
                    "somebody else set the runtime to {runtime} meanwhile, which was left as it is"
                ));
            }
            Ok(now) => match account
                .set_runtime(function, &record.from, now.revision_id.as_deref())
                .await
            {
                Ok(_) => return Ok(Sent::Request),
                Err(error) if error.may_pass() => error.say(),
                Err(error) => return Err(error.say()),
            },
            Err(error) if error.may_pass() => error.say(),
            Err(error) => return Err(error.say()),
        };
        record.tell(format!("cannot put {} back yet: {obstacle}", record.from));
        if !looks.pause().await {
            return Err(obstacle);
        }
    }
}

fn stuck(mut record: Record, reason: &str) -> Report {
    let Record {
        from, to, function, ..
    } = &record;
    tracing::error!(function, from, to, "an old runtime could not be put back");
    let detail = format!(
        "{from} could not be put back: {reason}. Look with get-function, and once no update is in progress call \
         update-function-runtime with runtime {from}"
    );
    record.note(Phase::Rollback, State::Failed, detail);
    record.close(Outcome::RollbackFailed, None)
}
