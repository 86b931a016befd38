//! The table of runtimes that is compiled in, for when the page cannot be read.

use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

use super::{Runtime, Source, Table};

/// The file as `data/make_snapshot.py` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[expect(
        dead_code,
        reason = "for people who read the file; named so that a renamed field is noticed"
    )]
    source: String,
    as_of: Date,
    runtimes: Vec<Runtime>,
}

#[expect(
    clippy::expect_used,
    reason = "the file is part of the program, and a test reads it"
)]
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let written: Written = serde_json::from_str(include_str!("../../data/runtimes.json"))
        .expect("data/runtimes.json is well formed");
    Table {
        source: Source::Snapshot,
        as_of: written.as_of,
        runtimes: written.runtimes,
        warning: None,
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_successor_is_itself_in_the_table() {
        assert!(TABLE.runtimes.len() > 40);
        for runtime in &TABLE.runtimes {
            if let Some(successor) = &runtime.successor {
                assert!(
                    TABLE.find(successor).is_some(),
                    "{} points to {successor}",
                    runtime.id
                );
            }
        }
    }
}
