//! What a session costs: ours in each store, and the SDK's own that has none, in turns in the same run.
//!
//! `checks/benches/sessions` builds all of them and runs this. Servers are processes of their own on loopback, the
//! client's time is in every figure, and the machine is what it is. What to read is the ratios.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, and ends when something is wrong"
)]

mod crossing;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use checks::{
    connection::Connection,
    dynamodb::DynamoDb,
    figures::{self, kilobytes, median, millis, percentile},
    program::{self, Program},
    tools,
    valkey::Valkey,
};
use clap::Parser;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crossing::Crossing;

/// What each right answer has in it.
const RECEIPT: &str = "totalCents";
/// Calls before the measured ones.
const WARM_UP: u64 = 500;
/// Measured calls of one client in one turn.
const CALLS: u64 = 2_000;
/// The clients that call at once.
const CLIENTS: usize = 16;
/// For how long they do.
const THRONG: Duration = Duration::from_secs(2);
/// The sessions that are opened at once to see what each costs.
const SESSIONS: usize = 2_000;
/// By then an idle session sleeps: after 10 s, and they are looked for every 5 s.
const ASLEEP: Duration = Duration::from_secs(17);

/// Measures what a session costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each program takes its turn
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Does a tenth of everything, to see whether it works
    #[arg(long)]
    quick: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A server under measurement.
struct Peer {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    store: Option<Arc<Valkey>>,
}

/// What it has cost: a figure of each turn, or of each call.
#[derive(Debug, Clone, Default)]
struct Cost {
    calls: Vec<Duration>,
    per_second: Vec<f64>,
    work: Vec<Duration>,
    opened: Vec<f64>,
    awake: Vec<f64>,
    idle: Vec<f64>,
    stored: Vec<f64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let valkey = Arc::new(Valkey::start().await?);
    let dynamodb = DynamoDb::local().await?;
    dynamodb.create_table("sessions").await?;
    let peers = peers(&valkey, &dynamodb)?;
    let share = if arguments.quick { 10 } else { 1 };
    println!("load before: {}", figures::load());
    let mut costs = vec![Cost::default(); peers.len()];
    let mut crossings = vec![Crossing::default(); peers.len() - 1];
    for turn in 0..arguments.turns {
        tell(&format!("turn {} of {}", turn + 1, arguments.turns));
        for at in order_of(turn, peers.len()) {
            let (peer, cost) = (&peers[at], &mut costs[at]);
            valkey.ask(&["FLUSHALL"]).await?;
            let speed = cost.speed(peer, share).await;
            speed.with_context(|| format!("{} in turn {turn}", peer.name))?;
            let memory = cost.memory(peer, share).await;
            memory.with_context(|| format!("the memory of {} in turn {turn}", peer.name))?;
            // the rival cannot
            if let Some(crossing) = crossings.get_mut(at) {
                let crossed = crossing.measure(peer, at > 0, share as u64).await;
                crossed.with_context(|| format!("between instances of {} in turn {turn}", peer.name))?;
            }
        }
    }
    println!("load after: {}\n", figures::load());
    report(&peers, &costs, &crossings);
    dynamodb.stop().await
}

/// Who comes after whom, another way each turn: what one leaves to the next should not fall on the same one always.
fn order_of(turn: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(turn % count);
    order
}

/// Tells how far it is, on stderr.
fn tell(line: &str) {
    use std::io::Write as _;
    let _closed = write!(std::io::stderr(), "\r{line} ");
}

/// The rival is the last.
fn peers(valkey: &Arc<Valkey>, dynamodb: &DynamoDb) -> Result<Vec<Peer>> {
    let root = tools::workspace();
    let ours = |name, place: &str| Peer {
        name,
        program: root.join("target/release/pizza"),
        arguments: ["--max-sessions", "100000", "--sessions", place]
            .map(str::to_owned)
            .to_vec(),
        variables: vec![("SKYDOCK_LOG", "error".to_owned())],
        store: None,
    };
    let mut peers = vec![
        ours("skydock, memory", "memory"),
        ours("skydock, Valkey", &valkey.url()),
        ours("skydock, DynamoDB Local", "dynamodb://sessions"),
        Peer {
            name: "rmcp in axum",
            program: root.join("target/bench/rivals/stateful/rival-stateful"),
            arguments: Vec::new(),
            variables: Vec::new(),
            store: None,
        },
    ];
    peers[1].store = Some(Arc::clone(valkey));
    peers[2].variables.extend(dynamodb.variables());
    for peer in &peers {
        let program = peer.program.display();
        ensure!(
            peer.program.exists(),
            "{program} is missing; run checks/benches/sessions, which builds it"
        );
    }
    Ok(peers)
}

impl Peer {
    /// Starts it on a free port.
    async fn start(&self) -> Result<Program> {
        let command = |addr: SocketAddr| {
            let mut command = program::command(&self.program);
            if !self.arguments.is_empty() {
                command.arg("--listen");
            }
            command.arg(addr.to_string()).args(&self.arguments);
            command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
            command
        };
        Program::start(command, "/readyz").await
    }
}

