//! The client that the official conformance suite grades: the client of `skydock call` and of the agent, told by each scenario what to do.

use std::{env, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use reqwest::{Url, header::LOCATION, redirect};
use rmcp::model::{
    CallToolRequestParams, ElicitRequestParams, ElicitResult, ElicitationAction, GetPromptRequestParams,
    ReadResourceRequestParams,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use skydock_agent::client::{Browser, Client, Era, Error, Registration, Setup, Target, User};
use skydock_cli::{report, schema};

/// The suite gives a client thirty seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// After which time a session's own stream is open, even on a busy machine.
const SETTLED: Duration = Duration::from_millis(500);
/// Where the suite says that this client's metadata document is.
const METADATA_URL: &str = "https://conformance-test.local/client-metadata.json";

/// What the suite tells its client beside the URL.
struct Assignment {
    scenario: String,
    era: Era,
    context: Hints,
}

/// The part of `MCP_CONFORMANCE_CONTEXT` that our scenarios need.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "snake_case")]
struct Hints {
    client_id: Option<String>,
    client_secret: Option<String>,
    #[serde(rename = "toolCalls")]
    tool_calls: Vec<ToolCall>,
}

#[derive(Deserialize)]
struct ToolCall {
    name: String,
    arguments: Map<String, Value>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match tokio::time::timeout(PATIENCE, run()).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => report(&error),
        Err(_elapsed) => report(&anyhow::anyhow!("no end after {} s", PATIENCE.as_secs())),
    }
}

async fn run() -> Result<()> {
    let url = env::args()
        .next_back()
        .context("usage: conformance-client SERVER-URL")?;
    let assignment = Assignment::read()?;
    let setup = Setup {
        era: assignment.era.clone(),
        registration: Registration {
            client: assignment
                .context
                .client_id
                .clone()
                .map(|id| (id, assignment.context.client_secret.clone())),
            machine: assignment.scenario == "auth/client-credentials-basic",
            metadata_url: Some(METADATA_URL.to_owned()),
        },
        ..Setup::default()
    };
    let target = Target::parse(&url)?;
    let client = Client::connect(&target, &setup, Arc::new(Obliging), Arc::new(Headless::new()?)).await?;
    let outcome = assignment.work(&client).await;
    client.close().await;
    outcome
}

impl Assignment {
    fn read() -> Result<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let context = variable("MCP_CONFORMANCE_CONTEXT")
            .map(|text| serde_json::from_str(&text))
            .transpose();
        let version = variable("MCP_CONFORMANCE_PROTOCOL_VERSION");
        Ok(Self {
            scenario: variable("MCP_CONFORMANCE_SCENARIO").context("MCP_CONFORMANCE_SCENARIO is not set")?,
            era: version.map_or(Ok(Era::Auto), |text| text.parse())?,
            context: context
                .context("MCP_CONFORMANCE_CONTEXT is not as expected")?
                .unwrap_or_default(),
        })
    }

    async fn work(&self, client: &Client) -> Result<()> {
        match self.scenario.as_str() {
            "initialize" | "json-schema-ref-no-deref" => drop(client.tools().await?),
            "http-custom-headers" => {
                // the parameters' header names come from the listing
                client.tools().await?;
                for call in &self.context.tool_calls {
                    self.call(client, &call.name, call.arguments.clone()).await?;
                }
            }
            "http-standard-headers" => {
                call_every_tool(client).await?;
                for resource in client.resources().await? {
                    client
                        .read_resource(ReadResourceRequestParams::new(resource.uri))
                        .await?;
                }
                for prompt in client.prompts().await? {
                    client
                        .get_prompt(GetPromptRequestParams::new(prompt.name))
                        .await?;
                }
            }
            "json-schema-2020-12-preservation" => {
                let tools = client.tools().await?;
                let tool = tools.iter().find(|tool| tool.name == "json_schema_2020_12_tool");
                let schema = json!(tool.context("no json_schema_2020_12_tool")?.input_schema);
                let arguments = Map::from_iter([("schema".to_owned(), schema)]);
                self.call(client, "json_schema_echo", arguments).await?;
            }
            "sse-retry" => {
                // the scenario takes any GET for the reconnection, also the session's own stream if it comes late
                tokio::time::sleep(SETTLED).await;
                call_every_tool(client).await?;
            }
            _ => call_every_tool(client).await?,
        }
        Ok(())
    }

    async fn call(&self, client: &Client, name: &str, arguments: Map<String, Value>) -> Result<()> {
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        client
            .call_tool(params)
            .await
            .with_context(|| format!("{name} in {}", self.scenario))?;
        Ok(())
    }
}

/// Calls every tool with the simplest arguments that its schema takes.
async fn call_every_tool(client: &Client) -> Result<()> {
    for tool in client.tools().await? {
        let mut arguments = Map::new();
        for parameter in schema::parameters(&tool.input_schema) {
            arguments.insert(parameter.name.clone(), simplest(&parameter));
        }
        let params = CallToolRequestParams::new(tool.name.clone()).with_arguments(arguments);
        client
            .call_tool(params)
            .await
            .with_context(|| format!("calling {}", tool.name))?;
    }
    Ok(())
}

fn simplest(parameter: &schema::Parameter) -> Value {
    let words = [
        ["1".to_owned()],
        ["true".to_owned()],
        ["{}".to_owned()],
        ["word".to_owned()],
    ];
    let read = words.iter().find_map(|word| parameter.kind.read(word).ok());
    parameter.default.clone().or(read).unwrap_or(Value::Null)
}

/// Says yes to every question, with the defaults where there are any.
struct Obliging;

impl User for Obliging {
    fn answer<'a>(&'a self, question: &'a ElicitRequestParams) -> BoxFuture<'a, ElicitResult> {
        let result = match question {
            ElicitRequestParams::FormElicitationParams { requested_schema, .. } => {
                let schema = json!(requested_schema);
                let fields = schema.as_object().map(schema::parameters).unwrap_or_default();
                let content: Map<_, _> = fields
                    .iter()
                    .map(|field| (field.name.clone(), simplest(field)))
                    .collect();
                ElicitResult::new(ElicitationAction::Accept).with_content(Value::Object(content))
            }
            _ => ElicitResult::new(ElicitationAction::Decline),
        };
        Box::pin(async { result })
    }
}

/// A browser without a person: the suite's authorization page redirects at once.
struct Headless(reqwest::Client);

impl Headless {
    fn new() -> Result<Self> {
        Ok(Self(
            reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .build()?,
        ))
    }
}

impl Browser for Headless {
    fn redirect_uri(&self) -> String {
        "http://localhost:3000/callback".to_owned()
    }

    fn visit<'a>(&'a self, page: &'a Url) -> BoxFuture<'a, Result<Url, Error>> {
        Box::pin(async move {
            let response = self
                .0
                .get(page.clone())
                .send()
                .await
                .map_err(|error| Error::Browser(Box::new(error)))?;
            let location = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| {
                Error::Browser(format!("the page answered {} and no redirect", response.status()).into())
            })?;
            page.join(location)
                .map_err(|error| Error::Browser(Box::new(error)))
        })
    }
}
