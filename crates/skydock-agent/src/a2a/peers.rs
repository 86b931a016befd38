//! Other agents as tools: an MCP server with one tool for each agent, which any host can use as it uses other servers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::a2a::{
    A2AError, AgentCard, Artifact, CancelTaskRequest, GetTaskRequest, Message, Part, PartContent, Role,
    SendMessageConfiguration, SendMessageRequest, SendMessageResponse, StreamResponse, Task, TaskState,
};
use a2a_client::{
    A2AClient, A2AClientFactory, Transport, agent_card::AgentCardResolver, auth::AuthInterceptor,
    jsonrpc::JsonRpcTransportFactory, rest::RestTransportFactory,
};
use futures::StreamExt as _;
use reqwest::Url;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig,
        Tool, ToolAnnotations,
    },
    service::RequestContext,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, time::Instant};

use super::store::state_name;

/// How long a card may take.
const CARD: Duration = Duration::from_secs(15);
/// How long after a look at a task the next one is made, at first and at most.
const LOOK: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);
/// How long the word that a task is not wanted any more may take.
const GOODBYE: Duration = Duration::from_secs(5);
/// The most bytes of text that a model gets of an answer.
const TEXT: usize = 64 * 1024;

type Client = A2AClient<Box<dyn Transport>>;

/// Another agent.
#[derive(Clone)]
pub struct Peer {
    /// What the tool is called: `ask-NAME`.
    pub name: String,
    /// Where it is: its card is below this URL, at `/.well-known/agent-card.json`.
    pub url: Url,
    /// What to say to be let in. It is sent to the card's host, and to an interface of the card only when that is at the
    /// same origin.
    pub bearer: Option<String>,
    /// How long the model waits for an answer. Then it is told how to look again, and the task goes on.
    pub patience: Duration,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("name", &self.name)
            .field("url", &self.url.as_str())
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// An agent at this URL, that is waited for two minutes.
    #[must_use]
    pub fn new(name: impl Into<String>, url: Url) -> Self {
        Self {
            name: name.into(),
            url,
            bearer: None,
            patience: Duration::from_secs(120),
        }
    }
}

/// An MCP server whose tools are other agents: host it with [`skydock::Host`]. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Peers(Arc<BTreeMap<String, Known>>);

struct Known {
    peer: Peer,
    met: OnceCell<Met>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("peer", &self.peer)
            .field("met", &self.met.initialized())
            .finish()
    }
}

struct Met {
    card: AgentCard,
    client: Client,
}

/// What the model gives.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    task_id: Option<String>,
    #[serde(default)]
    context_id: Option<String>,
}

/// What the model gets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Got {
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_id: Option<String>,
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<Artifact>,
}

/// An answer, or as far as a task has come.
enum Heard {
    Message(Message),
    Task(Task),
}

impl Peers {
    /// These agents. Of two with one name, the last one counts.
    #[must_use]
    pub fn new(peers: impl IntoIterator<Item = Peer>) -> Self {
        let known = |peer: Peer| {
            let name = format!("ask-{}", peer.name);
            let met = OnceCell::new();
            (name, Known { peer, met })
        };
        Self(Arc::new(peers.into_iter().map(known).collect()))
    }
}

impl Known {
    /// The agent, whose card is read once.
    async fn met(&self) -> Result<&Met, A2AError> {
        self.met.get_or_try_init(|| self.meet()).await
    }

