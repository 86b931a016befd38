//! What an agent adds to a model: ours and one on Strands, with the same scripted model behind the OpenAI protocol and the
//! same MCP server, in turns in the same run.
//!
//! `checks/benches/agent` builds both and runs this. Everything is a process of its own on loopback, except the scripted
//! model, which is in this one. What to read is the ratios.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, and ends when something is wrong"
)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use axum::{Json, Router, http::header, response::IntoResponse, routing::post};
use checks::{
    figures::{self, median, millis, percentile},
    program::{self, Program},
    scratch::Scratch,
    tools,
};
use clap::Parser;
use futures::{StreamExt as _, future::join_all};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Turns before the measured ones.
const WARM_UP: usize = 20;
/// Measured turns one after another, of each kind.
const TURNS: usize = 200;
/// Conversations that talk at once.
const CROWD: usize = 16;
/// For how long they do.
const THRONG: Duration = Duration::from_secs(3);
/// Conversations that are kept to see what each costs.
const KEPT: usize = 200;
/// The words of an answer, each an event of its own.
const WORDS: [&str; 8] = [
    "These ", "are ", "the ", "cars ", "you ", "can ", "rent ", "today.",
];

/// The calls that the model has wanted; each has an id of its own.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Measures what an agent adds.
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

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Skydock,
    Strands,
}

/// What it has cost.
#[derive(Debug, Default)]
struct Cost {
    first: Vec<Duration>,
    plain: Vec<Duration>,
    tool: Vec<Duration>,
    per_second: Vec<f64>,
    memory: Vec<f64>,
    whole: Vec<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let model = format!("http://{}/v1", listener.local_addr()?);
    let serving = tokio::spawn(async move { axum::serve(listener, scripted()).await });
    let share = if arguments.quick { 10 } else { 1 };
    println!("load before: {}", figures::load());
    let bare = bare(&model, TURNS / share).await?;
    let mut costs = [Cost::default(), Cost::default()];
    for turn in 0..arguments.turns {
        let mut order = [Peer::Skydock, Peer::Strands];
        order.rotate_left(turn % 2);
        for peer in order {
            let cost = &mut costs[peer as usize];
            let measured = cost.measure(peer, &model, share).await;
            measured.with_context(|| format!("{peer:?} in turn {turn}"))?;
        }
    }
    serving.abort();
    println!("load after: {}\n", figures::load());
    report(bare, &costs);
    Ok(())
}

/// The model: it calls a tool when the user says so, and otherwise says the same words, with nothing between them.
fn scripted() -> Router {
    Router::new().route("/v1/chat/completions", post(complete))
}

async fn complete(Json(request): Json<Value>) -> impl IntoResponse {
    let last = request["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .cloned();
    let last = last.unwrap_or_default();
    let wants_tool = last["role"] == "user" && last["content"].to_string().contains("look");
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "script",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    if wants_tool {
        let call = json!({"index": 0, "id": format!("call_{}", CALLS.fetch_add(1, Ordering::Relaxed)), "type": "function",
            "function": {"name": "get-available-cars", "arguments": "{}"}});
        chunks.push(chunk(json!({"tool_calls": [call]}), Value::Null));
        chunks.push(chunk(json!({}), "tool_calls".into()));
    } else {
        chunks.extend(WORDS.map(|word| chunk(json!({"content": word}), Value::Null)));
        chunks.push(chunk(json!({}), "stop".into()));
    }
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18});
    chunks.push(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "script", "choices": [], "usage": usage}));
    let mut body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    body.push_str("data: [DONE]\n\n");
    ([(header::CONTENT_TYPE, "text/event-stream")], body)
}

/// What the model itself takes, asked without an agent.
async fn bare(model: &str, turns: usize) -> Result<Duration> {
    let client = Client::new();
    let mut times = Vec::new();
    for _ in 0..turns {
        let began = Instant::now();
        let body =
            json!({"model": "script", "stream": true, "messages": [{"role": "user", "content": "hello"}]});
        let answer = client
            .post(format!("{model}/chat/completions"))
            .json(&body)
            .send()
            .await?;
        let mut stream = answer.bytes_stream();
        stream.next().await.context("no answer")??;
        times.push(began.elapsed());
        while stream.next().await.is_some() {}
    }
    Ok(median(&times))
}

/// A running agent.
struct Agent {
    peer: Peer,
    program: Program,
    client: Client,
    _bookings: Program,
    _scratch: Scratch,
}

impl Agent {
    async fn start(peer: Peer, model: &str) -> Result<Self> {
        let root = tools::workspace();
        let scratch = Scratch::new(&format!("bench-{peer:?}"))?;
        let flags = ["--store", "memory", "--consent", "host"];
        let bookings = Program::serve(&root.join("target/measuring/bookings"), &flags).await?;
        let (folder, mcp) = (scratch.path().to_path_buf(), bookings.mcp());
        let binary = match peer {
            Peer::Skydock => root.join("target/measuring/skydock"),
            Peer::Strands => root.join("target/bench/rivals/strands/bin/python"),
        };
        ensure!(
            binary.exists(),
            "{} is missing; run checks/benches/agent, which builds it",
            binary.display()
        );
        let command = |addr: SocketAddr| command(peer, &binary, addr, (model, &mcp, &folder));
        Ok(Self {
            peer,
            program: Program::start(command, "/readyz").await?,
            client: Client::new(),
            _bookings: bookings,
            _scratch: scratch,
        })
    }

