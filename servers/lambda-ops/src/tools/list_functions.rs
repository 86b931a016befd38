//! `list-functions`: pages of the account's functions, filtered here because AWS's API has no such filters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    failure::Failure,
    marker::{self, Marker},
};
use crate::{
    LambdaOps,
    account::{Listed, Page},
    runtimes,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Family {
    Nodejs,
    Python,
    Java,
    Dotnet,
    Ruby,
    Go,
    Provided,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    functions: Vec<Function>,
    /// There are more functions: call again with this marker and the same filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
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
}

/// What a listed function must be. Markers are bound to it.
#[derive(Debug, Serialize)]
struct Filter {
    runtime: Option<String>,
    family: Option<Family>,
    prefix: Option<String>,
}

pub(super) async fn run(server: &LambdaOps, input: Input) -> Result<Output, Failure> {
    let filter = Filter {
        runtime: input.runtime,
        family: input.runtime_family,
        prefix: input.name_prefix,
    };
    let size = match input.page_size.unwrap_or(LARGEST_PAGE) {
        size @ 1..=LARGEST_PAGE => usize::try_from(size).unwrap_or(1),
        size => return Err(Failure::PageSize(size)),
    };
    let list = format!("{} {}", server.account.region(), serde_json::to_string(&filter)?);
    let at = match input.marker.as_deref() {
        None | Some("") => Marker::default(),
        Some(token) => Marker::read(token, &list)?,
    };
    let first = input.marker.as_deref().is_none_or(str::is_empty);
    let page = gather(server, &filter, &list, size, at).await?;
    match filter.runtime {
        Some(id) if first && page.functions.is_empty() => {
            let table = server.runtimes.table().await;
            match runtimes::is_known(&table, &id) {
                true => Ok(page),
                false => Err(Failure::NoSuchRuntime(id)),
            }
        }
        _ => Ok(page),
    }
}

/// Reads AWS's pages from `at` on until there are `size` functions.
async fn gather(
    server: &LambdaOps,
    filter: &Filter,
    list: &str,
    size: usize,
    mut at: Marker,
) -> Result<Output, Failure> {
    let mut functions = Vec::new();
    loop {
        let page = server.account.list(at.start.as_deref()).await?;
        let begin = resume(&page, &at)?;
        for (index, function) in page.functions.iter().enumerate().skip(begin) {
            if !filter.lets_through(function) {
                continue;
            }
            if functions.len() == size {
                let last = index.checked_sub(1).and_then(|before| page.functions.get(before));
                let next = Marker {
                    start: at.start,
                    skip: index,
                    last: last.map(|f| f.name.clone()),
                };
                return Ok(Output {
                    functions,
                    marker: Some(next.write(list)?),
                });
            }
            functions.push(row(function));
        }
        let Some(next) = page.next else {
            return Ok(Output {
                functions,
                marker: None,
            });
        };
        at = Marker {
            start: Some(next),
            ..Marker::default()
        };
        if functions.len() == size {
            return Ok(Output {
                functions,
                marker: Some(at.write(list)?),
            });
        }
    }
}

/// Where on the page to go on. Functions may have come or gone since, so the last one given is looked for.
fn resume(page: &Page, at: &Marker) -> Result<usize, marker::Fault> {
    let Some(last) = &at.last else { return Ok(at.skip) };
    let is_last = |function: &Listed| function.name == *last;
    if at
        .skip
        .checked_sub(1)
        .and_then(|before| page.functions.get(before))
        .is_some_and(is_last)
    {
        return Ok(at.skip);
    }
    page.functions
        .iter()
        .position(is_last)
        .map(|found| found + 1)
        .ok_or(marker::Fault::Outdated)
}

impl Filter {
    fn lets_through(&self, function: &Listed) -> bool {
        let runtime = function.runtime.as_deref();
        self.runtime
            .as_deref()
            .is_none_or(|wanted| runtime == Some(wanted))
            && self
                .family
                .is_none_or(|wanted| runtime.is_some_and(|runtime| wanted.has(runtime)))
            && self
                .prefix
                .as_deref()
                .is_none_or(|prefix| function.name.starts_with(prefix))
    }
}

impl Family {
    fn has(self, runtime: &str) -> bool {
        let languages: &[&str] = match self {
            Self::Nodejs => &["nodejs"],
            Self::Python => &["python"],
            Self::Java => &["java"],
            Self::Dotnet => &["dotnet", "dotnetcore"],
            Self::Ruby => &["ruby"],
            Self::Go => &["go"],
            Self::Provided => &["provided"],
        };
        languages.contains(&runtimes::language(runtime))
    }
}

fn row(function: &Listed) -> Function {
    Function {
        name: function.name.clone(),
        runtime: function.runtime.clone(),
        package_type: function.package_type.clone(),
        last_modified: function.last_modified.clone(),
        arn: function.arn.clone(),
    }
}
