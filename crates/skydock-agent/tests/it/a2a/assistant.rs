//! An agent that does tasks: its words are artifacts, its approvals are the caller's, and its turns outlive workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::Url;
use rmcp::{
    ServerHandler,
    handler::server::router::tool::ToolRouter,
    model::{ServerCapabilities, ServerConfig},
    tool, tool_handler, tool_router,
};
use serde_json::json;
use skydock_agent::{
    Agent, Standing, Upstream,
    a2a::{
        Assistant, Limits, Service,
        protocol::{Message, Part, PartContent, Role, StreamResponse, Task, TaskState},
        store::Tasks,
    },
    client::{Setup, Target},
    message,
    model::{Scripted, Stop},
    store,
};
use tokio::{net::TcpListener, sync::watch};

use super::{
    fickle::{Fault, Fickle},
    instance::{
        BINDINGS, Instance, all, at_once, becomes, cancels, client, limits, memory, says, send, serve, to,
        told, within,
    },
};
use crate::puppet::{self, Say};

const SCRIPT: &str = r#"
    name = "shop"
    [[scenes]]
    when = "(?i)buy"
    steps = [
        { say = "I buy it.", call = [{ tool = "buy" }] },
        { say = "{% if results.buy.error %}Not bought.{% else %}{{ results.buy.text }}.{% endif %}" },
    ]
    [[scenes]]
    when = "(?i)look"
    steps = [{ say = "I look.", call = [{ tool = "look" }] }, { say = "I saw: {{ results.look.text }}" }]
    [[scenes]]
    steps = [{ say = "Hello {{ user }}, you said {{ message }}." }]
"#;

/// A shop whose goods can be looked at, once its door is open, and bought.
#[derive(Debug, Clone)]
struct Shop {
    tools: ToolRouter<Self>,
    bought: Arc<AtomicU32>,
    looked: Arc<watch::Sender<u32>>,
    open: Arc<watch::Sender<bool>>,
}

#[tool_router(router = routes)]
impl Shop {
    fn new() -> Self {
        Self {
            tools: Self::routes(),
            bought: Arc::default(),
            looked: Arc::new(watch::Sender::new(0)),
            open: Arc::new(watch::Sender::new(true)),
        }
    }

    #[tool(description = "buys")]
    async fn buy(&self) -> String {
        let count = self.bought.fetch_add(1, Ordering::SeqCst) + 1;
        format!("bought {count}")
    }

