//! What a change would do, as it is shown to whoever has to agree to it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{account::Identity, audit};

/// What would be done. Its text is the same each time as long as the function and the arguments are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Plan {
    /// The function's name.
    pub function_name: String,
    /// Its ARN.
    pub function_arn: String,
    /// The runtime it has.
    pub from: String,
    /// The runtime it shall have.
    pub to: String,
    /// The revision that the plan was made for: it holds for no other.
    pub revision_id: Option<String>,
    /// How the new runtime is tried.
    pub validation: Validation,
    /// How it is undone.
    pub rollback: String,
    /// False if AWS would not let the old runtime be put back.
    pub has_way_back: bool,
    /// Older runtimes that are tried, in this order, if the one asked for does not work.
    pub fallbacks: Vec<String>,
    /// What to know before agreeing.
    pub notes: Vec<String>,
    /// Who would change it, where.
    pub identity: Identity,
    /// Whether the plan goes on although a template owns the function.
    pub overrides_owner: bool,
    /// Whether the plan goes on although AWS would not let the old runtime be put back.
    pub accepts_no_rollback: bool,
}

/// How a new runtime is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Validation {
    /// AWS is asked whether the function could be run; it is not run.
    DryRun,
    /// Besides, it is run once with the event that the caller gave.
    Argument {
        /// The event's SHA-256, in hexadecimal.
        sha256: String,
    },
    /// Besides, it is run once with the event that its tag holds.
    Tag {
        /// The event's SHA-256, in hexadecimal.
        sha256: String,
    },
}

impl Validation {
    /// In a word, as it is written.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::DryRun => "dry-run",
            Self::Argument { .. } => "argument",
            Self::Tag { .. } => "tag",
        }
    }

    /// The digest of the event that the function is run with, if it is.
    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            Self::DryRun => None,
            Self::Argument { sha256 } | Self::Tag { sha256 } => Some(sha256),
        }
    }
}

/// SHA-256 in hexadecimal: what stands for an event where the event itself must not.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (event, sha256) = match self {
            Self::DryRun => {
                return f
                    .write_str("a dry run only: AWS says whether it could be run, and its code is not run");
            }
            Self::Argument { sha256 } => ("the given test event", sha256),
            Self::Tag { sha256 } => ("the test event of its tag lambda-ops:test-event", sha256),
        };
        let sha256 = sha256.get(..12).unwrap_or(sha256);
        write!(
            f,
            "a dry run, then one real run with {event} (SHA-256 {sha256}…), side effects included"
        )
    }
}

/// What is agreed to with one function, a line each.
struct Terms<'a> {
    plan: &'a Plan,
    indent: &'static str,
}

impl fmt::Display for Terms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, indent } = self;
        write!(f, "\n{indent}Tried with: {}", plan.validation)?;
        write!(f, "\n{indent}Undone by: {}", plan.rollback)?;
        if !plan.fallbacks.is_empty() {
            let fallbacks = plan.fallbacks.join(", then ");
            write!(f, "\n{indent}If it does not work, in its place: {fallbacks}")?;
        }
        for note in &plan.notes {
            write!(f, "\n{indent}Note: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function_name,
            function_arn,
            from,
            to,
            ..
        } = self;
        writeln!(f, "Change the runtime of {function_name} from {from} to {to}?")?;
        let revision = self.revision_id.as_deref().unwrap_or("unknown");
        writeln!(f, "Function: {function_arn}, $LATEST at revision {revision}")?;
        let Identity { account, arn, region } = &self.identity;
        write!(f, "As: {arn}, account {account}, region {region}")?;
        Terms {
            plan: self,
            indent: "",
        }
        .fmt(f)
    }
}

impl Plan {
    /// One of many, in a question about all of them.
    pub(crate) fn among_others(&self) -> String {
        let Self {
            function_name,
            from,
            to,
            ..
        } = self;
        let revision = self.revision_id.as_deref().unwrap_or("unknown");
        let terms = Terms {
            plan: self,
            indent: "  ",
        };
        format!("- {function_name}: {from} to {to}, at revision {revision}{terms}")
    }
}

impl From<&Plan> for audit::Plan {
    fn from(plan: &Plan) -> Self {
        Self {
            from: plan.from.clone(),
            to: plan.to.clone(),
            revision: plan.revision_id.clone(),
            validation: plan.validation.word().to_owned(),
            event_sha256: plan.validation.digest().map(str::to_owned),
            fallbacks: plan.fallbacks.clone(),
            overrides: [
                ("overrideOwner", plan.overrides_owner),
                ("acceptNoRollback", plan.accepts_no_rollback),
            ]
            .into_iter()
            .filter_map(|(name, given)| given.then_some(name))
            .collect(),
        }
    }
}
