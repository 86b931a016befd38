//! A Lambda target of AgentCore Gateway: the event is the tool's arguments, its name is in the client context.
//!
//! <https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-add-target-lambda.html>

use serde_json::value::RawValue;

use super::{Arrived, Source, Unknown, invoke, parse_event};
use crate::runtime::lambda::{contract, message};

/// Reads the arguments of `tool`, whose name stands behind that of the target.
///
/// # Errors
/// When the arguments are no JSON object.
pub(super) fn read(tool: &str, event: &[u8]) -> Result<Arrived, Unknown> {
    let name = tool
        .split_once(contract::AGENTCORE_DELIMITER)
        .map_or(tool, |(_target, name)| name);
    let arguments: &RawValue = parse_event(Source::AgentCore, event)?;
    if !arguments.get().starts_with('{') {
        return Err(Unknown("arguments of a tool that are no JSON object".to_owned()));
    }
    let (headers, body) = message::call(name, arguments);
    Ok(invoke::arrive(Source::AgentCore, headers, body))
}