/// An order of two pizzas. Without an address the shop asks for it.
fn order(id: u64, address: Option<&str>) -> Value {
    let mut arguments = json!({"shopId": "napoli", "pizza": "margherita", "quantity": 2});
    if let Some(address) = address {
        arguments["address"] = address.into();
    }
    let params = json!({"name": "order-pizza", "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// One order, to the last byte of its answer.
async fn call(connection: &mut Connection, session: &str, id: u64) -> Result<()> {
    let answer = connection.whole(session, &order(id, Some("Street 1"))).await?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(text.contains(RECEIPT), "not a receipt: {text}");
    Ok(())
}

impl Cost {
    /// How fast calls are: those of one client, and of many at once.
    async fn speed(&mut self, peer: &Peer, share: usize) -> Result<()> {
        let server = peer.start().await?;
        let mut connection = Connection::open(server.addr()).await?;
        let session = connection.initialize().await?;
        for id in 1..=WARM_UP {
            call(&mut connection, &session, id).await?;
        }
        for id in 1..=CALLS / share as u64 {
            let began = Instant::now();
            call(&mut connection, &session, WARM_UP + id).await?;
            self.calls.push(began.elapsed());
        }
        let (mut clients, worked) = (JoinSet::new(), server.work()?);
        let began = Instant::now();
        let until = began + THRONG;
        for _ in 0..CLIENTS {
            let mut connection = Connection::open(server.addr()).await?;
            clients.spawn(async move {
                let session = connection.initialize().await?;
                let mut calls = 0;
                while Instant::now() < until {
                    calls += 1;
                    call(&mut connection, &session, calls).await?;
                }
                anyhow::Ok(calls)
            });
        }
        let mut calls = 0;
        while let Some(client) = clients.join_next().await {
            calls += client??;
        }
        self.per_second.push(calls as f64 / began.elapsed().as_secs_f64());
        let worked = server.work()?.saturating_sub(worked);
        self.work.push(worked.div_f64(calls as f64));
        server.stop().await?;
        Ok(())
    }

    /// How fast sessions are opened, and what they need: awake, asleep, and in the store.
    async fn memory(&mut self, peer: &Peer, share: usize) -> Result<()> {
        let server = peer.start().await?;
        // what is built when it is first needed is not counted
        open(&server, CLIENTS).await?;
        let (before, stored) = (server.memory()?, peer.stored().await?);
        let began = Instant::now();
        let sessions = SESSIONS / share;
        open(&server, sessions).await?;
        self.opened.push(sessions as f64 / began.elapsed().as_secs_f64());
        let each = |memory: u64| memory.saturating_sub(before) as f64 / sessions as f64;
        self.awake.push(each(server.memory()?));
        self.stored
            .push(peer.stored().await?.saturating_sub(stored) as f64 / sessions as f64);
        sleep(ASLEEP).await;
        self.idle.push(each(server.memory()?));
        server.stop().await?;
        Ok(())
    }
}

impl Peer {
    /// The memory that Valkey uses, where it is the store.
    async fn stored(&self) -> Result<u64> {
        match &self.store {
            Some(store) => Ok(store.size().await?.memory),
            None => Ok(0),
        }
    }
}

/// Opens so many sessions over some connections.
async fn open(server: &Program, sessions: usize) -> Result<()> {
    let left = Arc::new(AtomicUsize::new(sessions));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut connection = Connection::open(server.addr()).await?;
        let left = Arc::clone(&left);
        clients.spawn(async move {
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                connection.initialize().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

fn report(peers: &[Peer], costs: &[Cost], crossings: &[Crossing]) {
    println!(
        "| | call p50 | call p99 | calls/s, 16 clients | processor per call | sessions opened/s | memory, awake | idle | in Valkey |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (peer, cost) in peers.iter().zip(costs) {
        println!(
            "| {} | {} | {} | {:.0} | {} | {:.0} | {} | {} | {} |",
            peer.name,
            millis(median(&cost.calls)),
            millis(percentile(&cost.calls, 0.99)),
            median(&cost.per_second),
            millis(median(&cost.work)),
            median(&cost.opened),
            kilobytes(median(&cost.awake)),
            kilobytes(median(&cost.idle)),
            kilobytes(median(&cost.stored)),
        );
    }
    let last = peers.len() - 1;
    println!("\n| | call p50 | calls/s | processor | opened/s | awake | idle |");
    println!("|---|---|---|---|---|---|---|");
    for (at, against) in [(0, last), (1, last), (2, last), (1, 0), (2, 0)] {
        let ratios = costs[at].against(&costs[against]);
        let ratios = ratios.map(|ratio| format!("{ratio:.2} ×")).join(" | ");
        println!("| {} : {} | {ratios} |", peers[at].name, peers[against].name);
    }
    println!("\n{}", crossing::HEAD);
    for (peer, crossing) in peers.iter().zip(crossings) {
        println!("{}", crossing.row(peer.name));
    }
}

impl Cost {
    fn against(&self, other: &Self) -> [f64; 6] {
        let p50 = |times: &[Duration]| median(times).as_secs_f64();
        [
            p50(&self.calls) / p50(&other.calls),
            median(&self.per_second) / median(&other.per_second),
            p50(&self.work) / p50(&other.work),
            median(&self.opened) / median(&other.opened),
            median(&self.awake) / median(&other.awake),
            median(&self.idle) / median(&other.idle),
        ]
    }
}
