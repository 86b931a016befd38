//! Instances of an agent over one store, an executor that does what its messages say, and clients of both bindings.

use std::{sync::Arc, time::Duration};

use a2a_client::{
    A2AClient, A2AClientFactory, Transport, agent_card::AgentCardResolver, auth::AuthInterceptor,
};
use async_trait::async_trait;
use axum::{extract::Request, middleware};
use futures::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use skydock_agent::a2a::{
    End, Executor, Job, Limits, Lost, Service, Sink, card,
    protocol::{
        AgentCard, AgentSkill, Artifact, CancelTaskRequest, GetTaskRequest,
        ListTaskPushNotificationConfigsRequest, ListTasksRequest, Message, Part, Role,
        SendMessageConfiguration, SendMessageRequest, SendMessageResponse, StreamResponse,
        SubscribeToTaskRequest, Task, TaskPushNotificationConfig, TaskState,
    },
    push::Push,
    router,
    store::{Sqlite, Tasks},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) type Client = A2AClient<Box<dyn Transport>>;

pub(super) const BINDINGS: [&str; 2] = ["JSONRPC", "HTTP+JSON"];

/// What a stream tells of a task that [`Puppet`] does, as [`told`] says it.
pub(super) const LIFE: [&str; 7] = [
    "task Submitted",
    "Working",
    "Working",
    "out",
    "out more last",
    "data last",
    "Completed",
];

/// How long a test waits for what it waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Does what its messages say, and counts.
#[derive(Debug, Clone)]
pub(super) struct Puppet(Arc<State>);

#[derive(Debug)]
struct State {
    started: watch::Sender<u32>,
    ended: watch::Sender<u32>,
    open: watch::Sender<bool>,
}

/// Counts when what does a task is dropped, however that comes.
struct Ended<'a>(&'a State);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.send_modify(|count| *count += 1);
    }
}

impl Puppet {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            started: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            open: watch::Sender::new(false),
        }))
    }

    /// Until so many tasks were begun.
    pub(super) async fn started(&self, count: u32) {
        let mut started = self.0.started.subscribe();
        within(started.wait_for(|started| *started >= count))
            .await
            .unwrap();
    }

    /// How many tasks were begun.
    pub(super) fn begun(&self) -> u32 {
        *self.0.started.borrow()
    }

    /// Until so many are over, or were given up.
    pub(super) async fn ended(&self, count: u32) {
        let mut ended = self.0.ended.subscribe();
        within(ended.wait_for(|ended| *ended >= count)).await.unwrap();
    }

    /// Lets tasks go on that wait.
    pub(super) fn open(&self) {
        self.0.open.send_replace(true);
    }
}

pub(super) fn artifact(id: &str, part: Part) -> Artifact {
    Artifact {
        artifact_id: id.to_owned(),
        name: Some(id.to_owned()),
        description: None,
        parts: vec![part],
        metadata: None,
        extensions: None,
    }
}

pub(super) fn agent_says(text: &str) -> Message {
    Message::new(Role::Agent, vec![Part::text(text)])
}

#[async_trait]
impl Executor for Puppet {
    async fn answer(&self, _caller: &str, message: &Message) -> Option<Message> {
        (message.text() == Some("message")).then(|| agent_says("at once"))
    }

    async fn execute(&self, job: Job, sink: &Sink) -> Result<End, Lost> {
        let state = &*self.0;
        let _ended = Ended(state);
        state.started.send_modify(|count| *count += 1);
        let text = job.message.text().unwrap_or_default().to_owned();
        Ok(match text.as_str() {
            "ask" => End::InputRequired(agent_says("what else?")),
            "log in" => End::AuthRequired(agent_says("log in")),
            "refuse" => End::Rejected(agent_says("not here")),
            "fail" => End::failed("it broke"),
            "panic" => panic!("as it was told"),
            "wait" => {
                sink.working("waiting").await?;
                state.open.subscribe().wait_for(|open| *open).await.unwrap();
                End::Completed(Some(agent_says(&format!("attempt {}", job.attempt))))
            }
            text => {
                sink.working("on it").await?;
                sink.artifact(artifact("out", Part::text("one ")), false, false)
                    .await?;
                sink.artifact(artifact("out", Part::text("two")), true, true)
                    .await?;
                let data = json!({ "said": text, "caller": job.caller });
                sink.artifact(artifact("data", Part::data(data)), false, true)
                    .await?;
                End::done()
            }
        })
    }
}

