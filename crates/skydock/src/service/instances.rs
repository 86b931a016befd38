//! Tests of several instances that share a store: whatever is sent to one is as good as sent to another.

#![expect(
    deprecated,
    reason = "the log and subscribe are of the revisions that have sessions"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use http::{Request, Response, StatusCode};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock,
        CreateTaskResult, ElicitRequestParams, ElicitationSchema, GetTaskParams, GetTaskResult,
        InitializeRequestParams, InitializeResult, LoggingLevel, LoggingMessageNotificationParam,
        ProgressNotificationParam, ServerCapabilities, ServerConfig, SetLevelRequestParams,
        SubscribeRequestParams,
    },
    service::{NotificationContext, RequestContext},
    task_manager::{TaskExit, TaskManager, TaskOptions},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::{
    ask::{Answer, Ask},
    caller::{Principal, Restored},
    changes::Changes,
    config::{Config, Key},
    guard::Guard,
    limits::Limits,
    runtime::Drain,
    service::Door,
    sessions::store::{Entry, Failure, Memory, Patience, Record, Store, Written},
};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const VERSION: &str = "2025-11-25";

/// A store that counts what it is asked, and can be down, or stand still.
#[derive(Debug)]
struct Counted {
    memory: Memory,
    asked: AtomicUsize,
    down: AtomicBool,
    hangs: AtomicBool,
    /// So many appends fail.
    failing_appends: AtomicUsize,
    /// While it is held, the answer to a touch is on its way.
    on_its_way: tokio::sync::RwLock<()>,
}

