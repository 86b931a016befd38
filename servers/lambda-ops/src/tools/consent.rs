//! The user's yes to a plan: asked for where the client can ask, else shown by the plan's token.

use rmcp::{RoleServer, service::RequestContext};
use schemars::JsonSchema;
use serde::Deserialize;
use skydock::{Answer, Ask};

use super::failure::Failure;
use crate::{
    LambdaOps,
    account::Identity,
    audit::{Event, Line, Who},
    upgrade::{Plan, Refusal, TokenFault},
};

/// What the user is asked.
#[derive(Debug, Deserialize, JsonSchema)]
struct Consent {
    /// Change what the plan says, as it says it
    #[schemars(title = "Change as planned")]
    change: bool,
}
rmcp::elicit_safe!(Consent);

/// What the user says to a plan.
pub(super) enum Consented {
    /// They agreed, in this way.
    Yes(&'static str),
    No,
    /// Their client cannot ask them, and brings no token.
    NotAsked,
}

/// What the user is to agree to.
pub(super) struct Proposal<'a> {
    pub(super) question: String,
    pub(super) plans: &'a [&'a Plan],
    /// What a client that cannot ask has brought.
    pub(super) token: Option<&'a str>,
}

/// Asks the user where that can be done, token or not; else the token, if it passes `check`, says that they agreed. What
/// they do not agree to is in the audit.
pub(super) async fn to(
    server: &LambdaOps,
    proposal: Proposal<'_>,
    check: impl FnOnce(&str) -> Result<(), TokenFault>,
    context: &RequestContext<RoleServer>,
) -> Result<Consented, Failure> {
    let plans = proposal.plans;
    let consented = ask(proposal, check, context).await;
    let (outcome, reason) = match &consented {
        Ok(Consented::Yes(_) | Consented::NotAsked) => return consented,
        Ok(Consented::No) => ("declined", None),
        Err(failure) => ("refused", Some(failure.to_string())),
    };
    for plan in plans {
        not_begun(server, context, plan, outcome, reason.clone()).await;
    }
    consented
}

async fn ask(
    proposal: Proposal<'_>,
    check: impl FnOnce(&str) -> Result<(), TokenFault>,
    context: &RequestContext<RoleServer>,
) -> Result<Consented, Failure> {
    let ask = Ask::from(context);
    if ask.can_elicit() {
        let answer = ask.form::<Consent>("change", proposal.question).await?;
        let agreed = matches!(answer, Answer::Accepted(Consent { change: true }));
        return Ok(if agreed {
            Consented::Yes("the user was asked and agreed")
        } else {
            Consented::No
        });
    }
    let Some(token) = proposal.token else {
        return Ok(Consented::NotAsked);
    };
    check(token).map_err(Refusal::from)?;
    Ok(Consented::Yes("the client brought the token of this plan"))
}

/// Writes down that a change was wanted and not begun. The log says it if that cannot be written.
async fn not_begun(
    server: &LambdaOps,
    context: &RequestContext<RoleServer>,
    plan: &Plan,
    outcome: &str,
    reason: Option<String>,
) {
    let who = Who::of(context);
    let mut line = Line::new(
        Event::UpdateFunctionRuntime,
        who,
        &plan.identity,
        &plan.function_name,
    );
    line.plan = Some(plan.into());
    outcome.clone_into(&mut line.outcome);
    line.reason = reason;
    let _ = server.audit.write(&line).await;
}

/// The same of one that is not permitted, which has no plan.
pub(super) async fn not_permitted(
    server: &LambdaOps,
    context: &RequestContext<RoleServer>,
    identity: &Identity,
    function: &str,
    refusal: &Refusal,
) {
    if !matches!(refusal, Refusal::NotAllowed(_) | Refusal::NoTest(_)) {
        return;
    }
    let mut line = Line::new(Event::UpdateFunctionRuntime, Who::of(context), identity, function);
    "refused".clone_into(&mut line.outcome);
    line.reason = Some(refusal.to_string());
    let _ = server.audit.write(&line).await;
}
