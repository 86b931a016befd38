//! Where the parts meet: a handler and a configuration become one service, which runs on a runtime.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use http::{HeaderName, HeaderValue, Method, header};
use rmcp::{RoleServer, ServerHandler, transport::IntoTransport};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;

use crate::{
    changes::Changes,
    config::{Config, Lambda, LambdaResponse, Mode, no_sessions},
    error::Error,
    guard::Guard,
    limits::Limits,
    runtime::{self, Drain, Signals},
    service::{Door, Service},
    sessions::Sessions,
};

/// A handler, ready to run anywhere.
///
/// The handler is built once and shared by all sessions and requests, so that it behaves the same on stdio, on HTTP
/// in every mode, and on Lambda. What belongs to one caller belongs in a store, not in the handler.
#[derive(Debug)]
pub struct Host<H> {
    handler: H,
    config: Config,
    changes: Changes,
}

/// The parts that a running host shares with its runtime.
struct Assembly<H: ServerHandler> {
    guard: Guard<H>,
    drain: Drain,
    router: Router,
    sessions: Arc<Sessions>,
    config: Config,
}

impl<H: ServerHandler> Host<H> {
    /// A host of `handler` with the default configuration: stdio.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            config: Config::default(),
            changes: Changes::default(),
        }
    }

    /// What tells clients that something has changed, for those who have no request to take it from.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// The same host with another configuration.
    #[must_use]
    pub fn with(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The HTTP side as a router: MCP at `/mcp`, health at `/livez`, `/readyz` and `/ping`. For those who compose,
    /// and for tests without a socket. Must be called within a tokio runtime.
    pub fn router(self) -> Router {
        self.assemble().router
    }

    /// As [`router`](Self::router), for those who run their own listener: when `stop` is cancelled the service refuses
    /// new work, delivers its answers and ends its streams, within the grace period. The future ends with that; stop
    /// listening then.
    pub fn router_until(self, stop: CancellationToken) -> (Router, impl Future<Output = ()> + Send) {
        let Assembly {
            guard,
            drain,
            router,
            sessions,
            config,
        } = self.assemble();
        let ended = async move { end_when(&stop, &guard, &drain, &sessions, &config.limits).await };
        (router, ended)
    }

    /// Runs on the runtime that the configuration names, until the client or a signal ends it.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the client on stdio does not speak MCP.
    pub async fn run(self) -> Result<(), Error> {
        let mut signals = Signals::new()?;
        let Some(address) = self.config.listen else {
            if let Some(lambda) = self.config.lambda.clone() {
                return self.run_in_lambda(lambda, signals).await;
            }
            let Assembly { guard, config, .. } = self.assemble();
            let handlers = handlers(&guard, &config.limits);
            return runtime::stdio::serve(guard, handlers, signals).await;
        };
        let listener = runtime::http::bind(address).await?;
        let mut listening = self.listen(listener)?;
        tracing::info!(
            url = listening.url(),
            mode = listening.mode,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        let signal = tokio::select! {
            signal = signals.next() => signal,
            () = listening.wait() => return Ok(()),
        };
        tracing::info!(signal, "stopping; a second signal ends at once");
        tokio::select! {
            () = listening.stop() => {}
            signal = signals.next() => tracing::warn!(signal, "ended at once"),
        }
        Ok(())
    }

    /// Answers invocations of AWS Lambda until the environment is shut down.
    async fn run_in_lambda(self, lambda: Lambda, mut signals: Signals) -> Result<(), Error> {
        if self.config.mode == Mode::Stateful && self.config.sessions.is_memory() {
            return Err(no_sessions().into());
        }
        let api = runtime::lambda::Api::read(&lambda.api)?;
        let Assembly {
            guard,
            drain,
            router,
            sessions,
            config,
        } = self.assemble();
        let mut limits = config.limits;
        // instances that Lambda manages are not killed as fast as its own environments
        if lambda.concurrency == 1 {
            limits.grace = limits.grace.min(runtime::lambda::SHUTDOWN);
        }
        let settings = runtime::lambda::Settings {
            api,
            streams: lambda.response == LambdaResponse::Streamed,
            concurrency: lambda.concurrency,
            running: guard.running().clone(),
        };
        tracing::debug!(
            mode = config.mode.as_str(),
            version = env!("CARGO_PKG_VERSION"),
            "in Lambda"
        );
        let stop = CancellationToken::new();
        let mut serving = std::pin::pin!(runtime::lambda::serve(router, settings, stop.clone()));
        let signal = tokio::select! {
            ended = &mut serving => return ended,
            signal = signals.next() => signal,
        };
        tracing::info!(signal, "the environment is shut down");
        stop.cancel();
        // answers that are being worked on get out meanwhile; a poller that has none ends at once
        let ending = end_when(&stop, &guard, &drain, &sessions, &limits);
        let (ended, ()) = tokio::join!(tokio::time::timeout(limits.grace, serving), ending);
        ended.unwrap_or(Ok(()))
    }

    /// Serves one client on a transport of rmcp's, such as a pair of pipes, until it goes away.
    ///
    /// # Errors
    /// When the client does not open the connection as MCP asks.
    pub async fn serve<T, E, A>(self, transport: T) -> Result<(), Error>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let Assembly { guard, config, .. } = self.assemble();
        let handlers = handlers(&guard, &config.limits);
        runtime::stdio::serve_on(guard, transport, handlers).await
    }

    /// Serves HTTP on a listener that is bound already, in the background.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn listen(self, listener: TcpListener) -> Result<Listening, Error> {
        let address = listener.local_addr().map_err(|source| Error::System {
            doing: "tell the address of the listener",
            source,
        })?;
        let Assembly {
            guard,
            drain,
            router,
            sessions,
            config,
        } = self.assemble();
        let mode = config.mode.as_str();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::join!(
                    runtime::http::serve(listener, router, drain.clone(), config.limits.clone()),
                    end_when(&stop, &guard, &drain, &sessions, &config.limits),
                );
            }
        });
        Ok(Listening {
            address,
            mode,
            stop,
            task: Some(task),
        })
    }

    fn assemble(self) -> Assembly<H> {
        let Self {
            handler,
            config,
            changes,
        } = self;
        // in Lambda nothing goes on while an environment is frozen, and a subscription would hold one
        let lasts = config.lambda.is_none() || config.listen.is_some();
        let guard = Guard::new(handler, config.limits.clone(), &config.state_keys, changes, lasts);
        let drain = Drain::default();
        let door = Door::new(&config.hosts, &config.origins);
        let store = config.sessions.store(config.limits.sessions);
        let service = Service::new(guard.clone(), &config, store, drain.clone(), door.clone());
        let sessions = service.sessions();
        let mcp = axum::routing::any(move |request: axum::extract::Request| async move {
            service.handle(request).await
        });
        let mcp = Router::new().route("/mcp", mcp);
        let mcp = mcp.layer(cors(door));
        let router = mcp
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready).with_state(drain.clone()))
            .route("/ping", get(ping).with_state(drain.clone()))
            .fallback(|| async { (StatusCode::NOT_FOUND, "nothing is served here; MCP is at /mcp\n") });
        Assembly {
            guard,
            drain,
            router,
            sessions,
            config,
        }
    }
}

