//! `get-function`: one function's configuration, without anything that may be secret.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::{
    LambdaOps,
    account::{FunctionName, UpdateState},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    /// The name or ARN of the function to look at.
    function_name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    name: String,
    arn: String,
    version: Option<String>,
    description: Option<String>,
    /// null for container images.
    runtime: Option<String>,
    /// Zip or Image.
    package_type: String,
    handler: Option<String>,
    /// The ARN of the role it runs as.
    role: Option<String>,
    /// MiB.
    memory_size: Option<i32>,
    /// Seconds.
    timeout: Option<i32>,
    architectures: Vec<String>,
    /// ARNs of layer versions.
    layers: Vec<String>,
    /// The names of the environment variables. Their values are never shown.
    environment_variable_names: Vec<String>,
    tags: BTreeMap<String, String>,
    /// Active, Pending, Inactive or Failed.
    state: Option<String>,
    /// Successful, InProgress or Failed.
    last_update_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason: Option<String>,
    /// Changes with every change of the function.
    revision_id: Option<String>,
    last_modified: Option<String>,
}

pub(super) async fn run(server: &LambdaOps, input: Input) -> Result<Output, Failure> {
    let name = FunctionName::parse(&input.function_name)?;
    let found = server.account.configuration(&name).await?;
    let tags = server.account.tags(&found.arn).await?;
    let (last_update_status, last_update_status_reason) = match found.last_update {
        UpdateState::Successful => ("Successful", None),
        UpdateState::InProgress => ("InProgress", None),
        UpdateState::Failed(reason) => ("Failed", Some(reason)),
    };
    Ok(Output {
        name: found.name,
        arn: found.arn,
        version: found.version,
        description: found.description,
        runtime: found.runtime,
        package_type: found.package_type,
        handler: found.handler,
        role: found.role,
        memory_size: found.memory_size,
        timeout: found.timeout,
        architectures: found.architectures,
        layers: found.layers,
        environment_variable_names: found.environment_names,
        tags,
        state: found.state,
        last_update_status,
        last_update_status_reason,
        revision_id: found.revision_id,
        last_modified: found.last_modified,
    })
}
