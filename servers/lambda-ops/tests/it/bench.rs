//! The bench the tests work at: a client of a server on an embedded account. It holds every result against its schema.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use jsonschema::Validator;
use lambda_ops::{
    LambdaOps,
    allow::Allow,
    embedded::{Embedded, Pace},
    runtimes::Runtimes,
    upgrade::Patience,
};
use rmcp::{
    ClientHandler, ErrorData, Peer, RoleClient, ServerHandler, ServiceExt,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
        ClientRequest, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation, JsonObject,
        ProgressNotificationParam, ProtocolVersion, ServerResult, Tool,
    },
    service::{NotificationContext, PeerRequestOptions, RequestContext, RequestHandle, RunningService},
};
use serde_json::{Value, json};
use skydock::Host;
use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Updates need two looks to settle, and the looks come quickly.
pub(crate) const BRISK: Pace = Pace {
    reads: 2,
    time: Duration::ZERO,
};

/// An embedded account at a brisk pace.
pub(crate) fn account() -> Embedded {
    let account = Embedded::new(1);
    account.set_pace(BRISK);
    account
}

/// A server on that account, which gives up on a change after ten seconds.
pub(crate) fn server(account: &Embedded) -> LambdaOps {
    patient(account, Duration::from_secs(10))
}

/// A server that gives up on a change after `limit`.
pub(crate) fn patient(account: &Embedded, limit: Duration) -> LambdaOps {
    LambdaOps::on(account, Runtimes::snapshot())
        .with_patience(Patience::every(Duration::from_millis(1), limit))
        .with_allow(Allow::everything())
}

/// Whoever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Agrees,
    /// Sends the form back without agreeing.
    Disagrees,
    Declines,
    Closes,
    /// The client has no way to ask.
    OutOfReach,
}

struct Listener {
    told: UnboundedSender<String>,
    asked: UnboundedSender<String>,
    user: User,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let capabilities = match self.user {
            User::OutOfReach => ClientCapabilities::default(),
            _ => ClientCapabilities::builder().enable_elicitation().build(),
        };
        let mut info = ClientConfig::new(capabilities, Implementation::new("bench", "1"));
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.told.send(progress.message.unwrap_or_default()).ok();
    }

    async fn create_elicitation(
        &self,
        question: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = question else {
            panic!("not a form")
        };
        self.asked.send(message).ok();
        let action = match self.user {
            User::Declines => ElicitationAction::Decline,
            User::Closes => ElicitationAction::Cancel,
            _ => ElicitationAction::Accept,
        };
        let mut answer = ElicitResult::new(action);
        answer.content = Some(json!({ "change": self.user == User::Agrees }));
        Ok(answer)
    }
}

/// A connected client.
pub(crate) struct Client {
    service: RunningService<RoleClient, Listener>,
    pub(crate) tools: Vec<Tool>,
    outputs: HashMap<String, Validator>,
    progress: Mutex<UnboundedReceiver<String>>,
    questions: Mutex<UnboundedReceiver<String>>,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) is_error: bool,
    /// The structured content; null if there is none.
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Client {
    /// A client of a hosted server, whose user agrees to what is asked.
    pub(crate) async fn of(server: impl ServerHandler) -> Self {
        Self::with(server, User::Agrees).await
    }

    pub(crate) async fn with(server: impl ServerHandler, user: User) -> Self {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move { Host::new(server).serve(far).await.expect("the client opens") });
        let ((told, progress), (asked, questions)) = (unbounded_channel(), unbounded_channel());
        let listener = Listener { told, asked, user };
        let service = listener.serve(near).await.expect("the server opens");
        let tools = service.list_all_tools().await.expect("tools are listed");
        let outputs = tools
            .iter()
            .map(|tool| {
                let schema = Value::from(tool.output_schema.as_deref().expect("every tool has one").clone());
                (
                    tool.name.to_string(),
                    jsonschema::validator_for(&schema).expect("it is a schema"),
                )
            })
            .collect();
        Self {
            service,
            tools,
            outputs,
            progress: Mutex::new(progress),
            questions: Mutex::new(questions),
        }
    }

    /// What the user was asked so far and not read here before.
    pub(crate) async fn questions(&self) -> Vec<String> {
        let mut questions = self.questions.lock().await;
        std::iter::from_fn(|| questions.try_recv().ok()).collect()
    }

    pub(crate) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Calls a tool to its end.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answered {
        let result = self
            .service
            .call_tool(params(tool, arguments))
            .await
            .expect("the tool answers");
        self.checked(tool, result)
    }

    /// Calls a tool that must succeed.
    pub(crate) async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let answered = self.call(tool, arguments).await;
        assert!(!answered.is_error, "{tool}: {}", answered.text);
        answered.json
    }

    /// Calls a tool that must refuse, and gives its words.
    pub(crate) async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let answered = self.call(tool, arguments).await;
        assert!(answered.is_error, "{tool}: {}", answered.text);
        answered.text
    }

    /// Begins a call without waiting for its end.
    pub(crate) async fn begin(&self, tool: &str, arguments: Value) -> RequestHandle<RoleClient> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params(tool, arguments)));
        let options = PeerRequestOptions::no_options();
        self.peer()
            .send_cancellable_request(request, options)
            .await
            .expect("the call is sent")
    }

    /// The end of a call that was begun.
    pub(crate) async fn end(&self, tool: &str, handle: RequestHandle<RoleClient>) -> Answered {
        match handle.await_response().await.expect("the tool answers") {
            ServerResult::CallToolResult(result) => self.checked(tool, result),
            other => panic!("not a tool's result: {other:?}"),
        }
    }

    /// Waits for a progress message that contains `text`.
    pub(crate) async fn hear(&self, text: &str) -> String {
        let mut progress = self.progress.lock().await;
        let heard = async {
            loop {
                let message = progress.recv().await.expect("the server is there");
                if message.contains(text) {
                    return message;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard)
            .await
            .unwrap_or_else(|_| panic!("nothing was heard of {text:?}"))
    }

    fn checked(&self, tool: &str, result: CallToolResult) -> Answered {
        let is_error = result.is_error.unwrap_or(false);
        let text = result
            .content
            .iter()
            .filter_map(|content| content.as_text())
            .map(|t| t.text.as_str())
            .collect();
        if let Some(json) = &result.structured_content {
            let output = &self.outputs[tool];
            let faults: Vec<String> = output.iter_errors(json).map(|fault| fault.to_string()).collect();
            assert!(
                faults.is_empty(),
                "{tool} breaks its schema: {faults:?} in {json}"
            );
        } else {
            assert!(is_error, "{tool} succeeded without structured content: {text}");
        }
        Answered {
            is_error,
            json: result.structured_content.unwrap_or_default(),
            text,
        }
    }
}

fn params(tool: &str, arguments: Value) -> CallToolRequestParams {
    let arguments: JsonObject = serde_json::from_value(arguments).expect("arguments are an object");
    CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)
}

/// A folder of its own, gone at the end of the test.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lambda-ops-{}-{serial}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder is made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
