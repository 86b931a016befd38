//! Which functions a plan is about: those that are named, or those that the filters let through.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::{
    super::{
        failure::{Failure, event},
        filter::{self, Filter, Tag},
        report_deprecated_functions::survey,
    },
    Fault, Input, MOST,
};
use crate::{LambdaOps, runtimes::Table};

/// What a plan is asked for, read and checked.
#[derive(Debug)]
pub(super) struct Selection {
    by: By,
    pub(super) to: Option<String>,
    pub(super) canary: Option<String>,
    pub(super) events: BTreeMap<String, String>,
    pub(super) accept_no_rollback: bool,
    pub(super) try_older: bool,
}

#[derive(Debug)]
enum By {
    Name(Vec<String>),
    Filter {
        filter: Filter,
        /// Nobody said which runtimes, so those that are deprecated are meant.
        deprecated: bool,
    },
}

impl Selection {
    pub(super) fn read(input: Input) -> Result<Self, Failure> {
        for text in input.test_events.values() {
            event("testEvents", text)?;
        }
        let filter = Filter {
            runtime: input.runtime,
            family: input.runtime_family,
            prefix: input.name_prefix,
            tag: input.tag.as_deref().map(Tag::parse).transpose()?,
            deprecated_before: input.deprecated_before.as_deref().map(filter::day).transpose()?,
            owned: None,
        };
        let by = match input.functions {
            Some(_) if !filter.is_open() => return Err(Fault::Both.into()),
            Some(names) if names.len() > MOST => return Err(Fault::Functions(names.len()).into()),
            Some(names) => {
                let mut seen = BTreeSet::new();
                if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
                    return Err(Fault::Twice(twice.clone()).into());
                }
                By::Name(names)
            }
            None => By::Filter {
                deprecated: filter.runtime.is_none() && filter.deprecated_before.is_none(),
                filter,
            },
        };
        Ok(Self {
            by,
            to: input.to,
            canary: input.canary,
            events: input.test_events,
            accept_no_rollback: input.accept_no_rollback,
            try_older: input.try_older,
        })
    }

    /// The names, and how many more there are than one plan may have.
    pub(super) async fn names(
        &self,
        server: &LambdaOps,
        table: &Table,
        cancelled: &CancellationToken,
    ) -> Result<(Vec<String>, usize), Failure> {
        let (filter, deprecated) = match &self.by {
            By::Name(names) => return Ok((names.clone(), 0)),
            By::Filter { filter, deprecated } => (filter, *deprecated),
        };
        let mut filter = filter.clone();
        if deprecated {
            let today = server.clock.today();
            filter.deprecated_before = Some(today.tomorrow().unwrap_or(today));
        }
        let here = [server.account.region().to_owned()];
        let mut names = Vec::new();
        for found in survey::of(server, &here, &filter, table, cancelled).await {
            if let Some(reason) = found.error {
                return Err(Fault::Unread(reason).into());
            }
            names.extend(found.affected.into_iter().map(|(function, _)| function.name));
        }
        // so that the same functions make the same plan
        names.sort_unstable();
        let left_out = names.len().saturating_sub(MOST);
        names.truncate(MOST);
        Ok((names, left_out))
    }
}