impl Counted {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(1_000),
            asked: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            failing_appends: AtomicUsize::new(0),
            on_its_way: tokio::sync::RwLock::default(),
        })
    }

    async fn ask(&self) -> Result<(), Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.reach().await
    }

    async fn reach(&self) -> Result<(), Failure> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(Failure::Unavailable("it is down".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Counted {
    fn limit(&self) -> usize {
        // small, so that parts are put together again everywhere
        2_000
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        self.ask().await?;
        self.memory.read(key).await
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        replaces: Option<u64>,
        ttl: Duration,
    ) -> Result<Written, Failure> {
        self.ask().await?;
        self.memory.write(key, value, replaces, ttl).await
    }

    async fn touch(&self, key: &str, ttl: Duration) -> Result<Option<Record>, Failure> {
        self.ask().await?;
        let found = self.memory.touch(key, ttl).await;
        drop(self.on_its_way.read().await);
        found
    }

    async fn append(&self, log: &str, entries: Vec<Bytes>, ttl: Duration) -> Result<u64, Failure> {
        self.ask().await?;
        let fail = |left: usize| left.checked_sub(1);
        if self
            .failing_appends
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail)
            .is_ok()
        {
            return Err(Failure::Unavailable("it takes nothing".into()));
        }
        self.memory.append(log, entries, ttl).await
    }

    async fn follow(&self, log: &str, after: u64, patience: Patience) -> Result<Vec<Entry>, Failure> {
        // the mailbox is looked into all the time; that is not counted
        self.reach().await?;
        self.memory.follow(log, after, patience).await
    }

    async fn trim(&self, log: &str, through: u64) -> Result<(), Failure> {
        self.memory.trim(log, through).await
    }

    async fn announce(&self, instance: &str, ttl: Duration) -> Result<(), Failure> {
        self.memory.announce(instance, ttl).await
    }

    async fn roll(&self) -> Result<Vec<String>, Failure> {
        self.reach().await?;
        self.memory.roll().await
    }
}

/// What the tests wait for.
#[derive(Debug, Clone)]
struct Signs {
    may_end: Arc<Semaphore>,
    told_to_stop: Arc<Semaphore>,
    greeted: Arc<AtomicUsize>,
    greeted_again: Arc<AtomicUsize>,
    subscribed_again: Arc<AtomicUsize>,
    /// What the client's progress was called.
    progress: Arc<AtomicUsize>,
    /// While it is held, no handler wakes.
    waking: Arc<tokio::sync::RwLock<()>>,
    refuses_to_wake: Arc<AtomicBool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}
rmcp::elicit_safe!(Name);

struct Handler(Signs, TaskManager);

impl Handler {
    /// Begins a task that ends when it may.
    fn begin(&self) -> CallToolResponse {
        let may_end = Arc::clone(&self.0.may_end);
        let task = self.1.spawn(TaskOptions::new(), |task| {
            Box::pin(async move {
                tokio::select! {
                    () = task.cancelled() => Err(TaskExit::Cancelled),
                    permit = may_end.acquire() => {
                        permit.unwrap().forget();
                        Ok(CallToolResult::success(vec![ContentBlock::text("done")]))
                    }
                }
            })
        });
        CreateTaskResult::new(task).into()
    }
}

impl Signs {
    /// Asks, and does not wait for the answer when it may end.
    async fn give_up(&self, context: &RequestContext<RoleServer>) -> String {
        let ask = Ask::from(context);
        tokio::select! {
            _ = ask.form::<Name>("name", "Who are you?") => "answered".to_owned(),
            permit = self.may_end.acquire() => {
                permit.unwrap().forget();
                "gave up".to_owned()
            }
        }
    }
}

/// Asks beside the request, so that the question belongs to none.
async fn ask_aside(context: &RequestContext<RoleServer>) -> String {
    let peer = context.peer.clone();
    let schema = ElicitationSchema::builder()
        .required_string("name")
        .build()
        .unwrap();
    let question = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: "Who are you?".to_owned(),
        requested_schema: schema,
    };
    let asked = tokio::spawn(async move { peer.create_elicitation(question).await });
    match asked.await.unwrap() {
        Ok(_) => "answered".to_owned(),
        Err(error) => error.to_string(),
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_tool_list_changed()
                .enable_resources()
                .enable_resources_subscribe()
                .enable_logging()
                .enable_tasks()
                .build(),
        )
    }

    async fn initialize(
        &self,
        _request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        if context.extensions.get::<Restored>().is_some() {
            drop(self.0.waking.read().await);
            if self.0.refuses_to_wake.load(Ordering::SeqCst) {
                return Err(ErrorData::invalid_params("not you", None));
            }
        }
        Ok(self.get_info())
    }

    async fn on_progress(
        &self,
        _progress: ProgressNotificationParam,
        _context: NotificationContext<RoleServer>,
    ) {
        self.0.progress.fetch_add(1, Ordering::SeqCst);
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let again = context.extensions.get::<Restored>().is_some();
        let counter = if again {
            &self.0.greeted_again
        } else {
            &self.0.greeted
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.1.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.1.cancel_task(&request.task_id)
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if request.uri == "file:///secret" {
            return Err(ErrorData::resource_not_found("there is no such file", None));
        }
        if context.extensions.get::<Restored>().is_some() {
            self.0.subscribed_again.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = match request.name.as_ref() {
            "task" => return Ok(self.begin()),
            "give-up" => self.0.give_up(&context).await,
            "ask-aside" => ask_aside(&context).await,
            "ask" => match Ask::from(&context).form::<Name>("name", "Who are you?").await? {
                Answer::Accepted(answer) => format!("hello {}", answer.name),
                Answer::Declined | Answer::Cancelled => "hello nobody".to_owned(),
            },
            "wait" => {
                let token = context.meta.get_progress_token();
                for step in 1..=3_u8 {
                    if let Some(token) = &token {
                        let note = ProgressNotificationParam::new(token.clone(), f64::from(step));
                        let _ = context.peer.notify_progress(note).await;
                    }
                }
                tokio::select! {
                    permit = self.0.may_end.acquire() => permit.unwrap().forget(),
                    () = context.ct.cancelled() => self.0.told_to_stop.add_permits(1),
                }
                "waited".to_owned()
            }
            "log" => {
                for level in [LoggingLevel::Debug, LoggingLevel::Error] {
                    let note = LoggingMessageNotificationParam::new(level, json!("noted"));
                    let _ = context.peer.notify_logging_message(note).await;
                }
                "logged".to_owned()
            }
            "change-secret" => {
                Changes::from(&context).resource("file:///secret").await;
                "changed".to_owned()
            }
            "change" => {
                Changes::from(&context).resource("file:///a").await;
                "changed".to_owned()
            }
            "large" => "x".repeat(50_000),
            _ => "echo".to_owned(),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

struct Fleet {
    instances: Vec<Service<Handler>>,
    drains: Vec<Drain>,
    store: Arc<Counted>,
    signs: Signs,
}

impl Default for Signs {
    fn default() -> Self {
        Self {
            may_end: Arc::new(Semaphore::new(0)),
            told_to_stop: Arc::new(Semaphore::new(0)),
            greeted: Arc::default(),
            greeted_again: Arc::default(),
            subscribed_again: Arc::default(),
            progress: Arc::default(),
            waking: Arc::default(),
            refuses_to_wake: Arc::default(),
        }
    }
}

impl Fleet {
    /// So many instances that know of each other.
    async fn new(size: usize) -> Self {
        Self::with(size, Limits::default()).await
    }

    async fn with(size: usize, limits: Limits) -> Self {
        let store = Counted::new();
        let signs = Signs::default();
        let keys = [Key::random()];
        let drains: Vec<_> = (0..size).map(|_| Drain::default()).collect();
        let instances = drains.iter().map(|drain| {
            let config = Config {
                limits: limits.clone(),
                ..Config::default()
            };
            let handler = Handler(signs.clone(), TaskManager::new());
            let guard = Guard::new(handler, config.limits.clone(), &keys, Changes::default(), true);
            let door = Door::new(&[], &[]);
            let shared: Arc<dyn Store> = Arc::<Counted>::clone(&store);
            Service::new(guard, &config, shared, drain.clone(), door)
        });
        let fleet = Self {
            instances: instances.collect(),
            drains,
            store,
            signs,
        };
        tokio::time::timeout(PATIENCE, async {
            while fleet.store.roll().await.unwrap().len() < size {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        fleet
    }

    async fn send(&self, instance: usize, request: Request<Body>) -> Response<Body> {
        tokio::time::timeout(PATIENCE, self.instances[instance].handle(request))
            .await
            .unwrap()
    }

    async fn post(&self, instance: usize, session: Option<&str>, message: Value) -> Response<Body> {
        self.send(instance, post(session, &message)).await
    }

    /// Opens a session over these two instances.
    async fn open(&self, first: usize, second: usize) -> String {
        let client = json!({
            "protocolVersion": VERSION,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let answer = self.post(first, None, request(0, "initialize", client)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer = self.post(second, Some(&session), note).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        session
    }

    async fn call_raw(&self, instance: usize, session: &str, id: u32, tool: &str) -> Response<Body> {
        let params = json!({"name": tool, "_meta": {"progressToken": id}});
        self.post(instance, Some(session), request(id, "tools/call", params))
            .await
    }

    async fn call(&self, instance: usize, session: &str, id: u32, tool: &str) -> Events {
        let answer = self.call_raw(instance, session, id, tool).await;
        assert_eq!(answer.status(), StatusCode::OK, "{tool} at {instance}");
        Events::of(answer)
    }

    async fn listen(&self, instance: usize, session: &str, last: Option<&str>) -> Events {
        let answer = self.send(instance, get(session, last)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Events::of(answer)
    }

    async fn end(&self, instance: usize, session: &str) {
        let end = Request::delete("/mcp")
            .header("host", "localhost")
            .header("mcp-session-id", session);
        let ended = self.send(instance, end.body(Body::empty()).unwrap()).await;
        assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    }

    async fn ping(&self, instance: usize, session: &str) -> StatusCode {
        let ping = request(900, "ping", json!({}));
        self.post(instance, Some(session), ping).await.status()
    }

    /// Answers a question of a tool.
    async fn tell(&self, instance: usize, session: &str, question: &Value, name: &str) {
        let answer = json!({
            "jsonrpc": "2.0",
            "id": question["id"],
            "result": {"action": "accept", "content": {"name": name}},
        });
        let taken = self.post(instance, Some(session), answer).await;
        assert_eq!(taken.status(), StatusCode::ACCEPTED);
    }
}

/// Waits until something is so.
async fn until(mut is: impl FnMut() -> bool) {
    let waited = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited)
        .await
        .expect("it never was so");
}

fn get(session: &str, last: Option<&str>) -> Request<Body> {
    let mut request = Request::get("/mcp")
        .header("host", "localhost")
        .header("accept", "text/event-stream")
        .header("mcp-session-id", session);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(Body::empty()).unwrap()
}

fn request(id: u32, method: &str, params: impl Into<Value>) -> Value {
    let params = params.into();
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn post(session: Option<&str>, message: &Value) -> Request<Body> {
    let mut request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    request.body(Body::from(message.to_string())).unwrap()
}

/// The events of a stream: their ids and messages. An event without a message is `null`.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    fn of(response: Response<Body>) -> Self {
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.next().map(|value| value.trim().to_owned())
                };
                let (id, data, comment) = (field("id:"), field("data:"), event.starts_with(':'));
                self.text = rest.to_owned();
                if comment {
                    continue;
                }
                let message = serde_json::from_str(&data.unwrap_or_default()).unwrap_or(Value::Null);
                return Some((id.unwrap_or_default(), message));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .expect("no event came");
            self.text.push_str(std::str::from_utf8(&chunk?.unwrap()).unwrap());
        }
    }

    async fn message(&mut self) -> Value {
        loop {
            let (_, message) = self.next().await.expect("the stream has ended");
            if !message.is_null() {
                return message;
            }
        }
    }

    async fn rest(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some((_, message)) = self.next().await {
            if !message.is_null() {
                messages.push(message);
            }
        }
        messages
    }
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn any_instance_serves_any_message() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    for id in 1..7 {
        let answers = fleet
            .call(id as usize % 3, &session, id, "echo")
            .await
            .rest()
            .await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!((text(&answers[0]), &answers[0]["id"]), ("echo", &json!(id)));
    }
    assert_eq!(fleet.signs.greeted.load(Ordering::SeqCst), 1);
    assert_eq!(fleet.signs.greeted_again.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_warm_call_does_not_ask_the_store() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    fleet.call(0, &session, 1, "echo").await.rest().await;
    let before = fleet.store.asked.load(Ordering::SeqCst);
    for id in 2..50 {
        fleet.call(0, &session, id, "echo").await.rest().await;
    }
    assert_eq!(fleet.store.asked.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn an_answer_that_lands_elsewhere_reaches_the_tool_that_asked() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    for (id, at) in [(1, 0), (2, 1), (3, 2)] {
        let mut events = fleet.call(at, &session, id, "ask").await;
        let question = events.message().await;
        assert_eq!(question["method"], "elicitation/create");
        let name = format!("Ada{id}");
        fleet.tell((at + 1) % 3, &session, &question, &name).await;
        assert_eq!(text(&events.message().await), format!("hello {name}"));
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn an_answer_of_another_session_is_nobodys() {
    let fleet = Fleet::new(2).await;
    let (session, other) = (fleet.open(0, 0).await, fleet.open(1, 1).await);
    let mut events = fleet.call(0, &session, 1, "ask").await;
    let question = events.message().await;
    for at in [0, 1] {
        fleet.tell(at, &other, &question, "Mallory").await;
    }
    fleet.tell(1, &session, &question, "Ada").await;
    assert_eq!(text(&events.message().await), "hello Ada");
}

#[tokio::test]
async fn a_cancellation_that_lands_elsewhere_stops_the_tool() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 7, "wait").await;
    events.message().await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(
        fleet.post(2, Some(&session), note).await.status(),
        StatusCode::ACCEPTED
    );
    let told = tokio::time::timeout(PATIENCE, fleet.signs.told_to_stop.acquire()).await;
    told.expect("the tool was not told").unwrap().forget();
    // nothing is answered that was cancelled
    assert!(
        events
            .rest()
            .await
            .iter()
            .all(|message| message["result"].is_null())
    );
}

#[tokio::test]
async fn a_session_that_is_ended_at_one_instance_is_ended_at_all() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    fleet.call(2, &session, 1, "echo").await.rest().await;
    let mut events = fleet.call(0, &session, 2, "wait").await;
    events.message().await;
    let listening = fleet.listen(2, &session, None).await;
    fleet.end(1, &session).await;
    assert!(
        events
            .rest()
            .await
            .iter()
            .all(|message| message["result"].is_null())
    );
    assert_eq!(listening.rest().await, Vec::<Value>::new());
    for instance in 0..3 {
        let answer = fleet
            .post(instance, Some(&session), request(3, "ping", json!({})))
            .await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "at {instance}");
        let streams = fleet.instances[instance].sessions().streams();
        assert_eq!(streams, 0, "kept for ever at {instance}");
    }
}

#[tokio::test]
async fn a_session_is_its_owners_at_every_instance() {
    let fleet = Fleet::new(2).await;
    let with = |principal: Option<&str>, mut request: Request<Body>| {
        if let Some(principal) = principal {
            request.extensions_mut().insert(Principal::new(principal));
        }
        request
    };
    let client =
        json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}});
    let opened = fleet
        .send(
            0,
            with(Some("ada"), post(None, &request(0, "initialize", client))),
        )
        .await;
    let session = opened.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let ids = AtomicUsize::new(1);
    let call = || {
        let id = u32::try_from(ids.fetch_add(1, Ordering::SeqCst)).unwrap();
        post(Some(&session), &request(id, "ping", json!({})))
    };
    for instance in [0, 1, 0] {
        for (principal, status) in [
            (Some("mallory"), StatusCode::NOT_FOUND),
            (None, StatusCode::NOT_FOUND),
            (Some("ada"), StatusCode::OK),
        ] {
            let answer = fleet.send(instance, with(principal, call())).await;
            assert_eq!(answer.status(), status, "{principal:?} at {instance}");
        }
    }
    let end = Request::delete("/mcp")
        .header("host", "localhost")
        .header("mcp-session-id", &session);
    let answer = fleet
        .send(0, with(Some("mallory"), end.body(Body::empty()).unwrap()))
        .await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        fleet.send(1, with(Some("ada"), call())).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_said_at_one_instance_is_heard_at_another_once_and_again_on_replay() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    let subscribe = request(1, "resources/subscribe", json!({"uri": "file:///a"}));
    Events::of(fleet.post(0, Some(&session), subscribe).await)
        .rest()
        .await;
    let mut listening = fleet.listen(1, &session, None).await;
    let (first, _) = listening.next().await.unwrap();
    let mut ids = vec![first];
    for id in 2..5 {
        assert_eq!(
            text(
                &fleet
                    .call(id as usize % 3, &session, id, "change")
                    .await
                    .message()
                    .await
            ),
            "changed"
        );
        let (event, message) = listening.next().await.unwrap();
        assert_eq!(message["method"], "notifications/resources/updated", "{message}");
        ids.push(event);
    }
    drop(listening);
    // what came after the first event is told again, once, elsewhere
    let mut again = fleet.listen(2, &session, Some(&ids[1])).await;
    let mut heard = Vec::new();
    while heard.last() != ids.last() {
        let (id, message) = again.next().await.unwrap();
        if !message.is_null() {
            heard.push(id);
        }
    }
    assert_eq!(heard, ids[2..]);
    assert!(fleet.signs.subscribed_again.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn what_changes_while_a_client_has_no_stream_is_heard_when_it_comes_back_elsewhere() {
    let mut fleet = Fleet::new(3).await;
    let session = fleet.open(1, 2).await;
    let subscribe = request(1, "resources/subscribe", json!({"uri": "file:///a"}));
    Events::of(fleet.post(1, Some(&session), subscribe).await)
        .rest()
        .await;
    let mut listening = fleet.listen(0, &session, None).await;
    let (primed, _) = listening.next().await.unwrap();
    // the instance that has the stream goes without a word
    drop((fleet.instances.remove(0), listening));
    for id in 2..4 {
        fleet.call(0, &session, id, "change").await.rest().await;
    }
    let mut again = fleet.listen(1, &session, Some(&primed)).await;
    let mut ids = Vec::new();
    while ids.len() < 2 {
        let (id, message) = again.next().await.unwrap();
        if !message.is_null() {
            assert_eq!(message["method"], "notifications/resources/updated", "{message}");
            ids.push(id);
        }
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn the_rest_of_an_answer_is_had_at_another_instance() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 1, "wait").await;
    let (_, primed) = events.next().await.unwrap();
    assert!(primed.is_null());
    let (second, message) = events.next().await.unwrap();
    assert_eq!(message["params"]["progress"], 1.0);
    drop(events);
    let mut rest = fleet.listen(1, &session, Some(&second)).await;
    assert_eq!(rest.message().await["params"]["progress"], 2.0);
    let (third, message) = rest.next().await.unwrap();
    assert_eq!(message["params"]["progress"], 3.0);
    // and once more, while the tool still works
    drop(rest);
    let mut rest = fleet.listen(2, &session, Some(&third)).await;
    fleet.signs.may_end.add_permits(1);
    assert_eq!(text(&rest.message().await), "waited");
    assert!(rest.next().await.is_none());
}

#[tokio::test]
async fn an_answer_larger_than_an_entry_of_the_store_is_had_elsewhere_in_one_piece() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 1, "large").await;
    let (primed, _) = events.next().await.unwrap();
    drop(events);
    let mut rest = fleet.listen(1, &session, Some(&primed)).await;
    assert_eq!(text(&rest.message().await).len(), 50_000);
}

#[tokio::test]
async fn a_request_whose_instance_has_gone_fails_so_that_it_can_be_sent_again() {
    let mut fleet = Fleet::new(2).await;
    let session = fleet.open(1, 0).await;
    let mut events = fleet.call(0, &session, 5, "wait").await;
    let (primed, _) = events.next().await.unwrap();
    let gone = fleet.instances.remove(0);
    gone.sessions().retire().await;
    drop((gone, events));
    let mut rest = fleet.listen(0, &session, Some(&primed)).await;
    let message = rest.message().await;
    assert_eq!(message["id"], 5, "{message}");
    assert_eq!(message["error"]["data"]["retryable"], true, "{message}");
    assert!(rest.next().await.is_none());
    assert_eq!(
        text(&fleet.call(0, &session, 6, "echo").await.message().await),
        "echo"
    );
}

#[tokio::test]
async fn without_its_store_a_session_goes_on_where_it_is_and_nothing_is_called_expired() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    fleet.store.down.store(true, Ordering::SeqCst);
    assert_eq!(
        text(&fleet.call(0, &session, 1, "echo").await.message().await),
        "echo"
    );
    let unknown = fleet.post(1, Some(&session), request(2, "ping", json!({}))).await;
    assert_eq!(unknown.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(unknown.headers().contains_key("retry-after"));
    let client =
        json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}});
    let opened = fleet.post(0, None, request(0, "initialize", client)).await;
    assert_eq!(opened.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(opened.headers().contains_key("retry-after"));
    fleet.store.down.store(false, Ordering::SeqCst);
    assert_eq!(
        text(&fleet.call(1, &session, 3, "echo").await.message().await),
        "echo"
    );
    fleet.open(1, 0).await;
}

#[tokio::test]
async fn the_level_of_the_log_holds_at_every_instance() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    fleet.call(1, &session, 1, "echo").await.rest().await;
    let set = request(2, "logging/setLevel", json!({"level": "warning"}));
    Events::of(fleet.post(0, Some(&session), set).await).rest().await;
    tokio::time::timeout(PATIENCE, async {
        let mut id = 10;
        loop {
            // the other instance hears of it within a moment
            let messages = fleet.call(1, &session, id, "log").await.rest().await;
            let levels: Vec<_> = messages
                .iter()
                .filter_map(|message| message["params"]["level"].as_str())
                .collect();
            if levels == ["error"] {
                return;
            }
            assert_eq!(levels, ["debug", "error"]);
            id += 1;
        }
    })
    .await
    .expect("the level is not known elsewhere");
}

#[tokio::test]
async fn a_store_that_stands_still_holds_up_no_session_that_is_known() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    fleet.store.hangs.store(true, Ordering::SeqCst);
    // old enough that the store would be asked
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for id in 1..10 {
        let answers = fleet.call(0, &session, id, "echo").await.rest().await;
        assert_eq!(text(&answers[0]), "echo");
    }
    fleet.store.hangs.store(false, Ordering::SeqCst);
    assert_eq!(fleet.ping(1, &session).await, StatusCode::OK);
}

