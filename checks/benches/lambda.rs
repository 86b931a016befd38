//! What the pizza shop costs on AWS Lambda: ours, and others with the same tools, one after another in the same run.
//!
//! `checks/benches/lambda` builds all of them and runs this. The runtime API is the emulator's, on loopback, and nothing
//! is frozen; so the figures are those of the programs, and of this machine. What to read is the ratios.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends when something is wrong"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use checks::{processes, tools};
use serde_json::{Value, json};
use skydock_cli::emulate::function::{Function, Invocation, Outcome, Settings};

/// How often each program is started; the programs take turns.
const ROUNDS: usize = 15;
/// Calls before the measured ones: Node.js compiles what it sees often.
const WARM_UP: usize = 200;
/// Measured calls of one start.
const CALLS: usize = 300;
/// What each right answer has in it.
const RECEIPT: &str = "totalCents";

/// A program under measurement.
struct Peer {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<&'static str>,
    variables: Vec<(&'static str, String)>,
    streams: bool,
    /// What is put into the zip.
    shipped: PathBuf,
}

/// What one start of a program has cost.
#[derive(Debug, Clone)]
struct Run {
    /// From its start to its first poll.
    ready: Duration,
    /// From its start to its first answer.
    answered: Duration,
    /// Each measured call.
    calls: Vec<Duration>,
    /// Resident memory after them, in bytes.
    memory: u64,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let peers = peers();
    for peer in &peers {
        let program = peer.program.display();
        ensure!(
            peer.program.exists(),
            "{program} is missing; run checks/benches/lambda, which builds it"
        );
    }
    let mut runs: Vec<Vec<Run>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        for (peer, runs) in peers.iter().zip(&mut runs) {
            let run = peer.run().await;
            runs.push(run.with_context(|| format!("{} in round {round}", peer.name))?);
        }
        eprintln_progress(round);
    }
    println!("{ROUNDS} starts each, {CALLS} calls after {WARM_UP}; medians of the starts, calls pooled\n");
    println!(
        "| | start → first poll | start → first answer | call p50 | call p99 | memory | program | zip |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (peer, runs) in peers.iter().zip(&runs) {
        let (size, zip) = sizes(&peer.shipped)?;
        println!("{}", row(peer.name, runs, size, zip));
    }
    println!();
    bars(&peers, &runs)
}

/// Tells how far it is, on stderr.
fn eprintln_progress(round: usize) {
    use std::io::Write as _;
    let _closed = write!(std::io::stderr(), "\rround {round} of {ROUNDS} ");
}

fn peers() -> Vec<Peer> {
    let root = tools::workspace();
    let rivals = root.join("target/bench/rivals");
    let rust = |name, program: PathBuf, streams: bool, variables: &[(&'static str, &str)]| Peer {
        name,
        shipped: program.clone(),
        program,
        arguments: Vec::new(),
        variables: variables
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect(),
        streams,
    };
    let ours = root.join("target/release/pizza");
    let theirs = rivals.join("lambda-http/rival-lambda-http");
    let quiet = ("AWS_LAMBDA_LOG_LEVEL", "WARN");
    let no_stage = ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true");
    vec![
        rust(
            "skydock",
            ours.clone(),
            false,
            &[("SKYDOCK_LAMBDA_RESPONSE", "buffered")],
        ),
        rust(
            "skydock, streamed",
            ours,
            true,
            &[("SKYDOCK_LAMBDA_RESPONSE", "streamed")],
        ),
        rust("lambda_http + rmcp", theirs.clone(), false, &[quiet, no_stage]),
        rust(
            "lambda_http + rmcp, streamed",
            theirs,
            true,
            &[quiet, no_stage, ("RIVAL_STREAM", "1")],
        ),
        Peer {
            name: "Python, awslabs handler",
            program: rivals.join("python/bin/python"),
            arguments: vec!["-m", "awslambdaric", "pizza_shop.lambda_handler"],
            variables: Vec::new(),
            streams: false,
            shipped: rivals.join("python/lib"),
        },
        Peer {
            name: "Node.js, Web Adapter",
            program: rivals.join("node/start"),
            arguments: Vec::new(),
            variables: vec![("AWS_LWA_PORT", "18080".to_owned())],
            streams: false,
            shipped: rivals.join("node"),
        },
    ]
}

impl Peer {
    async fn run(&self) -> Result<Run> {
        let function = Function::new(Settings {
            name: "pizza".to_owned(),
            arn: "arn:aws:lambda:us-east-1:123456789012:function:pizza".to_owned(),
            program: self.program.clone().into(),
            arguments: self.arguments.iter().map(Into::into).collect(),
            variables: self.variables.clone(),
            timeout: Duration::from_secs(30),
            environments: 1,
            concurrency: 1,
            recycle: None,
            freezes: false,
            quiet: true,
        });
        let event = event(self.streams);
        let began = Instant::now();
        if let Err(failure) = function.warm().await {
            bail!("it does not start: {}", failure.explain());
        }
        let ready = began.elapsed();
        call(&function, &event, self.streams).await?;
        let answered = began.elapsed();
        for _ in 0..WARM_UP {
            call(&function, &event, self.streams).await?;
        }
        let mut calls = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let began = Instant::now();
            call(&function, &event, self.streams).await?;
            calls.push(began.elapsed());
        }
        let memory = processes::memory_below(std::process::id())?;
        function.end().await;
        Ok(Run {
            ready,
            answered,
            calls,
            memory,
        })
    }
}

