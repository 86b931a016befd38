//! Why a change of runtime is refused, in the words that help the caller on.

use jiff::civil::Date;

use super::{consent, journal};
use crate::{account, allow};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A container image brings its runtime along.
    #[error(
        "{0:?} is a container image, which has no runtime to update; rebuild the image on a newer base image"
    )]
    Image(String),
    /// The runtime it has is the newest of its language, or none that is known.
    #[error("{name:?} is on {runtime}, which has no successor; name the runtime it shall have with `to`")]
    NoSuccessor {
        /// The function.
        name: String,
        /// The runtime it has.
        runtime: String,
    },
    /// Neither AWS's page nor the SDK knows the runtime.
    #[error("there is no runtime {wanted:?}; get-runtime-info has them{}", among(.known))]
    UnknownRuntime {
        /// What was asked for.
        wanted: String,
        /// Runtimes in force of the same language, or of the function's.
        known: Vec<String>,
    },
    /// AWS does not accept updates to the runtime any more.
    #[error(
        "AWS accepts no updates to {wanted} since {since}; choose a supported runtime (get-runtime-info)"
    )]
    Blocked {
        /// What was asked for.
        wanted: String,
        /// The day it was blocked.
        since: Date,
    },
    /// The new runtime may fail, and then there is no way back.
    #[error(
        "AWS accepts no updates to {from} since {since}, so the old runtime could not be put back if the new one \
         fails; ask the user, and only if they agree call again with acceptNoRollback: true"
    )]
    NoWayBack {
        /// The runtime it has.
        from: String,
        /// The day it was blocked.
        since: Date,
    },
    /// Code of one language does not run on another's runtime.
    #[error(
        "{from} and {to} are of different languages, and code written for one does not run on the other; choose a \
         runtime of the same language, or, if the code is made for {to} already, give a testEvent, so that {from} is \
         put back if the function fails"
    )]
    OtherLanguage {
        /// The runtime it has.
        from: String,
        /// What was asked for.
        to: String,
    },
    /// An update is under way already.
    #[error(
        "another update of {0:?} is in progress; wait until get-function shows lastUpdateStatus Successful"
    )]
    Busy(String),
    /// It is set to that runtime already, but AWS could not apply its last update.
    #[error(
        "{name:?} is set to {runtime} already, but AWS could not apply its last update: {reason}; mend that first, or \
         choose another runtime"
    )]
    NotInForce {
        /// The function.
        name: String,
        /// The runtime it is set to.
        runtime: String,
        /// AWS's own words.
        reason: String,
    },
    /// A copy that CloudFront made of a function in another region.
    #[error("{name:?} is a Lambda@Edge replica; change the function it is a copy of, {original}")]
    Edge {
        /// The replica.
        name: String,
        /// The ARN of the function it is a copy of.
        original: String,
    },
    /// AWS offers the runtime on other processors only.
    #[error(
        "AWS does not offer {to} on {architecture}, which {name:?} runs on; choose a newer runtime (get-runtime-info)"
    )]
    Architecture {
        /// The function.
        name: String,
        /// What was asked for.
        to: String,
        /// What the function runs on.
        architecture: String,
    },
    /// The function has SnapStart on, and the runtime does not know it.
    #[error(
        "{name:?} uses SnapStart, which {to} does not support (java11, python3.12, dotnet8 and newer do); choose such a \
         runtime, or let its owner turn SnapStart off"
    )]
    SnapStart {
        /// The function.
        name: String,
        /// What was asked for.
        to: String,
    },
    /// A layer is not made for the runtime.
    #[error("the layer {layer} is made for {}, not for {wanted}; its owner has to attach a version that is", .made_for.join(", "))]
    Layer {
        /// The layer version's ARN.
        layer: String,
        /// The runtime or architecture that is wanted.
        wanted: String,
        /// What the layer names instead.
        made_for: Vec<String>,
    },
    /// The operator does not permit to change this function.
    #[error(transparent)]
    NotAllowed(#[from] allow::Refusal),
    /// A test event was given, and the operator does not permit to run this function.
    #[error("{0}; so it cannot be tested: leave testEvent out, and a dry run validates the new runtime")]
    NoTest(#[source] allow::Refusal),
    /// The tag with the test event holds none.
    #[error(
        "the tag {tag} of {name:?} is not an event (JSON in base64url); its owner has to correct it, or give testEvent",
        tag = super::check::EVENT_TAG
    )]
    StoredEvent {
        /// The function.
        name: String,
    },
    /// The function could not be run even now.
    #[error("a dry run of the function as it is failed, so nothing was changed: {0}")]
    DryRun(#[source] account::Error),
    /// The token does not stand for this plan.
    #[error(transparent)]
    Token(#[from] consent::Fault),
    /// The same function is being changed right now.
    #[error("a change of {function:?} is running (journal entry {id}); wait until it has ended")]
    Running {
        /// The function.
        function: String,
        /// The entry in the journal.
        id: String,
    },
    /// A server left a change of this function in the middle.
    #[error(
        "an earlier change of {function:?} was left in the middle (journal entry {id}); call recover-updates, which \
         finishes it or puts the old runtime back"
    )]
    LeftOpen {
        /// The function.
        function: String,
        /// The entry in the journal.
        id: String,
    },
    /// The client's token stands for another call.
    #[error(
        "clientToken {0:?} was used for a change with other arguments; use a token of its own for each change"
    )]
    TokenTaken(String),
    /// There is no writing down what is done, so it is not done.
    #[error("the journal of changes cannot be written, so nothing was changed")]
    Journal(#[from] journal::Fault),
    /// AWS says no.
    #[error(transparent)]
    Account(#[from] account::Error),
}

impl Refusal {
    /// True if neither the caller nor its user can do anything about it.
    pub(crate) fn is_ours(&self) -> bool {
        match self {
            Self::Account(error) | Self::DryRun(error) => error.is_ambiguous(),
            Self::Journal(_) => true,
            _ => false,
        }
    }
}

fn among(known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    format!(", among them {}", known.join(", "))
}