#[tokio::test]
async fn a_question_is_not_answered_by_an_answer_to_an_earlier_one() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    let mut events = fleet.call(0, &session, 1, "ask").await;
    let first = events.message().await;
    fleet.tell(1, &session, &first, "Ada").await;
    assert_eq!(text(&events.message().await), "hello Ada");
    drop(events);
    // whoever wakes counts anew
    until(|| fleet.instances[0].sessions().put_all_to_sleep()).await;
    let mut events = fleet.call(0, &session, 2, "ask").await;
    let second = events.message().await;
    assert_ne!(first["id"], second["id"]);
    fleet.tell(0, &session, &first, "Mallory").await;
    fleet.tell(1, &session, &first, "Mallory").await;
    fleet.tell(1, &session, &second, "Eve").await;
    assert_eq!(text(&events.message().await), "hello Eve");
}

#[tokio::test]
async fn requests_are_told_apart_whatever_their_ids_look_like() {
    let fleet = Fleet::new(1).await;
    let session = fleet.open(0, 0).await;
    let ids = [
        json!(1),
        json!("1"),
        json!(-1),
        json!(""),
        json!("a b/\u{fc}"),
        json!(i64::MAX),
    ];
    let mut answers = Vec::new();
    for id in &ids {
        let mut call = request(0, "tools/call", json!({"name": "wait"}));
        call["id"] = id.clone();
        let answer = fleet.post(0, Some(&session), call.clone()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{id}");
        answers.push(Events::of(answer));
        for _ in 0..2 {
            let twice = fleet.post(0, Some(&session), call.clone()).await;
            assert_eq!(twice.status(), StatusCode::BAD_REQUEST, "{id}");
        }
    }
    let other = r#"{"jsonrpc": "2.0", "id": "\u0031", "method": "tools/call", "params": {"name": "wait"}}"#;
    let mut twice = post(Some(&session), &Value::Null);
    *twice.body_mut() = Body::from(other);
    let twice = fleet.send(0, twice).await;
    assert_eq!(
        twice.status(),
        StatusCode::BAD_REQUEST,
        "it is \"1\" in other letters"
    );
    fleet.signs.may_end.add_permits(ids.len());
    for (id, answer) in ids.iter().zip(answers) {
        let messages = answer.rest().await;
        assert_eq!(messages.len(), 1, "{id}: {messages:?}");
        assert_eq!((&messages[0]["id"], text(&messages[0])), (id, "waited"));
    }
    assert_eq!(fleet.instances[0].sessions().streams(), 0);
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_woken_stays_ended() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    let held = Arc::clone(&fleet.signs.waking).write_owned().await;
    let late = async {
        let answer = fleet.call_raw(1, &session, 1, "echo").await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    };
    let end = async {
        until(|| fleet.instances[1].sessions().knows(&session)).await;
        fleet.end(0, &session).await;
        until(|| !fleet.instances[1].sessions().knows(&session)).await;
        drop(held);
    };
    tokio::join!(late, end);
    assert_eq!(fleet.instances[1].sessions().streams(), 0);
    assert_eq!(fleet.ping(1, &session).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn news_of_the_end_may_come_before_the_record_that_it_ends() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    let on_its_way = fleet.store.on_its_way.write().await;
    let late = async { assert_eq!(fleet.ping(1, &session).await, StatusCode::NOT_FOUND) };
    let end = async {
        let asked = fleet.store.asked.load(Ordering::SeqCst);
        until(|| fleet.store.asked.load(Ordering::SeqCst) > asked).await;
        fleet.end(0, &session).await;
        until(|| fleet.instances[1].sessions().has_ended(&session)).await;
        drop(on_its_way);
    };
    tokio::join!(end, late);
    assert!(!fleet.instances[1].sessions().knows(&session));
}

#[tokio::test]
async fn a_session_that_the_handler_does_not_take_back_is_to_begin_anew() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 0).await;
    fleet.signs.refuses_to_wake.store(true, Ordering::SeqCst);
    let answer = fleet.call_raw(1, &session, 1, "echo").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    fleet.signs.refuses_to_wake.store(false, Ordering::SeqCst);
    let answers = fleet.call(1, &session, 2, "echo").await.rest().await;
    assert_eq!(text(&answers[0]), "echo");
}

