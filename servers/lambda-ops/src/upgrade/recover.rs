//! Finishes what a server left in the middle: from the journal and from what AWS shows, forward where that is safe, else
//! back.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Outcome, Phase, Refusal, Report, State, Surroundings,
    audited::{begun, end},
    check::stored_event,
    journal::{Claimed, Fault, Header, Known, Open, Sent, Story, Trial},
    plan::digest,
    procedure::{Change, Kept, Stop},
    put_back::{self, Back},
    record::Record,
    settle::Looks,
    trail::{Shown, in_force},
};
use crate::{
    account::{Account, Configuration, FunctionName, Identity, Tags},
    audit,
};

/// A change that was found in the middle, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Recovered {
    /// The entry in the journal.
    pub id: String,
    /// How it ended, and how it came to that. `open` means that it is still in the journal.
    #[serde(flatten)]
    pub report: Report,
}

/// A change that somebody is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Running {
    /// The entry in the journal.
    pub id: String,
    /// The function's ARN.
    pub function_arn: String,
}

/// Finishes or undoes every change in this account and region that was left in the middle and that nobody is at, one
/// after the other. `tell` hears what became of each as soon as that is known. Changes that others are at are left to
/// them, and listed.
///
/// # Errors
/// [`Refusal`] if the journal cannot be read, or AWS does not say which account this is.
pub async fn run(
    account: &Account,
    surroundings: &Surroundings,
    mut tell: impl FnMut(Recovered),
) -> Result<Vec<Running>, Refusal> {
    let open = surroundings.journal.open_changes().await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let here = account.identity().await?;
    let (all, mut running) = (open.len(), Vec::new());
    for (number, change) in open.into_iter().enumerate() {
        // nobody has to listen
        drop(
            surroundings
                .progress
                .send(format!("{} of {all}: {change}", number + 1)),
        );
        let (id, report) = match change {
            Open::Running { id, header } => {
                running.push(Running::new(id, &header));
                continue;
            }
            Open::Unreadable { id, reason } => (id, unreadable(here, &reason)),
            Open::Left { id, header, story } if !header.plan.identity.is_beside(here) => {
                (id, elsewhere(&header, *story, here))
            }
            Open::Left { id, header, story } => match surroundings.journal.claim(&id).await {
                Ok(Ok(claimed)) => (id, ours(account, surroundings, here, claimed).await),
                // somebody was faster
                Ok(Err(Known::Running { .. })) => {
                    running.push(Running::new(id, &header));
                    continue;
                }
                Ok(Err(_ended)) => continue,
                Err(fault) => (id, untouchable(&header, *story, &fault)),
            },
        };
        let (function, outcome) = (&report.function_name, report.outcome);
        tracing::info!(
            id,
            function,
            ?outcome,
            "a change that was left in the middle was looked at"
        );
        tell(Recovered { id, report });
    }
    Ok(running)
}

impl Running {
    fn new(id: String, header: &Header) -> Self {
        let function_arn = header.plan.function_arn.clone();
        Self { id, function_arn }
    }
}

/// An entry that does not say which change it is about.
fn unreadable(here: &Identity, reason: &str) -> Report {
    let unknown = || "unknown".to_owned();
    let report = Report {
        function_name: unknown(),
        function_arn: unknown(),
        from: unknown(),
        to: unknown(),
        outcome: Outcome::Open,
        runtime: None,
        steps: Vec::new(),
        revision_id: None,
        rollback_version: None,
        new_version: None,
        identity: here.clone(),
    };
    let detail = format!(
        "its entry in the journal cannot be read ({reason}), so which function it is about is not known; a person has \
         to look at it"
    );
    report.with(Phase::Recover, State::Failed, detail)
}

fn elsewhere(header: &Header, story: Story, here: &Identity) -> Report {
    let there = &header.plan.identity;
    let detail = format!(
        "it is in account {}, region {}, and this server is in account {}, region {}; start one there",
        there.account, there.region, here.account, here.region
    );
    untouched(header, story, detail)
}

