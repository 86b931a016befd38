//! `list-functions`: pages of the account's functions, filtered here because AWS's API has no such filters.

use std::{collections::BTreeMap, sync::Arc};

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    filter::{self, Family, Filter, Tag},
    marker::{self, Marker},
};
use crate::{
    LambdaOps,
    account::{Listed, Page, Tags},
    owner::Owner,
    runtimes::{self, Table},
};

const LARGEST_PAGE: u32 = 50;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    /// The marker of the answer before. Leave it out (or empty) for the first page.
    marker: Option<String>,
    /// How many functions to give at most.
    #[schemars(range(min = 1, max = 50))]
    page_size: Option<u32>,
    /// Only functions on exactly this runtime, such as nodejs18.x.
    runtime: Option<String>,
    /// Only functions on any runtime of this language.
    runtime_family: Option<Family>,
    /// Only functions whose name begins with this, case-sensitive.
    name_prefix: Option<String>,
    /// Only functions with this tag: key or key=value, case-sensitive.
    tag: Option<String>,
    /// Only functions on a runtime whose deprecation date is before this day (YYYY-MM-DD).
    #[schemars(extend("format" = "date"))]
    deprecated_before: Option<String>,
    /// true: only functions that a tool for infrastructure as code owns, as their tags tell. false: only the others.
    owned: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    functions: Vec<Function>,
    /// There are more functions: call again with this marker and the same filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    /// Why the page is not full although there is a marker.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Function {
    name: String,
    /// null for container images.
    runtime: Option<String>,
    /// Zip or Image.
    package_type: String,
    /// When code or configuration changed last.
    last_modified: String,
    arn: String,
    /// When the runtime is deprecated; with deprecatedBefore only.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_date: Option<Date>,
    /// The tool and the stack that own it, as the tags tell. It is given only if tag or owned is asked for, as tags are
    /// read only then: without those filters its absence does not mean that nobody owns the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

pub(super) async fn run(
    server: &LambdaOps,
    input: Input,
    cancelled: &CancellationToken,
) -> Result<Output, Failure> {
    let filter = Filter {
        runtime: input.runtime,
        family: input.runtime_family,
        prefix: input.name_prefix,
        tag: input.tag.as_deref().map(Tag::parse).transpose()?,
        deprecated_before: input.deprecated_before.as_deref().map(filter::day).transpose()?,
        owned: input.owned,
    };
    let size = match input.page_size.unwrap_or(LARGEST_PAGE) {
        size @ 1..=LARGEST_PAGE => usize::try_from(size).unwrap_or(1),
        size => return Err(Failure::PageSize(size)),
    };
    let list = format!("{} {}", server.account.region(), serde_json::to_string(&filter)?);
    let given = input.marker.as_deref().filter(|marker| !marker.is_empty());
    let at = given
        .map(|token| Marker::read(token, &list))
        .transpose()?
        .unwrap_or_default();
    let search = Search {
        server,
        table: server.runtimes.table().await,
        tags: match filter.needs_tags() {
            true => Some(server.account.tagged().await?),
            false => None,
        },
        filter,
        list,
        size,
        cancelled,
    };
    let page = search.gather(at).await?;
    match search.filter.runtime {
        Some(id) if given.is_none() && page.functions.is_empty() && page.marker.is_none() => {
            match runtimes::is_known(&search.table, &id) {
                true => Ok(page),
                false => Err(Failure::NoSuchRuntime(id)),
            }
        }
        _ => Ok(page),
    }
}

/// One call's way through AWS's pages.
struct Search<'a> {
    server: &'a LambdaOps,
    table: Arc<Table>,
    /// None: nobody asked for them.
    tags: Option<Arc<BTreeMap<String, Tags>>>,
    filter: Filter,
    list: String,
    size: usize,
    cancelled: &'a CancellationToken,
}

