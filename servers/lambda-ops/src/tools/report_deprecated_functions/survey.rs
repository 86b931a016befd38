//! Reads the functions of many regions at once: a page of fifty a call, and the tags only where there is a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use tokio::sync::oneshot;
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
pub(in super::super) struct Found {
    pub(in super::super) region: String,
    /// How many functions were read.
    pub(in super::super) functions: usize,
    pub(in super::super) images: usize,
    /// Those that the filter lets through.
    pub(in super::super) affected: Vec<(Listed, Option<Owner>)>,
    pub(in super::super) unknown: BTreeSet<String>,
    pub(in super::super) error: Option<String>,
    pub(in super::super) owners_unknown: Option<String>,
}

/// Looks in each of the regions. What fails in one of them leaves the others alone.
pub(in super::super) async fn of(
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
        // The tags are read beside the pages, from the first function on that they are needed for.
        let (needed, is_needed) = oneshot::channel();
        let tags = async {
            match is_needed.await {
                Ok(()) => Some(self.account.tagged().await),
                Err(_nobody_is_affected) => None,
            }
        };
        let (mut found, tags) = tokio::join!(self.list(needed), tags);
        let tags = match tags {
            None => AllTags::default(),
            Some(Ok(tags)) => tags,
            Some(Err(error)) if self.filter.needs_tags() => {
                found.affected.clear();
                found.error = Some(error.say());
                return found;
            }
            Some(Err(error)) => {
                found.owners_unknown = Some(error.say());
                AllTags::default()
            }
        };
        let none = Tags::new();
        found.affected.retain_mut(|(function, owner)| {
            let tags = tags.get(&function.arn).unwrap_or(&none);
            *owner = Owner::of(tags);
            self.filter.lets_through(function, tags, self.table)
        });
        found
    }

    /// Those whose runtime lets them through, of all functions or of those before the call that failed.
    async fn list(&self, needed: oneshot::Sender<()>) -> Found {
        let mut found = Found {
            region: self.account.region().to_owned(),
            functions: 0,
            images: 0,
            affected: Vec::new(),
            unknown: BTreeSet::new(),
            error: None,
            owners_unknown: None,
        };
        let by_runtime = Filter {
            tag: None,
            ..self.filter.clone()
        };
        let (none, mut needed, mut marker) = (Tags::new(), Some(needed), None);
        loop {
            if self.cancelled.is_cancelled() {
                found.error = Some("the call was cancelled".to_owned());
                return found;
            }
            let page = match self.account.list(marker.as_deref()).await {
                Ok(page) => page,
                Err(error) => {
                    found.error = Some(error.say());
                    return found;
                }
            };
            for function in page.functions {
                found.count(&function, self.table);
                if by_runtime.lets_through(&function, &none, self.table) {
                    found.affected.push((function, None));
                }
            }
            if !found.affected.is_empty()
                && let Some(needed) = needed.take()
            {
                needed.send(()).ok();
            }
            marker = page.next;
            if marker.is_none() {
                return found;
            }
        }
    }
}

impl Found {
    fn count(&mut self, function: &Listed, table: &Table) {
        self.functions += 1;
        match &function.runtime {
            None => self.images += 1,
            Some(runtime) if table.find(runtime).is_none() => {
                self.unknown.insert(runtime.clone());
            }
            Some(_) => {}
        }
    }
}
