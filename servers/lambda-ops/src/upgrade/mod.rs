//! The procedure that changes a function's runtime: plan, consent, a version to go back to, update, wait, trial; and the
//! old runtime put back if any of it does not work, even by the next server if this one is killed.

mod audited;
pub mod batch;
mod check;
mod consent;
mod fit;
mod journal;
mod plan;
mod procedure;
mod put_back;
mod record;
mod recover;
mod refusal;
mod report;
mod send;
mod settle;
mod trail;
mod validate;

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

pub use self::{
    check::{Checked, Circumstances, Ready, check},
    consent::{Fault as TokenFault, Seal},
    journal::{Fault as JournalFault, Journal},
    plan::{Plan, Validation},
    procedure::{recall, run},
    recover::{Recovered, Running, run as recover},
    refusal::Refusal,
    report::{Outcome, Phase, Report, State, Step},
    settle::{Pace, Patience},
};
use crate::{
    account::FunctionName,
    allow::Allow,
    audit::{Audit, Who},
};

/// What is asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// Which function.
    pub function: FunctionName,
    /// The runtime it shall have.
    pub runtime: String,
    /// The JSON event to test it with, afterwards. Without one, that of its tag is taken; without that it is not run.
    pub test_event: Option<String>,
    /// Go on even if AWS would not let the old runtime be put back.
    pub accept_no_rollback: bool,
    /// Go on even if a template owns the function.
    pub override_owner: bool,
    /// If it does not work, try older runtimes down to the one it has.
    pub try_older: bool,
    /// The client's own name for this change: under the same name it is made once.
    pub client_token: Option<String>,
}

/// What the procedure needs to know of the world around it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Surroundings {
    /// How long it may take.
    pub patience: Patience,
    /// What the operator permits.
    pub allow: Arc<Allow>,
    /// Where it is written down.
    pub journal: Journal,
    /// Where each change and its end are told.
    pub audit: Audit,
    /// Who wants it.
    pub who: Who,
    /// Ends it early: what was changed is put back.
    pub cancelled: CancellationToken,
    /// Told what is going on, as it happens.
    pub progress: UnboundedSender<String>,
}
