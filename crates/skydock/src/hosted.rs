//! A service on a runtime, whatever the service is: on an address or in AWS Lambda, until it is told to end.

use std::net::SocketAddr;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use futures::future::BoxFuture;
use http::{HeaderName, header};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Lambda, LambdaResponse},
    error::Error,
    limits::Limits,
    runtime::{self, Drain, Signals},
};

/// Ends a service in order when the token is cancelled, within the limits.
pub(crate) type Ending = Box<dyn FnOnce(CancellationToken, Limits) -> BoxFuture<'static, ()> + Send>;

/// A service, and how it ends.
pub(crate) struct Hosted {
    pub(crate) router: Router,
    pub(crate) drain: Drain,
    pub(crate) config: Config,
    /// What is at work beside the answers.
    pub(crate) running: TaskTracker,
    pub(crate) ending: Ending,
    /// What answers events of AWS Lambda that are no request.
    pub(crate) function: Option<runtime::lambda::Values>,
    /// Where clients are to go.
    pub(crate) path: &'static str,
}

impl Hosted {
    /// Listens on an address until a signal ends it.
    pub(crate) async fn run_on(self, address: SocketAddr, mut signals: Signals) -> Result<(), Error> {
        let mode = self.config.mode.as_str();
        let listener = runtime::http::bind(address).await?;
        let mut listening = self.listen(listener)?;
        tracing::info!(
            url = listening.url(),
            mode,
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
    pub(crate) async fn run_in_lambda(self, lambda: Lambda, mut signals: Signals) -> Result<(), Error> {
        let api = runtime::lambda::Api::read(&lambda.api)?;
        let mut limits = self.config.limits;
        // instances that Lambda manages are not killed as fast as its own environments
        if lambda.concurrency == 1 {
            limits.grace = limits.grace.min(runtime::lambda::SHUTDOWN);
        }
        let settings = runtime::lambda::Settings {
            api,
            streams: lambda.response == LambdaResponse::Streamed,
            concurrency: lambda.concurrency,
            running: self.running,
            function: self.function,
        };
        tracing::debug!(
            mode = self.config.mode.as_str(),
            version = env!("CARGO_PKG_VERSION"),
            "in Lambda"
        );
        let stop = CancellationToken::new();
        let mut serving = std::pin::pin!(runtime::lambda::serve(self.router, settings, stop.clone()));
        let signal = tokio::select! {
            ended = &mut serving => return ended,
            signal = signals.next() => signal,
        };
        tracing::info!(signal, "the environment is shut down");
        stop.cancel();
        // answers that are being worked on get out meanwhile; a poller that has none ends at once
        let grace = limits.grace;
        let ending = (self.ending)(stop, limits);
        let (ended, ()) = tokio::join!(tokio::time::timeout(grace, serving), ending);
        ended.unwrap_or(Ok(()))
    }

    /// Serves HTTP on a listener that is bound already, in the background.
    pub(crate) fn listen(self, listener: TcpListener) -> Result<Listening, Error> {
        let address = listener.local_addr().map_err(|source| Error::System {
            doing: "tell the address of the listener",
            source,
        })?;
        let stop = CancellationToken::new();
        let limits = self.config.limits;
        let ending = (self.ending)(stop.clone(), limits.clone());
        let serving = runtime::http::serve(listener, self.router, self.drain, limits);
        let task = tokio::spawn(async move {
            tokio::join!(serving, ending);
        });
        Ok(Listening {
            address,
            path: self.path,
            stop,
            task: Some(task),
        })
    }
}

/// The health of a service, for balancers and platforms.
pub(crate) fn health(router: Router, drain: &Drain) -> Router {
    router
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(drain.clone()))
        .route("/ping", get(ping).with_state(drain.clone()))
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

/// A host that serves HTTP in the background. [`Listening::stop`] drains it; dropping it closes the address and all
/// connections at once.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    path: &'static str,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Listening {
    /// The address that is listened on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where clients are to go: where MCP is spoken, or the page of a [`Site`](crate::Site).
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
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
