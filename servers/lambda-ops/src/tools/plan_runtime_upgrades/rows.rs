//! The plan: each function checked, with what would be done to it or why nothing is.

use std::fmt::Write as _;

use futures::{StreamExt as _, stream};
use rmcp::{RoleServer, service::RequestContext};
use schemars::JsonSchema;
use serde::Serialize;

use super::{super::failure::Failure, super::filter, Counts, Fault, Selection};
use crate::{
    LambdaOps,
    account::{FunctionName, Identity},
    owner::Patch,
    runtimes::Table,
    upgrade::{self, Checked, Circumstances, Outcome, Plan, Refusal, Request, batch::Item},
};

/// How many functions are checked at the same time. Each takes some calls to AWS.
const AT_ONCE: usize = 4;

/// What is done to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// It is changed.
    Upgrade,
    /// A template owns it; `patch` is what to change there.
    ChangeTemplate,
    /// Nothing, for the reason in `detail`.
    Leave,
}

/// A function of the plan.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Row {
    pub(super) function_name: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) action: Action,
    /// dry-run, argument or tag: how the new runtime is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation: Option<String>,
    /// What to know, or why it is left, or how it ended.
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patch: Option<Patch>,
    /// How its change ended, once it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    /// The version that holds it as it was before, to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rollback_version: Option<String>,
}

/// A plan of many, before anybody has agreed to it.
pub(super) struct Drawn {
    /// In the order they are to be changed.
    pub(super) items: Vec<Item>,
    pub(super) others: Vec<Row>,
    left_out: usize,
    pub(super) identity: Identity,
}

/// Checks each function of the selection.
pub(super) async fn draw(
    server: &LambdaOps,
    selection: &Selection,
    apply: bool,
    context: &RequestContext<RoleServer>,
) -> Result<Drawn, Failure> {
    let table = server.runtimes.table().await;
    let identity = server
        .account
        .identity()
        .await
        .map_err(Failure::Unidentified)?
        .clone();
    let (names, left_out) = selection.names(server, &table, &context.ct).await?;
    if let Some(stray) = selection.events.keys().find(|name| !names.contains(name)) {
        return Err(Fault::Event(stray.clone()).into());
    }
    let checks = names
        .into_iter()
        .map(|name| check(server, &table, selection, name, apply));
    let checks: Vec<_> = checks.collect();
    let mut drawn = Drawn {
        items: Vec::new(),
        others: Vec::new(),
        left_out,
        identity,
    };
    let mut checked = std::pin::pin!(stream::iter(checks).buffered(AT_ONCE));
    while let Some(checked) = checked.next().await {
        match checked? {
            Ok(item) => drawn.items.push(*item),
            Err(row) => drawn.others.push(*row),
        }
    }
    if let Some(canary) = &selection.canary {
        let at = drawn.plans().position(|plan| plan.function_name == *canary);
        let canary = drawn
            .items
            .remove(at.ok_or_else(|| Fault::Canary(canary.clone()))?);
        drawn.items.insert(0, canary);
    }
    Ok(drawn)
}

/// One function: a change that may be made, or a row that says why there is none.
async fn check(
    server: &LambdaOps,
    table: &Table,
    selection: &Selection,
    name: String,
    apply: bool,
) -> Result<Result<Box<Item>, Box<Row>>, Failure> {
    let function = match FunctionName::parse(&name) {
        Ok(function) if function.is_qualified() => return Err(Failure::Qualified(name)),
        function => function?,
    };
    let to = match &selection.to {
        Some(to) => to.clone(),
        None => match successor(server, table, &function).await {
            Ok(to) => to,
            Err(refusal) => return refused(name, None, refusal).map(Err),
        },
    };
    let request = Request {
        function,
        runtime: to.clone(),
        test_event: selection.events.get(&name).cloned(),
        accept_no_rollback: selection.accept_no_rollback,
        override_owner: false,
        try_older: selection.try_older,
        client_token: None,
    };
    let circumstances = Circumstances {
        table,
        today: server.clock.today(),
        allow: &server.allow,
        journal: &server.journal,
        dry_run: !apply,
    };
    Ok(
        match upgrade::check(&server.account, &request, circumstances).await {
            Ok(Checked::Ready(ready)) => Ok(Box::new(Item::new(request, *ready))),
            Ok(Checked::Same(report)) => {
                let detail = format!("it is on {} already", report.to);
                Err(Box::new(Row::other(
                    report.function_name,
                    Some(report.from),
                    Some(to),
                    detail,
                )))
            }
            Ok(Checked::Owned { report, owner, patch }) => Err(Box::new(Row {
                action: Action::ChangeTemplate,
                owner: Some(filter::brief(&owner)),
                patch: Some(patch),
                ..Row::other(
                    report.function_name,
                    Some(report.from),
                    Some(report.to),
                    "a template owns it, and would undo a change made here".to_owned(),
                )
            })),
            Err(refusal) => Err(refused(name, Some(to), refusal)?),
        },
    )
}

