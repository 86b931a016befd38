//! Reads the functions of many regions at once: a page of fifty a call, and the tags only where there is a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::super::filter::Filter;
use crate::{
    LambdaOps,
    account::{Account, Listed, Tags},
    owner::Owner,
    runtimes::Table,
};

/// How many regions are read at the same time.
const AT_ONCE: usize = 6;

/// What was found in a region.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) region: String,
    /// How many functions were read.
    pub(super) functions: usize,
    pub(super) images: usize,
    /// Those that the filter lets through.
    pub(super) affected: Vec<(Listed, Option<Owner>)>,
    pub(super) unknown: BTreeSet<String>,
    pub(super) error: Option<String>,
    pub(super) owners_unknown: Option<String>,
}

/// Looks in each of the regions. What fails in one of them leaves the others alone.
pub(super) async fn of(
    server: &LambdaOps,
    regions: &[String],
    filter: &Filter,
    table: &Table,
    cancelled: &CancellationToken,
) -> Vec<Found> {
    let looks = regions.iter().map(|region| Look {
        account: server.account.in_region(region),
        filter,
        table,
        cancelled,
    });
    let looks: Vec<_> = looks.map(Look::look).collect();
    // in the order asked for
    stream::iter(looks).buffered(AT_ONCE).collect().await
}

/// A look at one region.
struct Look<'a> {
    account: Account,
    filter: &'a Filter,
    table: &'a Table,
    cancelled: &'a CancellationToken,
}

type AllTags = Arc<BTreeMap<String, Tags>>;

impl Look<'_> {
    async fn look(self) -> Found {
        let mut found = Found {
            region: self.account.region().to_owned(),
            functions: 0,
            images: 0,
            affected: Vec::new(),
            unknown: BTreeSet::new(),
            error: None,
            owners_unknown: None,
        };
        let (listed, error) = self.list().await;
        found.functions = listed.len();
        found.images = listed
            .iter()
            .filter(|function| function.runtime.is_none())
            .count();
        found.error = error;
        let runtimes = listed.iter().filter_map(|function| function.runtime.as_ref());
        let unknown = runtimes.filter(|runtime| self.table.find(runtime).is_none());
        found.unknown = unknown.cloned().collect();
        let by_runtime = Filter {
            tag: None,
            ..self.filter.clone()
        };
        let none = Tags::new();
        let mut affected = listed;
        affected.retain(|function| by_runtime.lets_through(function, &none, self.table));
        if affected.is_empty() {
            return found;
        }
        let tags = match self.account.tagged().await {
            Ok(tags) => tags,
            Err(error) if self.filter.needs_tags() => {
                found.error = Some(error.say());
                return found;
            }
            Err(error) => {
                found.owners_unknown = Some(error.say());
                AllTags::default()
            }
        };
        found.affected = affected
            .into_iter()
            .filter_map(|function| {
                let tags = tags.get(&function.arn).unwrap_or(&none);
                self.filter
                    .lets_through(&function, tags, self.table)
                    .then(|| (function, Owner::of(tags)))
            })
            .collect();
        found
    }

    /// All functions, or those before the call that failed, and why it did.
    async fn list(&self) -> (Vec<Listed>, Option<String>) {
        let (mut functions, mut marker) = (Vec::new(), None);
        loop {
            if self.cancelled.is_cancelled() {
                return (functions, Some("the call was cancelled".to_owned()));
            }
            match self.account.list(marker.as_deref()).await {
                Ok(page) => {
                    functions.extend(page.functions);
                    marker = page.next;
                    if marker.is_none() {
                        return (functions, None);
                    }
                }
                Err(error) => return (functions, Some(error.say())),
            }
        }
    }
}
