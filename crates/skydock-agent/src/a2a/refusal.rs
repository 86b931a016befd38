//! The errors that callers see. What they say of our own faults is constant; the cause is in the log.

use ::a2a::A2AError;
use uuid::Uuid;

use super::store::Failure;

/// Within the range that JSON-RPC leaves to servers: all places are taken.
const BUSY: i32 = -32000;

/// The store failed; the caller is given an id that is in the log.
pub(super) fn failed(failure: &Failure) -> A2AError {
    let id = Uuid::new_v4();
    let cause = crate::client::tell(failure);
    tracing::error!(%id, cause, "a task cannot be stored or read");
    match failure {
        Failure::Conflict => A2AError::internal("the task was changed at the same time; try again"),
        Failure::TooLong { .. } => A2AError::invalid_params(failure.to_string()),
        Failure::Broken(_) => A2AError::internal(format!("the agent failed; its log has more on {id}")),
    }
}

/// All places for tasks are taken.
pub(super) fn busy(places: usize) -> A2AError {
    let text = format!(
        "the agent is busy: {places} tasks are being worked on or wait, and {places} is the bound; try again later"
    );
    A2AError::new(BUSY, text)
}
