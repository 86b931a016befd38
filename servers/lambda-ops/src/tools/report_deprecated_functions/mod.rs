//! `report-deprecated-functions`: which functions run on runtimes that have ended or will, where, whose, and what next.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::regions::MOST;
use super::{
    failure::Failure,
    filter::{self, Family, Filter, Tag},
    get_runtime_info::Status,
};
use crate::LambdaOps;

mod grouped;
pub(crate) mod regions;
pub(super) mod survey;

/// How many functions are named unless told otherwise.
const ROWS: u32 = 500;
const MOST_ROWS: u32 = 5000;

/// Why a report is not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("limit is {0}, but must be from 1 to {MOST_ROWS}")]
    Limit(u32),
    #[error(
        "regions has {0:?}, which is not the name of an AWS region; name regions such as eu-central-1, or [\"all\"]"
    )]
    Region(String),
    #[error("regions has {0} names, but at most {MOST} are read at once; ask for them in parts")]
    Regions(usize),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    /// The regions to look in, such as ["eu-central-1", "us-east-1"]. ["all"]: those that every commercial account has
    /// without opting in. Left out: this server's.
    regions: Option<Vec<String>>,
    /// Report the runtimes whose deprecation date is before this day (YYYY-MM-DD); a day to come includes what ends until
    /// then. Left out: those that are deprecated today.
    #[schemars(extend("format" = "date"))]
    deprecated_before: Option<String>,
    /// Only runtimes of this language.
    runtime_family: Option<Family>,
    /// Only functions with this tag: key or key=value, case-sensitive.
    tag: Option<String>,
    /// How many functions to name at most; 500 if left out. The counts are of all.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    /// The day the dates of runtimes were true.
    #[schemars(with = "String", extend("format" = "date"))]
    as_of: Date,
    /// The day the statuses and days left are counted from.
    #[schemars(with = "String", extend("format" = "date"))]
    today: Date,
    /// Why AWS's page of runtimes was not used although it should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    totals: Totals,
    /// Where was looked, and where that failed.
    regions: Vec<Region>,
    /// The runtimes that have ended or will, the earliest end first.
    runtimes: Vec<Group>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Totals {
    /// All functions of these regions that were read, on whatever runtime: `tag` and `runtimeFamily` do not narrow it.
    functions: usize,
    /// Those on the runtimes reported that `tag` and `runtimeFamily` let through, of all regions that were read.
    affected: usize,
    /// Container images among all functions, whatever `tag` and `runtimeFamily` say. Their runtime is inside the image: AWS names no date for them.
    container_images: usize,
    /// Affected functions that are counted but not named here.
    left_out: usize,
    /// Regions that failed or were not read to their end: what is there is not counted.
    incomplete_regions: usize,
    /// Runtimes in use that AWS's page does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_runtimes: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Region {
    region: String,
    /// All functions there, as in `totals`.
    functions: usize,
    /// Those reported, as in `totals`.
    affected: usize,
    /// Why the region could not be read, or not to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why the owners there are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    owners_unknown: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Group {
    runtime: String,
    status: Status,
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    deprecation_date: Option<Date>,
    /// From this day on no function can be created with it. null: not scheduled.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    block_function_create_date: Option<Date>,
    /// From this day on no function can be updated to it, not even back to it. null: not scheduled.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    block_function_update_date: Option<Date>,
    /// Days until the deprecation, negative if it is past.
    days_left: Option<i32>,
    /// The newest runtime of the same language.
    successor: Option<String>,
    /// How many functions run on it.
    count: usize,
    /// Those that are named.
    functions: Vec<Function>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Function {
    name: String,
    /// Left out if the report is about one region.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The day on which code or configuration changed last.
    last_modified: String,
    /// The tool and the stack whose template it is of, as the tags tell: there the runtime must be changed. Left out: no
    /// sign of one, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

pub(super) async fn run(
    server: &LambdaOps,
    input: Input,
    cancelled: &CancellationToken,
) -> Result<Output, Failure> {
    let limit = match input.limit.unwrap_or(ROWS) {
        limit @ 1..=MOST_ROWS => usize::try_from(limit).unwrap_or(usize::MAX),
        limit => return Err(Fault::Limit(limit).into()),
    };
    let regions = regions::chosen(input.regions.as_deref(), server.account.region())?;
    let today = server.clock.today();
    let before = match input.deprecated_before.as_deref() {
        Some(day) => filter::day(day)?,
        None => filter::after(today),
    };
    let filter = Filter {
        family: input.runtime_family,
        tag: input.tag.as_deref().map(Tag::parse).transpose()?,
        deprecated_before: Some(before),
        ..Filter::default()
    };
    let table = server.runtimes.table().await;
    let found = survey::of(server, &regions, &filter, &table, cancelled).await;
    Ok(grouped::report(found, &table, today, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{embedded::Embedded, runtimes::Runtimes};

    #[tokio::test]
    async fn a_report_that_is_cancelled_says_so_of_every_region_not_read() {
        let account = Embedded::new(1);
        let server = LambdaOps::on(&account, Runtimes::snapshot());
        let input = serde_json::from_str(r#"{ "regions": ["all"] }"#).expect("an input");
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let report = run(&server, input, &cancelled).await.expect("a report");
        assert_eq!(report.totals.incomplete_regions, 17);
        assert!(account.calls().is_empty(), "{:?}", account.calls());
    }
}
