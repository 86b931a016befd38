//! Whether a runtime fits what is around a function's code: processor, snapshots, layers; and which others would.

use jiff::civil::Date;

use super::{Plan, Refusal};
use crate::{
    account::{Account, Configuration, Error, Layer},
    runtimes::{self, Phase, Table},
};

/// What is looked for beside the runtime asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) table: &'a Table,
    pub(super) today: Date,
    /// Whether older runtimes shall be tried if this one does not work.
    pub(super) older: bool,
}

/// Checks that the new runtime fits, and adds to the plan which older ones would too.
pub(super) async fn check(
    account: &Account,
    before: &Configuration,
    plan: &mut Plan,
    wanted: Wanted<'_>,
) -> Result<(), Refusal> {
    let Wanted { table, today, older } = wanted;
    let mut layers = Vec::new();
    for arn in &before.layers {
        match account.layer(arn).await {
            Ok(layer) => layers.push(layer),
            Err(Error::Denied { .. } | Error::NotFound { .. }) => {
                plan.notes.push(format!(
                    "the layer {arn} may not be read, so whether it fits {} is not known",
                    plan.to
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    fits(before, &layers, &plan.to)?;
    plan.notes.extend(deprecated(table, &plan.to, today));
    if older {
        plan.fallbacks = runtimes::between(table, &plan.from, &plan.to, today);
        plan.fallbacks.retain(|id| fits(before, &layers, id).is_ok());
        if plan.fallbacks.is_empty() {
            let Plan { from, to, .. } = &*plan;
            plan.notes.push(format!(
                "there is no older runtime to try between {from} and {to}"
            ));
        }
    }
    Ok(())
}

fn fits(before: &Configuration, layers: &[Layer], to: &str) -> Result<(), Refusal> {
    let name = || before.name.clone();
    let arm = before
        .architectures
        .iter()
        .find(|architecture| *architecture == "arm64");
    if let Some(architecture) = arm.filter(|_| !runtimes::runs_on_arm(to)) {
        return Err(Refusal::Architecture {
            name: name(),
            to: to.to_owned(),
            architecture: architecture.clone(),
        });
    }
    if before.snap_start && !runtimes::snap_starts(to) {
        return Err(Refusal::SnapStart {
            name: name(),
            to: to.to_owned(),
        });
    }
    let unfit = |layer: &Layer, wanted: &str, made_for: &[String]| {
        (!made_for.is_empty() && made_for.iter().all(|one| one != wanted)).then(|| Refusal::Layer {
            layer: layer.arn.clone(),
            wanted: wanted.to_owned(),
            made_for: made_for.to_vec(),
        })
    };
    let architecture = before.architectures.first().map_or("x86_64", String::as_str);
    let refusal = layers.iter().find_map(|layer| {
        unfit(layer, to, &layer.runtimes).or_else(|| unfit(layer, architecture, &layer.architectures))
    });
    refusal.map_or(Ok(()), Err)
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
pub(super) fn family(id: &str) -> &str {
    match runtimes::language(id) {
        "provided" => "go",
        "dotnetcore" => "dotnet",
        language => language,
    }
}

/// Supported runtimes of the language asked for, else of the function's, else all.
pub(super) fn similar(table: &Table, wanted: &str, from: &str, today: Date) -> Vec<String> {
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
