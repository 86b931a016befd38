//! What a line of the audit says, and what it never says: events, payloads, answers, environment.

use rmcp::{RoleServer, service::RequestContext};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::account::Identity;

/// One attempt, at its beginning or at its end.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The same at the beginning and at the end of one attempt.
    pub id: String,
    /// What was called.
    pub event: Event,
    /// Who called.
    pub who: Who,
    /// The identity that AWS was asked with.
    pub principal: Identity,
    /// The function's name, or its ARN.
    pub function: String,
    /// What was to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What was to be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// How the user agreed to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// The change's entry in the journal, the same when it is recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The function as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Seen>,
    /// The function as it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Seen>,
    /// The version that holds it as it was, to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_version: Option<String>,
    /// The version that holds it on its new runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_version: Option<String>,
    /// `begun`, or how it ended.
    pub outcome: String,
    /// Why it ended so. Nothing that a function said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The tool behind an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A change of runtime.
    UpdateFunctionRuntime,
    /// A run.
    InvokeFunction,
    /// The end of a change that was cut off.
    RecoverUpdates,
}

/// The MCP client, as it names itself: that is no proof. A caller that is authenticated is not known here yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// The client's name; none when the server acts by itself.
    pub client: Option<String>,
    /// Its version.
    pub client_version: Option<String>,
}

/// A change of runtime as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The runtime it had.
    pub from: String,
    /// The runtime it was to have.
    pub to: String,
    /// The revision that the plan was made for.
    pub revision: Option<String>,
    /// How the new runtime was to be validated.
    pub validation: String,
    /// The SHA-256 of the event it was to be run with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_sha256: Option<String>,
    /// Older runtimes that were to be tried in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// What stood in the way and was overridden: the arguments' names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<&'static str>,
}

/// A function at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its runtime.
    pub runtime: Option<String>,
    /// Its revision.
    pub revision: Option<String>,
}

/// A run, without what went in and what came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The version or alias; `$LATEST` if none was given.
    pub qualifier: Option<String>,
    /// The payload's size in bytes.
    pub payload_bytes: usize,
    /// The payload's SHA-256, in hexadecimal digits.
    pub payload_sha256: String,
    /// How long it took, in milliseconds, as seen from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
}

impl Line {
    /// The beginning of an attempt.
    #[must_use]
    pub fn new(event: Event, who: Who, principal: &Identity, function: &str) -> Self {
        Self {
            id: format!("{:016x}", rand::random::<u64>()),
            event,
            who,
            principal: principal.clone(),
            function: function.to_owned(),
            plan: None,
            run: None,
            consent: None,
            entry: None,
            before: None,
            after: None,
            rollback_version: None,
            new_version: None,
            outcome: "begun".to_owned(),
            reason: None,
        }
    }
}

impl Who {
    /// The client behind a request.
    #[must_use]
    pub fn of(context: &RequestContext<RoleServer>) -> Self {
        // a name is the client's own text: bounded, so that it cannot fill the audit
        const LONGEST: usize = 100;
        let cut = |text: String| text.chars().take(LONGEST).collect();
        let client = context.client_info();
        Self {
            client: client.as_ref().map(|client| cut(client.name.clone())),
            client_version: client.map(|client| cut(client.version)),
        }
    }
}

impl Run {
    /// A run that is about to begin.
    #[must_use]
    pub fn new(qualifier: Option<&str>, payload: &str) -> Self {
        let digest = Sha256::digest(payload);
        Self {
            qualifier: qualifier.map(str::to_owned),
            payload_bytes: payload.len(),
            payload_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            elapsed_ms: None,
        }
    }
}