fn untouchable(header: &Header, story: Story, fault: &Fault) -> Report {
    let cause = crate::account::chain(fault);
    tracing::error!(cause, "an entry of the journal cannot be taken over");
    untouched(header, story, "its entry in the journal cannot be opened")
}

/// A change that this server does nothing about.
fn untouched(header: &Header, story: Story, detail: impl Into<String>) -> Report {
    let report = Report {
        runtime: None,
        rollback_version: story.rollback_version,
        ..Report::of(&header.plan, Outcome::Open, None)
    };
    report.with(Phase::Recover, State::Failed, detail)
}

/// Recovers a change of this account and region, and tells the audit.
async fn ours(
    account: &Account,
    surroundings: &Surroundings,
    here: &Identity,
    mut claimed: Claimed,
) -> Report {
    // from here on it is this server that acts
    claimed.header.plan.identity = here.clone();
    let Header { id, plan, .. } = &*claimed.header;
    let line = begun(plan, id, audit::Event::RecoverUpdates, None, surroundings);
    // a change that is in the middle is finished even if the audit cannot say so; its log does
    let _ = surroundings.audit.write(&line).await;
    let report = one(account, surroundings, here, claimed).await;
    end(line, &report, surroundings).await;
    report
}

async fn one(account: &Account, surroundings: &Surroundings, here: &Identity, claimed: Claimed) -> Report {
    let Claimed {
        entry,
        header,
        story,
        damaged,
    } = claimed;
    let Header { plan, .. } = *header;
    let Story {
        rollback_version,
        sent,
        ..
    } = story;
    let mut record = Record::new(plan, entry, surroundings.progress.clone());
    record.rollback_version = rollback_version;
    if damaged {
        return wait_for_somebody(
            record,
            "its entry in the journal cannot be read; a person has to look at both",
        );
    }
    let Ok(function) = FunctionName::parse(&record.plan.function_arn) else {
        return wait_for_somebody(record, "its entry in the journal names no function");
    };
    if let Err(reason) = permitted(account, surroundings, &function, here).await {
        return wait_for_somebody(record, reason);
    }
    let Some(sent) = sent else {
        record.note(
            Phase::Recover,
            State::Done,
            "its server ended before anything was changed",
        );
        let from = record.from().to_owned();
        return record.close(Outcome::Unchanged, Some(from), None).await;
    };
    record.attempt(&sent.runtime);
    record.begin(sent.trail.clone());
    record.new_version = sent.new_version.clone();
    Change {
        account,
        function: &function,
        surroundings,
        record,
    }
    .recover(&sent)
    .await
}

/// The operator may have changed what is permitted since the change was begun.
async fn permitted(
    account: &Account,
    surroundings: &Surroundings,
    function: &FunctionName,
    here: &Identity,
) -> Result<(), String> {
    let tags = if surroundings.allow.needs_tags() {
        let tags = account.tags(function.as_str()).await;
        tags.map_err(|error| error.say())?
    } else {
        Tags::new()
    };
    let allowed = surroundings.allow.write(function, &tags, here);
    allowed.map_err(|refusal| refusal.to_string())
}

/// Leaves an entry as it is, and says why.
fn wait_for_somebody(mut record: Record, reason: impl Into<String>) -> Report {
    record.note(Phase::Recover, State::Failed, reason);
    record.leave_open(Outcome::Open)
}

