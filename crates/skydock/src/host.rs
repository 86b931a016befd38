//! Where the parts meet: a handler and a configuration become one service, which runs on a runtime.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware};
use http::{HeaderName, HeaderValue, Method, header};
use rmcp::{RoleServer, ServerHandler, transport::IntoTransport};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;

use crate::{
    auth,
    changes::Changes,
    config::{Config, Mode, no_sessions},
    error::Error,
    guard::Guard,
    hosted::{Hosted, Listening, health},
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
        let signals = Signals::new()?;
        if let Some(address) = self.config.listen {
            return self.hosted().run_on(address, signals).await;
        }
        if let Some(lambda) = self.config.lambda.clone() {
            if self.config.mode == Mode::Stateful && self.config.sessions.is_memory() {
                return Err(no_sessions().into());
            }
            return self.hosted().run_in_lambda(lambda, signals).await;
        }
        let Assembly { guard, config, .. } = self.assemble();
        let handlers = handlers(&guard, &config.limits);
        runtime::stdio::serve(guard, handlers, signals).await
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
        self.hosted().listen(listener)
    }

    fn hosted(self) -> Hosted {
        let Assembly {
            guard,
            drain,
            router,
            sessions,
            config,
        } = self.assemble();
        Hosted {
            router,
            drain: drain.clone(),
            config,
            running: guard.running().clone(),
            function: None,
            ending: Box::new(move |stop, limits| {
                Box::pin(async move { end_when(&stop, &guard, &drain, &sessions, &limits).await })
            }),
            path: "/mcp",
        }
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
        let mcp = match config.auth.clone() {
            Some(auth) => mcp.layer(middleware::from_fn_with_state(auth, auth::admit)),
            None => mcp,
        };
        // a browser asks beforehand without a token
        let mcp = mcp.layer(cors(door));
        let router = health(mcp, &drain)
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