#[tokio::test]
async fn a_session_that_has_expired_is_not_there_and_does_not_come_back() {
    let ttl = Duration::from_millis(300);
    let limits = Limits {
        session_ttl: ttl,
        ..Limits::default()
    };
    let fleet = Fleet::with(2, limits).await;
    let session = fleet.open(0, 1).await;
    for _ in 0..6 {
        tokio::time::sleep(ttl / 3).await;
        assert_eq!(fleet.ping(0, &session).await, StatusCode::OK, "it is in use");
    }
    tokio::time::sleep(ttl + ttl / 3).await;
    for instance in [1, 0, 1] {
        assert_eq!(
            fleet.ping(instance, &session).await,
            StatusCode::NOT_FOUND,
            "at {instance}"
        );
    }
    let key = format!("session:{session}");
    assert_eq!(fleet.store.memory.read(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_client_that_listens_here_and_there_hears_everything_once() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    let subscribe = request(1, "resources/subscribe", json!({"uri": "file:///a"}));
    Events::of(fleet.post(0, Some(&session), subscribe).await)
        .rest()
        .await;
    let (mut streams, mut ids) = (Vec::new(), std::collections::HashSet::new());
    for instance in [0, 1, 2, 0] {
        let mut stream = fleet.listen(instance, &session, None).await;
        stream.next().await.unwrap();
        let id = 10 + u32::try_from(streams.len()).unwrap();
        fleet
            .call((instance + 1) % 3, &session, id, "change")
            .await
            .rest()
            .await;
        // the newest hears it
        let (id, message) = stream.next().await.unwrap();
        assert_eq!(message["method"], "notifications/resources/updated", "{message}");
        assert!(ids.insert(id));
        streams.push(stream);
    }
    let last = streams.pop();
    fleet.end(0, &session).await;
    for stream in streams.into_iter().chain(last) {
        assert_eq!(stream.rest().await, Vec::<Value>::new(), "told twice");
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_an_answer_that_is_read_elsewhere() {
    let mut fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 1, "wait").await;
    let (primed, _) = events.next().await.unwrap();
    drop(events);
    let mut rest = fleet.listen(1, &session, Some(&primed)).await;
    assert_eq!(rest.message().await["params"]["progress"], 1.0);
    let drain = fleet.drains[0].clone();
    let grace = PATIENCE;
    let ended =
        tokio::spawn(async move { drain.run(grace, Duration::ZERO, &CancellationToken::new()).await });
    fleet.drains[0].draining().cancelled().await;
    assert!(!ended.is_finished());
    fleet.signs.may_end.add_permits(1);
    ended.await.unwrap();
    let gone = fleet.instances.remove(0);
    gone.sessions().retire().await;
    drop(gone);
    let messages = rest.rest().await;
    assert_eq!(text(messages.last().unwrap()), "waited", "{messages:?}");
}

#[tokio::test]
async fn a_shutdown_hands_over_what_nobody_reads_yet() {
    let mut fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut unread = Vec::new();
    for id in 1..3 {
        let mut events = fleet.call(0, &session, id, "wait").await;
        let (primed, _) = events.next().await.unwrap();
        unread.push((primed, events));
    }
    // one client has left before the shutdown begins, the other one leaves after it
    let (first, events) = unread.remove(0);
    drop(events);
    let drain = fleet.drains[0].clone();
    let grace = PATIENCE;
    let ended =
        tokio::spawn(async move { drain.run(grace, Duration::ZERO, &CancellationToken::new()).await });
    fleet.drains[0].draining().cancelled().await;
    let (second, events) = unread.remove(0);
    drop(events);
    fleet.signs.may_end.add_permits(2);
    ended.await.unwrap();
    let gone = fleet.instances.remove(0);
    gone.sessions().retire().await;
    drop(gone);
    for primed in [first, second] {
        let messages = fleet.listen(0, &session, Some(&primed)).await.rest().await;
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert_eq!(text(&messages[3]), "waited");
    }
}

#[tokio::test]
async fn the_rest_of_an_answer_is_had_though_the_store_fails_for_a_while() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 1, "wait").await;
    let (primed, _) = events.next().await.unwrap();
    drop(events);
    let mut rest = fleet.listen(1, &session, Some(&primed)).await;
    for step in 1..=3_u8 {
        assert_eq!(rest.message().await["params"]["progress"], f64::from(step));
    }
    fleet.store.failing_appends.store(1, Ordering::SeqCst);
    fleet.signs.may_end.add_permits(1);
    let messages = rest.rest().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(text(&messages[0]), "waited");
    assert_eq!(fleet.store.failing_appends.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_kept_any_more_is_an_error_and_not_a_silence() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 7, "echo").await;
    let (primed, _) = events.next().await.unwrap();
    events.rest().await;
    let forgotten: Vec<_> = primed.split('.').collect();
    let forgotten = format!("a.{}.{}.0.{}", forgotten[1], "0".repeat(32), forgotten[4]);
    for instance in [0, 1] {
        let messages = fleet
            .listen(instance, &session, Some(&forgotten))
            .await
            .rest()
            .await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0]["id"], 7, "{messages:?}");
        assert_eq!(messages[0]["error"]["data"]["retryable"], false, "{messages:?}");
    }
    // more than there ever was
    let beyond = primed.replacen(".0.", ".9.", 1);
    let nothing = fleet.listen(0, &session, Some(&beyond)).await.rest().await;
    assert_eq!(nothing, Vec::<Value>::new());
}

