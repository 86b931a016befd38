//! A tool's output as its structured result.

use rmcp::model::CallToolResult;
use serde::Serialize;

use super::failure::Failure;

/// The result, an error if what was asked for did not come about.
pub(super) fn result(output: impl Serialize, is_error: bool) -> Result<CallToolResult, Failure> {
    let value = serde_json::to_value(output)?;
    Ok(if is_error {
        CallToolResult::structured_error(value)
    } else {
        CallToolResult::structured(value)
    })
}
