//! Ten minutes of sessions that come and go on three instances with one Valkey: what they hold has to stay level.
//!
//! `cargo bench --workspace --profile measuring --bench soak`, with `-- --seconds 60` for a short look, which is too
//! short to judge growth: what remembers that a session has ended stays in the store for three minutes.
#![expect(clippy::print_stdout, reason = "it prints what it sees")]

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use checks::{
    figures,
    fleet::{Fleet, Plan},
    load::{Outcome, Session, Tally},
    scratch::Scratch,
    valkey::{Size, Valkey},
};
use clap::Parser;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const INSTANCES: usize = 3;
/// Seconds after which an abandoned session has expired.
const TTL: &str = "60";
/// From here on the first third is long enough for all that expires to have begun to.
const JUDGED: u64 = 570;
/// How often what the instances hold is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// What may have grown by in the last third, over the second.
const GROWTH: f64 = 1.15;
/// What the instances may have open more than at the start when all clients have gone.
const SPARE: u64 = 8;

/// Lets sessions come and go, and looks whether what they cost stays level.
#[derive(Debug, Parser)]
struct Arguments {
    /// For how long, in seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The number of sessions that are used at any time
    #[arg(long, default_value_t = 1_000)]
    sessions: u64,
    /// How often what was seen is printed, in seconds
    #[arg(long, default_value_t = 30)]
    every: u64,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all clients have done.
#[derive(Debug, Default)]
struct Work {
    tally: Tally,
    opened: AtomicU64,
    ended: AtomicU64,
    abandoned: AtomicU64,
    numbers: AtomicU64,
}

/// What is held at one moment.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: [u64; INSTANCES],
    descriptors: [u64; INSTANCES],
    store: Size,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(soak(&arguments))
}

async fn soak(arguments: &Arguments) -> Result<()> {
    let (valkey, home) = (Valkey::start().await?, Scratch::new("soak")?);
    let key = home.path().join("key");
    std::fs::write(&key, "all instances sign their questions with this")?;
    let flags = ["--sessions", &valkey.url(), "--session-ttl", TTL];
    let mut fleet = Plan::of(INSTANCES, Path::new(SERVER))
        .flags(&flags)
        .flags(&["--max-sessions", "10000", "--state-key", &key.to_string_lossy()])
        .variables([("SKYDOCK_LOG", "error")])
        .start()
        .await?;
    let start = look(&mut fleet, &valkey).await?;
    println!("load before: {}", figures::load());
    let work = Arc::new(Work::default());
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut clients = clients(arguments.sessions, &fleet.mcp(), &work, until);
    let seen = watch(arguments, &mut fleet, &valkey, &work).await?;
    while let Some(client) = clients.join_next().await {
        client?;
    }
    let rest = rest(&mut fleet, &valkey, &start).await?;
    println!(
        "{}\nload after: {}\n",
        row(arguments.seconds, &rest, &work),
        figures::load()
    );
    println!("{}", work.tally);
    fleet.stop().await?;
    let lost = work.tally.lost();
    ensure!(
        lost.is_empty(),
        "{} were lost: {:#?}",
        lost.len(),
        lost.iter().take(20).collect::<Vec<_>>()
    );
    for (number, (now, then)) in rest.descriptors.into_iter().zip(start.descriptors).enumerate() {
        ensure!(
            now <= then + SPARE,
            "instance {number} has {now} descriptors left of {then}"
        );
    }
    if arguments.seconds < JUDGED {
        println!("too short to judge growth");
        return Ok(());
    }
    judge(&seen)
}

/// As many as there shall be sessions; each opens the next when it is done with one.
fn clients(count: u64, url: &str, work: &Arc<Work>, until: Instant) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let http = Client::new();
    for number in 0..count {
        let (http, url, work) = (http.clone(), url.to_owned(), Arc::clone(work));
        clients.spawn(async move {
            let mut random = SmallRng::seed_from_u64(number);
            // they do not come all at once
            pause(&mut random, 0..10_000).await;
            while Instant::now() < until {
                if let Err(error) = live(&http, &url, &work, &mut random, until).await {
                    work.tally.count(&Outcome::Lost(format!("{error:#}")));
                }
            }
        });
    }
    clients
}

async fn pause(random: &mut SmallRng, millis: std::ops::Range<u64>) {
    sleep(Duration::from_millis(random.random_range(millis))).await;
}