#[tokio::test]
async fn a_question_goes_with_the_request_that_asked_it() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 1, "give-up").await;
    let question = events.message().await;
    fleet.signs.may_end.add_permits(1);
    let cancelled = events.message().await;
    assert_eq!(cancelled["method"], "notifications/cancelled", "{cancelled}");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert_eq!(text(&events.message().await), "gave up");
    fleet.tell(1, &session, &question, "Ada").await;
}

#[tokio::test]
async fn a_question_that_reaches_nobody_fails_and_one_that_does_is_answered() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let answer = fleet.call(0, &session, 1, "ask-aside").await.message().await;
    assert!(text(&answer).contains("no stream"), "{answer}");
    let mut listening = fleet.listen(1, &session, None).await;
    listening.next().await.unwrap();
    let mut events = fleet.call(0, &session, 2, "ask-aside").await;
    let question = listening.message().await;
    fleet.tell(1, &session, &question, "Ada").await;
    assert_eq!(text(&events.message().await), "answered");
}

#[tokio::test]
async fn a_client_tells_of_its_progress_only_whoever_asked() {
    let fleet = Fleet::new(3).await;
    let session = fleet.open(0, 1).await;
    let (mut first, mut second) = (
        fleet.call(0, &session, 1, "ask").await,
        fleet.call(1, &session, 2, "ask").await,
    );
    let questions = [first.message().await, second.message().await];
    let token = |question: &Value| question["params"]["_meta"]["progressToken"].clone();
    assert_ne!(token(&questions[0]), token(&questions[1]));
    for instance in [2, 0] {
        let progress = json!({"progressToken": token(&questions[0]), "progress": 1});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress});
        let taken = fleet.post(instance, Some(&session), note).await;
        assert_eq!(taken.status(), StatusCode::ACCEPTED);
    }
    until(|| fleet.signs.progress.load(Ordering::SeqCst) == 2).await;
    for (question, events) in questions.iter().zip([&mut first, &mut second]) {
        fleet.tell(2, &session, question, "Ada").await;
        assert_eq!(text(&events.message().await), "hello Ada");
    }
    assert_eq!(fleet.signs.progress.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_subscription_is_kept_when_the_handler_agrees_and_not_before() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let subscribe = |id: u32, uri: &str| request(id, "resources/subscribe", json!({"uri": uri}));
    let refused = fleet
        .post(0, Some(&session), subscribe(1, "file:///secret"))
        .await;
    let refused = Events::of(refused).message().await;
    assert!(refused["error"].is_object(), "{refused}");
    let mut listening = fleet.listen(1, &session, None).await;
    listening.next().await.unwrap();
    let agreed = Events::of(fleet.post(0, Some(&session), subscribe(2, "file:///a")).await);
    assert!(agreed.rest().await[0]["result"].is_object());
    fleet.call(0, &session, 3, "change-secret").await.rest().await;
    fleet.call(0, &session, 4, "change").await.rest().await;
    let heard = listening.message().await;
    assert_eq!(heard["params"]["uri"], "file:///a", "{heard}");
    // what cannot be kept is not agreed to
    fleet.store.down.store(true, Ordering::SeqCst);
    let lost = Events::of(fleet.post(0, Some(&session), subscribe(5, "file:///b")).await);
    let lost = lost.rest().await;
    assert_eq!(lost[0]["error"]["data"]["retryable"], true, "{lost:?}");
}

