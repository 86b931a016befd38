//! The user's yes to a plan: asked for where the client can ask, else shown by the plan's token.

use rmcp::{RoleServer, service::RequestContext};
use schemars::JsonSchema;
use serde::Deserialize;
use skydock::{Answer, Ask};

use super::failure::Failure;
use crate::upgrade::{Refusal, TokenFault};

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

/// Asks the user where that can be done, token or not; else the plan's token, if it passes `check`, says that they agreed.
pub(super) async fn to(
    question: String,
    token: Option<&str>,
    check: impl FnOnce(&str) -> Result<(), TokenFault>,
    context: &RequestContext<RoleServer>,
) -> Result<Consented, Failure> {
    let ask = Ask::from(context);
    if ask.can_elicit() {
        let answer = ask.form::<Consent>("change", question).await?;
        let agreed = matches!(answer, Answer::Accepted(Consent { change: true }));
        return Ok(if agreed {
            Consented::Yes("the user was asked and agreed")
        } else {
            Consented::No
        });
    }
    let Some(token) = token else {
        return Ok(Consented::NotAsked);
    };
    check(token).map_err(Refusal::from)?;
    Ok(Consented::Yes("the client brought the token of this plan"))
}
