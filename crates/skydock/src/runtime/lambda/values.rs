//! Invocations that are no HTTP at all: an event in, a value out. For the functions that stand beside an MCP server,
//! such as an authorizer, and for what a service does when nobody asks it by HTTP.

use std::sync::Arc;

use axum::body::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Api, Invocation,
    answer::in_time,
    client::Report,
    poller::{Outgoing, Work, internal},
    work,
};
use crate::error::Error;

/// A Lambda function that is no MCP server. It is run by [`serve_function`](crate::serve_function), or stands beside a
/// [`Site`](crate::Site).
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

impl Failed {
    /// The kind of an event that the function does not answer.
    pub const UNKNOWN_EVENT: &'static str = "Skydock.UnknownEvent";
}

/// Answers events until `stop` is cancelled.
///
/// # Errors
/// When the runtime API cannot be used any more.
pub(crate) async fn serve(
    api: Api,
    lines: usize,
    function: impl Function,
    stop: CancellationToken,
) -> Result<(), Error> {
    work(api, lines, &Values::new(function), stop).await
}

/// A function, asked by Lambda.
#[derive(Clone)]
pub(crate) struct Values(Arc<dyn Any>);

/// A function of any type.
trait Any: Send + Sync {
    fn answer<'a>(&'a self, event: Value, invocation: &'a Invocation)
    -> BoxFuture<'a, Result<Value, Failed>>;
}

impl<F: Function> Any for F {
    fn answer<'a>(
        &'a self,
        event: Value,
        invocation: &'a Invocation,
    ) -> BoxFuture<'a, Result<Value, Failed>> {
        Box::pin(Function::answer(self, event, invocation))
    }
}

impl Values {
    pub(crate) fn new(function: impl Function) -> Self {
        Self(Arc::new(function))
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Values").finish_non_exhaustive()
    }
}

impl Work for Values {
    async fn answer(&self, invocation: &Invocation, event: &Bytes) -> Outgoing {
        // whoever invokes it with nothing means null
        let event: &[u8] = if event.is_empty() { b"null" } else { event };
        let Ok(event) = serde_json::from_slice(event) else {
            tracing::warn!("refused an event that is no JSON");
            return Outgoing::Failed(Report {
                kind: Failed::UNKNOWN_EVENT,
                message: "the event is no JSON".to_owned(),
            });
        };
        match in_time(invocation.answer_by(), self.0.answer(event, invocation)).await {
            Some(Ok(value)) => Outgoing::Whole(value.to_string().into_bytes()),
            Some(Err(Failed { kind, message })) => Outgoing::Failed(Report { kind, message }),
            None => internal("no answer within the function's time"),
        }
    }

    async fn wind_up(&self, _invocation: &Invocation) {}
}
