//! Invocations that are no HTTP at all: an event in, a value out. For the functions that stand beside an MCP server,
//! such as an authorizer.

use std::sync::Arc;

use axum::body::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Api, Invocation,
    answer::in_time,
    client::Report,
    contract,
    poller::{Outgoing, Work, internal},
    work,
};
use crate::error::Error;

/// A Lambda function that is no MCP server. It is run by [`serve_function`](crate::serve_function).
pub trait Function: Send + Sync + 'static {
    /// What `event` is answered with.
    fn answer(
        &self,
        event: Value,
        invocation: &Invocation,
    ) -> impl Future<Output = Result<Value, Failed>> + Send;
}

/// Why a function has no answer, as its caller reads it:
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror>.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// The `errorType`, by the convention `Category.Reason`.
    pub kind: &'static str,
    /// The `errorMessage`. API Gateway takes an authorizer's `Unauthorized` for status 401.
    pub message: String,
}

/// Answers events until `stop` is cancelled.
///
/// # Errors
/// When the runtime API cannot be used any more.
pub(crate) async fn serve<F: Function>(
    api: Api,
    lines: usize,
    function: F,
    stop: CancellationToken,
) -> Result<(), Error> {
    work(api, lines, &Values(Arc::new(function)), stop).await
}

/// A function, asked by Lambda.
struct Values<F>(Arc<F>);

impl<F> Clone for Values<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: Function> Work for Values<F> {
    async fn answer(&self, invocation: &Invocation, event: &Bytes) -> Outgoing {
        let Ok(event) = serde_json::from_slice(event) else {
            tracing::warn!("refused an event that is no JSON");
            return Outgoing::Failed(Report {
                kind: "Skydock.UnknownEvent",
                message: "the event is no JSON".to_owned(),
            });
        };
        let until = invocation
            .deadline()
            .map(|deadline| contract::answer_by(tokio::time::Instant::now(), deadline));
        match in_time(until, self.0.answer(event, invocation)).await {
            Some(Ok(value)) => Outgoing::Whole(value.to_string().into_bytes()),
            Some(Err(Failed { kind, message })) => Outgoing::Failed(Report { kind, message }),
            None => internal("no answer within the function's time"),
        }
    }

    async fn wind_up(&self, _invocation: &Invocation) {}
}
