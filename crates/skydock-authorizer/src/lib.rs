//! Who may pass API Gateway: one Lambda function that answers TOKEN and REQUEST authorizers of REST APIs, and those of
//! HTTP APIs.
//!
//! At a REST API a request with no token that is known is told `Unauthorized`, which API Gateway makes a 401, and which
//! starts the login of an MCP client; one whose principal is known and shut out is denied, which is a 403 and is kept. At
//! an HTTP API both are a 403: nothing promises a 401 there, but for a request without any token, which API Gateway itself
//! answers.

mod decision;
mod event;
mod principals;

use decision::Decision;
use event::Event;
pub use principals::Flags;
use principals::Principals;
use serde_json::Value;
use skydock::{Error, Failed, Function, Invocation};

/// The authorizer.
#[derive(Debug)]
pub struct Authorizer {
    principals: Principals,
}

impl Authorizer {
    /// Reads who there is.
    ///
    /// # Errors
    /// When the file of principals is missing or wrong.
    pub fn open(flags: &Flags) -> Result<Self, Error> {
        let principals = Principals::read(flags)?;
        Ok(Self { principals })
    }

    /// What API Gateway is told.
    ///
    /// # Errors
    /// `Unauthorized` for a request to a REST API without a token that is known, and what came for an event that is none of an
    /// authorizer.
    pub fn decide(&self, event: Value) -> Result<Value, Failed> {
        let event = Event::read(event)?;
        let known = event.bearer().and_then(|token| self.principals.find(token));
        let Some((name, principal)) = known else {
            tracing::info!(api = event.kind(), "no token that is known");
            return event.refuse();
        };
        let decision = Decision {
            principal: name,
            allowed: !principal.is_denied(),
        };
        tracing::info!(api = event.kind(), principal = name, allowed = decision.allowed);
        Ok(event.answer(decision))
    }
}

impl Function for Authorizer {
    async fn answer(&self, event: Value, _invocation: &Invocation) -> Result<Value, Failed> {
        self.decide(event)
    }
}
