//! What a change would do, as it is shown to whoever has to agree to it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::account::Identity;

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
        f.write_str(match self {
            Self::DryRun => "a dry run only: AWS says whether it could be run, and its code is not run",
            Self::Argument { .. } => "a dry run, then one real run with the given test event, side effects included",
            Self::Tag { .. } => {
                "a dry run, then one real run with the test event of its tag lambda-ops:test-event, side effects \
                 included"
            }
        })
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
        writeln!(f, "As: {arn}, account {account}, region {region}")?;
        writeln!(f, "Tried with: {}", self.validation)?;
        write!(f, "Undone by: {}", self.rollback)?;
        if !self.fallbacks.is_empty() {
            let fallbacks = self.fallbacks.join(", then ");
            write!(f, "\nIf it does not work, in its place: {fallbacks}")?;
        }
        for note in &self.notes {
            write!(f, "\nNote: {note}")?;
        }
        Ok(())
    }
}