impl Change<'_> {
    async fn recover(mut self, sent: &Sent) -> Report {
        let from = self.record.from().to_owned();
        if sent.restored {
            self.record.note(
                Phase::Recover,
                State::Done,
                format!("{from} was in force again when its server ended"),
            );
            return self.record.close(Outcome::RolledBack, Some(from), None).await;
        }
        let (now, shown) = match self.look(sent).await {
            Ok(seen) => seen,
            Err(reason) => return wait_for_somebody(self.record, reason),
        };
        let runtime = in_force(&now);
        if shown == Shown::Foreign {
            let detail = format!(
                "{}, so it was left as it is. Ask the user",
                self.record.trail.foreign(&now)
            );
            self.record.note(Phase::Recover, State::Skipped, detail);
            return self
                .record
                .close(Outcome::LeftToUser, runtime, now.revision_id)
                .await;
        }
        if let Some(reason) = Self::why_back(sent, shown == Shown::Old) {
            return self.back(reason).await;
        }
        if sent.trial == Trial::Passed && runtime.is_some() {
            let detail = format!("{} is in force and had passed its test", sent.runtime);
            self.record.note(Phase::Recover, State::Done, detail);
            return self
                .record
                .close(Outcome::Updated, runtime, now.revision_id)
                .await;
        }
        let event = match self.event().await {
            Ok(event) => event,
            Err(reason) => return self.back(reason).await,
        };
        self.record.note(
            Phase::Recover,
            State::Done,
            format!("{} is set; going on from there", sent.runtime),
        );
        match self.finish(event.as_deref()).await {
            Ok(Kept { runtime, revision_id }) => {
                self.record.close(Outcome::Updated, runtime, revision_id).await
            }
            Err(Stop::LeftToUser { runtime }) => self.record.close(Outcome::LeftToUser, runtime, None).await,
            Err(Stop::Untouched { .. } | Stop::Back { .. }) => {
                self.back("the new runtime could not be kept").await
            }
        }
    }

    /// The function as it is, once AWS shows whether the update has come.
    async fn look(&mut self, sent: &Sent) -> Result<(Configuration, Shown), String> {
        let mut looks = Looks::new(self.surroundings.patience.lost);
        loop {
            let now = match self.account.configuration(self.function).await {
                Ok(now) => now,
                Err(error) if error.may_pass() && looks.pause().await => continue,
                Err(error) => return Err(error.say()),
            };
            // AWS may carry an update out, or show it, a little after it was sent
            let shown = self.record.trail.shown(&now);
            let unseen = now.revision_id == sent.trail.sent_to && !sent.restoring;
            let late = shown == Shown::Past || (shown == Shown::Old && unseen);
            if late && looks.pause().await {
                self.record.tell("looking for the update, which may still come");
                continue;
            }
            if shown == Shown::Past {
                return Err("AWS does not show the update yet; call recover-updates later".to_owned());
            }
            return Ok((now, shown));
        }
    }

    /// Why the old runtime is to be put back, if it is.
    fn why_back(sent: &Sent, old: bool) -> Option<&'static str> {
        if sent.restoring {
            return Some("its server was putting the old runtime back when it ended");
        }
        if old {
            return Some("its server ended before the update took effect");
        }
        match sent.trial {
            Trial::Begun => Some("its server ended during the test, which is not run twice"),
            Trial::Failed => Some("the new runtime had failed its test when its server ended"),
            Trial::NotBegun | Trial::Passed => None,
        }
    }

    async fn back(mut self, reason: &str) -> Report {
        let from = self.record.from().to_owned();
        self.record.note(
            Phase::Recover,
            State::Done,
            format!("{reason}; putting {from} back"),
        );
        match put_back::run(&mut self).await {
            Back::InForce(now) => {
                self.record
                    .close(Outcome::RolledBack, Some(from), now.revision_id)
                    .await
            }
            Back::Stuck(obstacle) if obstacle.stays_open() => self.record.leave_open(Outcome::Open),
            Back::Stuck(obstacle) => self.give_up(obstacle).await,
        }
    }

    /// The event that the change was to be tested with: only one that a tag holds is still at hand.
    async fn event(&self) -> Result<Option<String>, &'static str> {
        let Some(wanted) = self.record.plan.validation.digest() else {
            return Ok(None);
        };
        let tags = self.account.tags(&self.record.plan.function_arn).await;
        let tags = tags.map_err(|_unreadable| "its test event cannot be read")?;
        let may_run = self
            .surroundings
            .allow
            .invoke(self.function, &tags, &self.record.plan.identity);
        may_run.map_err(|_refusal| "it was to be tested, and this server may not run it")?;
        let event = stored_event(&tags).filter(|event| digest(event) == wanted);
        event
            .map(Some)
            .ok_or("it was to be tested, and its test event is not at hand any more")
    }
}
