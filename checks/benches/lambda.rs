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
use checks::{
    figures::{median, megabytes, millis, percentile},
    processes, tools,
};
use serde_json::{Value, json};
use skydock_cli::emulate::function::{Function, Invocation, Outcome, Settings};

/// How often each program is started to see how long that takes; they take turns.
const STARTS: usize = 60;
/// How often each program is started to be called.
const ROUNDS: usize = 5;
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

/// What a program has cost.
#[derive(Debug, Clone, Default)]
struct Cost {
    /// From each start to its first poll.
    ready: Vec<Duration>,
    /// From each start to its first answer.
    answered: Vec<Duration>,
    /// Each measured call.
    calls: Vec<Duration>,
    /// Resident memory after them, in bytes, at the most.
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
    let mut costs = vec![Cost::default(); peers.len()];
    let turns = (0..STARTS)
        .map(|turn| (turn, 0))
        .chain((0..ROUNDS).map(|turn| (STARTS + turn, CALLS)));
    for (turn, calls) in turns {
        tell(&format!("turn {} of {}", turn + 1, STARTS + ROUNDS));
        for at in order(turn, peers.len()) {
            let (peer, cost) = (&peers[at], &mut costs[at]);
            let ran = async {
                if calls == 0 {
                    // one start that does not count, so that none pays for the program before it
                    peer.run(&mut Cost::default(), 0).await?;
                }
                peer.run(cost, calls).await
            };
            ran.await
                .with_context(|| format!("{} in turn {turn}", peer.name))?;
        }
    }
    println!("{STARTS} starts, medians; {ROUNDS} times {CALLS} calls after {WARM_UP}, pooled\n");
    println!(
        "| | start → first poll | start → first answer | call p50 | call p99 | memory | program | zip |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (peer, cost) in peers.iter().zip(&costs) {
        let (size, zip) = sizes(&peer.shipped)?;
        println!("{}", row(peer.name, cost, size, zip));
    }
    println!();
    bars(&peers, &costs)
}

/// Who comes after whom, another way each turn: what one leaves to the next should not fall on the same one always.
fn order(turn: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(turn % count);
    if turn / count % 2 == 1 {
        order.reverse();
    }
    order
}

/// Tells how far it is, on stderr.
fn tell(line: &str) {
    use std::io::Write as _;
    let _closed = write!(std::io::stderr(), "\r{line} ");
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
    let (log, quiet) = (("SKYDOCK_LOG", "warn"), ("AWS_LAMBDA_LOG_LEVEL", "WARN"));
    let no_stage = ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true");
    vec![
        rust(
            "skydock",
            ours.clone(),
            false,
            &[log, ("SKYDOCK_LAMBDA_RESPONSE", "buffered")],
        ),
        rust(
            "skydock, streamed",
            ours,
            true,
            &[log, ("SKYDOCK_LAMBDA_RESPONSE", "streamed")],
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
    /// Starts it, and measures the start, or so many calls.
    async fn run(&self, cost: &mut Cost, calls: usize) -> Result<()> {
        let function = Function::new(Settings {
            name: "pizza".to_owned(),
            arn: "arn:aws:lambda:us-east-1:123456789012:function:pizza".to_owned(),
            program: self.program.clone().into(),
            arguments: self.arguments.iter().map(Into::into).collect(),
            variables: self.variables.clone(),
            takes: |_name| true,
            timeout: Duration::from_secs(30),
            environments: 1,
            in_turn: false,
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
        if calls == 0 {
            cost.ready.push(ready);
            cost.answered.push(began.elapsed());
        }
        for _ in 0..WARM_UP.min(calls) {
            call(&function, &event, self.streams).await?;
        }
        for _ in 0..calls {
            let began = Instant::now();
            call(&function, &event, self.streams).await?;
            cost.calls.push(began.elapsed());
        }
        cost.memory = cost.memory.max(processes::memory_below(std::process::id())?);
        function.end().await;
        Ok(())
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

fn row(name: &str, cost: &Cost, size: u64, zip: u64) -> String {
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} |",
        millis(median(&cost.ready)),
        millis(median(&cost.answered)),
        millis(median(&cost.calls)),
        millis(percentile(&cost.calls, 0.99)),
        megabytes(cost.memory),
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
    // links are followed: what they lead to is shipped; Lambda brings Node.js itself
    let tar = r#"tar -C "$1" --exclude "node-linux-*" --exclude "node/node" --exclude ".bin" -chf - "$2""#;
    let size = count(&format!("{tar} | wc -c"))?;
    let zip = count(&format!("{tar} | gzip -9 | wc -c"))?;
    Ok((size, zip))
}

/// The bars of the project, held or not.
#[expect(clippy::cast_precision_loss, reason = "a ratio with two digits")]
fn bars(peers: &[Peer], costs: &[Cost]) -> Result<()> {
    let of = |name: &str| {
        let at = peers.iter().position(|peer| peer.name == name);
        at.map(|at| &costs[at])
            .with_context(|| format!("{name} was not measured"))
    };
    let (buffered, streamed, theirs) = (
        of("skydock")?,
        of("skydock, streamed")?,
        of("lambda_http + rmcp")?,
    );
    let p50 = |values: &[Duration]| median(values).as_secs_f64();
    let apart = p50(&streamed.calls) - p50(&buffered.calls);
    let ratio = p50(&buffered.answered) / p50(&theirs.answered);
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
