//! The procedure itself: a version to go back to, the update, the wait, the trial, and back if any of it fails.

use jiff::Timestamp;

use super::{
    Outcome, Phase, Ready, Refusal, Report, Request, State, Surroundings,
    audited::{begun, end},
    journal::{self, Event, Header, Known},
    plan::digest,
    put_back::{self, Back, Obstacle},
    record::Record,
    send::{self, Sent},
    settle::{Looks, Settled, passes, wait},
    trail::{Footprint, Shown, Trail, in_force},
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
    /// Somebody else has changed the function, so it is left as it is. The runtime that is in force then, if it is known.
    LeftToUser { runtime: Option<String> },
}

/// A new runtime that is kept: what the last look showed, if AWS gave one.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) runtime: Option<String>,
    pub(super) revision_id: Option<String>,
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
        let mut now = match self.save(&before).await {
            Ok(now) => now,
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
            let another = match self.attempt(&now, event).await {
                Ok(Kept { runtime, revision_id }) => {
                    return self.record.close(Outcome::Updated, runtime, revision_id).await;
                }
                Err(Stop::LeftToUser { runtime }) => {
                    return self.record.close(Outcome::LeftToUser, runtime, None).await;
                }
                Err(Stop::Untouched { another }) => another,
                Err(Stop::Back { another }) => match put_back::run(&mut self).await {
                    Back::InForce(again) => {
                        now = *again;
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
        self.record.close(ended, from, now.revision_id).await
    }

    /// Ends a change whose old runtime could not be put back. What may pass stays open, for whoever recovers.
    pub(super) async fn give_up(self, obstacle: Obstacle) -> Report {
        match obstacle {
            Obstacle::Passing(_) | Obstacle::Mendable(_) | Obstacle::Refused(_) | Obstacle::Unsure(_) => {
                self.record.leave_open(Outcome::RollbackFailed)
            }
            Obstacle::NotAccepted(_) => self.record.close(Outcome::RollbackFailed, None, None).await,
            Obstacle::SomebodyElse { runtime, .. } => {
                self.record.close(Outcome::LeftToUser, runtime, None).await
            }
        }
    }

    /// Publishes $LATEST as it is, and gives it as it is then: AWS moves its revision on with each version.
    async fn save(&mut self, before: &Configuration) -> Result<Configuration, String> {
        let not_written = |fault: journal::Fault| not_in_journal(&fault);
        let mut revision = before.revision_id.clone();
        self.record.trail.revisions.saw(revision.as_deref());
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
                Ok(version) => break version,
                Err(error) => error,
            };
            let said = error.say();
            if !error.is_ambiguous() || self.surroundings.cancelled.is_cancelled() || !looks.pause().await {
                return Err(said);
            }
            self.record.tell(format!("publishing again, because {said}"));
            if let Ok(now) = self.account.configuration(self.function).await {
                revision = same_but_for_its_revision(before, now)?.revision_id;
            }
        };
        self.record
            .journal(Event::Published {
                version: version.version.clone(),
            })
            .await
            .map_err(not_written)?;
        self.record.rollback_version = Some(version.version.clone());
        let now = loop {
            match self.account.configuration(self.function).await {
                Ok(now) => break same_but_for_its_revision(before, now)?,
                Err(error) if passes(&error) && looks.pause().await => {}
                Err(error) => return Err(error.say()),
            }
        };
        let mut detail = format!("version {} holds it as it was", version.version);
        if let Some(state) = version.state.filter(|state| state != "Active") {
            detail.push_str(&format!(
                "; it cannot be gone back to yet, as AWS still gives it as {state}: look before you point an alias to it"
            ));
        }
        self.record.note(Phase::Save, State::Done, detail);
        Ok(now)
    }

    /// Sets one runtime and tries it.
    async fn attempt(&mut self, now: &Configuration, event: Option<&str>) -> Result<Kept, Stop> {
        if self.surroundings.cancelled.is_cancelled() {
            let detail = "cancelled before the update was sent";
            self.record.note(Phase::Update, State::Skipped, detail);
            return Err(Stop::Untouched { another: false });
        }
        let (runtime, revision) = (self.record.to.clone(), now.revision_id.clone());
        let before = Footprint::of(now);
        let revisions = self.record.trail.revisions.clone();
        let trail = Trail::new(
            revisions,
            before.clone(),
            &runtime,
            revision.clone(),
            Timestamp::now(),
        );
        let updating = Event::Updating {
            runtime,
            revision,
            before,
        };
        if let Err(fault) = self.record.journal(updating).await {
            self.record
                .note(Phase::Update, State::Failed, not_in_journal(&fault));
            return Err(Stop::Untouched { another: false });
        }
        self.record.begin(trail);
        match send::update(self).await {
            Sent::Surely => {}
            Sent::Perhaps => return Err(Stop::Back { another: false }),
            Sent::Refused { another } => return Err(Stop::Untouched { another }),
        }
        let trail = &self.record.trail;
        let updated = Event::Updated {
            revision: trail.revisions.last().map(str::to_owned),
            left: trail.new_footprint().clone(),
        };
        self.journal(Phase::Update, updated).await?;
        self.finish(event).await
    }

    /// Waits until the new runtime is in force, tries it, and looks whether it still is.
    pub(super) async fn finish(&mut self, event: Option<&str>) -> Result<Kept, Stop> {
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
            Settled::InForce(after) if self.record.trail.shown(&after) == Shown::New => after,
            Settled::InForce(after) => return Err(self.leave(&after)),
            Settled::Failed(reason) | Settled::Not(reason) => return Err(self.stop(Phase::Settle, reason)),
        };
        let revision = after.revision_id.clone();
        self.record.trail.revisions.saw(revision.as_deref());
        self.journal(Phase::Settle, Event::Settled { revision }).await?;
        let detail = format!("{} is in force", self.record.to);
        self.record.note(Phase::Settle, State::Done, detail);
        validate::run(self, &after, event).await?;
        self.last_look().await
    }

    /// Somebody may have changed the function while it was tried. If AWS gives no answer now, nobody knows.
    async fn last_look(&mut self) -> Result<Kept, Stop> {
        let mut looks = Looks::new(self.surroundings.patience.lost);
        loop {
            let reason = match self.account.configuration(self.function).await {
                Ok(now) => match self.record.trail.shown(&now) {
                    Shown::New => {
                        return Ok(Kept {
                            runtime: in_force(&now),
                            revision_id: now.revision_id,
                        });
                    }
                    Shown::Past => "AWS shows an older state".to_owned(),
                    Shown::Old | Shown::Foreign => return Err(self.leave(&now)),
                },
                Err(error) if passes(&error) => error.say(),
                Err(error) => {
                    self.unknown(&error.say());
                    return Ok(Kept::default());
                }
            };
            self.record.tell(format!("looking again, because {reason}"));
            if !looks.pause().await {
                self.unknown(&reason);
                return Ok(Kept::default());
            }
        }
    }

    fn unknown(&mut self, reason: &str) {
        let detail = format!(
            "{} passed, but whether it is still in force is not known: {reason}. Look with get-function",
            self.record.to
        );
        self.record.note(Phase::Settle, State::Skipped, detail);
    }

    /// Notes that somebody else has changed the function.
    fn leave(&mut self, now: &Configuration) -> Stop {
        let detail = format!(
            "{}, so it was left as it is. Ask the user",
            self.record.trail.foreign(now)
        );
        self.record.note(Phase::Settle, State::Failed, detail);
        Stop::LeftToUser {
            runtime: in_force(now),
        }
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

/// The function now, if nobody but us has changed it.
fn same_but_for_its_revision(before: &Configuration, now: Configuration) -> Result<Configuration, String> {
    if Footprint::of(before).is_like(&Footprint::of(&now)) {
        Ok(now)
    } else {
        let name = &before.name;
        Err(format!(
            "somebody else changed {name:?} since it was read, so nothing was changed; look with get-function and decide \
             anew"
        ))
    }
}