/// One session, from its opening until it is ended or abandoned. One of eight has its standalone stream open.
async fn live(http: &Client, url: &str, work: &Work, random: &mut SmallRng, until: Instant) -> Result<()> {
    let session = Session::open(http, url).await?;
    work.opened.fetch_add(1, Ordering::Relaxed);
    let until = until.min(Instant::now() + Duration::from_secs(random.random_range(5..60)));
    let heard = Arc::new(Mutex::new(HashMap::new()));
    let listener = if random.random_range(0..8) == 0 {
        let (began, listening) = oneshot::channel();
        let (session, heard) = (session.clone(), Arc::clone(&heard));
        let listener = tokio::spawn(async move { session.listen(&heard, began).await });
        listening.await?;
        Some(listener)
    } else {
        None
    };
    let mut announced = Vec::new();
    while Instant::now() < until {
        let (tool, arguments) = choose(random, work, listener.is_some());
        let outcome = session.call(tool, &arguments).await;
        work.tally.count(&outcome);
        if let Outcome::Done(result) = outcome {
            ensure!(result["isError"] != true, "{tool}: {result}");
            announced.extend(arguments["number"].as_u64());
        }
        // some pauses are long enough for the session to sleep
        let longest = if random.random_range(0..8) == 0 {
            20_000
        } else {
            8_000
        };
        pause(random, 500..longest).await;
    }
    if let Some(listener) = listener {
        hear_all(&announced, &heard).await?;
        listener.abort();
    }
    if random.random_range(0..2) == 0 {
        session.end().await?;
        work.ended.fetch_add(1, Ordering::Relaxed);
    } else {
        work.abandoned.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn choose(random: &mut SmallRng, work: &Work, listens: bool) -> (&'static str, Value) {
    match random.random_range(0..8) {
        0 => ("test_elicitation", json!({"message": "Who are you?"})),
        1 => ("test_tool_with_progress", json!({})),
        2 => ("sleep", json!({"seconds": 0.2})),
        3..=5 if listens => (
            "announce",
            json!({"number": work.numbers.fetch_add(1, Ordering::Relaxed)}),
        ),
        _ => ("test_simple_text", json!({})),
    }
}

/// Waits until everything that was announced has been heard, once.
async fn hear_all(announced: &[u64], heard: &Mutex<HashMap<u64, u64>>) -> Result<()> {
    let began = Instant::now();
    loop {
        let times = |number| {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get(number).copied().unwrap_or_default()
        };
        if let Some(number) = announced.iter().find(|number| times(number) > 1) {
            bail!("announcement {number} was heard more than once");
        }
        let Some(number) = announced.iter().find(|number| times(number) == 0) else {
            return Ok(());
        };
        ensure!(
            began.elapsed() < Duration::from_secs(20),
            "announcement {number} was not heard"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

async fn look(fleet: &mut Fleet, valkey: &Valkey) -> Result<Held> {
    let mut held = Held {
        memory: [0; INSTANCES],
        descriptors: [0; INSTANCES],
        store: valkey.size().await?,
    };
    let places = held.memory.iter_mut().zip(&mut held.descriptors);
    for (number, (memory, descriptors)) in places.enumerate() {
        let instance = fleet.instance(number)?;
        *memory = instance.memory()?;
        *descriptors = instance.descriptors()?.try_into()?;
    }
    Ok(held)
}

/// Looks again and again until the time is over.
async fn watch(arguments: &Arguments, fleet: &mut Fleet, valkey: &Valkey, work: &Work) -> Result<Vec<Held>> {
    println!(
        "| s | memory of each, MB | descriptors of each | keys | Valkey, MB | sessions opened | ended | abandoned | calls |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let (began, mut seen, mut printed) = (Instant::now(), Vec::new(), 0);
    while began.elapsed().as_secs() < arguments.seconds {
        sleep(LOOK).await;
        let held = look(fleet, valkey).await?;
        let seconds = began.elapsed().as_secs();
        if seconds / arguments.every.max(1) > printed {
            printed = seconds / arguments.every.max(1);
            println!("{}", row(seconds, &held, work));
        }
        seen.push(held);
    }
    Ok(seen)
}

fn row(seconds: u64, held: &Held, work: &Work) -> String {
    let megabytes = |bytes: u64| figures::megabytes(bytes).trim_end_matches(" MB").to_owned();
    let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
    format!(
        "| {seconds} | {} | {} | {} | {} | {} | {} | {} | {} |",
        held.memory.map(megabytes).join(" "),
        held.descriptors.map(|number| number.to_string()).join(" "),
        held.store.keys,
        megabytes(held.store.memory),
        of(&work.opened),
        of(&work.ended),
        of(&work.abandoned),
        of(&work.tally.sent),
    )
}

/// What is held when all clients have gone, as soon as descriptors are back where they were, or half a minute later.
async fn rest(fleet: &mut Fleet, valkey: &Valkey, start: &Held) -> Result<Held> {
    let began = Instant::now();
    loop {
        let held = look(fleet, valkey).await?;
        let mut now = held.descriptors.iter().zip(&start.descriptors);
        if now.all(|(now, then)| now <= then) || began.elapsed() > Duration::from_secs(30) {
            return Ok(held);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// The last third against the second.
#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn judge(seen: &[Held]) -> Result<()> {
    let third = seen.len() / 3;
    let mut faults = Vec::new();
    let mut level = |what: String, of: &dyn Fn(&Held) -> u64| {
        let mean = |part: &[Held]| part.iter().map(of).sum::<u64>() as f64 / part.len() as f64;
        let (second, last) = (mean(&seen[third..third * 2]), mean(&seen[third * 2..]));
        let ratio = last / second;
        println!("{what}: {ratio:.3} × in the last third");
        if ratio > GROWTH {
            faults.push(what);
        }
    };
    for number in 0..INSTANCES {
        level(format!("memory of instance {number}"), &|held| {
            held.memory[number]
        });
        level(format!("descriptors of instance {number}"), &|held| {
            held.descriptors[number]
        });
    }
    level("keys".to_owned(), &|held| held.store.keys);
    level("memory of Valkey".to_owned(), &|held| held.store.memory);
    ensure!(faults.is_empty(), "these grew: {}", faults.join(", "));
    Ok(())
}
