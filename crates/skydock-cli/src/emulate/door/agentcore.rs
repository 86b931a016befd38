//! Amazon Bedrock AgentCore Gateway with the function as its target: the gateway is the MCP server, and the function gets
//! the arguments of a tool as its event, and the tool's name in the client context.
//!
//! <https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-add-target-lambda.html>

use std::sync::Arc;

use axum::body::Bytes;
use jiff::Timestamp;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request;
use crate::emulate::function::{Function, Invocation, Outcome};

/// What stands between the target's name and the tool's.
const DELIMITER: &str = "___";

/// The gateway.
#[derive(Clone)]
pub(in super::super) struct Gateway {
    function: Arc<Function>,
}

impl Gateway {
    pub(in super::super) const fn new(function: Arc<Function>) -> Self {
        Self { function }
    }

    async fn invoke(&self, event: Value, client_context: Option<Value>) -> Outcome {
        let invocation = Invocation {
            event: Bytes::from(event.to_string()),
            client_context: client_context.map(|context| context.to_string()),
            trace_id: request::trace_id(Timestamp::now()),
        };
        self.function.invoke(invocation).await
    }
}

impl ServerHandler for Gateway {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::default();
        info.capabilities = ServerCapabilities::builder().enable_tools().build();
        info.server_info = Implementation::new("agentcore-gateway-emulated", env!("CARGO_PKG_VERSION"));
        info
    }

    /// In AWS the tools are written down when the target is made; here the function is asked for them.
    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        #[derive(Deserialize)]
        struct Answer {
            result: Option<ListToolsResult>,
        }
        let params = request.map_or_else(|| json!({}), |request| json!(request));
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
        let payload = match self.invoke(message, None).await {
            Outcome::Payload(payload) => payload,
            other => return Err(broken("the function did not list its tools", &other)),
        };
        let answer: Option<Answer> = serde_json::from_slice(&payload).ok();
        let mut listed = answer
            .and_then(|answer| answer.result)
            .ok_or_else(|| ErrorData::internal_error("the function did not list its tools", None))?;
        for tool in &mut listed.tools {
            tool.name = format!("{}{DELIMITER}{}", self.function.name(), tool.name).into();
        }
        Ok(listed)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let known = request
            .name
            .split_once(DELIMITER)
            .is_some_and(|(target, _tool)| target == self.function.name());
        if !known {
            let message = format!("Unknown tool: {}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        }
        let custom = json!({
            "bedrockAgentCoreToolName": request.name,
            "bedrockAgentCoreMessageVersion": "1.0",
            "bedrockAgentCoreAwsRequestId": uuid::Uuid::new_v4().to_string(),
            "bedrockAgentCoreMcpMessageId": "1",
            "bedrockAgentCoreGatewayId": "emulated-gateway",
            "bedrockAgentCoreTargetId": "EMULATED00",
        });
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let context = json!({"custom": custom, "env": {}, "client": {}});
        match self.invoke(arguments, Some(context)).await {
            Outcome::Payload(payload) => Ok(result(&payload).into()),
            Outcome::Failed(failure) => {
                Ok(CallToolResult::error(vec![ContentBlock::text(failure.message())]).into())
            }
            other => Err(broken("the function cannot be invoked", &other)),
        }
    }
}

/// The result for a value: its text, and the value itself where it can be a structured one.
fn result(payload: &[u8]) -> CallToolResult {
    if let Ok(value @ Value::Object(_)) = serde_json::from_slice(payload) {
        return CallToolResult::structured(value);
    }
    let text = String::from_utf8_lossy(payload).into_owned();
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn broken(what: &'static str, outcome: &Outcome) -> ErrorData {
    let why = match outcome {
        Outcome::Failed(failure) => failure.explain(),
        Outcome::Throttled => "all environments are at work".to_owned(),
        Outcome::Stream(_) => "it streamed its answer".to_owned(),
        Outcome::Payload(_) => "its answer is none".to_owned(),
    };
    ErrorData::internal_error(format!("{what}: {why}"), None)
}
