//! `plan-runtime-upgrades`: a whole report's functions as one plan, and on request that plan carried out, canary first.

mod apply;
mod rows;
mod select;

use std::collections::BTreeMap;

use rmcp::{RoleServer, model::CallToolResponse, service::RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::rows::Row;
use self::{rows::Drawn, select::Selection};
use super::{
    consent::{self, Consented, Proposal},
    failure::Failure,
    filter::Family,
    structured,
};
use crate::{
    LambdaOps,
    account::Identity,
    allow::{Deed, Refusal},
    upgrade::Plan,
};

/// How many functions one plan may have.
const MOST: usize = 50;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("functions has {0} names, but one plan has at most {MOST}; plan them in parts")]
    Functions(usize),
    #[error("functions names {0:?} twice; name it once")]
    Twice(String),
    #[error(
        "canary is {0:?}, which is not among the functions that would be changed; leave it out or name one of them"
    )]
    Canary(String),
    #[error(
        "testEvents has {0:?}, which is not among the functions of this plan; take it out, or add the function"
    )]
    Event(String),
    #[error("testEvents of {name:?}: {cause}")]
    BadEvent { name: String, cause: Box<Failure> },
    #[error(
        "functions and the filters runtime, runtimeFamily, namePrefix, tag, deprecatedBefore cannot be combined; give either"
    )]
    Both,
    #[error("the functions could not be read to the end: {0}; nothing was planned")]
    Unread(String),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    /// The functions to move, by name. Left out: all that the filters let through.
    functions: Option<Vec<String>>,
    /// Only functions on exactly this runtime, such as nodejs18.x.
    runtime: Option<String>,
    /// Only functions on any runtime of this language.
    runtime_family: Option<Family>,
    /// Only functions whose name begins with this, case-sensitive.
    name_prefix: Option<String>,
    /// Only functions with this tag: key or key=value, case-sensitive.
    tag: Option<String>,
    /// Only functions on a runtime whose deprecation date is before this day (YYYY-MM-DD). Without functions and
    /// runtime: those that are deprecated today.
    #[schemars(extend("format" = "date"))]
    deprecated_before: Option<String>,
    /// The runtime all of them shall have. Left out: the successor of the one that each has.
    to: Option<String>,
    /// The function to change first; the others follow only if it works. Left out: the first of the plan.
    canary: Option<String>,
    /// Events to test functions with on the new runtime, by function: one JSON value each, as a string. A function without
    /// one is tested with the event of its tag lambda-ops:test-event, or by a dry run alone.
    #[serde(default)]
    test_events: BTreeMap<String, String>,
    /// Go on where AWS would not let the old runtime be put back. Only after the user agreed.
    #[serde(default)]
    accept_no_rollback: bool,
    /// Where a runtime does not work, try older ones of the same language, newest first, down to the one it has.
    #[serde(default)]
    try_older: bool,
    /// Carry the plan out. Left out or false: only plan, which changes nothing.
    #[serde(default)]
    apply: bool,
    /// The planToken of the plan that the user has seen and agreed to. It is good for 15 minutes and for that plan alone.
    plan_token: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// This is what would be done; nothing was changed.
    Planned,
    /// There is nothing to change.
    Nothing,
    /// The user did not agree; nothing was changed.
    Declined,
    /// All that was planned was done.
    Done,
    /// One did not work, it was cancelled, or the time was up: those after it were not begun.
    Stopped,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    outcome: Outcome,
    counts: Counts,
    /// In the order they are changed, the canary first; then those that are not changed.
    functions: Vec<Row>,
    /// The same as a table in markdown, for people.
    summary: String,
    /// What to call again with, beside apply and the same arguments, once the user has seen the plan and agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_token: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
    /// Who changes them, where.
    identity: Identity,
}

#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Counts {
    /// To be changed.
    upgrade: usize,
    /// Owned by a template, which is what to change.
    change_template: usize,
    /// Left alone, each for its own reason.
    leave: usize,
    /// Found but not looked at, as the plan has its 50 to upgrade: plan again when these are done.
    left_out: usize,
}

const ASK_FIRST: &str = "nothing was changed, as the user has not agreed yet: show them `summary`, and only if they agree \
                         call again with the same arguments, apply: true and `planToken`";

pub(super) async fn run(
    server: &LambdaOps,
    input: Input,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResponse, Failure> {
    if input.apply && !server.allow.may_write() {
        return Err(Refusal::Off(Deed::Write).into());
    }
    let (apply, token) = (input.apply, input.plan_token.clone());
    let selection = Selection::read(input)?;
    let drawn = rows::draw(server, &selection, apply, &context).await?;
    if drawn.items.is_empty() {
        return complete(output(&drawn, Outcome::Nothing), false);
    }
    if !apply {
        return planned(server, &drawn, false);
    }
    let plans: Vec<&Plan> = drawn.plans().collect();
    let proposal = Proposal {
        question: drawn.question(),
        plans: &plans,
        token: token.as_deref(),
    };
    let check = |token: &str| server.seal.check_all(token, &plans);
    match consent::to(server, proposal, check, &context).await? {
        Consented::Yes(how) => apply::run(server, drawn.agreed(how), context).await,
        Consented::No => complete(output(&drawn, Outcome::Declined), false),
        Consented::NotAsked => planned(server, &drawn, true),
    }
}

fn output(drawn: &Drawn, outcome: Outcome) -> Output {
    let (counts, functions) = (drawn.counts(), drawn.rows());
    Output {
        outcome,
        summary: rows::table(&functions, &counts),
        counts,
        functions,
        plan_token: None,
        next: None,
        identity: drawn.identity.clone(),
    }
}

/// The plan, with a token where it could be carried out.
fn planned(server: &LambdaOps, drawn: &Drawn, is_error: bool) -> Result<CallToolResponse, Failure> {
    let mut output = output(drawn, Outcome::Planned);
    if server.allow.may_write() {
        let plans: Vec<&Plan> = drawn.plans().collect();
        output.plan_token = Some(server.seal.token_of_all(&plans)?);
        output.next = Some(ASK_FIRST);
    }
    complete(output, is_error)
}

fn complete(output: Output, is_error: bool) -> Result<CallToolResponse, Failure> {
    Ok(structured::result(output, is_error)?.into())
}
