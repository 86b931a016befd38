//! The procedure itself: a version to go back to, the update, the wait, the trial, and back if any of it fails.

use super::{
    Outcome, Phase, Ready, Refusal, Report, Request, State, Surroundings,
    audited::{begun, end},
    journal::{self, Event, Header, Known},
    plan::digest,
    put_back::{self, Back, Obstacle},
    record::Record,
    send::{self, Sent},
    settle::{Looks, Settled, passes, wait},
    validate,
};
use crate::{
    account::{Account, Configuration, FunctionName},
    audit,
};

/// A change under way.
pub(super) struct Change<'a> {
    pub(super) account: &'a Account,
    pub(super) function: &'a FunctionName,
    pub(super) surroundings: &'a Surroundings,
    pub(super) record: Record,
}

/// Why a change does not go on. The reason is noted already.
pub(super) enum Stop {
    /// The update was not sent, or AWS refused it. True if another runtime may be tried.
    Untouched { another: bool },
    /// The old runtime has to be put back. True if another one may be tried then.
    Back { another: bool },
}

/// What is known of a change that the client gave a token to: its report, if it was made already.
///
/// # Errors
/// [`Refusal`] if it is running, was left in the middle, or the token stands for something else.
pub async fn recall(
    account: &Account,
    request: &Request,
    journal: &super::Journal,
) -> Result<Option<Report>, Refusal> {
    let Some(token) = &request.client_token else {
        return Ok(None);
    };
    let arguments = arguments(account, request);
    // the journal may be shared by servers in other accounts and regions, where the token stands for something else
    let here = account.identity().await?;
    match journal.find(token, &arguments, here).await? {
        None => Ok(None),
        Some(known) => known.report(request).map(Some),
    }
}

impl Known {
    /// The report of a change that was made already.
    pub(super) fn report(self, request: &Request) -> Result<Report, Refusal> {
        let function = request.function.to_string();
        match self {
            Self::Recorded(report) => Ok(*report),
            Self::Running { id } => Err(Refusal::Running { function, id }),
            Self::Left { id } => Err(Refusal::LeftOpen { function, id }),
            Self::TokenTaken => Err(Refusal::TokenTaken(
                request.client_token.clone().unwrap_or_default(),
            )),
        }
    }
}

/// What makes two calls the same.
fn arguments(account: &Account, request: &Request) -> String {
    let Request {
        function,
        runtime,
        test_event,
        accept_no_rollback,
        override_owner,
        try_older,
        client_token: _,
    } = request;
    let event = test_event.as_deref().map(digest);
    let region = account.region();
    digest(&format!(
        "{region:?} {:?} {runtime:?} {event:?} {accept_no_rollback} {override_owner} {try_older}",
        function.as_str()
    ))
}

/// Changes the runtime as planned, and puts the old one back if the new one does not work.
///
/// Once the journal has an entry of it there is always a [`Report`]: failures, the end of patience and cancellation lead
/// to the old runtime being put back, and the report says whether that succeeded. The caller must poll this to its end;
/// to stop it, cancel it.
///
/// # Errors
/// [`Refusal`] if it was not begun.
pub async fn run(
    account: &Account,
    request: &Request,
    ready: Ready,
    surroundings: &Surroundings,
) -> Result<Report, Refusal> {
    let Ready {
        plan,
        before,
        event,
        consent,
    } = ready;
    let header = Header::new(
        request.client_token.clone(),
        arguments(account, request),
        plan.clone(),
    );
    let entry = match surroundings.journal.begin(header).await? {
        Ok(entry) => entry,
        Err(known) => return known.report(request),
    };
    let mut change = Change {
        account,
        function: &request.function,
        surroundings,
        record: Record::new(plan, entry, surroundings.progress.clone()),
    };
    let checked = format!(
        "a zip function on {}, no update in progress",
        change.record.from()
    );
    let told: Vec<String> = std::iter::once(checked)
        .chain(change.record.plan.notes.clone())
        .collect();
    change.record.note(Phase::Check, State::Done, told.join("; "));
    match &consent {
        Some(how) => change.record.note(Phase::Consent, State::Done, how.as_str()),
        None => change
            .record
            .note(Phase::Consent, State::Skipped, "nobody was asked"),
    }
    let Record { plan, .. } = &change.record;
    let update = audit::Event::UpdateFunctionRuntime;
    let line = begun(plan, change.record.id(), update, consent, surroundings);
    if let Err(fault) = surroundings.audit.write(&line).await {
        change.record.note(Phase::Check, State::Failed, fault.to_string());
        let from = change.record.from().to_owned();
        return Ok(change
            .record
            .close(Outcome::Unchanged, Some(from), before.revision_id)
            .await);
    }
    let report = change.make(before, event.as_deref()).await;
    end(line, &report, surroundings).await;
    Ok(report)
}

