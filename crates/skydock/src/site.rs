//! A service that is no MCP server, on the same runtimes: a web page and its API on an address, or in AWS Lambda.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::header;
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth,
    config::{Config, Flags},
    error::{Error, Faults},
    hosted::{Hosted, Listening, health},
    passage::Passage,
    runtime::{
        Drain, Signals,
        drain::hold,
        lambda::{Function, Values},
    },
    service::{Door, Rejection},
    telemetry,
};

/// When the platform stops waiting for the answer to a request; in the extensions of requests whose platform says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// A router that is hosted as an MCP server is: its `Host` and `Origin` are checked, requests are bounded in number and
/// size, tokens are asked for when an issuer is trusted, `/livez`, `/readyz` and `/ping` answer, and a shutdown waits for the answers that are being worked on.
#[derive(Debug)]
pub struct Site {
    router: Router,
    config: Config,
    stop: CancellationToken,
    work: TaskTracker,
    published: Router,
    function: Option<Values>,
}

/// What a request has to pass.
#[derive(Clone)]
struct Gate {
    door: Door,
    drain: Drain,
    requests: Arc<Semaphore>,
}

impl Site {
    /// A site with nowhere to listen yet.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self {
            router,
            config: Config::default(),
            stop: CancellationToken::new(),
            work: TaskTracker::new(),
            published: Router::new(),
            function: None,
        }
    }

    /// The same with another configuration.
    #[must_use]
    pub fn with(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// The same, and this token is cancelled when what is being worked on has to come to its end: a shutdown has begun,
    /// and most of its time is over.
    #[must_use]
    pub fn with_stop(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// The same, and a shutdown waits for these tasks too, which go on when the answer that they were for has no reader any
    /// more. In AWS Lambda, an invocation does.
    #[must_use]
    pub fn with_work(self, work: TaskTracker) -> Self {
        Self { work, ..self }
    }

    /// The same with what is for everybody, whoever is trusted to say who calls: no token is asked for there.
    #[must_use]
    pub fn with_published(self, published: Router) -> Self {
        Self { published, ..self }
    }

    /// The same, and in AWS Lambda this answers what is no request of a door: events of a schedule or a queue, and what
    /// the function is invoked with by itself.
    #[must_use]
    pub fn with_function(self, function: impl Function) -> Self {
        Self {
            function: Some(Values::new(function)),
            ..self
        }
    }

    /// Reads flags and environment, starts the log, and runs the site that `build` makes.
    ///
    /// # Errors
    /// All that is wrong with the flags at once; or the address cannot be listened on.
    pub async fn serve(
        flags: &Flags,
        build: impl AsyncFnOnce(&Config) -> Result<Self, Error>,
    ) -> Result<(), Error> {
        let config = Config::read(flags)?;
        if let Ok(filter) = telemetry::filter(&config.log) {
            telemetry::start(filter);
        }
        build(&config).await?.with(config).run().await
    }

    /// Runs on the runtime that the configuration names, until a signal ends it.
    ///
    /// # Errors
    /// When the address cannot be listened on, or there is none.
    pub async fn run(self) -> Result<(), Error> {
        let signals = Signals::new()?;
        let hosted = self.assemble();
        if let Some(address) = hosted.config.listen {
            return hosted.run_on(address, signals).await;
        }
        match hosted.config.lambda.clone() {
            Some(lambda) => hosted.run_in_lambda(lambda, signals).await,
            None => {
                let wanted = "write an address to listen on, such as 127.0.0.1:8000";
                Err(Faults::one("--listen (SKYDOCK_LISTEN)", "", wanted).into())
            }
        }
    }

    /// Serves on a listener that is bound already, in the background.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn listen(self, listener: TcpListener) -> Result<Listening, Error> {
        self.assemble().listen(listener)
    }

    /// The whole as a router, for tests without a socket.
    pub fn into_router(self) -> Router {
        self.assemble().router
    }

    fn assemble(self) -> Hosted {
        let Self {
            router,
            config,
            stop,
            work,
            published,
            function,
        } = self;
        let drain = Drain::default();
        let limits = &config.limits;
        let gate = Gate {
            door: Door::new(&config.hosts, &config.origins),
            drain: drain.clone(),
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
        };
        let router = match config.auth.clone() {
            Some(auth) => router.layer(middleware::from_fn_with_state(auth, auth::admit)),
            None => router,
        };
        let router = router
            .merge(published)
            .layer(DefaultBodyLimit::max(limits.body))
            .layer(middleware::from_fn_with_state(gate, pass));
        let ended = drain.clone();
        Hosted {
            router: health(router, &drain),
            drain,
            config,
            running: work.clone(),
            function,
            ending: Box::new(move |told, limits| {
                Box::pin(async move {
                    told.cancelled().await;
                    ended.run(limits.grace, limits.linger, &stop).await;
                    stop.cancel();
                    work.close();
                    if tokio::time::timeout_at(ended.deadline(), work.wait())
                        .await
                        .is_err()
                    {
                        tracing::warn!("work was not done at the end of the grace period");
                    }
                })
            }),
            path: "/",
        }
    }
}

/// Lets a request through, or says why not.
async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let passage = request.extensions().get::<Passage>().cloned().unwrap_or_default();
    let let_in = gate
        .door
        .check(request.uri(), request.headers(), passage.domain.as_deref());
    if let Err(rejection) = let_in {
        tracing::warn!(?rejection, host = ?request.headers().get(header::HOST), "refused a request");
        return rejection.into_plain();
    }
    if gate.drain.is_closed() {
        return Rejection::Draining.into_plain();
    }
    let Ok(place) = gate.requests.try_acquire_owned() else {
        return Rejection::Busy.into_plain();
    };
    if let Some(deadline) = passage.deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
    let work = gate.drain.answer();
    hold(next.run(request).await, (place, work))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::post};
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    fn site() -> Router {
        let mut config = Config::default();
        config.limits.body = 10;
        let router = Router::new().route("/", post(|body: String| async move { body }));
        Site::new(router).with(config).into_router()
    }

    async fn status(headers: &[(&str, &str)], path: &str, body: &'static str) -> StatusCode {
        let mut request = http::Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        site().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn what_is_published_is_for_everybody_and_the_rest_for_those_who_bring_a_token() {
        let keys = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
        let audiences = vec!["http://localhost/".to_owned()];
        let config = Config {
            auth: Some(auth::Auth::from_keys("issuer", audiences, keys).unwrap()),
            ..Config::default()
        };
        let answer = || post(|| async { "here" });
        let site = Site::new(Router::new().route("/closed", answer()))
            .with_published(Router::new().route("/open", answer()))
            .with(config)
            .into_router();
        for (path, expected) in [("/open", StatusCode::OK), ("/closed", StatusCode::UNAUTHORIZED)] {
            let request = http::Request::post(path).header("host", "localhost");
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(
                site.clone().oneshot(request).await.unwrap().status(),
                expected,
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn other_names_other_pages_and_large_bodies_do_not_get_in() {
        let host = ("host", "localhost:1");
        assert_eq!(status(&[host], "/", "hello").await, StatusCode::OK);
        assert_eq!(
            status(&[("host", "evil.example")], "/", "").await,
            StatusCode::FORBIDDEN
        );
        let evil = ("origin", "https://evil.example");
        assert_eq!(status(&[host, evil], "/", "").await, StatusCode::FORBIDDEN);
        let large = "more than ten bytes";
        assert_eq!(status(&[host], "/", large).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status(&[host], "/nowhere", "").await, StatusCode::NOT_FOUND);
    }
}