    async fn meet(&self) -> Result<Met, A2AError> {
        let builder = || {
            // a redirect could lead a token elsewhere
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CARD)
        };
        let broken = |error: reqwest::Error| A2AError::internal(format!("no client for HTTP: {error}"));
        let resolver = AgentCardResolver::new(Some(builder().timeout(CARD).build().map_err(broken)?));
        let mut card = resolver.resolve(self.peer.url.as_str()).await?;
        if self.peer.bearer.is_some() {
            let home = self.peer.url.origin();
            let at_home = |url: &str| Url::parse(url).is_ok_and(|url| url.origin() == home);
            card.supported_interfaces
                .retain(|interface| at_home(&interface.url));
            if card.supported_interfaces.is_empty() {
                return Err(A2AError::internal(format!(
                    "the card of {} names no interface at its own origin, so the token is not sent",
                    self.peer.url
                )));
            }
        }
        let client = builder().build().map_err(broken)?;
        let mut factory = A2AClientFactory::builder()
            .register(Arc::new(JsonRpcTransportFactory::new(Some(client.clone()))))
            .register(Arc::new(RestTransportFactory::new(Some(client))));
        if let Some(bearer) = &self.peer.bearer {
            factory = factory.with_interceptor(Arc::new(AuthInterceptor::bearer(bearer)));
        }
        let client = factory.build().create_from_card(&card).await?;
        Ok(Met { card, client })
    }

    fn tool(&self, name: &str) -> Tool {
        let mut description = match self.met.get() {
            Some(met) => format!("Ask the agent {}: {}", met.card.name, met.card.description),
            None => format!("Ask the agent {}.", self.peer.name),
        };
        for skill in self.met.get().iter().flat_map(|met| &met.card.skills) {
            description.push_str(&format!("\n- {}: {}", skill.name, skill.description));
        }
        description.push_str(
            "\nIt may answer that it needs something; then call again with its taskId and what it needs. Give its \
             contextId to go on with the same conversation. With a taskId and no message, you see how far a task is.",
        );
        let annotations = ToolAnnotations::new().read_only(false).open_world(true);
        Tool::new(name.to_owned(), description, schema())
            .with_title(format!("Ask {}", self.peer.name))
            .with_annotations(annotations)
    }

    /// Asks, and waits for the answer as long as is patient.
    async fn ask(&self, wanted: Wanted, context: &RequestContext<RoleServer>) -> Result<Heard, A2AError> {
        let met = self.met().await?;
        let until = Instant::now() + self.peer.patience;
        let mut seen = Seen::default();
        let asked = async {
            match message(&wanted) {
                Some(message) => met.send(message, &mut seen, context).await,
                None => {
                    let id = wanted.task_id.clone().unwrap_or_default();
                    seen.task = Some(id);
                    Ok(None)
                }
            }
        };
        let sent = tokio::select! {
            sent = asked => sent.map(Some),
            () = tokio::time::sleep_until(until) => Ok(None),
            () = context.ct.cancelled() => Err(A2AError::internal("it was cancelled")),
        };
        if let Ok(Some(Some(message))) = sent {
            return Ok(Heard::Message(message));
        }
        let Some(id) = seen.task else {
            return Err(sent.err().unwrap_or_else(|| {
                let seconds = self.peer.patience.as_secs();
                A2AError::internal(format!("it did not say anything within {seconds} seconds"))
            }));
        };
        tokio::select! {
            task = met.settled(&id, until) => task.map(Heard::Task),
            () = context.ct.cancelled() => {
                met.cancel(&id).await;
                Err(A2AError::internal("it was cancelled"))
            }
        }
    }
}

/// What is known of a task while it is waited for.
#[derive(Debug, Default)]
struct Seen {
    task: Option<String>,
    steps: u32,
}