    #[tool(description = "looks", annotations(read_only_hint = true))]
    async fn look(&self) -> String {
        self.looked.send_modify(|count| *count += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        "a hat".to_owned()
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Shop {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

async fn open(shop: &Shop) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let app = skydock::Host::new(shop.clone()).router();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url.parse().unwrap()
}

fn agent(shop: Url, conversations: &store::Sqlite) -> Agent {
    let script = Scripted::parse("test", SCRIPT).unwrap();
    let shop = Upstream {
        prefix: None,
        target: Target::Url(shop),
        setup: Setup::default(),
    };
    Agent::new(Arc::new(script), Arc::new(conversations.clone())).with_servers(vec![shop])
}

async fn assisted(tasks: &Arc<dyn Tasks>, agent: Agent) -> Instance {
    let tasks = Arc::clone(tasks);
    serve(|card| Service::new(card, tasks, Arc::new(Assistant::new(agent))).with_limits(limits())).await
}

async fn ready() -> (Instance, Shop) {
    let shop = Shop::new();
    let agent = agent(open(&shop).await, &store::Sqlite::in_memory().unwrap());
    (assisted(&memory(), agent).await, shop)
}

/// All words of the answer.
fn answer(task: &Task) -> String {
    let artifacts = task.artifacts.iter().flatten();
    let parts = artifacts.flat_map(|artifact| &artifact.parts);
    parts.filter_map(Part::as_text).collect()
}

#[tokio::test]
async fn a_context_is_a_conversation_of_its_caller() {
    let (instance, _) = ready().await;
    for binding in BINDINGS {
        let client = client(&instance.url, binding, "ada").await;
        let first = send(&client, says("good day")).await;
        assert_eq!(first.status.state, TaskState::Completed, "{:?}", first.status);
        assert_eq!(answer(&first), "Hello ada, you said good day.");
        let mut next = says("good night");
        next.message.context_id = Some(first.context_id.clone());
        assert_eq!(
            answer(&send(&client, next).await),
            "Hello ada, you said good night."
        );
    }
}

#[tokio::test]
async fn a_stream_has_the_words_and_what_is_done() {
    let (instance, _) = ready().await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let events = all(client.send_streaming_message(&says("look")).await.unwrap()).await;
    let told = told(&events);
    assert_eq!(
        (told.first().unwrap().as_str(), told.last().unwrap().as_str()),
        ("task Submitted", "Completed")
    );
    assert!(told.contains(&"answer".to_owned()), "{told:?}");
    let doing: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            StreamResponse::StatusUpdate(update) => update.status.message.as_ref()?.text(),
            _ => None,
        })
        .collect();
    assert!(doing.iter().any(|text| text.contains("look")), "{doing:?}");
}

#[tokio::test]
async fn what_changes_something_waits_for_the_callers_decision() {
    let (instance, shop) = ready().await;
    for (count, (binding, approval)) in BINDINGS.iter().zip(["approve", "Yes."]).enumerate() {
        let client = client(&instance.url, binding, "ada").await;
        let asked = send(&client, says("buy")).await;
        assert_eq!(asked.status.state, TaskState::InputRequired, "{:?}", asked.status);
        let question = asked.status.message.as_ref().unwrap();
        assert!(question.text().unwrap().contains("buy with {}"), "{question:?}");
        let PartContent::Data(data) = &question.parts[1].content else {
            panic!("{question:?}")
        };
        assert_eq!(data["approvals"][0]["tool"], "buy");
        assert_eq!(shop.bought.load(Ordering::SeqCst), u32::try_from(count).unwrap());
        let done = send(&client, to(&asked, approval)).await;
        assert_eq!(done.status.state, TaskState::Completed, "{:?}", done.status);
        assert_eq!(answer(&done), format!("bought {}.", count + 1));
    }
}

#[tokio::test]
async fn decisions_are_taken_as_data_and_refusals_hold() {
    let (instance, shop) = ready().await;
    let client = client(&instance.url, "JSONRPC", "ada").await;
    let decide = |asked: &Task, id: &str, approve: bool| {
        let data = json!({"decisions": [{"id": id, "approve": approve}]});
        let mut request = says("");
        request.message = Message::new(Role::User, vec![Part::data(data)]);
        request.message.task_id = Some(asked.id.clone());
        request
    };
    let id = |asked: &Task| {
        let PartContent::Data(data) = &asked.status.message.as_ref().unwrap().parts[1].content else {
            panic!("{asked:?}")
        };
        data["approvals"][0]["id"].as_str().unwrap().to_owned()
    };
    let asked = send(&client, says("buy")).await;
    let refused = send(&client, decide(&asked, &id(&asked), false)).await;
    assert_eq!(answer(&refused), "Not bought.");
    assert_eq!(shop.bought.load(Ordering::SeqCst), 0);
    let asked = send(&client, says("buy")).await;
    let bought = send(&client, decide(&asked, &id(&asked), true)).await;
    assert_eq!(answer(&bought), "bought 1.");
    let asked = send(&client, says("buy")).await;
    let wrong = send(&client, decide(&asked, "another", true)).await;
    assert_eq!(wrong.status.state, TaskState::Failed);
    // something else in place of a decision: the call is not made
    let asked = send(&client, says("buy")).await;
    let other = send(&client, to(&asked, "never mind")).await;
    assert_eq!(answer(&other), "Hello ada, you said never mind.");
    assert_eq!(shop.bought.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_taken_by_another_instance() {
    let shop = Shop::new();
    let url = open(&shop).await;
    let conversations = store::Sqlite::in_memory().unwrap();
    let tasks = memory();
    let here = assisted(&tasks, agent(url.clone(), &conversations)).await;
    let there = assisted(&tasks, agent(url, &conversations)).await;
    let asked = send(&client(&here.url, "JSONRPC", "ada").await, says("buy")).await;
    let done = send(&client(&there.url, "JSONRPC", "ada").await, to(&asked, "approve")).await;
    assert_eq!(answer(&done), "bought 1.");
}

/// An instance that is told to stop does not say anything twice: its turn ends in time, or is gone on with.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_of_a_stopped_worker_is_said_once() {
    let shop = Shop::new();
    shop.open.send_replace(false);
    let url = open(&shop).await;
    let conversations = store::Sqlite::in_memory().unwrap();
    let tasks = memory();
    let first = assisted(&tasks, agent(url.clone(), &conversations)).await;
    let task = send(&client(&first.url, "JSONRPC", "ada").await, at_once(says("look"))).await;
    let mut looked = shop.looked.subscribe();
    within(looked.wait_for(|count| *count == 1)).await.unwrap();
    drop(first);
    let agent = agent(url, &conversations);
    let second = assisted(&tasks, agent.clone()).await;
    shop.open.send_replace(true);
    let client = client(&second.url, "JSONRPC", "ada").await;
    let done = becomes(&client, &task.id, TaskState::Completed).await;
    assert_eq!(answer(&done), "I saw: a hat");
    let key = store::Key::new("ada", done.context_id.as_str());
    let said = agent.view(&key).await.unwrap().conversation.messages;
    let users = said
        .iter()
        .filter(|said| said.role == message::Role::User && !said.text().is_empty());
    assert_eq!(users.count(), 1, "{said:?}");
}

/// It takes as long as a conversation is held for a process that is gone: 15 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_of_a_killed_worker_is_gone_on_with() {
    let shop = Shop::new();
    shop.open.send_replace(false);
    let url = open(&shop).await;
    let conversations = store::Sqlite::in_memory().unwrap();
    let tasks = memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let doomed = {
        let (tasks, agent) = (Arc::clone(&tasks), agent(url.clone(), &conversations));
        runtime
            .spawn(async move { assisted(&tasks, agent).await })
            .await
            .unwrap()
    };
    let task = send(
        &client(&doomed.url, "JSONRPC", "ada").await,
        at_once(says("look")),
    )
    .await;
    let mut looked = shop.looked.subscribe();
    within(looked.wait_for(|count| *count == 1)).await.unwrap();
    runtime.shutdown_background();
    Box::leak(Box::new(doomed));
    shop.open.send_replace(true);
    let other = assisted(&tasks, agent(url, &conversations)).await;
    let client = client(&other.url, "JSONRPC", "ada").await;
    // what is said behind it in the same context takes nothing away from it
    let mut request = at_once(says("good day"));
    request.message.context_id = Some(task.context_id.clone());
    let behind = send(&client, request).await;
    let over = async |id: &str| loop {
        let task = super::instance::get(&client, id).await;
        if task.status.state.is_terminal() {
            return task;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let both = async { (over(&task.id).await, over(&behind.id).await) };
    let (done, behind) = tokio::time::timeout(Duration::from_secs(40), both).await.unwrap();
    assert_eq!(done.status.state, TaskState::Completed, "{:?}", done.status);
    assert_eq!(answer(&done), "I saw: a hat");
    assert_eq!(behind.status.state, TaskState::Completed, "{:?}", behind.status);
    assert_eq!(answer(&behind), "Hello ada, you said good day.");
}

/// The worker cannot say how the turn has ended; the next one says the same, and has nothing done again.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_turn_ended_is_known_to_the_next_worker() {
    let cases = [
        (Say::Words("all of it"), TaskState::Completed, None, "all of it"),
        (
            Say::Stop("half of", Stop::MaxTokens),
            TaskState::Completed,
            Some("The answer is not complete: the answer reached the model's bound"),
            "half of",
        ),
        (
            Say::Stop("no", Stop::Filtered),
            TaskState::Rejected,
            Some("the model's provider withheld it"),
            "no",
        ),
    ];
    for (say, state, message, words) in cases {
        let model = puppet::Puppet::new([say]);
        let agent = Agent::new(
            Arc::clone(&model) as _,
            Arc::new(store::Sqlite::in_memory().unwrap()),
        );
        let tasks: Arc<dyn Tasks> = Arc::new(Fickle::new(memory(), |record| {
            let ends = record.task.status.state.is_terminal();
            (ends && record.attempts == 1).then_some(Fault::Refused)
        }));
        let instance = assisted(&tasks, agent).await;
        let client = client(&instance.url, "JSONRPC", "ada").await;
        let done = send(&client, says("tell me")).await;
        assert_eq!((&done.status.state, answer(&done).as_str()), (&state, words));
        let said = done.status.message.as_ref();
        assert_eq!(said.and_then(Message::text), message);
        assert_eq!(model.asked().len(), 1, "the model was asked again");
    }
}

/// Nobody follows the turn, and it is stopped all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_stops_the_turn_of_a_worker_that_has_lost_it() {
    let shop = Shop::new();
    shop.open.send_replace(false);
    let agent = agent(open(&shop).await, &store::Sqlite::in_memory().unwrap());
    let (shared, away) = (memory(), Arc::new(AtomicBool::new(false)));
    let gone = Arc::clone(&away);
    let tasks: Arc<dyn Tasks> = Arc::new(Fickle::new(Arc::clone(&shared), move |_| {
        gone.load(Ordering::SeqCst).then_some(Fault::Refused)
    }));
    let here = assisted(&tasks, agent.clone()).await;
    let ada = client(&here.url, "JSONRPC", "ada").await;
    let task = send(&ada, at_once(says("look"))).await;
    let mut looked = shop.looked.subscribe();
    within(looked.wait_for(|count| *count == 1)).await.unwrap();
    away.store(true, Ordering::SeqCst);
    // its lease ends, and the next worker, which waits for the turn, is of another instance
    let stranded = async {
        while shared
            .stranded(jiff::Timestamp::now(), 1)
            .await
            .unwrap()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(stranded).await;
    let there = assisted(&shared, agent.clone()).await;
    let other = client(&there.url, "JSONRPC", "ada").await;
    other.cancel_task(&cancels(&task.id)).await.unwrap();
    let key = store::Key::new("ada", task.context_id.as_str());
    let stopped = async {
        while agent.view(&key).await.unwrap().standing == Standing::Running {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wait_for_one_another_keep_nobody_else_waiting() {
    let shop = Shop::new();
    shop.open.send_replace(false);
    let agent = agent(open(&shop).await, &store::Sqlite::in_memory().unwrap());
    let tasks = memory();
    let limits = Limits {
        parallel: 2,
        ..limits()
    };
    let instance =
        serve(|card| Service::new(card, tasks, Arc::new(Assistant::new(agent))).with_limits(limits));
    let instance = instance.await;
    let ada = client(&instance.url, "JSONRPC", "ada").await;
    let first = send(&ada, at_once(says("look"))).await;
    let mut looked = shop.looked.subscribe();
    within(looked.wait_for(|count| *count == 1)).await.unwrap();
    let mut behind = Vec::new();
    for _ in 0..4 {
        let mut request = at_once(says("good day"));
        request.message.context_id = Some(first.context_id.clone());
        behind.push(send(&ada, request).await.id);
    }
    let bob = client(&instance.url, "JSONRPC", "bob").await;
    assert_eq!(
        answer(&send(&bob, says("good day")).await),
        "Hello bob, you said good day."
    );
    shop.open.send_replace(true);
    assert_eq!(
        answer(&becomes(&ada, &first.id, TaskState::Completed).await),
        "I saw: a hat"
    );
    for id in behind {
        becomes(&ada, &id, TaskState::Completed).await;
    }
}
