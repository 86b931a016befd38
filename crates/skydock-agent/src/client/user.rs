//! Whom a server may ask while it works, and who is told what happens.

use futures::future::BoxFuture;
use reqwest::Url;
use rmcp::model::{ElicitRequestParams, ElicitResult, ProgressNotificationParam};
use serde_json::Value;

use super::error::Error;

/// The person, or the script, on this side of the connection.
pub trait User: Send + Sync + 'static {
    /// Answers a question: a form to fill in, or a page to visit.
    fn answer<'a>(&'a self, question: &'a ElicitRequestParams) -> BoxFuture<'a, ElicitResult>;

    /// Whether servers may ask it ([`User::answer`]).
    fn asks(&self) -> bool {
        true
    }

    /// Is told how far a request has come.
    fn progress(&self, _progress: &ProgressNotificationParam) {}

    /// Is told what the server logs, and at which level.
    fn log(&self, _level: &str, _data: &Value) {}

    /// Whether servers may ask for a model's answer ([`User::sample`]).
    fn samples(&self) -> bool {
        false
    }

    /// Has a model answer for the server. The error is told to the server.
    fn sample(&self, _sample: Sample) -> BoxFuture<'_, Result<Sampled, String>> {
        Box::pin(async { Err("there is no model here".to_owned()) })
    }

    /// Is told that the server has other tools now.
    fn tools_changed(&self) {}
}

/// What a server wants a model to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Who the model is to be.
    pub system: Option<String>,
    /// What was said, and whether the user said it.
    pub messages: Vec<(bool, String)>,
    /// The longest answer, in tokens.
    pub max_tokens: u32,
}

/// What a model answered to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampled {
    /// The words.
    pub text: String,
    /// Who answered.
    pub model: String,
    /// Whether the answer reached the bound.
    pub cut: bool,
}

/// The way to an authorization server's page and back (RFC 8252: a loopback redirect).
pub trait Browser: Send + Sync + 'static {
    /// The redirect URI to register.
    fn redirect_uri(&self) -> String;

    /// Visits the authorization page and gives the URL that it redirected to.
    ///
    /// # Errors
    /// When nobody came back, or somebody said no.
    fn visit<'a>(&'a self, page: &'a Url) -> BoxFuture<'a, Result<Url, Error>>;
}
