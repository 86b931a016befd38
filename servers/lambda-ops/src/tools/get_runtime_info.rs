//! `get-runtime-info`: the runtimes and when they end.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::{LambdaOps, runtimes};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    /// Only this runtime, by its identifier, such as nodejs22.x.
    runtime: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// live: from AWS's page within the last day. snapshot: from the data compiled into this server.
    source: Source,
    /// The day the dates were true.
    #[schemars(with = "String", extend("format" = "date"))]
    as_of: Date,
    /// The day the statuses and days left are counted from.
    #[schemars(with = "String", extend("format" = "date"))]
    today: Date,
    /// Why AWS's page was not used although it should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    runtimes: Vec<Runtime>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Source {
    Live,
    Snapshot,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    name: String,
    /// What a function's runtime is set to.
    id: String,
    os: String,
    /// From this day on AWS does not patch it. null: not scheduled.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    deprecation_date: Option<Date>,
    /// From this day on no function can be created with it. null: not scheduled.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    block_function_create_date: Option<Date>,
    /// From this day on no function can be updated to it, not even back to it. null: not scheduled.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    block_function_update_date: Option<Date>,
    status: Status,
    /// Days until the deprecation, negative if it is past. null: not scheduled.
    days_left: Option<i32>,
    /// The newest runtime of the same language, if this is not it.
    successor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Supported,
    Deprecated,
    BlockedCreate,
    BlockedUpdate,
}

impl Status {
    pub(super) fn of(phase: runtimes::Phase) -> Self {
        match phase {
            runtimes::Phase::Supported => Self::Supported,
            runtimes::Phase::Deprecated => Self::Deprecated,
            runtimes::Phase::BlockedCreate => Self::BlockedCreate,
            runtimes::Phase::BlockedUpdate => Self::BlockedUpdate,
        }
    }
}

/// All runtimes.
pub(crate) async fn all(server: &LambdaOps) -> Result<Output, Failure> {
    run(server, Input { runtime: None }).await
}

pub(super) async fn run(server: &LambdaOps, input: Input) -> Result<Output, Failure> {
    let table = server.runtimes.table().await;
    let today = server.clock.today();
    let wanted = |runtime: &&runtimes::Runtime| input.runtime.as_ref().is_none_or(|id| *id == runtime.id);
    let found: Vec<Runtime> = table
        .runtimes
        .iter()
        .filter(wanted)
        .map(|runtime| row(runtime, today))
        .collect();
    match input.runtime {
        Some(id) if found.is_empty() => Err(Failure::NoSuchRuntime(id)),
        _ => Ok(Output {
            source: match table.source {
                runtimes::Source::Live => Source::Live,
                runtimes::Source::Snapshot => Source::Snapshot,
            },
            as_of: table.as_of,
            today,
            warning: table.warning.clone(),
            runtimes: found,
        }),
    }
}

fn row(runtime: &runtimes::Runtime, today: Date) -> Runtime {
    Runtime {
        name: runtime.name.clone(),
        id: runtime.id.clone(),
        os: runtime.os.clone(),
        deprecation_date: runtime.deprecation_date,
        block_function_create_date: runtime.block_function_create_date,
        block_function_update_date: runtime.block_function_update_date,
        status: Status::of(runtime.phase(today)),
        days_left: runtime.days_left(today),
        successor: runtime.successor.clone(),
    }
}