fn handlers<H: ServerHandler>(guard: &Guard<H>, limits: &Limits) -> runtime::stdio::Handlers {
    runtime::stdio::Handlers {
        stop: guard.stop().clone(),
        running: guard.running().clone(),
        grace: limits.grace,
    }
}

/// When `stop` is cancelled, ends in order: no new work, then the answers that are being worked on, then the streams, then what winds up.
async fn end_when<H: ServerHandler>(
    stop: &CancellationToken,
    guard: &Guard<H>,
    drain: &Drain,
    sessions: &Sessions,
    limits: &Limits,
) {
    stop.cancelled().await;
    drain.run(limits.grace, limits.linger, guard.stop()).await;
    guard.stop().cancel();
    guard.running().close();
    if tokio::time::timeout_at(drain.deadline(), guard.running().wait())
        .await
        .is_err()
    {
        tracing::warn!("handlers were still at work at the end of the grace period");
    }
    // from now on nobody is to wait for anything from here
    sessions.retire().await;
}

/// Whether a load balancer should send requests here.
async fn ready(State(drain): State<Drain>) -> (StatusCode, &'static str) {
    if drain.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

/// The health check of Bedrock AgentCore.
async fn ping(State(drain): State<Drain>) -> ([(HeaderName, &'static str); 1], &'static str) {
    let body = if drain.is_draining() {
        r#"{"status":"HealthyBusy"}"#
    } else {
        r#"{"status":"Healthy"}"#
    };
    ([(header::CONTENT_TYPE, "application/json")], body)
}

fn cors(door: Door) -> CorsLayer {
    let may_read =
        move |origin: &HeaderValue, request: &http::request::Parts| door.may_read(origin, &request.headers);
    CorsLayer::new()
        .allow_origin(tower_http::cors::AllowOrigin::predicate(may_read))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // `Mcp-Param-*` is an open set, so what the page asks for is mirrored
        .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("mcp-session-id"),
            HeaderName::from_static("mcp-protocol-version"),
            header::WWW_AUTHENTICATE,
            header::RETRY_AFTER,
        ])
        .max_age(Duration::from_secs(3_600))
}

/// A host that serves HTTP in the background. [`Listening::stop`] drains it; dropping it closes the address and all
/// connections at once.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    mode: &'static str,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Listening {
    /// The address that is listened on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where MCP is spoken.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Stops: no new work, then what is being worked on is answered, then the streams end; at most for the grace
    /// period of the configuration.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.wait().await;
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When the listener did, which is a fault of this library.
    pub async fn wait(&mut self) {
        let Some(task) = &mut self.task else { return };
        let ended = task.await;
        self.task = None;
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
