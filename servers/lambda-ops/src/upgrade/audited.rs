//! What the audit is told of a change: that it begins, and how it ended.

use super::{Plan, Report, State, Surroundings};
use crate::audit;

/// The line of the audit with which a change begins. Who acts is the plan's identity.
pub(super) fn begun(plan: &Plan, event: audit::Event, surroundings: &Surroundings) -> audit::Line {
    let who = surroundings.who.clone();
    let mut line = audit::Line::new(event, who, &plan.identity, &plan.function_name);
    line.plan = Some(audit::Plan {
        from: plan.from.clone(),
        to: plan.to.clone(),
        revision: plan.revision_id.clone(),
        validation: plan.validation.word().to_owned(),
    });
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
    let failed = report.steps.iter().find(|step| step.state == State::Failed);
    line.reason = failed.map(|step| step.detail.clone());
    // it has ended; that the audit has no end of it is in the log
    let _ = surroundings.audit.write(&line).await;
}