/// An instance. Dropped, it stops as a process does that is told to.
pub(super) struct Instance {
    pub(super) url: String,
    pub(super) service: Service,
    _stop: DropGuard,
}

/// Bounds that tests can wait for.
pub(super) fn limits() -> Limits {
    Limits {
        lease: Duration::from_millis(600),
        poll: Duration::from_millis(40),
        time: Duration::from_secs(60),
        ..Limits::default()
    }
}

pub(super) fn skill() -> AgentSkill {
    AgentSkill {
        id: "echo".to_owned(),
        name: "Echo".to_owned(),
        description: "Says what it hears.".to_owned(),
        tags: vec!["test".to_owned()],
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    }
}

/// The card of an agent at this address.
pub(super) fn card_at(url: &str) -> AgentCard {
    card("Echo", "Says what it hears.", url, vec![skill()])
}

/// Serves what `make` makes for its card.
pub(super) async fn serve(make: impl FnOnce(AgentCard) -> Service) -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = make(card_at(&url)).with_user("nobody");
    let stop = CancellationToken::new();
    let working = service.clone();
    let until = stop.clone();
    tokio::spawn(async move { working.work(until).await });
    let principal = middleware::from_fn(|mut request: Request, next: middleware::Next| async move {
        let user = request
            .headers()
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        if let Some(user) = user.map(str::to_owned) {
            request.extensions_mut().insert(skydock::Principal::new(user));
        }
        next.run(request).await
    });
    let app = router(service.clone()).layer(principal);
    let until = stop.clone();
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(until.cancelled_owned());
        served.await.unwrap();
    });
    Instance {
        url,
        service,
        _stop: stop.drop_guard(),
    }
}

pub(super) fn memory() -> Arc<dyn Tasks> {
    Arc::new(Sqlite::in_memory().unwrap())
}

/// An instance over this store.
pub(super) async fn instance(tasks: &Arc<dyn Tasks>, puppet: &Puppet) -> Instance {
    let (tasks, puppet) = (Arc::clone(tasks), puppet.clone());
    serve(|card| Service::new(card, tasks, Arc::new(puppet)).with_limits(limits())).await
}

/// An instance that tells webhooks.
pub(super) async fn pushing(tasks: &Arc<dyn Tasks>, puppet: &Puppet, push: Push) -> Instance {
    let (tasks, puppet) = (Arc::clone(tasks), puppet.clone());
    serve(|card| {
        Service::new(card, tasks, Arc::new(puppet))
            .with_limits(limits())
            .with_push(push)
    })
    .await
}

/// One instance with everything of its own.
pub(super) async fn alone() -> (Instance, Puppet) {
    let puppet = Puppet::new();
    (instance(&memory(), &puppet).await, puppet)
}

/// An instance with its own threads, which can be killed in the middle of what it does.
pub(super) struct Killable {
    pub(super) instance: Option<Instance>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Killable {
    pub(super) async fn start(tasks: &Arc<dyn Tasks>, puppet: &Puppet) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (tasks, puppet) = (Arc::clone(tasks), puppet.clone());
        let started = runtime.spawn(async move { instance(&tasks, &puppet).await });
        let instance = started.await.unwrap();
        Self {
            instance: Some(instance),
            runtime: Some(runtime),
        }
    }

    pub(super) fn url(&self) -> String {
        self.instance.as_ref().unwrap().url.clone()
    }

    /// Without a goodbye: none of its code runs any more, but for what is written just now.
    pub(super) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
        // dropped, it would say goodbye
        Box::leak(Box::new(self.instance.take()));
    }
}

/// The official client, as the card says, by one binding.
pub(super) async fn client(url: &str, binding: &str, user: &str) -> Client {
    let card = AgentCardResolver::new(None).resolve(url).await.unwrap();
    let factory = A2AClientFactory::builder()
        .preferred_bindings(vec![binding.to_owned()])
        .with_interceptor(Arc::new(AuthInterceptor::custom("x-user", user)));
    factory.build().create_from_card(&card).await.unwrap()
}

pub(super) fn says(text: &str) -> SendMessageRequest {
    SendMessageRequest {
        message: Message::new(Role::User, vec![Part::text(text)]),
        configuration: None,
        metadata: None,
        tenant: None,
    }
}

/// The same that is answered before the task is done.
pub(super) fn at_once(mut request: SendMessageRequest) -> SendMessageRequest {
    request.configuration = Some(SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: Some(true),
    });
    request
}

