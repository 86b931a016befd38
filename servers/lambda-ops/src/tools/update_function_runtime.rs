//! `update-function-runtime`: the upgrade procedure as a tool, with the user's consent, progress and cancellation.

use rmcp::{RoleServer, model::CallToolResult, service::RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::unbounded_channel;

use super::{
    consent::{self, Consented, Proposal},
    failure::{Failure, event},
    progress, structured,
};
use crate::{
    LambdaOps,
    account::FunctionName,
    allow::{Deed, Refusal},
    audit::Who,
    owner::{Owner, Patch},
    upgrade::{self, Checked, Circumstances, Outcome, Phase, Plan, Ready, Report, Request, State},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an argument of its own, which a model gives by name"
)]
pub(super) struct Input {
    /// The name or ARN of the function to change, without a version or alias.
    function_name: String,
    /// The runtime it shall have, such as nodejs24.x.
    runtime: String,
    /// An event to test the function with on the new runtime: one JSON value, as a string. The function is really run
    /// with it. Without it the event of the function's tag lambda-ops:test-event is taken, if there is one.
    test_event: Option<String>,
    /// Go on although AWS would not let the old runtime be put back. Only after the user agreed.
    #[serde(default)]
    accept_no_rollback: bool,
    /// Go on although a template owns the function, whose next deployment undoes the change. Only after the user agreed.
    #[serde(default)]
    override_owner: bool,
    /// If the runtime does not work, try older ones of the same language, newest first, down to the one it has.
    #[serde(default)]
    try_older: bool,
    /// Only plan: says what would be done, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// The planToken of the plan that the user has seen and agreed to. It is good for 15 minutes and for that plan alone.
    plan_token: Option<String>,
    /// A name of your own for this change, 1 to 64 of A-Z a-z 0-9 . _ -: called again with it and the same arguments,
    /// the change is not made twice, and the first report comes back.
    client_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    #[serde(flatten)]
    report: Report,
    /// What would be done, if nothing was done yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    /// What to call again with, once the user has seen the plan and agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_token: Option<String>,
    /// What owns the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    /// What to change in the template that owns the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Patch>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

impl From<Report> for Output {
    fn from(report: Report) -> Self {
        Self {
            report,
            plan: None,
            plan_token: None,
            owner: None,
            patch: None,
            next: None,
        }
    }
}

const ASK_FIRST: &str = "nothing was changed, as the user has not agreed yet: show them `plan` in full, and only if they \
                         agree call again with the same arguments and `planToken`";

pub(super) async fn run(
    server: &LambdaOps,
    input: Input,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResult, Failure> {
    let (dry_run, plan_token) = (input.dry_run, input.plan_token.clone());
    let request = read(input)?;
    if !dry_run {
        if !server.allow.may_write() {
            return Err(Refusal::Off(Deed::Write).into());
        }
        if let Some(report) = upgrade::recall(&server.account, &request, &server.journal).await? {
            return result(report.into());
        }
    }
    let ready = match look(server, &request, dry_run, &context).await? {
        Checked::Same(report) => return result(report.into()),
        Checked::Owned { report, owner, patch } => {
            return result(Output {
                owner: Some(owner),
                patch: Some(patch),
                ..report.into()
            });
        }
        Checked::Ready(ready) => *ready,
    };
    if dry_run {
        return result(planned(server, ready.plan)?);
    }
    let proposal = Proposal {
        question: ready.question(),
        plans: &[&ready.plan],
        token: plan_token.as_deref(),
    };
    let check = |token: &str| server.seal.check(token, &ready.plan);
    match consent::to(server, proposal, check, &context).await? {
        Consented::Yes(how) => result(change(server, request, ready.agreed(how), context).await?.into()),
        Consented::No => {
            let report = Report::of(&ready.plan, Outcome::Declined, ready.plan.revision_id.clone());
            let report = report.with(Phase::Consent, State::Skipped, "the user did not agree");
            result(report.into())
        }
        Consented::NotAsked => {
            let next = Some(ASK_FIRST);
            let output = Output {
                next,
                ..planned(server, ready.plan)?
            };
            structured::result(output, true)
        }
    }
}

/// Checks the function. That it may not be changed is in the audit.
async fn look(
    server: &LambdaOps,
    request: &Request,
    dry_run: bool,
    context: &RequestContext<RoleServer>,
) -> Result<Checked, Failure> {
    let table = server.runtimes.table().await;
    let circumstances = Circumstances {
        table: &table,
        today: server.clock.today(),
        allow: &server.allow,
        journal: &server.journal,
        dry_run,
    };
    let checked = upgrade::check(&server.account, request, circumstances).await;
    if let Err(refusal) = &checked
        && let Ok(identity) = server.account.identity().await
    {
        consent::not_permitted(server, context, identity, request.function.as_str(), refusal).await;
    }
    Ok(checked?)
}

fn read(input: Input) -> Result<Request, Failure> {
    let function = FunctionName::parse(&input.function_name)?;
    if function.is_qualified() {
        return Err(Failure::Qualified(input.function_name));
    }
    if let Some(text) = &input.test_event {
        event("testEvent", text)?;
    }
    let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(token) = &input.client_token
        && !((1..=64).contains(&token.len()) && token.chars().all(lawful))
    {
        return Err(Failure::ClientToken);
    }
    Ok(Request {
        function,
        runtime: input.runtime,
        test_event: input.test_event,
        accept_no_rollback: input.accept_no_rollback,
        override_owner: input.override_owner,
        try_older: input.try_older,
        client_token: input.client_token,
    })
}

fn planned(server: &LambdaOps, plan: Plan) -> Result<Output, Failure> {
    let report = Report::of(&plan, Outcome::Planned, plan.revision_id.clone());
    let report = report.with(Phase::Check, State::Done, "it may be changed as planned");
    let plan_token = match server.allow.may_write() {
        true => Some(server.seal.token(&plan)?),
        false => None,
    };
    Ok(Output {
        plan: Some(plan),
        plan_token,
        ..report.into()
    })
}

async fn change(
    server: &LambdaOps,
    request: Request,
    ready: Ready,
    context: RequestContext<RoleServer>,
) -> Result<Report, Failure> {
    let (progress, told) = unbounded_channel();
    let cancelled = context.ct.child_token();
    // If this call is dropped (a host's deadline, a client that left), the procedure is not: it puts back and ends.
    let _cancel_when_dropped = cancelled.clone().drop_guard();
    let surroundings = server.surroundings(Who::of(&context), cancelled, progress);
    let account = server.account.clone();
    let procedure = tokio::spawn(async move { upgrade::run(&account, &request, ready, &surroundings).await });
    progress::forward(told, &context).await;
    Ok(procedure.await??)
}

/// An error if what was asked for was tried and did not come about.
fn result(output: Output) -> Result<CallToolResult, Failure> {
    let is_error = output.report.has_failed();
    structured::result(output, is_error)
}
