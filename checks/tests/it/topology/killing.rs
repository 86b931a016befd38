//! Instances that are killed and replaced while clients use them: no session is lost, and nothing said is lost or doubled.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use checks::{
    balancer::Order,
    dynamodb::DynamoDb,
    fleet::{Fleet, Plan},
    load::{Outcome, Session, Tally},
    valkey::Valkey,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
/// How many clients are at work.
const CLIENTS: usize = 24;
/// How often an instance is killed, unless the environment says otherwise.
const ROUNDS: usize = 5;
/// How long an instance that is told to end may take.
const GRACE: Duration = Duration::from_secs(10);

/// The clients at work, and what they have seen.
struct Work {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    numbers: Arc<AtomicU64>,
    clients: JoinSet<Seen>,
}

/// What one client has seen.
struct Seen {
    session: Session,
    announced: Vec<u64>,
    heard: HashMap<u64, u64>,
}

impl Work {
    async fn start(url: &str, clients: usize) -> Self {
        let mut work = Self {
            tally: Arc::default(),
            stop: Arc::default(),
            numbers: Arc::default(),
            clients: JoinSet::new(),
        };
        let http = Client::new();
        for number in 0..clients {
            let session = Session::open(&http, url).await.unwrap();
            let (tally, stop, numbers) = (
                Arc::clone(&work.tally),
                Arc::clone(&work.stop),
                Arc::clone(&work.numbers),
            );
            work.clients
                .spawn(async move { client(number, session, &tally, &stop, &numbers).await });
        }
        work
    }

    /// Lets the clients finish, and holds what they have seen against what was promised.
    async fn finish(mut self) -> String {
        self.stop.store(true, Ordering::SeqCst);
        let (mut sessions, mut announced, mut doubled, mut missing) = (0, 0, Vec::new(), Vec::new());
        while let Some(client) = self.clients.join_next().await {
            let client = client.unwrap();
            // the session lives, wherever it is asked for
            let alive = client.session.call("test_simple_text", &json!({})).await;
            assert!(matches!(alive, Outcome::Done(_)), "a session is lost: {alive:?}");
            client.session.end().await.unwrap();
            sessions += 1;
            announced += client.announced.len();
            missing.extend(
                client
                    .announced
                    .iter()
                    .filter(|number| !client.heard.contains_key(number))
                    .copied(),
            );
            doubled.extend(
                client
                    .heard
                    .iter()
                    .filter(|(_, times)| **times > 1)
                    .map(|(number, _)| *number),
            );
        }
        let report = format!(
            "{sessions} sessions held, {}; {announced} events announced, {} missing, {} doubled",
            self.tally,
            missing.len(),
            doubled.len()
        );
        eprintln!("{report}");
        assert_eq!(self.tally.lost(), Vec::<String>::new(), "{report}");
        assert_eq!((missing, doubled), (Vec::new(), Vec::new()), "{report}");
        report
    }
}

/// One client: calls, slow calls, questions and announcements in turn, with the standalone stream open all the time.
async fn client(
    number: usize,
    session: Session,
    tally: &Tally,
    stop: &AtomicBool,
    numbers: &AtomicU64,
) -> Seen {
    let heard = Arc::new(Mutex::new(HashMap::new()));
    let (began, listening) = tokio::sync::oneshot::channel();
    let listener = tokio::spawn({
        let (session, heard) = (session.clone(), Arc::clone(&heard));
        async move { session.listen(&heard, began).await }
    });
    listening.await.unwrap();
    let mut announced = Vec::new();
    let mut random = SmallRng::seed_from_u64(number as u64);
    while !stop.load(Ordering::SeqCst) {
        let (tool, arguments) = match random.random_range(0..6) {
            0 => ("test_elicitation", json!({"message": "Who are you?"})),
            1 => ("test_tool_with_progress", json!({})),
            2 => ("sleep", json!({"seconds": 0.2})),
            3 | 4 => (
                "announce",
                json!({"number": numbers.fetch_add(1, Ordering::SeqCst)}),
            ),
            _ => ("test_simple_text", json!({})),
        };
        let outcome = session.call(tool, &arguments).await;
        tally.count(&outcome);
        if tool == "announce"
            && let Outcome::Done(result) = &outcome
            && result["isError"] != Value::Bool(true)
        {
            announced.extend(arguments["number"].as_u64());
        }
        let pause = random.random_range(5..60);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let all_heard = || {
        announced
            .iter()
            .all(|number| heard.lock().unwrap().contains_key(number))
    };
    let waited = tokio::time::timeout(Duration::from_secs(40), async {
        while !all_heard() && !listener.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let _ = waited.await;
    if listener.is_finished() {
        listener.await.unwrap().unwrap();
    } else {
        listener.abort();
    }
    let heard = heard.lock().unwrap().clone();
    Seen {
        session,
        announced,
        heard,
    }
}

fn plan(place: &str, variables: &[(&str, String)]) -> Plan {
    let key = crate::elsewhere::state_key();
    let flags = ["--sessions", place, "--state-key", key.to_str().unwrap()];
    Plan::of(3, Path::new(SERVER))
        .flags(&flags)
        .variables(variables.iter().map(|(name, value)| (*name, value.clone())))
}

/// Kills one instance after another at random moments, and puts new ones in their places.
async fn kill(fleet: &mut Fleet, seed: u64) {
    let rounds = std::env::var("ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..rounds.unwrap_or(ROUNDS) {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1_200))).await;
        let victim = random.random_range(0..3);
        fleet.kill(victim).await.unwrap();
        fleet.replace(victim).await.unwrap();
    }
}

#[tokio::test]
async fn no_session_is_lost_on_valkey_when_instances_are_killed() {
    let valkey = Valkey::start().await.unwrap();
    let mut fleet = plan(&valkey.url(), &[]).start().await.unwrap();
    let work = Work::start(&fleet.mcp(), CLIENTS).await;
    kill(&mut fleet, 1).await;
    work.finish().await;
    fleet.stop().await.unwrap();
}

#[tokio::test]
async fn no_session_is_lost_on_dynamodb_when_instances_are_killed() {
    let dynamodb = DynamoDb::local().await.unwrap();
    dynamodb.create_table("sessions").await.unwrap();
    let mut fleet = plan("dynamodb://sessions", &dynamodb.variables())
        .start()
        .await
        .unwrap();
    let work = Work::start(&fleet.mcp(), CLIENTS).await;
    kill(&mut fleet, 2).await;
    work.finish().await;
    fleet.stop().await.unwrap();
    dynamodb.stop().await.unwrap();
}

#[tokio::test]
async fn a_deploy_loses_nothing_and_fails_nothing() {
    let valkey = Valkey::start().await.unwrap();
    let mut fleet = plan(&valkey.url(), &[]).start().await.unwrap();
    let work = Work::start(&fleet.mcp(), CLIENTS).await;
    for number in 0..3 {
        // what ECS does: out of the target group, SIGTERM, a new task
        fleet.balancer().order(number, Order::Deregister).await.unwrap();
        let ended = fleet.end(number, GRACE).await.unwrap();
        assert!(ended.success(), "{ended}");
        fleet.replace(number).await.unwrap();
    }
    let tally = Arc::clone(&work.tally);
    work.finish().await;
    assert_eq!(tally.again(), Vec::<String>::new(), "{tally}");
    fleet.stop().await.unwrap();
}