impl Search<'_> {
    /// Reads AWS's pages from `at` on until there are as many functions as wanted.
    async fn gather(&self, mut at: Marker) -> Result<Output, Failure> {
        let (mut functions, mut is_first) = (Vec::new(), true);
        loop {
            if self.cancelled.is_cancelled() {
                return self.stopped(functions, &at, "the call was cancelled");
            }
            let page = match self.server.account.list(at.start.as_deref()).await {
                // what was gathered is worth more than the refusal
                Err(error) if !is_first && error.may_pass() => {
                    return self.stopped(functions, &at, &error.say());
                }
                page => page?,
            };
            is_first = false;
            let account = page.functions.first().and_then(Listed::account);
            if at.account.is_some() && account.is_some() && at.account.as_deref() != account {
                return Err(marker::Fault::Foreign.into());
            }
            let account = account.map(str::to_owned).or(at.account);
            let begin = resume(&page, at.skip, at.last.as_deref())?;
            for (index, function) in page.functions.iter().enumerate().skip(begin) {
                let Some(row) = self.row(function) else { continue };
                if functions.len() == self.size {
                    let last = index.checked_sub(1).and_then(|before| page.functions.get(before));
                    let next = Marker {
                        start: at.start,
                        skip: index,
                        last: last.map(|f| f.name.clone()),
                        account,
                    };
                    return self.full(functions, &next);
                }
                functions.push(row);
            }
            let Some(next) = page.next else {
                return Ok(Output {
                    functions,
                    marker: None,
                    notice: None,
                });
            };
            at = Marker {
                start: Some(next),
                account,
                ..Marker::default()
            };
            if functions.len() == self.size {
                return self.full(functions, &at);
            }
        }
    }

    fn full(&self, functions: Vec<Function>, next: &Marker) -> Result<Output, Failure> {
        Ok(Output {
            functions,
            marker: Some(next.write(&self.list)?),
            notice: None,
        })
    }

    fn stopped(&self, functions: Vec<Function>, at: &Marker, why: &str) -> Result<Output, Failure> {
        Ok(Output {
            notice: Some(format!("{why}; this page is not full, go on with its marker")),
            ..self.full(functions, at)?
        })
    }

    /// The function as it is told; none if a filter holds it back.
    fn row(&self, function: &Listed) -> Option<Function> {
        let none = Tags::new();
        let tags = self.tags.as_ref().and_then(|all| all.get(&function.arn));
        let tags = tags.unwrap_or(&none);
        self.filter
            .lets_through(function, tags, &self.table)
            .then(|| Function {
                name: function.name.clone(),
                runtime: function.runtime.clone(),
                package_type: function.package_type.clone(),
                last_modified: function.last_modified.clone(),
                arn: function.arn.clone(),
                deprecation_date: self
                    .filter
                    .deprecated_before
                    .and_then(|_| filter::deprecation(&self.table, function.runtime.as_deref())),
                owner: Owner::of(tags).as_ref().map(filter::brief),
            })
    }
}

/// Where on the page to go on. Functions may have come or gone since, so the last one given is looked for.
fn resume(page: &Page, skip: usize, last: Option<&str>) -> Result<usize, marker::Fault> {
    let Some(last) = last else { return Ok(skip) };
    let is_last = |function: &Listed| function.name == *last;
    if skip
        .checked_sub(1)
        .and_then(|before| page.functions.get(before))
        .is_some_and(is_last)
    {
        return Ok(skip);
    }
    page.functions
        .iter()
        .position(is_last)
        .map(|found| found + 1)
        .ok_or(marker::Fault::Outdated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{embedded::Embedded, runtimes::Runtimes};

    #[tokio::test]
    async fn a_call_that_is_cancelled_asks_for_no_further_page() {
        let account = Embedded::new(1);
        let server = LambdaOps::on(&account, Runtimes::snapshot());
        let input = serde_json::from_str("{}").expect("no filter");
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let page = run(&server, input, &cancelled)
            .await
            .expect("what is there: nothing");
        assert!(page.functions.is_empty() && page.marker.is_some());
        assert!(page.notice.is_some_and(|why| why.contains("cancelled")));
        assert!(account.calls().is_empty(), "{:?}", account.calls());
    }
}