    /// Takes a turn; gives the time to the first word and to the end.
    async fn turn(&self, session: &str, words: &str) -> Result<(Duration, Duration)> {
        let began = Instant::now();
        let (path, body) = match self.peer {
            Peer::Skydock => (
                format!("/api/conversations/{session}/turns"),
                json!({ "say": words }),
            ),
            Peer::Strands => ("/turn".to_owned(), json!({ "session": session, "say": words })),
        };
        let answer = self
            .client
            .post(self.program.url(&path))
            .json(&body)
            .send()
            .await?;
        ensure!(answer.status().is_success(), "it answered {}", answer.status());
        let mut stream = answer.bytes_stream();
        let (mut first, mut text) = (None, String::new());
        while let Some(bytes) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&bytes?));
            if first.is_none() && text.contains(WORDS[0].trim()) {
                first = Some(began.elapsed());
            }
        }
        ensure!(text.contains(WORDS[7]), "the answer is {text}");
        Ok((first.context("no word came")?, began.elapsed()))
    }
}

fn command(
    peer: Peer,
    binary: &Path,
    addr: SocketAddr,
    (model, mcp, folder): (&str, &str, &Path),
) -> tokio::process::Command {
    let mut command = program::command(binary);
    match peer {
        Peer::Skydock => command
            .args(["agent", "serve", "--listen", &addr.to_string(), "--server", mcp])
            .args(["--model", &format!("openai:{model}#script")])
            .args([
                "--store",
                &format!("sqlite:{}", folder.join("agent.sqlite").display()),
            ])
            .env("SKYDOCK_LOG", "error"),
        Peer::Strands => command
            .arg(tools::workspace().join("target/bench/rivals/strands/agent.py"))
            .args([&addr.port().to_string(), model, mcp])
            .arg(folder),
    };
    command
}

impl Cost {
    async fn measure(&mut self, peer: Peer, model: &str, share: usize) -> Result<()> {
        let agent = Agent::start(peer, model).await?;
        for _ in 0..WARM_UP {
            agent.turn("warm", "look").await?;
        }
        // a new conversation for every ten turns: they are long enough then, and not what is measured
        for turn in 0..TURNS / share {
            let session = format!("alone{}", turn / 10);
            let (first, whole) = agent.turn(&session, "hello").await?;
            self.first.push(first);
            self.plain.push(whole);
            let (_, whole) = agent.turn(&session, "look").await?;
            self.tool.push(whole);
        }
        let turns = Arc::new(AtomicUsize::new(0));
        let until = Instant::now() + THRONG / u32::try_from(share)?;
        let talks = (0..CROWD).map(|number| {
            let (agent, turns) = (&agent, Arc::clone(&turns));
            async move {
                let mut turn = 0;
                while Instant::now() < until {
                    agent
                        .turn(&format!("crowd{number}-{}", turn / 10), "look")
                        .await?;
                    turns.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
                Ok::<_, anyhow::Error>(())
            }
        });
        let began = Instant::now();
        join_all(talks).await.into_iter().collect::<Result<Vec<_>>>()?;
        self.per_second
            .push(turns.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64());
        self.keep(peer, model, KEPT / share).await
    }

    /// What conversations cost that have had two turns each.
    async fn keep(&mut self, peer: Peer, model: &str, kept: usize) -> Result<()> {
        let agent = Agent::start(peer, model).await?;
        for _ in 0..WARM_UP {
            agent.turn("warm", "look").await?;
        }
        let before = agent.program.memory()?;
        for number in 0..kept {
            agent.turn(&format!("kept{number}"), "look").await?;
            agent.turn(&format!("kept{number}"), "hello").await?;
        }
        let after = agent.program.memory()?;
        self.memory
            .push(after.saturating_sub(before) as f64 / kept as f64);
        self.whole.push(before as f64);
        Ok(())
    }
}

fn report(bare: Duration, costs: &[Cost; 2]) {
    println!(
        "the model itself, asked without an agent: first words after {}\n",
        millis(bare)
    );
    println!(
        "| | first words p50 | p99 | a turn p50 | a turn with a tool p50 | p99 | turns/s, {CROWD} at once | memory at rest | of a conversation |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, cost) in ["skydock", "Strands"].iter().zip(costs) {
        println!(
            "| {name} | {} | {} | {} | {} | {} | {:.0} | {} | {} |",
            millis(median(&cost.first)),
            millis(percentile(&cost.first, 0.99)),
            millis(median(&cost.plain)),
            millis(median(&cost.tool)),
            millis(percentile(&cost.tool, 0.99)),
            median(&cost.per_second),
            figures::kilobytes(median(&cost.whole)),
            figures::kilobytes(median(&cost.memory)),
        );
    }
    let ratio = |ours: f64, theirs: f64| format!("{:.2} ×", ours / theirs);
    let time = |times: &[Duration]| median(times).as_secs_f64();
    let [ours, theirs] = costs;
    println!(
        "\n| skydock : Strands | {} | | {} | {} | | {} | {} | {} |",
        ratio(time(&ours.first), time(&theirs.first)),
        ratio(time(&ours.plain), time(&theirs.plain)),
        ratio(time(&ours.tool), time(&theirs.tool)),
        ratio(median(&ours.per_second), median(&theirs.per_second)),
        ratio(median(&ours.whole), median(&theirs.whole)),
        ratio(median(&ours.memory), median(&theirs.memory)),
    );
}
