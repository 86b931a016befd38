//! A handler with a tool for each thing that can go wrong.

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{
        CallToolResult, ContentBlock, ElicitRequestParams, ElicitationSchema, ProgressNotificationParam,
        ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;
use skydock::{Answer, Ask};
use tokio::sync::Semaphore;

/// What tests wait for instead of sleeping.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    /// A tool has begun.
    pub(crate) began: Arc<Semaphore>,
    /// A tool may end.
    pub(crate) may_end: Arc<Semaphore>,
    /// A tool was told to stop.
    pub(crate) told_to_stop: Arc<Semaphore>,
    /// A tool that was told to stop has wound up.
    pub(crate) wound_up: Arc<Semaphore>,
}

impl Default for Events {
    fn default() -> Self {
        let semaphore = || Arc::new(Semaphore::new(0));
        Self {
            began: semaphore(),
            may_end: semaphore(),
            told_to_stop: semaphore(),
            wound_up: semaphore(),
        }
    }
}

/// Waits for one event, for at most ten seconds.
pub(crate) async fn wait(event: &Semaphore) {
    tokio::time::timeout(Duration::from_secs(10), event.acquire())
        .await
        .expect("the event did not come")
        .unwrap()
        .forget();
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}
rmcp::elicit_safe!(Name);

#[derive(Debug, Deserialize, JsonSchema)]
struct Age {
    age: u8,
}
rmcp::elicit_safe!(Age);

#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) events: Events,
    tools: ToolRouter<Self>,
}

impl Workshop {
    pub(crate) fn new(events: Events) -> Self {
        Self {
            events,
            tools: Self::tool_router(),
        }
    }
}

#[tool_router]
impl Workshop {
    #[tool(description = "says what it was told, and who asked")]
    async fn echo(
        &self,
        Parameters(Echo { text }): Parameters<Echo>,
        context: RequestContext<RoleServer>,
    ) -> String {
        format!(
            "{text} ({})",
            context
                .protocol_version()
                .map(|version| version.to_string())
                .unwrap_or_default()
        )
    }

    #[tool(description = "tells which invocation of Lambda it is run by")]
    async fn invocation(&self, context: RequestContext<RoleServer>) -> String {
        let parts = context.extensions.get::<http::request::Parts>().unwrap();
        let invocation = parts.extensions.get::<skydock::Invocation>().unwrap();
        format!(
            "{} of {}, traced as {}",
            invocation.request_id,
            invocation.tenant_id.as_deref().unwrap_or("nobody"),
            invocation.trace_id.as_deref().unwrap_or("nothing")
        )
    }

    #[tool(description = "tells who calls")]
    async fn who(&self, context: RequestContext<RoleServer>) -> String {
        let parts = context.extensions.get::<http::request::Parts>();
        match parts.and_then(|parts| parts.extensions.get::<skydock::Principal>()) {
            Some(principal) => format!("{} ({})", principal.subject(), principal.as_str()),
            None => "nobody".to_owned(),
        }
    }

    #[tool(description = "panics")]
    async fn panic(&self) -> String {
        panic!("the tool had a bad day with secret-4711")
    }

    #[tool(description = "begins, and ends when it may")]
    async fn work(&self) -> String {
        self.events.began.add_permits(1);
        self.events.may_end.acquire().await.unwrap().forget();
        "worked".to_owned()
    }

    #[tool(description = "begins, and never ends unless told")]
    async fn stop(&self, context: RequestContext<RoleServer>) -> String {
        self.events.began.add_permits(1);
        context.ct.cancelled().await;
        self.events.told_to_stop.add_permits(1);
        self.events.may_end.acquire().await.unwrap().forget();
        self.events.wound_up.add_permits(1);
        "stopped".to_owned()
    }

    #[tool(description = "tells its progress")]
    async fn progress(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let Some(token) = context.meta.get_progress_token() else {
            return Ok("nobody wants to know".to_owned());
        };
        for step in [1.0, 2.0] {
            let step = ProgressNotificationParam::new(token.clone(), step).with_total(2.0);
            context
                .peer
                .notify_progress(step)
                .await
                .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        }
        Ok("told".to_owned())
    }

    #[tool(description = "asks the client past Ask, as a handler written for rmcp alone does")]
    async fn ask_raw(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let params = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: "name?".to_owned(),
            requested_schema: ElicitationSchema::from_type::<Name>().unwrap(),
        };
        match context.peer.create_elicitation(params).await {
            Ok(answer) => Ok(format!("{:?}", answer.action)),
            Err(error) => Ok(format!("refused: {error}")),
        }
    }

    #[tool(description = "asks for a name, then for an age")]
    async fn ask_twice(&self, ask: Ask) -> Result<String, ErrorData> {
        let Answer::Accepted(Name { name }) = ask.form("name", "Who are you?").await? else {
            return Ok("nobody".to_owned());
        };
        let Answer::Accepted(Age { age }) = ask.form("age", "How old are you?").await? else {
            return Ok(format!("{name}, ageless"));
        };
        Ok(format!("{name}, {age}"))
    }

    #[tool(description = "asks for name and age together")]
    async fn ask_together(&self, ask: Ask) -> Result<String, ErrorData> {
        let (name, age) = tokio::join!(
            ask.form::<Name>("name", "Who are you?"),
            ask.form::<Age>("age", "How old are you?"),
        );
        match (name?, age?) {
            (Answer::Accepted(Name { name }), Answer::Accepted(Age { age })) => Ok(format!("{name}, {age}")),
            _ => Ok("nobody".to_owned()),
        }
    }

    #[tool(description = "a result of a given size")]
    async fn huge(&self) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text("x".repeat(1 << 20))])
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Workshop {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