impl Change<'_> {
    async fn make(mut self, before: Configuration, event: Option<&str>) -> Report {
        let from = before.runtime.clone();
        if self.surroundings.cancelled.is_cancelled() {
            let detail = "cancelled before anything was changed";
            self.record.note(Phase::Update, State::Skipped, detail);
            return self
                .record
                .close(Outcome::Unchanged, from, before.revision_id)
                .await;
        }
        let mut revision = match self.save(&before).await {
            Ok(revision) => revision,
            Err(reason) => {
                self.record.note(Phase::Save, State::Failed, reason);
                return self.record.close(Outcome::Unchanged, from, None).await;
            }
        };
        let mut ended = Outcome::Unchanged;
        let plan = &self.record.plan;
        let runtimes: Vec<String> = std::iter::once(&plan.to)
            .chain(&plan.fallbacks)
            .cloned()
            .collect();
        for runtime in runtimes {
            self.record.attempt(&runtime);
            let another = match self.attempt(revision.as_deref(), event).await {
                Ok(revision) => return self.record.close(Outcome::Updated, Some(runtime), revision).await,
                Err(Stop::Untouched { another }) => another,
                Err(Stop::Back { another }) => match put_back::run(&mut self).await {
                    Back::InForce(now) => {
                        revision = now;
                        ended = Outcome::RolledBack;
                        another
                    }
                    Back::Stuck(obstacle) => return self.give_up(obstacle).await,
                },
            };
            if !another || self.surroundings.cancelled.is_cancelled() {
                break;
            }
        }
        self.record.close(ended, from, revision).await
    }

    /// Ends a change whose old runtime could not be put back. What may pass stays open, for whoever recovers.
    pub(super) async fn give_up(self, obstacle: Obstacle) -> Report {
        match obstacle {
            Obstacle::Passing(_) | Obstacle::Refused(_) => self.record.leave_open(Outcome::RollbackFailed),
            Obstacle::NotAccepted(_) => self.record.close(Outcome::RollbackFailed, None, None).await,
            Obstacle::SomebodyElse(runtime) => self.record.close(Outcome::LeftToUser, runtime, None).await,
        }
    }

    /// Publishes $LATEST as it is, and gives the revision it has then: AWS moves that on with each version.
    async fn save(&mut self, before: &Configuration) -> Result<Option<String>, String> {
        let not_written = |fault: journal::Fault| not_in_journal(&fault);
        let mut revision = before.revision_id.clone();
        self.record
            .journal(Event::Publishing {
                revision: revision.clone(),
            })
            .await
            .map_err(not_written)?;
        let description = format!("before {}, by lambda-ops", self.record.plan.to);
        let mut looks = Looks::new(self.surroundings.patience.lost);
        let version = loop {
            let error = match self
                .account
                .publish(self.function, &description, revision.as_deref())
                .await
            {
                Ok(version) => break version.version,
                Err(error) => error,
            };
            let said = error.say();
            if !error.is_ambiguous() || self.surroundings.cancelled.is_cancelled() || !looks.pause().await {
                return Err(said);
            }
            self.record.tell(format!("publishing again, because {said}"));
            if let Ok(now) = self.account.configuration(self.function).await {
                revision = same_but_for_its_revision(before, now)?;
            }
        };
        self.record
            .journal(Event::Published {
                version: version.clone(),
            })
            .await
            .map_err(not_written)?;
        self.record.rollback_version = Some(version.clone());
        let revision = loop {
            match self.account.configuration(self.function).await {
                Ok(now) => break same_but_for_its_revision(before, now)?,
                Err(error) if passes(&error) && looks.pause().await => {}
                Err(error) => return Err(error.say()),
            }
        };
        let detail = format!("version {version} holds it as it was");
        self.record.note(Phase::Save, State::Done, detail);
        Ok(revision)
    }

    /// Sets one runtime and tries it. Gives the revision at the end.
    async fn attempt(&mut self, revision: Option<&str>, event: Option<&str>) -> Result<Option<String>, Stop> {
        if self.surroundings.cancelled.is_cancelled() {
            let detail = "cancelled before the update was sent";
            self.record.note(Phase::Update, State::Skipped, detail);
            return Err(Stop::Untouched { another: false });
        }
        let runtime = self.record.to.clone();
        let updating = Event::Updating {
            runtime,
            revision: revision.map(str::to_owned),
        };
        if let Err(fault) = self.record.journal(updating).await {
            self.record
                .note(Phase::Update, State::Failed, not_in_journal(&fault));
            return Err(Stop::Untouched { another: false });
        }
        match send::update(self, revision).await {
            Sent::Surely => {}
            Sent::Perhaps => return Err(Stop::Back { another: false }),
            Sent::Refused { another } => return Err(Stop::Untouched { another }),
        }
        self.journal(Phase::Update, Event::Updated { revision: None })
            .await?;
        self.finish(event).await
    }

    /// Waits until the new runtime is in force, and tries it. Gives the revision at the end.
    pub(super) async fn finish(&mut self, event: Option<&str>) -> Result<Option<String>, Stop> {
        let mut looks = Looks::new(self.surroundings.patience.update);
        let settled = wait(
            self.account,
            self.function,
            &mut looks,
            &self.surroundings.cancelled,
            &self.record,
        )
        .await;
        let after = match settled {
            Settled::InForce(after) if after.runtime.as_deref() == Some(&*self.record.to) => after,
            Settled::InForce(after) => {
                let now = after.runtime.as_deref().unwrap_or("none");
                let reason = format!("somebody else set the runtime to {now} meanwhile");
                return Err(self.stop(Phase::Settle, reason));
            }
            Settled::Failed(reason) | Settled::Not(reason) => return Err(self.stop(Phase::Settle, reason)),
        };
        self.journal(Phase::Settle, Event::Settled).await?;
        let detail = format!("{} is in force", self.record.to);
        self.record.note(Phase::Settle, State::Done, detail);
        validate::run(self, &after, event).await?;
        // publishing has moved the revision; if it cannot be read now, it is not known
        let now = self.account.configuration(self.function).await.ok();
        Ok(now.and_then(|now| now.revision_id))
    }

    /// Notes why the change does not go on.
    pub(super) fn stop(&mut self, phase: Phase, reason: String) -> Stop {
        self.record.note(phase, State::Failed, reason);
        Stop::Back {
            another: !self.surroundings.cancelled.is_cancelled(),
        }
    }

    /// Stops if the caller has cancelled.
    pub(super) fn go_on(&mut self, before: &str) -> Result<(), Stop> {
        if !self.surroundings.cancelled.is_cancelled() {
            return Ok(());
        }
        Err(self.stop(Phase::Settle, format!("cancelled before {before}")))
    }

    /// Writes a line into the journal; without it the change does not go on.
    pub(super) async fn journal(&mut self, phase: Phase, event: Event) -> Result<(), Stop> {
        match self.record.journal(event).await {
            Ok(()) => Ok(()),
            Err(fault) => {
                self.record.note(phase, State::Failed, not_in_journal(&fault));
                Err(Stop::Back { another: false })
            }
        }
    }

    /// Writes a line into the journal if that can be done.
    pub(super) async fn note_in_journal(&mut self, event: Event) {
        if let Err(fault) = self.record.journal(event).await {
            drop(not_in_journal(&fault));
        }
    }
}

/// What the caller is told; where the journal is stands in the log.
fn not_in_journal(fault: &journal::Fault) -> String {
    tracing::error!(
        cause = crate::account::chain(fault),
        "the journal cannot be written"
    );
    "the journal of changes cannot be written, so the next step was not taken".to_owned()
}

/// True if two looks at a function differ in nothing but revision, times and states.
pub(super) fn alike(before: &Configuration, now: &Configuration) -> bool {
    before.runtime == now.runtime
        && before.code_sha256 == now.code_sha256
        && before.handler == now.handler
        && before.role == now.role
        && before.memory_size == now.memory_size
        && before.timeout == now.timeout
        && before.architectures == now.architectures
        && before.layers == now.layers
        && before.environment_names == now.environment_names
        && before.description == now.description
        && before.snap_start == now.snap_start
}

/// The revision now, if nobody but us has changed the function.
fn same_but_for_its_revision(before: &Configuration, now: Configuration) -> Result<Option<String>, String> {
    if alike(before, &now) {
        Ok(now.revision_id)
    } else {
        let name = &before.name;
        Err(format!(
            "somebody else changed {name:?} since it was read, so nothing was changed; look with get-function and decide \
             anew"
        ))
    }
}
