//! `recover-updates`: what servers left in the middle of a change is finished or undone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::{
    LambdaOps,
    account::Identity,
    audit::Who,
    upgrade::{Recovered, Refusal},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    /// Every change that was found in the middle, and what became of it; empty if there was none.
    recovered: Vec<Recovered>,
    /// Who this server is.
    identity: Identity,
}

pub(super) async fn run(server: &LambdaOps, who: Who) -> Result<Output, Failure> {
    let identity = server
        .account
        .identity()
        .await
        .map_err(Failure::Unidentified)?
        .clone();
    let recovered = server.recover_for(who).await.map_err(Refusal::from)?;
    Ok(Output { recovered, identity })
}
