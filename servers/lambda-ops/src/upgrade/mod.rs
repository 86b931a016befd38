//! The procedure that changes a function's runtime: check, update, wait, test, and put back what does not work.

mod put_back;
mod report;
mod settle;

use jiff::civil::Date;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use self::{report::Record, settle::Settled};
pub use self::{
    report::{Outcome, Phase, Report, State, Step},
    settle::Patience,
};
use crate::{
    account::{self, Account, Configuration, FunctionName, UpdateState},
    runtimes::{self, Table},
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

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A container image brings its runtime along.
    #[error(
        "{0:?} is a container image, which has no runtime to update; rebuild the image on a newer base image"
    )]
    Image(String),
    /// Neither AWS's page nor the SDK knows the runtime.
    #[error("there is no runtime {wanted:?}; get-runtime-info has them, among them {}", .known.join(", "))]
    UnknownRuntime {
        /// What was asked for.
        wanted: String,
        /// Runtimes in force of the same language, or of the function's.
        known: Vec<String>,
    },
    /// AWS does not accept updates to the runtime any more.
    #[error(
        "AWS accepts no updates to {wanted} since {since}; choose a supported runtime (get-runtime-info)"
    )]
    Blocked {
        /// What was asked for.
        wanted: String,
        /// The day it was blocked.
        since: Date,
    },
    /// The new runtime may fail, and then there is no way back.
    #[error(
        "AWS accepts no updates to {from} since {since}, so the old runtime could not be put back if the new one \
         fails; ask the user, and only if they agree call again with acceptNoRollback: true"
    )]
    NoWayBack {
        /// The runtime it has.
        from: String,
        /// The day it was blocked.
        since: Date,
    },
    /// An update is under way already.
    #[error(
        "another update of {0:?} is in progress; wait until get-function shows lastUpdateStatus Successful"
    )]
    Busy(String),
    /// AWS says no.
    #[error(transparent)]
    Account(#[from] account::Error),
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
    let from = check(&before, table, request, surroundings.today)?;
    let mut record = Record::new(&before.name, &from, to, surroundings.progress.clone());
    if from == *to {
        record.note(Phase::Check, State::Done, format!("it is on {to} already"));
        return Ok(record.close(Outcome::Unchanged, before.revision_id));
    }
    record.note(
        Phase::Check,
        State::Done,
        format!("a zip function on {from}, no update in progress"),
    );
    if surroundings.cancelled.is_cancelled() {
        record.note(
            Phase::Update,
            State::Skipped,
            "cancelled before anything was changed".to_owned(),
        );
        return Ok(record.close(Outcome::Unchanged, before.revision_id));
    }
    let sent = update(account, function, &before, to, &mut record).await?;
    let works = match sent {
        Sent::Surely => settle_and_test(account, request, surroundings, &mut record).await,
        Sent::Perhaps => None,
    };
    match works {
        Some(after) => Ok(record.close(Outcome::Updated, after.revision_id)),
        None => Ok(put_back::run(account, function, surroundings, record).await),
    }
}

/// The runtime the function has, if it may be changed to the one asked for.
fn check(before: &Configuration, table: &Table, request: &Request, today: Date) -> Result<String, Refusal> {
    let Some(from) = before.runtime.clone().filter(|_| before.package_type == "Zip") else {
        return Err(Refusal::Image(before.name.clone()));
    };
    let to = &request.runtime;
    let blocked = |id: &str| {
        let since = table.find(id)?.block_function_update_date?;
        (since <= today).then_some(since)
    };
    if !is_known(table, to) {
        return Err(Refusal::UnknownRuntime {
            wanted: to.clone(),
            known: similar(table, to, &from, today),
        });
    }
    if from == *to {
        return Ok(from);
    }
    if let Some(since) = blocked(to) {
        return Err(Refusal::Blocked {
            wanted: to.clone(),
            since,
        });
    }
    if before.last_update == UpdateState::InProgress {
        return Err(Refusal::Busy(before.name.clone()));
    }
    match blocked(&from) {
        Some(since) if !request.accept_no_rollback => Err(Refusal::NoWayBack { from, since }),
        _ => Ok(from),
    }
}

/// The SDK knows runtimes that AWS has announced but not put on its page yet.
fn is_known(table: &Table, id: &str) -> bool {
    table.find(id).is_some() || aws_sdk_lambda::types::Runtime::values().contains(&id)
}

fn similar(table: &Table, wanted: &str, from: &str, today: Date) -> Vec<String> {
    let of = |language: &str| -> Vec<String> {
        let same = |r: &&runtimes::Runtime| {
            runtimes::language(&r.id) == language && r.phase(today) == runtimes::Phase::Supported
        };
        table
            .runtimes
            .iter()
            .filter(same)
            .map(|runtime| runtime.id.clone())
            .collect()
    };
    let wanted = of(runtimes::language(wanted));
    if wanted.is_empty() {
        of(runtimes::language(from))
    } else {
        wanted
    }
}

/// Whether AWS has the update.
enum Sent {
    Surely,
    Perhaps,
}

/// Sends the update. An answer that leaves open whether it took effect is settled by looking.
async fn update(
    account: &Account,
    function: &FunctionName,
    before: &Configuration,
    to: &str,
    record: &mut Record,
) -> Result<Sent, Refusal> {
    let sent = account
        .set_runtime(function, to, before.revision_id.as_deref())
        .await;
    let Err(error) = sent else {
        record.note(Phase::Update, State::Done, format!("AWS accepted {to}"));
        return Ok(Sent::Surely);
    };
    if !error.is_ambiguous() {
        return Err(error.into());
    }
    match account.configuration(function).await {
        Ok(now) if now.runtime.as_deref() == Some(to) => {
            record.note(
                Phase::Update,
                State::Done,
                format!("{}, but the function shows {to}", error.say()),
            );
            Ok(Sent::Surely)
        }
        Ok(_) => Err(error.into()),
        Err(blind) => {
            record.note(
                Phase::Update,
                State::Failed,
                format!("{}, and then {}", error.say(), blind.say()),
            );
            Ok(Sent::Perhaps)
        }
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
    let settled = settle::wait(account, &request.function, patience.update, cancelled, record).await;
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
        verdict = test(account, &request.function, event) => verdict,
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
