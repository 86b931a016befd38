//! What the audit is told of a change: that it begins, and how it ended.

use super::{Outcome, Plan, Report, State, Surroundings};
use crate::audit;

/// The line of the audit with which a change begins. Who acts is the plan's identity.
pub(super) fn begun(
    plan: &Plan,
    entry: &str,
    event: audit::Event,
    consent: Option<String>,
    surroundings: &Surroundings,
) -> audit::Line {
    let who = surroundings.who.clone();
    let mut line = audit::Line::new(event, who, &plan.identity, &plan.function_name);
    line.plan = Some(plan.into());
    line.consent = consent;
    line.entry = Some(entry.to_owned());
    line.before = Some(audit::Seen {
        runtime: Some(plan.from.clone()),
        revision: plan.revision_id.clone(),
    });
    line
}

/// Writes the line of the audit with which it ends.
pub(super) async fn end(mut line: audit::Line, report: &Report, surroundings: &Surroundings) {
    line.outcome = report.outcome.word().to_owned();
    line.after = Some(audit::Seen {
        runtime: report.runtime.clone(),
        revision: report.revision_id.clone(),
    });
    line.rollback_version.clone_from(&report.rollback_version);
    line.new_version.clone_from(&report.new_version);
    let failed = report.steps.iter().find(|step| step.state == State::Failed);
    // with older runtimes there may be failures on the way to a success
    let telling = failed.filter(|_| report.outcome != Outcome::Updated);
    line.reason = telling.map(|step| step.detail.clone());
    // it has ended; that the audit has no end of it is in the log
    let _ = surroundings.audit.write(&line).await;
}
