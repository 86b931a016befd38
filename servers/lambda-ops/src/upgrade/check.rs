//! Whether a function's runtime may be changed as asked, before anything is done: the way to a plan.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::civil::Date;

use super::{
    Journal, Outcome, Phase, Plan, Refusal, Report, Request, State, Validation,
    fit::{self, Wanted},
    plan::digest,
};
use crate::{
    account::{Account, Configuration, Error, Identity, Tags, UpdateState},
    allow::Allow,
    owner::{Owner, Patch},
    runtimes::{self, Table},
};

/// The tag of a function that holds the event it is tested with.
pub(super) const EVENT_TAG: &str = "lambda-ops:test-event";

/// What a check knows of the world around it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Circumstances<'a> {
    /// Which runtimes there are.
    pub table: &'a Table,
    /// Which day it is, for what AWS blocks.
    pub today: Date,
    /// What the operator permits.
    pub allow: &'a Allow,
    /// Where changes are written down, which tells whether somebody is at this function.
    pub journal: &'a Journal,
    /// True if it is only planned, which needs no permission to write.
    pub dry_run: bool,
}

/// What the check came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Checked {
    /// It is on that runtime already: there is nothing to do.
    Same(Report),
    /// A template owns the function, so that is what to change.
    Owned {
        /// That nothing was changed, and why.
        report: Report,
        /// What owns it.
        owner: Owner,
        /// What to change there.
        patch: Patch,
    },
    /// It may be changed.
    Ready(Box<Ready>),
}

/// A change that may be made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ready {
    /// What would be done.
    pub plan: Plan,
    pub(super) before: Configuration,
    pub(super) event: Option<String>,
    pub(super) consent: Option<String>,
}

impl Ready {
    /// Notes how the user agreed.
    #[must_use]
    pub fn agreed(self, how: impl Into<String>) -> Self {
        let consent = Some(how.into());
        Self { consent, ..self }
    }
}

/// Checks everything that can be known beforehand. Nothing is changed.
///
/// # Errors
/// [`Refusal`] if the runtime cannot be changed as asked.
pub async fn check(
    account: &Account,
    request: &Request,
    circumstances: Circumstances<'_>,
) -> Result<Checked, Refusal> {
    let Circumstances {
        table,
        today,
        allow,
        journal,
        dry_run,
    } = circumstances;
    let before = account.configuration(&request.function).await?;
    if !dry_run && let Some(known) = journal.open_for(&before.arn).await? {
        known.report(request)?;
    }
    let tags = account.tags(&before.arn).await?;
    let identity = account.identity().await?.clone();
    if !dry_run {
        allow.write(&request.function, &tags, &identity)?;
    }
    let from = zip_runtime(&before)?;
    let rollback = way_back(table, &from, today);
    let mut plan = outline(&before, request, from, rollback, identity);
    plan.notes = known_and_idle(&before, table, &plan, today)?;
    if plan.from == plan.to {
        return Ok(Checked::Same(same(&plan, request)));
    }
    let event = event(request, &tags, allow, &mut plan)?;
    permitted_by_aws(table, request, &plan, event.is_some(), today)?;
    let older = request.try_older;
    let wanted = Wanted { table, today, older };
    fit::check(account, &before, &mut plan, wanted).await?;
    if let Some(owner) = Owner::of(&tags) {
        if !request.override_owner {
            return Ok(owned(&plan, owner));
        }
        let from = &plan.from;
        let note = format!("a template owns the function: its next deployment puts {from} back");
        plan.notes.push(note);
    }
    account
        .try_invoke(&request.function, None)
        .await
        .map_err(Refusal::DryRun)?;
    plan.notes.extend(aliases(account, request, &before).await?);
    Ok(Checked::Ready(Box::new(Ready {
        plan,
        before,
        event,
        consent: None,
    })))
}

/// The plan as far as it is known without looking around the function.
fn outline(
    before: &Configuration,
    request: &Request,
    from: String,
    rollback: String,
    identity: Identity,
) -> Plan {
    Plan {
        function_name: before.name.clone(),
        function_arn: before.arn.clone(),
        from,
        to: request.runtime.clone(),
        revision_id: before.revision_id.clone(),
        validation: Validation::DryRun,
        rollback,
        fallbacks: Vec::new(),
        notes: Vec::new(),
        identity,
        overrides_owner: request.override_owner,
        accepts_no_rollback: request.accept_no_rollback,
    }
}

fn owned(plan: &Plan, owner: Owner) -> Checked {
    let detail = "a template owns the function and would undo the change; change it there, as `patch` says";
    let report = Report::of(plan, Outcome::OwnedByTemplate, plan.revision_id.clone());
    Checked::Owned {
        report: report.with(Phase::Check, State::Done, detail),
        patch: owner.patch(&plan.function_name, &plan.from, &plan.to),
        owner,
    }
}

fn zip_runtime(before: &Configuration) -> Result<String, Refusal> {
    if let Some(original) = &before.master_arn {
        return Err(Refusal::Edge {
            name: before.name.clone(),
            original: original.clone(),
        });
    }
    let runtime = before.runtime.clone().filter(|_| before.package_type == "Zip");
    runtime.ok_or_else(|| Refusal::Image(before.name.clone()))
}

