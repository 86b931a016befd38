//! Lambda's runtime API on loopback, for one environment: it hands out invocations, and takes what becomes of them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{Failure, Outcome, Stream};
use crate::emulate::contract;

/// How many pieces of a stream wait for a slow reader, before the function has to.
const PIECES: usize = 16;
/// The largest error that is taken.
const ERROR_BYTES: usize = 256 * 1024;

/// An invocation on its way to the function.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) headers: HeaderMap,
    pub(super) event: Bytes,
}

/// Who waits for the answer.
pub(super) struct Waiting {
    pub(super) reply: oneshot::Sender<Outcome>,
    /// Set before the last of the answer goes out.
    pub(super) answered: Arc<AtomicBool>,
    /// Told when all of the answer is there.
    pub(super) done: oneshot::Sender<()>,
}

impl Waiting {
    /// All of the answer at once.
    pub(super) fn answer(self, outcome: Outcome) {
        self.answered.store(true, Ordering::Release);
        let _gone = self.reply.send(outcome);
        let _gone = self.done.send(());
    }
}

/// How far an environment is.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase {
    /// So many pollers wait for an invocation.
    pub(super) polls: usize,
    /// Whether there is an internal extension, and whether it waits too.
    pub(super) extension: Option<bool>,
    /// Why it could not be initialized.
    pub(super) init_error: Option<Failure>,
}

struct Api {
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>,
    /// Who waits for an answer, by the invocation.
    given: Mutex<BTreeMap<String, Waiting>>,
    phase: watch::Sender<Phase>,
    function: String,
}

/// The runtime API of one environment. It closes when it is dropped.
pub(super) struct RuntimeApi {
    pub(super) address: SocketAddr,
    jobs: mpsc::UnboundedSender<Job>,
    api: Arc<Api>,
    _serving: JoinSet<()>,
}

impl RuntimeApi {
    /// Opens one for the function of this name.
    ///
    /// # Errors
    /// When there is no free port.
    pub(super) async fn open(function: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (jobs, queue) = mpsc::unbounded_channel();
        let api = Arc::new(Api {
            queue: tokio::sync::Mutex::new(queue),
            given: Mutex::default(),
            phase: watch::Sender::default(),
            function: function.to_owned(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(fail))
            .route("/2018-06-01/runtime/init/error", post(fail_to_start))
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(next_event))
            .fallback(|| async {
                error(
                    StatusCode::NOT_FOUND,
                    "NotFound",
                    "no such path of the runtime API",
                )
            })
            .layer(axum::middleware::from_fn(
                move |request: Request, next: Next| async move {
                    // events carry the tokens of callers: no page gets them, whatever name it was made to call
                    let named = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
                    if named != Some(address.to_string().as_bytes())
                        || request.headers().contains_key(header::ORIGIN)
                    {
                        return error(
                            StatusCode::FORBIDDEN,
                            "Forbidden",
                            "this is the runtime API of one function",
                        );
                    }
                    next.run(request).await
                },
            ))
            .with_state(Arc::clone(&api));
        // streamed answers are small writes, in both directions
        let listener = listener.tap_io(|stream| {
            let _slower = stream.set_nodelay(true);
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ends_with_us = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            jobs,
            api,
            _serving: serving,
        })
    }

    /// Hands an invocation to whoever asks next.
    pub(super) fn give(&self, job: Job, waiting: Waiting) {
        self.api.given().insert(job.id.clone(), waiting);
        let _open_as_long_as_we_are = self.jobs.send(job);
    }

    /// Takes an invocation back that was not answered.
    pub(super) fn take_back(&self, id: &str) -> Option<Waiting> {
        self.api.given().remove(id)
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.api.phase.subscribe()
    }
}

impl Api {
    fn given(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counted as long as a poller waits.
struct Poll<'a>(&'a watch::Sender<Phase>);

impl<'a> Poll<'a> {
    fn new(phase: &'a watch::Sender<Phase>) -> Self {
        phase.send_modify(|phase| phase.polls += 1);
        Self(phase)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|phase| phase.polls -= 1);
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let job = {
        let _poll = Poll::new(&api.phase);
        api.queue.lock().await.recv().await
    };
    let Some(job) = job else {
        return error(StatusCode::GONE, "Ended", "the environment ends");
    };
    (job.headers, Body::from(job.event)).into_response()
}

async fn respond(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(waiting) = api.given().remove(&id) else {
        return unknown(&id);
    };
    let is_streamed = headers
        .get("lambda-runtime-function-response-mode")
        .is_some_and(|mode| mode == "streaming");
    if is_streamed {
        stream(waiting, &headers, body).await;
        return accepted();
    }
    match Limited::new(body, contract::PAYLOAD_BYTES).collect().await {
        Ok(body) => {
            waiting.answer(Outcome::Payload(body.to_bytes()));
            accepted()
        }
        Err(broken) if broken.is::<http_body_util::LengthLimitError>() => {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({} bytes).",
                contract::PAYLOAD_BYTES
            );
            let kind = "Function.ResponseSizeTooLarge";
            waiting.answer(Outcome::Failed(Failure::new(kind, &message)));
            error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
        Err(_broken) => {
            // the function may send it again
            api.given().insert(id, waiting);
            error(StatusCode::BAD_REQUEST, "Broken", "the response broke off")
        }
    }
}

/// Passes an answer on as it comes. What nobody reads any more is read all the same.
async fn stream(waiting: Waiting, headers: &HeaderMap, mut body: Body) {
    let Waiting {
        reply,
        answered,
        done,
    } = waiting;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream")
        .to_owned();
    let (sender, pieces) = mpsc::channel(PIECES);
    let _gone = reply.send(Outcome::Stream(Stream { content_type, pieces }));
    let broken = loop {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let _gone = sender.send(Ok(data)).await;
                }
                Err(frame) => {
                    if let Some(failure) = frame.into_trailers().ok().and_then(|trailers| told(&trailers)) {
                        break Some(failure);
                    }
                }
            },
            Some(Err(_broken)) => {
                break Some(Failure::new("Runtime.StreamError", "the response broke off"));
            }
            None => break None,
        }
    };
    answered.store(true, Ordering::Release);
    if let Some(failure) = broken {
        let _gone = sender.send(Err(failure)).await;
    }
    drop(sender);
    let _gone = done.send(());
}

