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
use crate::{
    LambdaOps,
    runtimes::{self, Table},
};

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
        for (name, text) in &input.test_events {
            event("testEvents", text).map_err(|cause| Fault::BadEvent {
                name: name.clone(),
                cause: Box::new(cause),
            })?;
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

    /// True if the caller named each function, and wants to know all about it.
    pub(super) fn is_by_name(&self) -> bool {
        matches!(self.by, By::Name(_))
    }

    /// The names of all functions that it is about.
    pub(super) async fn names(
        &self,
        server: &LambdaOps,
        table: &Table,
        cancelled: &CancellationToken,
    ) -> Result<Vec<String>, Failure> {
        let (filter, deprecated) = match &self.by {
            By::Name(names) => return Ok(names.clone()),
            By::Filter { filter, deprecated } => (filter, *deprecated),
        };
        let known = [&filter.runtime, &self.to];
        if let Some(unknown) = known
            .into_iter()
            .flatten()
            .find(|id| !runtimes::is_known(table, id))
        {
            return Err(Failure::NoSuchRuntime(unknown.clone()));
        }
        let mut filter = filter.clone();
        if deprecated {
            filter.deprecated_before = Some(filter::after(server.clock.today()));
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
        Ok(names)
    }
}
