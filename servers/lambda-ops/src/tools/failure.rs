//! How a call that did not succeed is told: to the model what it can mend, to the operator's log the rest.

use rmcp::{
    ErrorData,
    handler::server::tool::IntoCallToolResult,
    model::{CallToolResponse, CallToolResult, ContentBlock},
};

use super::{filter, marker, plan_runtime_upgrades, report_deprecated_functions};
use crate::{account, allow, audit, upgrade};

/// Every change and every run names the account it was made in, so without that there is none.
const UNIDENTIFIED: &str = "nothing was begun, because AWS does not say which account this is";

/// Why a tool gives no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Name(#[from] account::NotAName),
    #[error(
        "{0:?} names a version or alias, and only $LATEST can be changed; give the function's name without it"
    )]
    Qualified(String),
    #[error(transparent)]
    Refused(#[from] allow::Refusal),
    #[error(transparent)]
    Audit(#[from] audit::Unwritable),
    #[error("{UNIDENTIFIED}: {0}")]
    Unidentified(#[source] account::Error),
    #[error("{0:?} is not the name of a version or alias (letters, digits, `-`, `_`); get-function has them")]
    Qualifier(String),
    #[error("{0:?} names a version or alias, and so does qualifier; give one of them")]
    QualifiedTwice(String),
    #[error(
        "{name:?} is of the region {there}, but this server looks at functions of {here} only; ask a server whose \
         AWS_REGION is {there}"
    )]
    Elsewhere {
        name: String,
        there: String,
        here: String,
    },
    #[error(transparent)]
    Marker(#[from] marker::Fault),
    #[error("{field} is not JSON ({cause}); pass one JSON value as a string, such as \"{{}}\"")]
    NotJson {
        field: &'static str,
        cause: serde_json::Error,
    },
    #[error(
        "{field} has {size} bytes, but Lambda takes at most {} in one call",
        account::PAYLOAD_LIMIT
    )]
    TooLarge { field: &'static str, size: usize },
    #[error(transparent)]
    Filter(#[from] filter::Fault),
    #[error(transparent)]
    Report(#[from] report_deprecated_functions::Fault),
    #[error(transparent)]
    Plan(#[from] plan_runtime_upgrades::Fault),
    #[error("pageSize is {0}, but must be from 1 to 50")]
    PageSize(u32),
    #[error("there is no runtime {0:?}; call get-runtime-info without `runtime` for all of them")]
    NoSuchRuntime(String),
    #[error(transparent)]
    Account(#[from] account::Error),
    #[error("{0}; the function may have run all the same")]
    MayHaveRun(#[source] account::Error),
    #[error(transparent)]
    Upgrade(#[from] upgrade::Refusal),
    #[error("clientToken must be 1 to 64 characters of A-Z a-z 0-9 . _ -")]
    ClientToken,
    #[error("{0}; nothing was changed")]
    Ask(#[from] skydock::ask::Error),
    #[error("the plan could not be signed")]
    Unsigned(#[from] rmcp::model::RequestStateError),
    #[error("the procedure broke off")]
    Aborted(#[from] tokio::task::JoinError),
    #[error("the result could not be written as JSON")]
    Unwritable(#[from] serde_json::Error),
}

impl Failure {
    /// True if neither the model nor its user can do anything about it.
    fn is_ours(&self) -> bool {
        let ours = |error: &account::Error| error.is_ambiguous();
        match self {
            Self::Account(error) | Self::Unidentified(error) => ours(error),
            Self::Upgrade(refusal) => refusal.is_ours(),
            Self::Audit(_)
            | Self::MayHaveRun(_)
            | Self::Aborted(_)
            | Self::Unwritable(_)
            | Self::Unsigned(_) => true,
            _ => false,
        }
    }

    /// True if what was named is not there, or not here.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Name(_) | Self::Elsewhere { .. } | Self::Account(account::Error::NotFound { .. })
        )
    }

    /// The text for the model. What stands in causes (principals, hosts) is for the operator's log.
    pub(crate) fn tell(self) -> String {
        if self.is_ours() {
            let reference = skydock::reference();
            // displayed, not debugged: causes may hold what AWS answered
            tracing::error!(reference, cause = account::chain(&self), "a tool call failed");
            let remedy = match self {
                Self::MayHaveRun(_) => "do not repeat it; look at its effects, or ask the user, and",
                Self::Aborted(_) => "look with get-function before you try again, and if it stays so",
                _ => "try again, and if it stays so",
            };
            return format!("{self}; {remedy} give the operator of this server the reference {reference}");
        }
        match self {
            Self::Account(error) | Self::Upgrade(upgrade::Refusal::Account(error)) => error.say(),
            Self::Unidentified(error) => format!("{UNIDENTIFIED}: {}", error.say()),
            _ => self.to_string(),
        }
    }
}

impl IntoCallToolResult for Failure {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::error(vec![ContentBlock::text(self.tell())]).into())
    }
}

/// Checks that a text is JSON that Lambda takes as an event.
pub(super) fn event(field: &'static str, text: &str) -> Result<(), Failure> {
    if text.len() > account::PAYLOAD_LIMIT {
        return Err(Failure::TooLarge {
            field,
            size: text.len(),
        });
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|cause| Failure::NotJson { field, cause })
}
