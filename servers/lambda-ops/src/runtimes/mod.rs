//! What AWS says about Lambda's runtimes: which there are, and on which day each of them ends.

mod live;
mod offers;
mod page;
mod snapshot;

use std::sync::Arc;

use jiff::civil::Date;
use reqwest::Url;
use serde::Deserialize;

pub(crate) use self::offers::{between, runs_on_arm, snap_starts};

/// One runtime as AWS lists it. The dates are days in UTC; `None` means that AWS has not scheduled the event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Runtime {
    /// The name for people, such as `Node.js 22`.
    pub name: String,
    /// The identifier the API takes, such as `nodejs22.x`.
    pub id: String,
    /// The operating system below, such as `Amazon Linux 2023`.
    pub os: String,
    /// From this day on there are no security patches.
    pub deprecation_date: Option<Date>,
    /// From this day on no function can be created with it.
    pub block_function_create_date: Option<Date>,
    /// From this day on no function can be updated with it, which includes going back to it.
    pub block_function_update_date: Option<Date>,
    /// The runtime to go to, if there is a newer one of the same language.
    pub successor: Option<String>,
}

/// How far a runtime's end has come, on a given day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Patched by AWS.
    Supported,
    /// Not patched any more; still usable.
    Deprecated,
    /// No new functions.
    BlockedCreate,
    /// No updates of existing functions.
    BlockedUpdate,
}

impl Runtime {
    /// Where the runtime stands on `today`.
    #[must_use]
    pub fn phase(&self, today: Date) -> Phase {
        let reached = |day: Option<Date>| day.is_some_and(|day| day <= today);
        if reached(self.block_function_update_date) {
            Phase::BlockedUpdate
        } else if reached(self.block_function_create_date) {
            Phase::BlockedCreate
        } else if reached(self.deprecation_date) {
            Phase::Deprecated
        } else {
            Phase::Supported
        }
    }

    /// Days from `today` to the deprecation; negative once it is past, `None` while it is not scheduled.
    #[must_use]
    pub fn days_left(&self, today: Date) -> Option<i32> {
        let day = self.deprecation_date?;
        today.until(day).ok().map(|span| span.get_days())
    }
}

/// The letters an identifier begins with: `nodejs` of `nodejs22.x`.
#[must_use]
pub fn language(id: &str) -> &str {
    let end = id.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(id.len());
    id.get(..end).unwrap_or(id)
}

/// True if AWS's page or the SDK has the runtime: the SDK knows some that are announced but not on the page yet.
pub(crate) fn is_known(table: &Table, id: &str) -> bool {
    table.find(id).is_some() || aws_sdk_lambda::types::Runtime::values().contains(&id)
}

/// Where a [`Table`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// AWS's page, read within the last day.
    Live,
    /// The data compiled into this program.
    Snapshot,
}

/// All runtimes known, and how fresh that knowledge is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Where it comes from.
    pub source: Source,
    /// The day it was true.
    pub as_of: Date,
    /// One entry per identifier.
    pub runtimes: Vec<Runtime>,
    /// Why the page was not used, when it should have been.
    pub warning: Option<String>,
}

impl Table {
    /// The table compiled in: made by `data/make_snapshot.py`, which says from what.
    #[must_use]
    pub fn snapshot() -> &'static Self {
        &snapshot::TABLE
    }

    /// The runtime with this identifier.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Runtime> {
        self.runtimes.iter().find(|runtime| runtime.id == id)
    }
}

/// The runtimes, as fresh as the operator wants them.
#[derive(Debug)]
pub struct Runtimes {
    page: Option<live::Page>,
}

impl Runtimes {
    /// Only the table compiled in; nothing is fetched.
    #[must_use]
    pub fn snapshot() -> Self {
        Self { page: None }
    }

    /// AWS's page at `url` in its markdown form, kept for a day; the table compiled in while it cannot be used.
    ///
    /// # Errors
    /// If the HTTP client cannot be built, such as when the system has no certificate roots.
    pub fn page(url: Url) -> Result<Self, reqwest::Error> {
        Ok(Self {
            page: Some(live::Page::new(url)?),
        })
    }

    /// The table of the moment.
    pub async fn table(&self) -> Arc<Table> {
        match &self.page {
            Some(page) => page.table().await,
            None => Arc::new(Table::snapshot().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().expect("an ISO date")
    }

    #[test]
    fn a_runtime_passes_through_four_phases() {
        let node16 = Table::snapshot()
            .find("nodejs16.x")
            .expect("nodejs16.x is in the snapshot");
        assert_eq!(node16.phase(day("2024-06-11")), Phase::Supported);
        assert_eq!(node16.phase(day("2024-06-12")), Phase::Deprecated);
        assert_eq!(node16.phase(day("2027-02-01")), Phase::BlockedCreate);
        assert_eq!(node16.phase(day("2027-03-03")), Phase::BlockedUpdate);
    }

    #[test]
    fn days_are_counted_across_months_and_below_zero() {
        let node22 = Table::snapshot()
            .find("nodejs22.x")
            .expect("nodejs22.x is in the snapshot");
        assert_eq!(node22.days_left(day("2027-03-31")), Some(30));
        assert_eq!(node22.days_left(day("2027-05-01")), Some(-1));
    }

    #[test]
    fn the_language_is_what_stands_before_the_number() {
        assert_eq!(language("nodejs22.x"), "nodejs");
        assert_eq!(language("provided.al2023"), "provided");
        assert_eq!(language("nodejs"), "nodejs");
    }
}