/// The same for a task.
pub(super) fn to(task: &Task, text: &str) -> SendMessageRequest {
    let mut request = says(text);
    request.message.task_id = Some(task.id.clone());
    request
}

pub(super) async fn send(client: &Client, request: SendMessageRequest) -> Task {
    match within(client.send_message(&request)).await.unwrap() {
        SendMessageResponse::Task(task) => task,
        SendMessageResponse::Message(message) => panic!("no task: {message:?}"),
    }
}

pub(super) fn gets(id: &str) -> GetTaskRequest {
    GetTaskRequest {
        id: id.to_owned(),
        history_length: None,
        tenant: None,
    }
}

pub(super) fn cancels(id: &str) -> CancelTaskRequest {
    CancelTaskRequest {
        id: id.to_owned(),
        metadata: None,
        tenant: None,
    }
}

pub(super) fn subscribes(id: &str) -> SubscribeToTaskRequest {
    SubscribeToTaskRequest {
        id: id.to_owned(),
        tenant: None,
    }
}

/// All tasks, as far as they fit on a page.
pub(super) fn lists() -> ListTasksRequest {
    ListTasksRequest {
        context_id: None,
        status: None,
        page_size: None,
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    }
}

pub(super) fn webhook(url: &str, task: &str) -> TaskPushNotificationConfig {
    TaskPushNotificationConfig {
        url: url.to_owned(),
        id: None,
        task_id: task.to_owned(),
        token: None,
        authentication: None,
        tenant: None,
    }
}

pub(super) fn webhooks(task: &str) -> ListTaskPushNotificationConfigsRequest {
    ListTaskPushNotificationConfigsRequest {
        task_id: task.to_owned(),
        page_size: None,
        page_token: None,
        tenant: None,
    }
}

pub(super) async fn get(client: &Client, id: &str) -> Task {
    client.get_task(&gets(id)).await.unwrap()
}

/// Until the task is in this state.
pub(super) async fn becomes(client: &Client, id: &str, state: TaskState) -> Task {
    within(async {
        loop {
            let task = get(client, id).await;
            if task.status.state == state {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Everything that a stream has to say.
pub(super) async fn all<E: std::fmt::Debug>(
    stream: impl futures::Stream<Item = Result<StreamResponse, E>>,
) -> Vec<StreamResponse> {
    let events: Vec<_> = within(stream.collect()).await;
    events
        .into_iter()
        .map(|event: Result<_, E>| event.unwrap())
        .collect()
}

pub(super) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

/// The states that events tell of, and the artifacts.
pub(super) fn told(events: &[StreamResponse]) -> Vec<String> {
    let told = |event: &StreamResponse| match event {
        StreamResponse::Task(task) => format!("task {:?}", task.status.state),
        StreamResponse::StatusUpdate(update) => format!("{:?}", update.status.state),
        StreamResponse::ArtifactUpdate(update) => format!(
            "{}{}{}",
            update.artifact.artifact_id,
            if update.append == Some(true) { " more" } else { "" },
            if update.last_chunk == Some(true) {
                " last"
            } else {
                ""
            },
        ),
        StreamResponse::Message(message) => format!("message {}", message.text().unwrap_or_default()),
    };
    events.iter().map(told).collect()
}

/// Raw JSON-RPC, with or without a version; the whole response.
pub(super) async fn rpc(url: &str, version: Option<&str>, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let mut request = reqwest::Client::new().post(url).json(&body);
    if let Some(version) = version {
        request = request.header("A2A-Version", version);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "JSON-RPC errors are in the body");
    answer.json().await.unwrap()
}

/// The code of the error.
pub(super) async fn code(url: &str, method: &str, params: Value) -> i64 {
    let answer = rpc(url, Some("1.0"), method, params).await;
    assert_eq!(answer["id"], 7, "{answer}");
    answer["error"]["code"]
        .as_i64()
        .unwrap_or_else(|| panic!("no error: {answer}"))
}

/// Raw HTTP+JSON: status, content type and body.
pub(super) async fn rest(request: reqwest::RequestBuilder) -> (StatusCode, String, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let kind = answer
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned());
    let body = answer.json().await.unwrap_or(Value::Null);
    (status, kind.unwrap_or_default(), body)
}

pub(super) fn user_message(text: &str) -> Value {
    json!({"message": {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": text}]}})
}
