//! `recover-updates`: what servers left in the middle of a change is finished or undone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::{LambdaOps, account::Identity, upgrade::Recovered};

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

pub(super) async fn run(server: &LambdaOps) -> Result<Output, Failure> {
    server.allow.may_write().then_some(()).ok_or(Failure::NoWrite)?;
    let identity = server.account.identity().await?.clone();
    let recovered = server.recover().await.map_err(crate::upgrade::Refusal::from)?;
    Ok(Output { recovered, identity })
}