/// The successor of the runtime that a function has.
async fn successor(server: &LambdaOps, table: &Table, function: &FunctionName) -> Result<String, Refusal> {
    let found = server.account.configuration(function).await?;
    let Some(from) = found.runtime else {
        return Err(Refusal::Image(found.name));
    };
    let known = table.find(&from).and_then(|runtime| runtime.successor.clone());
    known.ok_or(Refusal::NoSuccessor {
        name: found.name,
        runtime: from,
    })
}

/// A refusal of one function leaves the others alone; one that is no verdict on the function ends the plan.
fn refused(name: String, to: Option<String>, refusal: Refusal) -> Result<Box<Row>, Failure> {
    if refusal.is_ours() {
        return Err(refusal.into());
    }
    let detail = Failure::from(refusal).tell();
    Ok(Box::new(Row::other(name, None, to, detail)))
}

impl Row {
    fn other(function_name: String, from: Option<String>, to: Option<String>, detail: String) -> Self {
        Self {
            function_name,
            from,
            to,
            action: Action::Leave,
            validation: None,
            detail,
            owner: None,
            patch: None,
            outcome: None,
            rollback_version: None,
        }
    }

    pub(super) fn of(plan: &Plan) -> Self {
        let detail = match plan.notes.is_empty() {
            true => "ready".to_owned(),
            false => plan.notes.join("; "),
        };
        let (from, to) = (Some(plan.from.clone()), Some(plan.to.clone()));
        Self {
            action: Action::Upgrade,
            validation: Some(plan.validation.word().to_owned()),
            ..Self::other(plan.function_name.clone(), from, to, detail)
        }
    }
}

impl Drawn {
    /// Notes how the user agreed.
    pub(super) fn agreed(mut self, how: &str) -> Self {
        self.items = self.items.into_iter().map(|item| item.agreed(how)).collect();
        self
    }

    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.items.iter().map(|item| &item.ready.plan)
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        self.plans()
            .map(Row::of)
            .chain(self.others.iter().cloned())
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |action| self.others.iter().filter(|row| row.action == action).count();
        Counts {
            upgrade: self.items.len(),
            change_template: of(Action::ChangeTemplate),
            leave: of(Action::Leave),
            left_out: self.left_out,
        }
    }

    /// What the user is asked, the same each time as long as the functions are.
    pub(super) fn question(&self) -> String {
        let Identity { account, arn, region } = &self.identity;
        let mut text = format!(
            "Change the runtimes of {} functions, one after the other in this order? The first that does not work is put \
             back and ends it.\nAs: {arn}, account {account}, region {region}",
            self.items.len()
        );
        for plan in self.plans() {
            let Plan {
                function_name,
                from,
                to,
                validation,
                ..
            } = plan;
            let revision = plan.revision_id.as_deref().unwrap_or("unknown");
            // writing to a text cannot fail
            let _ = write!(
                text,
                "\n- {function_name}: {from} to {to}, at revision {revision}; tried with {validation}"
            );
            for note in &plan.notes {
                let _ = write!(text, "\n  Note: {note}");
            }
        }
        text
    }
}

/// The rows as a table, for people.
pub(super) fn table(rows: &[Row], counts: &Counts) -> String {
    let mut text = String::from("| function | from | to | what | how it stands |\n|---|---|---|---|---|\n");
    for row in rows {
        let what = match (row.outcome, row.action) {
            (Some(outcome), _) => outcome.word(),
            (None, Action::Upgrade) => "upgrade",
            (None, Action::ChangeTemplate) => "change template",
            (None, Action::Leave) => "leave",
        };
        let plain = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let runtime = |runtime: &Option<String>| runtime.clone().unwrap_or_else(|| "–".to_owned());
        let (name, from, to) = (plain(&row.function_name), runtime(&row.from), runtime(&row.to));
        let detail = plain(&row.detail);
        // writing to a text cannot fail
        let _ = writeln!(text, "| {name} | {from} | {to} | {what} | {detail} |");
    }
    let Counts {
        upgrade,
        change_template,
        leave,
        left_out,
    } = counts;
    let _ = write!(
        text,
        "\n{upgrade} to upgrade, {change_template} to change in a template, {leave} left alone"
    );
    if *left_out > 0 {
        let _ = write!(text, ", {left_out} more beyond this plan");
    }
    text
}