impl Met {
    /// Sends a message. What comes is a message, or the id of a task; while it streams, its progress is told.
    async fn send(
        &self,
        message: Message,
        seen: &mut Seen,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<Message>, A2AError> {
        let streams = self.card.capabilities.streaming == Some(true);
        let request = SendMessageRequest {
            message,
            configuration: Some(SendMessageConfiguration {
                accepted_output_modes: None,
                task_push_notification_config: None,
                history_length: Some(0),
                return_immediately: Some(true),
            }),
            metadata: None,
            tenant: None,
        };
        if !streams {
            return Ok(match self.client.send_message(&request).await? {
                SendMessageResponse::Message(message) => Some(message),
                SendMessageResponse::Task(task) => {
                    seen.task = Some(task.id);
                    None
                }
            });
        }
        let mut events = self.client.send_streaming_message(&request).await?;
        while let Some(event) = events.next().await {
            match event {
                Ok(StreamResponse::Message(message)) => return Ok(Some(message)),
                Ok(StreamResponse::Task(task)) => seen.task = Some(task.id),
                Ok(StreamResponse::StatusUpdate(update)) => {
                    seen.task = Some(update.task_id);
                    let said = update.status.message.as_ref();
                    if let Some(said) = said.filter(|_| update.status.state == TaskState::Working) {
                        seen.steps = seen.steps.saturating_add(1);
                        tell(context, seen.steps, text(&said.parts)).await;
                    }
                }
                Ok(StreamResponse::ArtifactUpdate(update)) => seen.task = Some(update.task_id),
                // a stream that breaks says nothing of the task
                Err(error) if seen.task.is_some() => {
                    tracing::debug!(code = error.code, "the stream of another agent broke");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The task, when it is over or waits, or as it is when patience ends.
    async fn settled(&self, id: &str, until: Instant) -> Result<Task, A2AError> {
        let request = GetTaskRequest {
            id: id.to_owned(),
            history_length: Some(0),
            tenant: None,
        };
        let mut pause = LOOK;
        loop {
            let task = self.client.get_task(&request).await?;
            let open = matches!(task.status.state, TaskState::Submitted | TaskState::Working);
            if !open || Instant::now() + pause > until {
                return Ok(task);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST);
        }
    }

    /// Says that a task is not wanted any more.
    async fn cancel(&self, id: &str) {
        let request = CancelTaskRequest {
            id: id.to_owned(),
            metadata: None,
            tenant: None,
        };
        match tokio::time::timeout(GOODBYE, self.client.cancel_task(&request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(code = error.code, "another agent does not cancel a task"),
            Err(_late) => tracing::debug!("another agent does not answer to a cancellation"),
        }
    }
}

impl ServerHandler for Peers {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("a2a-peers", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        // the cards say what to ask; an agent that is not there can be asked later
        let met = futures::future::join_all(self.0.values().map(Known::met)).await;
        for (name, met) in self.0.keys().zip(met) {
            if let Err(error) = met {
                tracing::warn!(
                    tool = name,
                    error = error.message,
                    "the card of another agent cannot be read"
                );
            }
        }
        let tools = self.0.iter().map(|(name, known)| known.tool(name));
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let known = self.0.get(&*request.name);
        let known = known
            .ok_or_else(|| ErrorData::invalid_params(format!("there is no tool {}", request.name), None))?;
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let wanted = match serde_json::from_value::<Wanted>(arguments) {
            Ok(wanted) if message(&wanted).is_some() || wanted.task_id.is_some() => wanted,
            Ok(_) => return Ok(fault("say something: message or data is missing").into()),
            Err(error) => return Ok(fault(&error.to_string()).into()),
        };
        let answer = match known.ask(wanted, &context).await {
            Ok(Heard::Message(message)) => spoken(message),
            Ok(Heard::Task(task)) => told(task),
            Err(error) => fault(&format!("The agent {} says: {}", known.peer.name, error.message)),
        };
        Ok(answer.into())
    }
}

fn fault(text: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// What is to be sent, if anything.
fn message(wanted: &Wanted) -> Option<Message> {
    let mut parts = Vec::new();
    if let Some(text) = wanted.message.as_deref().filter(|text| !text.trim().is_empty()) {
        parts.push(Part::text(text));
    }
    if let Some(data) = &wanted.data {
        parts.push(Part::data(data.clone()).with_media_type("application/json"));
    }
    if parts.is_empty() {
        return None;
    }
    let mut message = Message::new(Role::User, parts);
    message.task_id.clone_from(&wanted.task_id);
    message.context_id.clone_from(&wanted.context_id);
    Some(message)
}

/// The texts of parts; of the others, that they are there.
fn text(parts: &[Part]) -> String {
    let mut text = String::new();
    // texts that follow each other are one text that came in pieces
    let mut in_text = true;
    for part in parts {
        let (more, is_text) = match &part.content {
            PartContent::Text(text) => (text.clone(), true),
            PartContent::Data(data) => (data.to_string(), false),
            PartContent::Url(url) => (url.clone(), false),
            PartContent::Raw(raw) => (format!("[a file of {} bytes]", raw.len()), false),
        };
        if !(text.is_empty() || in_text && is_text) {
            text.push('\n');
        }
        text.push_str(&more);
        in_text = is_text;
    }
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push_str("\n[the rest was left out]");
    }
    text
}

fn result(text: String, got: &Got, error: bool) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = serde_json::to_value(got).ok();
    result.is_error = Some(error);
    result
}

fn spoken(message: Message) -> CallToolResult {
    let text = text(&message.parts);
    let got = Got {
        state: state_name(&TaskState::Completed),
        task_id: None,
        context_id: message.context_id,
        text: text.clone(),
        artifacts: Vec::new(),
    };
    result(text, &got, false)
}

/// What came of a task, or what it needs.
fn told(task: Task) -> CallToolResult {
    let state = task.status.state;
    let artifacts = task.artifacts.unwrap_or_default();
    let said = task.status.message.map(|said| text(&said.parts));
    let mut pieces: Vec<String> = artifacts.iter().map(|artifact| text(&artifact.parts)).collect();
    pieces.extend(said);
    let said = pieces.join("\n\n");
    let id = &task.id;
    let text = match state {
        TaskState::InputRequired => {
            format!(
                "The agent needs something before it goes on:\n{said}\n\nCall again with taskId {id:?} and what it needs."
            )
        }
        TaskState::AuthRequired => format!("The agent needs its user to log in first:\n{said}"),
        TaskState::Submitted | TaskState::Working => {
            format!(
                "The agent is still at it. {said}\n\nCall again with taskId {id:?} and no message to see how far it is."
            )
        }
        TaskState::Failed => format!("The agent failed: {said}"),
        TaskState::Rejected => format!("The agent does not do this: {said}"),
        TaskState::Canceled => "The task was cancelled.".to_owned(),
        TaskState::Completed | TaskState::Unspecified => said.clone(),
    };
    let failed = matches!(
        state,
        TaskState::Failed | TaskState::Rejected | TaskState::Canceled
    );
    let got = Got {
        state: state_name(&state),
        task_id: Some(task.id),
        context_id: Some(task.context_id),
        text: said,
        artifacts,
    };
    result(text, &got, failed)
}

/// Tells the host how far it is, when it wants to know.
async fn tell(context: &RequestContext<RoleServer>, step: u32, text: String) {
    let Some(token) = context.meta.get_progress_token() else {
        return;
    };
    let progress = ProgressNotificationParam::new(token, f64::from(step)).with_message(text);
    // who is gone needs no progress
    let _ = context.peer.notify_progress(progress).await;
}

fn schema() -> JsonObject {
    let schema = json!({
        "type": "object",
        "properties": {
            "message": {"type": "string", "description": "What you say to the agent."},
            "data": {"type": "object", "description": "What you send it beside words, when it asks for JSON."},
            "taskId": {"type": "string", "description": "The task that waits for you, or that you want to see."},
            "contextId": {"type": "string", "description": "The conversation to go on with."}
        },
        "additionalProperties": false
    });
    match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::default(),
    }
}
