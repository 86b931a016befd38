//! Whether a function's runtime may be changed as asked, before anything is done.

use jiff::civil::Date;

use super::{Refusal, Request};
use crate::{
    account::{Configuration, UpdateState},
    runtimes::{self, Phase, Table},
};

/// What may be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The runtime the function has.
    pub(super) from: String,
    /// What the caller should know although it is no obstacle.
    pub(super) notes: Vec<String>,
}

/// The runtime the function has, if it may be changed to the one asked for.
pub(super) fn check(
    before: &Configuration,
    table: &Table,
    request: &Request,
    today: Date,
) -> Result<Verdict, Refusal> {
    let Some(from) = before.runtime.clone().filter(|_| before.package_type == "Zip") else {
        return Err(Refusal::Image(before.name.clone()));
    };
    let to = &request.runtime;
    if !runtimes::is_known(table, to) {
        return Err(Refusal::UnknownRuntime {
            wanted: to.clone(),
            known: similar(table, to, &from, today),
        });
    }
    let failed = match &before.last_update {
        UpdateState::InProgress => return Err(Refusal::Busy(before.name.clone())),
        UpdateState::Failed(reason) => Some(reason),
        UpdateState::Successful => None,
    };
    if from == *to {
        return match failed {
            Some(reason) => Err(Refusal::NotInForce {
                name: before.name.clone(),
                runtime: from,
                reason: reason.clone(),
            }),
            None => Ok(Verdict {
                from,
                notes: Vec::new(),
            }),
        };
    }
    let blocked = |id: &str| {
        let since = table.find(id)?.block_function_update_date?;
        (since <= today).then_some(since)
    };
    if let Some(since) = blocked(to) {
        return Err(Refusal::Blocked {
            wanted: to.clone(),
            since,
        });
    }
    if request.test_event.is_none() && family(&from) != family(to) {
        return Err(Refusal::OtherLanguage { from, to: to.clone() });
    }
    match blocked(&from) {
        Some(since) if !request.accept_no_rollback => Err(Refusal::NoWayBack { from, since }),
        _ => Ok(Verdict {
            from,
            // an update is what mends a failed one, so that is no obstacle
            notes: failed
                .map(|reason| format!("its last update had failed: {reason}"))
                .into_iter()
                .chain(deprecated(table, to, today))
                .collect(),
        }),
    }
}

fn deprecated(table: &Table, to: &str, today: Date) -> Option<String> {
    let runtime = table.find(to)?;
    let since = runtime.deprecation_date?;
    let newer = runtime.successor.as_deref();
    (since <= today).then(|| {
        let instead = newer.map_or_else(String::new, |newer| format!(", its successor is {newer}"));
        format!("AWS does not patch {to} since {since}{instead}")
    })
}

/// Go's binaries run on the families `go` and `provided`; .NET has had two names.
fn family(id: &str) -> &str {
    match runtimes::language(id) {
        "provided" => "go",
        "dotnetcore" => "dotnet",
        language => language,
    }
}

/// Supported runtimes of the language asked for, else of the function's, else all.
fn similar(table: &Table, wanted: &str, from: &str, today: Date) -> Vec<String> {
    let supported: Vec<&str> = table
        .runtimes
        .iter()
        .filter(|runtime| runtime.phase(today) == Phase::Supported)
        .map(|runtime| runtime.id.as_str())
        .collect();
    let of = |language: &str| -> Vec<String> {
        let same = |id: &&str| runtimes::language(id) == language;
        supported
            .iter()
            .copied()
            .filter(same)
            .map(str::to_owned)
            .collect()
    };
    [wanted, from]
        .into_iter()
        .map(|id| of(runtimes::language(id)))
        .find(|found| !found.is_empty())
        .unwrap_or_else(|| supported.iter().map(|id| (*id).to_owned()).collect())
}
