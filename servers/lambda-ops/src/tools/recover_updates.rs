//! `recover-updates`: what servers left in the middle of a change is finished or undone.

use rmcp::{RoleServer, service::RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::unbounded_channel;

use super::{failure::Failure, progress};
use crate::{
    LambdaOps, NotRecovered,
    account::Identity,
    audit::Who,
    recovery::Found,
    upgrade::{Recovered, Running},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    /// Every change that was found in the middle, and what became of it; empty if there was none.
    recovered: Vec<Recovered>,
    /// Changes that a server is at right now: it finishes them itself.
    running: Vec<Running>,
    /// Who this server is.
    identity: Identity,
}

pub(super) async fn run(server: &LambdaOps, context: RequestContext<RoleServer>) -> Result<Output, Failure> {
    let identity = server
        .account
        .identity()
        .await
        .map_err(Failure::Unidentified)?
        .clone();
    let (progress, told) = unbounded_channel();
    let recovery = server.recover_for(Who::of(&context), progress);
    let (found, ()) = tokio::join!(recovery, progress::forward(told, &context));
    let Found { recovered, running } = found.map_err(|reason| match reason {
        NotRecovered::Refused(refusal) => Failure::from(refusal),
        NotRecovered::Aborted(cut_off) => Failure::from(cut_off),
    })?;
    Ok(Output {
        recovered,
        running,
        identity,
    })
}
