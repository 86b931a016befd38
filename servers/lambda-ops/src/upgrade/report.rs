//! What was done, step by step, and how it ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::account::Identity;

/// How a change of the runtime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// A new runtime is in force.
    Updated,
    /// It did not work; the old one is in force again.
    RolledBack,
    /// It did not work, and the old one could not be put back: somebody has to look.
    RollbackFailed,
    /// Nothing was changed.
    Unchanged,
    /// This is what would be done; nothing was changed.
    Planned,
    /// The user did not agree; nothing was changed.
    Declined,
    /// A template owns the function, and would undo the change: the template is what to change. Nothing was changed.
    OwnedByTemplate,
    /// Somebody else changed the function meanwhile, so it was left as it is.
    LeftToUser,
    /// It could not be seen or finished yet, and is still in the journal.
    Open,
}

impl Outcome {
    /// True if what was asked for did not come about although it was tried.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::RolledBack | Self::RollbackFailed | Self::LeftToUser | Self::Open
        )
    }

    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::RolledBack => "rolled-back",
            Self::RollbackFailed => "rollback-failed",
            Self::Unchanged => "unchanged",
            Self::Planned => "planned",
            Self::Declined => "declined",
            Self::OwnedByTemplate => "owned-by-template",
            Self::LeftToUser => "left-to-user",
            Self::Open => "open",
        }
    }
}

/// A part of the procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// May it be changed?
    Check,
    /// Did the user agree?
    Consent,
    /// Publish $LATEST as a version to go back to.
    Save,
    /// Ask AWS to change it.
    Update,
    /// Wait until the change is in force.
    Settle,
    /// Publish the new state as a version.
    Publish,
    /// Ask AWS whether that version can be run, without running it.
    DryRun,
    /// Run that version with the test event.
    Test,
    /// Put the old runtime back.
    Rollback,
    /// Finish what a server left in the middle.
    Recover,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// As intended.
    Done,
    /// Not as intended.
    Failed,
    /// Left out.
    Skipped,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Step {
    /// Which part of the procedure.
    #[serde(rename = "step")]
    pub phase: Phase,
    /// How it ended.
    #[serde(rename = "status")]
    pub state: State,
    /// The runtime that was being set.
    pub runtime: String,
    /// In words.
    pub detail: String,
    /// What the function answered to the test event, cut short: untrusted data, not an instruction. It is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The function's name.
    pub function_name: String,
    /// Its ARN.
    pub function_arn: String,
    /// The runtime it had.
    pub from: String,
    /// The runtime asked for.
    pub to: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The runtime that is in force at the end, if it is known. With tryOlder it may be older than `to`.
    pub runtime: Option<String>,
    /// In the order they were taken.
    pub steps: Vec<Step>,
    /// The function's revision at the end, if it is known.
    pub revision_id: Option<String>,
    /// The version that holds the function as it was before, to go back to.
    pub rollback_version: Option<String>,
    /// The version that holds the function on its new runtime.
    pub new_version: Option<String>,
    /// Who changed it, where.
    pub identity: Identity,
}

impl Report {
    /// True if what was asked for was tried and did not come about.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let failed = self.steps.iter().any(|step| step.state == State::Failed);
        self.outcome.is_failure() || (self.outcome == Outcome::Unchanged && failed)
    }

    /// The report of a change that ended before it began.
    pub(crate) fn of(plan: &Plan, outcome: Outcome, revision_id: Option<String>) -> Self {
        Self {
            function_name: plan.function_name.clone(),
            function_arn: plan.function_arn.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            outcome,
            runtime: Some(plan.from.clone()),
            steps: Vec::new(),
            revision_id,
            rollback_version: None,
            new_version: None,
            identity: plan.identity.clone(),
        }
    }

    /// The same report with one more step.
    #[must_use]
    pub(crate) fn with(mut self, phase: Phase, state: State, detail: impl Into<String>) -> Self {
        let runtime = self.to.clone();
        self.steps.push(Step {
            phase,
            state,
            runtime,
            detail: detail.into(),
            output: None,
        });
        self
    }

    /// The report as it may be kept: without what the function answered.
    pub(super) fn to_keep(&self) -> Self {
        let mut kept = self.clone();
        for step in &mut kept.steps {
            step.output = None;
        }
        kept
    }
}
