//! Whole turns of an agent: a model behind its provider's wire, and an MCP server.

use std::sync::Arc;

use rmcp::{
    ServerHandler,
    handler::server::wrapper::Parameters,
    model::{Implementation, ServerCapabilities, ServerConfig},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;
use skydock::Host;
use skydock_agent::{
    Agent, Approvals, Budget, Input, Report, Upstream,
    client::{Setup, Target},
    model::Model,
    store::{Key, Sqlite},
};
use tokio::net::TcpListener;

/// Where somebody is.
#[derive(Debug, Deserialize, JsonSchema)]
struct Place {
    /// The city.
    city: String,
}

/// A server that knows the weather.
#[derive(Debug, Clone)]
struct Weather;

#[tool_router]
impl Weather {
    /// The weather in a city
    #[tool(name = "get-weather", annotations(read_only_hint = true))]
    async fn weather(&self, Parameters(Place { city }): Parameters<Place>) -> Result<String, String> {
        match city.as_str() {
            "Atlantis" => Err("there is no such city; name another one".to_owned()),
            _ => Ok(format!("Sun in {city}")),
        }
    }

    /// The time
    #[tool(name = "get-time", annotations(read_only_hint = true))]
    async fn time(&self) -> String {
        "noon".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Weather {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("weather", "1"))
    }
}

/// Lets an agent with this model answer once.
pub(crate) async fn turn(model: impl Model + 'static, text: &str) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = Host::new(Weather).listen(listener).unwrap();
    let upstream = Upstream {
        prefix: None,
        target: Target::parse(&server.url()).unwrap(),
        setup: Setup::default(),
    };
    let budget = Budget {
        answer: Some(500),
        retries: 2,
        ..Budget::default()
    };
    let agent = Agent::new(Arc::new(model), Arc::new(Sqlite::in_memory().unwrap()))
        .with_servers(vec![upstream])
        .with_approvals(Approvals::default())
        .with_budget(budget);
    let key = Key::new("max", "talk");
    let mut turn = agent.turn(&key, Input::Say(text.to_owned()), None).await.unwrap();
    let mut report = Report::default();
    while let Some(event) = turn.next().await {
        report.hear(&event);
    }
    server.stop().await;
    report
}