fn same(plan: &Plan, request: &Request) -> Report {
    let report = Report::of(plan, Outcome::Unchanged, plan.revision_id.clone());
    let report = report.with(Phase::Check, State::Done, format!("it is on {} already", plan.to));
    if request.test_event.is_none() {
        return report;
    }
    let detail = "nothing was changed, so the function was not run; invoke-function runs it";
    report.with(Phase::Test, State::Skipped, detail)
}

/// The runtime exists and no update is in the way. Gives what should be known although it is no obstacle.
fn known_and_idle(
    before: &Configuration,
    table: &Table,
    plan: &Plan,
    today: Date,
) -> Result<Vec<String>, Refusal> {
    let Plan { from, to, .. } = plan;
    if !runtimes::is_known(table, to) {
        return Err(Refusal::UnknownRuntime {
            wanted: to.clone(),
            known: fit::similar(table, to, from, today),
        });
    }
    match &before.last_update {
        UpdateState::InProgress => Err(Refusal::Busy(before.name.clone())),
        UpdateState::Failed(reason) if from == to => Err(Refusal::NotInForce {
            name: before.name.clone(),
            runtime: from.clone(),
            reason: reason.clone(),
        }),
        // an update is what mends a failed one, so that is no obstacle
        UpdateState::Failed(reason) => Ok(vec![format!("its last update had failed: {reason}")]),
        UpdateState::Successful => Ok(Vec::new()),
    }
}

/// AWS takes the new runtime, would take the old one back, and the code may run on both.
fn permitted_by_aws(
    table: &Table,
    request: &Request,
    plan: &Plan,
    tested: bool,
    today: Date,
) -> Result<(), Refusal> {
    let Plan { from, to, .. } = plan;
    if let Some(since) = blocked(table, to, today) {
        return Err(Refusal::Blocked {
            wanted: to.clone(),
            since,
        });
    }
    if !tested && fit::family(from) != fit::family(to) {
        return Err(Refusal::OtherLanguage {
            from: from.clone(),
            to: to.clone(),
        });
    }
    match blocked(table, from, today) {
        Some(since) if !request.accept_no_rollback => Err(Refusal::NoWayBack {
            from: from.clone(),
            since,
        }),
        _ => Ok(()),
    }
}

fn blocked(table: &Table, id: &str, today: Date) -> Option<Date> {
    let since = table.find(id)?.block_function_update_date?;
    (since <= today).then_some(since)
}

fn way_back(table: &Table, from: &str, today: Date) -> String {
    match blocked(table, from, today) {
        Some(since) => format!(
            "nothing by itself, as AWS accepts no updates to {from} since {since}; $LATEST is published as a version \
             first, which an alias can point to"
        ),
        None => format!(
            "putting {from} back by itself if a step fails, takes too long or is cancelled; $LATEST is published as a \
             version first, to go back to by hand"
        ),
    }
}

/// The event to run the function with, if it shall and may be run.
fn event(request: &Request, tags: &Tags, allow: &Allow, plan: &mut Plan) -> Result<Option<String>, Refusal> {
    if let Some(event) = &request.test_event {
        allow
            .invoke(&request.function, tags, &plan.identity)
            .map_err(Refusal::NoTest)?;
        plan.validation = Validation::Argument {
            sha256: digest(event),
        };
        return Ok(Some(event.clone()));
    }
    if !tags.contains_key(EVENT_TAG) {
        return Ok(None);
    }
    if let Err(refusal) = allow.invoke(&request.function, tags, &plan.identity) {
        plan.notes
            .push(format!("the test event of its tag is not used: {refusal}"));
        return Ok(None);
    }
    let event = stored_event(tags).ok_or_else(|| Refusal::StoredEvent {
        name: plan.function_name.clone(),
    })?;
    plan.validation = Validation::Tag {
        sha256: digest(&event),
    };
    Ok(Some(event))
}

/// The event that a function's tag holds: JSON in base64url, as tags take no braces.
pub(super) fn stored_event(tags: &Tags) -> Option<String> {
    let value = tags.get(EVENT_TAG)?.trim_end_matches('=');
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
    serde_json::from_str::<serde::de::IgnoredAny>(&text)
        .is_ok()
        .then_some(text)
}

/// What aliases go on with, which may surprise: they point to versions, and those keep their runtime.
async fn aliases(
    account: &Account,
    request: &Request,
    before: &Configuration,
) -> Result<Vec<String>, Refusal> {
    let aliases = match account.aliases(&request.function).await {
        Ok(aliases) => aliases,
        Err(Error::Denied { .. }) => {
            return Ok(vec![
                "its aliases may not be read; those that point to a version keep its runtime".to_owned(),
            ]);
        }
        Err(error) => return Err(error.into()),
    };
    if aliases.is_empty() {
        return Ok(Vec::new());
    }
    let versions = match account.versions(&request.function).await {
        Ok(versions) => versions,
        Err(Error::Denied { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let now = before.runtime.as_deref().unwrap_or_default();
    let told = aliases.iter().map(|alias| {
        let (name, version) = (&alias.name, &alias.version);
        if version == "$LATEST" {
            return format!("the alias {name} points to $LATEST and changes with it");
        }
        let runtime = versions
            .iter()
            .find(|known| known.version == *version)
            .and_then(|known| known.runtime.as_deref())
            .unwrap_or(now);
        format!("the alias {name} points to version {version} and goes on with {runtime}")
    });
    Ok(told.collect())
}