#[tokio::test]
async fn streams_are_not_without_number() {
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    let fleet = Fleet::with(1, limits).await;
    let session = fleet.open(0, 0).await;
    let streams = [
        fleet.listen(0, &session, None).await,
        fleet.listen(0, &session, None).await,
    ];
    let refused = fleet.send(0, get(&session, None)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(streams);
    fleet.listen(0, &session, None).await;
}

/// A request of 2026-07-28, and what it is answered.
async fn modern(fleet: &Fleet, instance: usize, principal: &str, method: &str, mut params: Value) -> Value {
    let name = params["name"].as_str().or(params["taskId"].as_str());
    let name = name.unwrap_or_default().to_owned();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    });
    let mut request = post(None, &request(1, method, params));
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    headers.insert("mcp-name", name.parse().unwrap());
    request.extensions_mut().insert(Principal::new(principal));
    let body = fleet.send(instance, request).await.into_body();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    // one object, or a stream whose last message is the answer
    let text = std::str::from_utf8(&body).unwrap();
    let last = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .next_back();
    serde_json::from_str(last.unwrap_or(text)).unwrap()
}

#[tokio::test]
async fn a_task_is_its_owners_at_every_instance() {
    let fleet = Fleet::new(2).await;
    let begun = modern(&fleet, 0, "ada", "tools/call", json!({"name": "task"})).await;
    let task = json!({"taskId": begun["result"]["taskId"]});
    assert!(task["taskId"].is_string(), "{begun}");
    for instance in [0, 1] {
        for method in ["tasks/get", "tasks/cancel"] {
            let answer = modern(&fleet, instance, "mallory", method, task.clone()).await;
            assert_eq!(
                answer["error"]["code"], -32602,
                "{method} at {instance}: {answer}"
            );
        }
        let answer = modern(&fleet, instance, "ada", "tasks/get", task.clone()).await;
        assert_eq!(answer["result"]["status"], "working", "at {instance}: {answer}");
    }
    fleet.signs.may_end.add_permits(1);
    for instance in [1, 0] {
        let done = async {
            loop {
                let answer = modern(&fleet, instance, "ada", "tasks/get", task.clone()).await;
                if answer["result"]["status"] == "completed" {
                    return;
                }
                assert_eq!(answer["result"]["status"], "working", "at {instance}: {answer}");
            }
        };
        tokio::time::timeout(PATIENCE, done)
            .await
            .expect("it does not end");
        let answer = modern(&fleet, instance, "mallory", "tasks/get", task.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn a_task_whose_instance_has_ended_has_failed_and_can_be_begun_again() {
    let mut fleet = Fleet::new(2).await;
    let begun = modern(&fleet, 0, "ada", "tools/call", json!({"name": "task"})).await;
    let task = json!({"taskId": begun["result"]["taskId"]});
    let gone = fleet.instances.remove(0);
    gone.sessions().retire().await;
    drop(gone);
    let answer = modern(&fleet, 0, "ada", "tasks/get", task).await;
    assert_eq!(answer["result"]["status"], "failed", "{answer}");
    assert_eq!(answer["result"]["error"]["data"]["retryable"], true, "{answer}");
}

#[tokio::test]
async fn a_shutdown_hands_over_an_answer_that_was_ready_before_it() {
    let mut fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 1, "echo").await;
    let (primed, _) = events.next().await.unwrap();
    drop(events);
    until(|| fleet.instances[0].sessions().streams() == 0).await;
    fleet.drains[0]
        .run(PATIENCE, Duration::ZERO, &CancellationToken::new())
        .await;
    let gone = fleet.instances.remove(0);
    gone.sessions().retire().await;
    drop(gone);
    let messages = fleet.listen(0, &session, Some(&primed)).await.rest().await;
    assert_eq!((messages.len(), text(&messages[0])), (1, "echo"), "{messages:?}");
}

#[tokio::test]
async fn what_was_asked_for_a_request_that_is_cancelled_is_forgotten() {
    let fleet = Fleet::new(2).await;
    let session = fleet.open(0, 1).await;
    let mut events = fleet.call(0, &session, 7, "ask").await;
    let question = events.message().await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    fleet.post(1, Some(&session), note).await;
    events.rest().await;
    assert_eq!(fleet.instances[0].sessions().questions(), 0);
    fleet.tell(1, &session, &question, "Ada").await;
}
