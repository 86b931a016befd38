//! Why a change of runtime is refused, in the words that help the caller on.

use jiff::civil::Date;

use crate::account;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A container image brings its runtime along.
    #[error(
        "{0:?} is a container image, which has no runtime to update; rebuild the image on a newer base image"
    )]
    Image(String),
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
    /// Nobody knows what became of the update.
    #[error("{0}; the update may still take effect; look with get-function before you try again")]
    Open(#[source] account::Error),
    /// AWS says no.
    #[error(transparent)]
    Account(#[from] account::Error),
}

fn among(known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    format!(", among them {}", known.join(", "))
}
