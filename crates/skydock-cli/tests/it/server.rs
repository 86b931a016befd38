//! A small MCP server to call: what each test needs, in both eras, over HTTP and stdio.
#![expect(deprecated, reason = "older servers still ask for roots and samples")]

use std::{collections::BTreeMap, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::{
        router::{prompt::PromptRouter, tool::ToolRouter},
        tool::InputResponses,
        wrapper::Parameters,
    },
    model::{
        CallToolResponse, CallToolResult, ContentBlock, CreateMessageRequestParams, Implementation,
        InputRequiredResult, ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
        ProgressNotificationParam, PromptMessage, ReadResourceRequestParams, ReadResourceResponse,
        ReadResourceResult, Resource, ResourceContents, ResourceTemplate, Role, SamplingMessage,
        ServerCapabilities, ServerConfig,
    },
    prompt, prompt_handler, prompt_router, schemars,
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What `echo` takes: something of every kind.
#[derive(Deserialize, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Echo {
    /// What to say
    text: String,
    /// How often
    #[serde(default)]
    times: Option<u32>,
    #[serde(default)]
    loud: bool,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    size: Size,
}

#[derive(Default, Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Size {
    #[default]
    Small,
    Large,
}

#[derive(Deserialize, schemars::JsonSchema)]
pub(crate) struct Saying {
    text: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
pub(crate) struct Greeting {
    /// Whom to greet
    name: String,
}

/// The server.
pub(crate) struct Peer {
    tool_router: ToolRouter<Self>,
    prompt_router: PromptRouter<Self>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            tool_router: Self::tool_router(),
            prompt_router: Self::prompt_router(),
        }
    }
}

#[tool_router]
impl Peer {
    /// Says what it was given
    #[tool(annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(echo): Parameters<Echo>) -> CallToolResult {
        CallToolResult::structured(json!(echo))
    }

    /// Says it as plain text
    #[tool]
    async fn say(&self, Parameters(Saying { text }): Parameters<Saying>) -> String {
        text
    }

    /// Fails
    #[tool]
    async fn fail(&self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text("the oven is cold")])
    }

    /// Shows a picture
    #[tool]
    async fn picture(&self) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::image("aGVsbG8=", "image/png")])
    }

    /// Tells how far it is
    #[tool]
    async fn bake(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let token = context.meta.get_progress_token();
        for step in 1..=3 {
            let Some(token) = token.clone() else { break };
            let progress = ProgressNotificationParam::new(token, f64::from(step))
                .with_total(3.0)
                .with_message("in the oven");
            context
                .peer
                .notify_progress(progress)
                .await
                .map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
            // in stateless modes the notifications share the answer's stream, and are to come before it
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok("done".to_owned())
    }

    /// Says which revision and headers it sees
    #[tool]
    async fn about(&self, context: RequestContext<RoleServer>) -> CallToolResult {
        let header = |name: &str| {
            let parts = context.extensions.get::<http::request::Parts>();
            parts
                .and_then(|parts| parts.headers.get(name)?.to_str().ok())
                .map(str::to_owned)
        };
        CallToolResult::structured(json!({
            "revision": context.protocol_version().map(|version| version.to_string()),
            "kitchen": header("x-kitchen"),
            "authorization": header("authorization"),
        }))
    }

    /// Asks how many, and whether with cheese
    #[tool]
    async fn ask(
        &self,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let form = json!({"message": "How many pizzas?", "requestedSchema": {"type": "object", "required": ["count"],
            "properties": {"count": {"type": "integer", "minimum": 1, "title": "Count"},
                           "cheese": {"type": "boolean", "default": true},
                           "email": {"type": "string", "format": "email"}}}});
        let legacy = context
            .protocol_version()
            .is_some_and(|version| version.has_initialize());
        let answer: Value = if legacy {
            let params =
                serde_json::from_value(form).map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
            let answer = context.peer.create_elicitation(params).await;
            json!(answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?)
        } else if let Some(answer) = answers.and_then(|mut answers| answers.remove("order")) {
            answer
        } else {
            let request = serde_json::from_value(json!({"method": "elicitation/create", "params": form}));
            let request = request.map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
            return Ok(
                InputRequiredResult::new(Some(BTreeMap::from([("order".to_owned(), request)])), None).into(),
            );
        };
        Ok(CallToolResult::structured(answer).into())
    }

    /// Asks whether it may, with a form that has no fields (only in a session)
    #[tool]
    async fn may(&self, context: RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
        let form = json!({"message": "May I?", "requestedSchema": {"type": "object", "properties": {}}});
        let params =
            serde_json::from_value(form).map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
        let answer = context.peer.create_elicitation(params).await;
        let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(CallToolResult::structured(json!(answer)))
    }

    /// Asks for what the client is (only in a session)
    #[tool]
    async fn interview(&self, context: RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
        let roots = context.peer.list_roots().await;
        let sample = CreateMessageRequestParams::new(vec![SamplingMessage::user_text("hi")], 5);
        let sample = context.peer.create_message(sample).await;
        Ok(CallToolResult::structured(json!({
            "roots": roots.map(|roots| json!(roots.roots)).unwrap_or_default(),
            "sample": sample.err().map(|error| error.to_string()),
        })))
    }
}

#[prompt_router]
impl Peer {
    /// Greets somebody
    #[prompt]
    async fn greet(&self, Parameters(greeting): Parameters<Greeting>) -> Vec<PromptMessage> {
        vec![PromptMessage::new_text(
            Role::User,
            format!("Say hello to {}", greeting.name),
        )]
    }
}

#[tool_handler(router = self.tool_router)]
#[prompt_handler(router = self.prompt_router)]
impl ServerHandler for Peer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("peer", "7.0.0"))
            .with_instructions("Ask for pizza.")
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![Resource::new(
            "menu://today",
            "menu",
        )]))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(vec![
            ResourceTemplate::new("menu://{day}", "menus"),
        ]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents = vec![ResourceContents::text("Margherita", request.uri)];
        Ok(ReadResourceResult::new(contents).into())
    }
}