/// One order, to its last byte.
async fn call(function: &Arc<Function>, event: &Value, streams: bool) -> Result<()> {
    let invocation = Invocation {
        event: event.to_string().into(),
        client_context: None,
        trace_id: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".to_owned(),
    };
    let body = match function.invoke(invocation).await {
        Outcome::Payload(payload) if !streams => payload.to_vec(),
        Outcome::Stream(mut stream) if streams => {
            let mut body = Vec::new();
            while let Some(piece) = stream.pieces.recv().await {
                match piece {
                    Ok(piece) => body.extend_from_slice(&piece),
                    Err(failure) => bail!("the stream broke off: {}", failure.explain()),
                }
            }
            body
        }
        other => bail!("not what was asked for: {other:?}"),
    };
    let text = String::from_utf8_lossy(&body);
    ensure!(text.contains(RECEIPT), "not a receipt: {text}");
    Ok(())
}

/// An order of two pizzas, as a REST API sends it, or a function URL where the answer is streamed.
fn event(streams: bool) -> Value {
    let arguments = json!({"shopId": "napoli", "pizza": "margherita", "quantity": 2, "address": "Street 1"});
    let params = json!({"name": "order-pizza", "arguments": arguments});
    let body = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}).to_string();
    let host = if streams {
        "a1b2c3d4e5.lambda-url.us-east-1.on.aws"
    } else {
        "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
    };
    let headers = json!({
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2025-06-18", "host": host,
    });
    if streams {
        return json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/mcp", "rawQueryString": "", "headers": headers,
            "requestContext": {
                "accountId": "anonymous", "apiId": "a1b2c3d4e5", "domainName": host, "domainPrefix": "a1b2c3d4e5",
                "http": {"method": "POST", "path": "/mcp", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"},
                "requestId": "1", "routeKey": "$default", "stage": "$default", "time": "25/Nov/2026:00:00:00 +0000", "timeEpoch": 1,
            },
            "body": body, "isBase64Encoded": false,
        });
    }
    let many: serde_json::Map<_, _> = headers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    json!({
        "resource": "/{proxy+}", "path": "/mcp", "httpMethod": "POST", "headers": headers, "multiValueHeaders": many,
        "queryStringParameters": null, "multiValueQueryStringParameters": null, "pathParameters": {"proxy": "mcp"},
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "a1b2c3d4e5", "domainName": host, "httpMethod": "POST", "path": "/prod/mcp",
            "identity": {"sourceIp": "127.0.0.1"}, "requestId": "1", "resourceId": "a1", "resourcePath": "/{proxy+}", "stage": "prod",
        },
        "body": body, "isBase64Encoded": false,
    })
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list of some thousands"
    )]
    let at = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[at]
}

fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    percentile(&values, 0.5)
}

fn pooled(runs: &[Run]) -> Vec<Duration> {
    let mut calls: Vec<_> = runs.iter().flat_map(|run| run.calls.iter().copied()).collect();
    calls.sort_unstable();
    calls
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

#[expect(clippy::cast_precision_loss, reason = "megabytes with one digit")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn row(name: &str, runs: &[Run], size: u64, zip: u64) -> String {
    let calls = pooled(runs);
    let memory = runs.iter().map(|run| run.memory).max().unwrap_or_default();
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} |",
        millis(median(runs.iter().map(|run| run.ready))),
        millis(median(runs.iter().map(|run| run.answered))),
        millis(percentile(&calls, 0.5)),
        millis(percentile(&calls, 0.99)),
        megabytes(memory),
        megabytes(size),
        megabytes(zip),
    )
}

/// How large it is, and how large when it is packed as tightly as gzip can, which is what a zip does too.
fn sizes(shipped: &Path) -> Result<(u64, u64)> {
    let folder = shipped.parent().context("it is in no folder")?;
    let name = shipped.file_name().context("it has no name")?;
    let count = |command: &str| -> Result<u64> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command, "sh"]).arg(folder).arg(name);
        let counted = shell.output()?;
        let text = String::from_utf8_lossy(&counted.stdout);
        text.trim()
            .parse()
            .with_context(|| format!("{command} printed {text:?}"))
    };
    // links are followed: what they lead to is shipped
    let size = count(r#"tar -C "$1" -chf - "$2" | wc -c"#)?;
    let zip = count(r#"tar -C "$1" -chf - "$2" | gzip -9 | wc -c"#)?;
    Ok((size, zip))
}

/// The bars of the project, held or not.
#[expect(clippy::cast_precision_loss, reason = "a ratio with two digits")]
fn bars(peers: &[Peer], runs: &[Vec<Run>]) -> Result<()> {
    let of = |name: &str| {
        let at = peers.iter().position(|peer| peer.name == name);
        at.map(|at| &runs[at])
            .with_context(|| format!("{name} was not measured"))
    };
    let (buffered, streamed, theirs) = (
        of("skydock")?,
        of("skydock, streamed")?,
        of("lambda_http + rmcp")?,
    );
    let p50 = |runs: &[Run]| percentile(&pooled(runs), 0.5);
    let apart = p50(streamed).as_secs_f64() - p50(buffered).as_secs_f64();
    let start = |runs: &[Run]| median(runs.iter().map(|run| run.answered)).as_secs_f64();
    let ratio = start(buffered) / start(theirs);
    let (_, zip) = sizes(&peers[0].shipped)?;
    let verdict = |held: bool| if held { "held" } else { "NOT HELD" };
    println!(
        "streamed p50 - buffered p50 = {:.2} ms, bar 1 ms: {}",
        apart * 1e3,
        verdict(apart <= 1e-3)
    );
    println!(
        "start to first answer = {ratio:.2} x lambda_http + rmcp, bar 1.15 x: {}",
        verdict(ratio <= 1.15)
    );
    println!(
        "zip = {:.2} MB, bar 4 MB: {}",
        zip as f64 / 1e6,
        verdict(zip < 4_000_000)
    );
    Ok(())
}
