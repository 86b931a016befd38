//! The procedure that changes a function's runtime: check, update, wait, test, and put back what does not work.

mod check;
mod put_back;
mod refusal;
mod report;
mod send;
mod settle;

use jiff::civil::Date;
use tokio::{sync::mpsc::UnboundedSender, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    check::check,
    report::Record,
    send::Sent,
    settle::{Looks, Settled},
};
pub use self::{
    refusal::Refusal,
    report::{Outcome, Phase, Report, State, Step},
    settle::{Pace, Patience},
};
use crate::{
    account::{Account, Configuration, FunctionName},
    runtimes::Table,
};

/// What is asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// Which function.
    pub function: FunctionName,
    /// The runtime it shall have.
    pub runtime: String,
    /// The JSON event to test it with, afterwards. Without one it is not run.
    pub test_event: Option<String>,
    /// Go on even if AWS would not let the old runtime be put back.
    pub accept_no_rollback: bool,
}

/// What the procedure needs to know of the world around it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Surroundings {
    /// How long it may take.
    pub patience: Patience,
    /// Which day it is, for what AWS blocks.
    pub today: Date,
    /// Ends it early: what was changed is put back.
    pub cancelled: CancellationToken,
    /// Told what is going on, as it happens.
    pub progress: UnboundedSender<String>,
}

/// Changes the runtime, and puts the old one back if the new one does not work.
///
/// From the update on there is always a [`Report`]: failures, the end of patience and cancellation lead to the old
/// runtime being put back, and the report says whether that succeeded. The caller must poll this to its end; to stop
/// it, cancel it.
///
/// # Errors
/// [`Refusal`] if nothing was changed.
pub async fn run(
    account: &Account,
    table: &Table,
    request: &Request,
    surroundings: &Surroundings,
) -> Result<Report, Refusal> {
    let Request {
        function,
        runtime: to,
        ..
    } = request;
    let before = account.configuration(function).await?;
    let check::Verdict { from, notes } = check(&before, table, request, surroundings.today)?;
    let mut record = Record::new(&before.name, &from, to, surroundings.progress.clone());
    if from == *to {
        record.note(Phase::Check, State::Done, format!("it is on {to} already"));
        if request.test_event.is_some() {
            let detail =
                "nothing was changed, so the function was not run; invoke-function runs it".to_owned();
            record.note(Phase::Test, State::Skipped, detail);
        }
        return Ok(record.close(Outcome::Unchanged, before.revision_id));
    }
    let checked = format!("a zip function on {from}, no update in progress");
    let told: Vec<String> = std::iter::once(checked).chain(notes).collect();
    record.note(Phase::Check, State::Done, told.join("; "));
    if surroundings.cancelled.is_cancelled() {
        record.note(
            Phase::Update,
            State::Skipped,
            "cancelled before anything was changed".to_owned(),
        );
        return Ok(record.close(Outcome::Unchanged, before.revision_id));
    }
    let sent = send::update(
        account,
        function,
        &before,
        surroundings.patience.lost,
        &mut record,
    )
    .await?;
    let works = match sent {
        Sent::Surely => settle_and_test(account, request, surroundings, &mut record).await,
        Sent::Perhaps => None,
    };
    match works {
        Some(after) => Ok(record.close(Outcome::Updated, after.revision_id)),
        None => Ok(put_back::run(account, function, surroundings, record).await),
    }
}

/// The function's configuration if the new runtime is in force and passed its test; nothing if it must go.
async fn settle_and_test(
    account: &Account,
    request: &Request,
    surroundings: &Surroundings,
    record: &mut Record,
) -> Option<Box<Configuration>> {
    let Surroundings {
        patience, cancelled, ..
    } = surroundings;
    let settled = settle::wait(
        account,
        &request.function,
        Looks::new(patience.update),
        cancelled,
        record,
    )
    .await;
    let after = match settled {
        Settled::InForce(after) if after.runtime.as_deref() == Some(&*record.to) => after,
        Settled::InForce(after) => {
            let now = after.runtime.as_deref().unwrap_or("none");
            record.note(
                Phase::Settle,
                State::Failed,
                format!("somebody else set the runtime to {now} meanwhile"),
            );
            return None;
        }
        Settled::Not(reason) => {
            record.note(Phase::Settle, State::Failed, reason);
            return None;
        }
    };
    record.note(Phase::Settle, State::Done, format!("{} is in force", record.to));
    let Some(event) = &request.test_event else {
        record.note(
            Phase::Test,
            State::Skipped,
            "no testEvent was given, so the function was not run".to_owned(),
        );
        return Some(after);
    };
    let verdict = tokio::select! {
        biased;
        () = cancelled.cancelled() => Err("cancelled while the test was running".to_owned()),
        verdict = timeout(patience.test, test(account, &request.function, event)) => {
            let limit = patience.test.as_secs_f32();
            verdict.unwrap_or_else(|_| Err(format!("test failed: no answer within {limit} s; the function may still be running")))
        }
    };
    match verdict {
        Ok(detail) => {
            record.note(Phase::Test, State::Done, detail);
            Some(after)
        }
        Err(detail) => {
            record.note(Phase::Test, State::Failed, detail);
            None
        }
    }
}

/// Runs the function once. What it says is quoted as data.
async fn test(account: &Account, function: &FunctionName, event: &str) -> Result<String, String> {
    const SHOWN: usize = 600;
    match account.invoke(function, None, event).await {
        Ok(run) => {
            let said: String = run.payload.chars().take(SHOWN).collect();
            match run.function_error {
                None => Ok(format!(
                    "the function ran without an error; its output (untrusted): {said}"
                )),
                Some(kind) => Err(format!(
                    "the function failed ({kind}); its output (untrusted): {said}"
                )),
            }
        }
        Err(error) => Err(format!("the function could not be tested: {}", error.say())),
    }
}
