//! What a stateless `tools/call` costs in Skydock and in rmcp's own HTTP service, in one process, without sockets.
//!
//! `cargo bench -p skydock`. The two take turns, so a noisy machine disturbs both; the figure to read is the ratio.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends when something is wrong"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use rmcp::{
    ServerHandler,
    handler::server::router::tool::ToolRouter,
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use skydock::{Config, Host, Mode};
use tower::ServiceExt;

#[derive(Debug, Clone)]
struct Server {
    tools: ToolRouter<Self>,
}

#[tool_router]
impl Server {
    #[tool(description = "answers")]
    async fn ping(&self) -> String {
        "pong".to_owned()
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Server {}

const LEGACY: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","arguments":{}}}"#;
const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#;

fn request(modern: bool) -> Request<Body> {
    let request = Request::post("/mcp")
        .header("host", "127.0.0.1:8000")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let request = if modern {
        request
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "ping")
    } else {
        request.header("mcp-protocol-version", "2025-06-18")
    };
    request
        .body(Body::from(if modern { MODERN } else { LEGACY }))
        .expect("a request")
}

/// The time of `calls` calls, each checked for the right answer.
async fn run(router: &axum::Router, modern: bool, calls: u32) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        let response = router.clone().oneshot(request(modern)).await.expect("a response");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert!(body.windows(4).any(|window| window == b"pong"), "{body:?}");
    }
    started.elapsed()
}

/// rmcp as a host would best use it: the router built once, the server shared.
fn rmcp(mode: Mode, server: &Arc<Server>) -> axum::Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(mode == Mode::Json);
    let server = Arc::clone(server);
    let service = StreamableHttpService::new(
        move || Ok(Arc::clone(&server)),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    axum::Router::new().route_service("/mcp", service)
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

// one thread: with more, rmcp's tasks would be measured by what it takes to wake another core
#[tokio::main(flavor = "current_thread")]
async fn main() {
    // for `valgrind --tool=callgrind`: one service only, or "none" for what starting costs
    let only = std::env::args().find_map(|argument| argument.strip_prefix("--only=").map(str::to_owned));
    let server = Arc::new(Server {
        tools: Server::tool_router(),
    });
    println!(
        "{:<12}{:<12}{:>12}{:>12}{:>8}",
        "mode", "protocol", "rmcp", "skydock", "ratio"
    );
    for mode in [Mode::Json, Mode::Stateless] {
        let mut config = Config::default();
        config.mode = mode;
        let ours = Host::new((*server).clone()).with(config).router();
        let theirs = rmcp(mode, &server);
        for (modern, protocol) in [(false, "2025-06-18"), (true, "2026-07-28")] {
            let (rounds, calls) = if only.is_some() { (1, 1_000) } else { (15, 2_000) };
            let (mut rmcp, mut skydock) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                for (name, router, samples) in
                    [("rmcp", &theirs, &mut rmcp), ("skydock", &ours, &mut skydock)]
                {
                    if only.as_deref().is_none_or(|only| only == name) {
                        samples.push(run(router, modern, calls).await.as_secs_f64() * 1e6 / f64::from(calls));
                    }
                }
            }
            let (rmcp, skydock) = (median(&mut rmcp), median(&mut skydock));
            let (mode, ratio) = (mode.as_str(), rmcp / skydock);
            println!("{mode:<12}{protocol:<12}{rmcp:>9.1} µs{skydock:>9.1} µs{ratio:>7.1}x");
        }
    }
}