/// The error that trailers tell of.
fn told(trailers: &HeaderMap) -> Option<Failure> {
    let kind = trailers.get("lambda-runtime-function-error-type")?;
    let body = trailers
        .get("lambda-runtime-function-error-body")
        .and_then(|body| STANDARD.decode(body).ok());
    Some(body.map_or_else(
        || {
            Failure::new(
                kind.to_str().unwrap_or("Error"),
                "the function ended its response with an error",
            )
        },
        |payload| Failure {
            payload: payload.into(),
        },
    ))
}

async fn fail(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Body) -> Response {
    let Some(waiting) = api.given().remove(&id) else {
        return unknown(&id);
    };
    waiting.answer(Outcome::Failed(read_failure(body).await));
    accepted()
}

async fn fail_to_start(State(api): State<Arc<Api>>, body: Body) -> Response {
    let failure = read_failure(body).await;
    api.phase.send_modify(|phase| phase.init_error = Some(failure));
    accepted()
}

async fn read_failure(body: Body) -> Failure {
    Limited::new(body, ERROR_BYTES).collect().await.map_or_else(
        |_broken| {
            Failure::new(
                "Runtime.Unknown",
                "the function failed, and its error could not be read",
            )
        },
        |body| Failure {
            payload: body.to_bytes(),
        },
    )
}

/// Registers an internal extension: one that only wants to be told when it is to end.
async fn register(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    let wanted: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let wants_events = wanted
        .get("events")
        .and_then(serde_json::Value::as_array)
        .is_some_and(|events| !events.is_empty());
    if wants_events {
        let message = "this emulator sends extensions no events; register for none";
        return error(StatusCode::FORBIDDEN, "Extension.EventsNotSupported", message);
    }
    api.phase.send_modify(|phase| phase.extension = Some(false));
    let id = HeaderValue::try_from(uuid::Uuid::new_v4().to_string());
    let body = json!({"functionName": api.function, "functionVersion": "$LATEST", "handler": "bootstrap"});
    let mut response = json_response(StatusCode::OK, &body);
    if let Ok(id) = id {
        let name = HeaderName::from_static("lambda-extension-identifier");
        response.headers_mut().insert(name, id);
    }
    response
}

/// No event ever comes: that the extension waits is what says that it is ready.
async fn next_event(State(api): State<Arc<Api>>) -> Response {
    api.phase.send_modify(|phase| phase.extension = Some(true));
    std::future::pending().await
}

fn accepted() -> Response {
    json_response(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn unknown(id: &str) -> Response {
    let message = format!("{id} is no invocation that waits for an answer");
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", &message)
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"errorType": kind, "errorMessage": message});
    json_response(status, &body)
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
