//! A runtime API of Lambda on loopback: it hands out invocations, and keeps what it is answered.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore, mpsc, oneshot},
    task::JoinSet,
};

/// What became of an invocation.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `response` or `error`.
    pub(crate) how: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The sizes of the pieces that it came in.
    pub(crate) pieces: Vec<usize>,
    pub(crate) trailers: HeaderMap,
    /// Whether it came to its end.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.headers.contains_key("lambda-runtime-function-response-mode")
    }
}

struct Invocation {
    id: String,
    headers: HeaderMap,
    event: Vec<u8>,
}

/// How an answer is taken.
#[derive(Default)]
pub(crate) struct Taking {
    /// One permit lets one piece of a body be read; without a semaphore all are read at once.
    pub(crate) pace: Option<Arc<Semaphore>>,
    /// The connection is cut when the head of an answer has come, so many times.
    pub(crate) cuts: AtomicU32,
}

struct State {
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    answers: Mutex<BTreeMap<String, oneshot::Sender<Answer>>>,
    extension: Notify,
    taking: Taking,
    /// The paths that were asked for, in their order.
    seen: Mutex<Vec<String>>,
}

/// The runtime API, and who invokes the function through it.
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    queue: mpsc::UnboundedSender<Invocation>,
    state: Arc<State>,
    count: AtomicU32,
    _serving: JoinSet<()>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        Self::start_taking(Taking::default()).await
    }

    pub(crate) async fn start_taking(taking: Taking) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (queue, waiting) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            queue: tokio::sync::Mutex::new(waiting),
            answers: Mutex::default(),
            extension: Notify::new(),
            taking,
            seen: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            queue,
            state,
            count: AtomicU32::new(0),
            _serving: serving,
        }
    }

    /// Invokes the function with a time limit of ten seconds.
    pub(crate) async fn invoke(&self, event: &Value) -> Answer {
        self.invoke_with(&[], event.to_string().into_bytes()).await
    }

    /// Invokes the function; `headers` beside those that there always are.
    pub(crate) async fn invoke_with(&self, headers: &[(&'static str, &str)], event: Vec<u8>) -> Answer {
        let id = format!("invocation-{}", self.count.fetch_add(1, Ordering::Relaxed));
        let mut all = HeaderMap::new();
        all.insert("lambda-runtime-aws-request-id", id.parse().unwrap());
        all.insert(
            "lambda-runtime-deadline-ms",
            deadline(Duration::from_secs(10)).parse().unwrap(),
        );
        all.insert(
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7;Sampled=1".parse().unwrap(),
        );
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        let (sender, answer) = oneshot::channel();
        self.state.answers.lock().unwrap().insert(id.clone(), sender);
        assert!(
            self.queue
                .send(Invocation {
                    id,
                    headers: all,
                    event,
                })
                .is_ok()
        );
        tokio::time::timeout(Duration::from_secs(20), answer)
            .await
            .expect("the invocation was not answered")
            .unwrap()
    }

    /// Waits until the function has registered an extension, and waits for its events.
    pub(crate) async fn extension(&self) {
        tokio::time::timeout(Duration::from_secs(10), self.state.extension.notified())
            .await
            .expect("no extension");
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }
}

/// The deadline of an invocation that has so much time.
pub(crate) fn deadline(time: Duration) -> String {
    let deadline = SystemTime::now() + time;
    deadline
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
        .to_string()
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let cut = Arc::new(Notify::new());
            let service = service_fn(|request| {
                let (state, cut) = (Arc::clone(&state), Arc::clone(&cut));
                async move { Ok::<_, Infallible>(answer(&state, &cut, request).await) }
            });
            tokio::select! {
                _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
                () = cut.notified() => {}
            }
        });
    }
}

async fn answer(state: &State, cut: &Notify, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    state.seen.lock().unwrap().push(path.clone());
    let mut response = Response::new(Body::empty());
    match (
        parts.method,
        path.split('/').skip(1).collect::<Vec<_>>().as_slice(),
    ) {
        (Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => {
            let invocation = state.queue.lock().await.recv().await.unwrap();
            assert!(invocation.headers["lambda-runtime-aws-request-id"] == invocation.id);
            *response.headers_mut() = invocation.headers;
            *response.body_mut() = invocation.event.into();
        }
        (
            Method::POST,
            [
                "2018-06-01",
                "runtime",
                "invocation",
                id,
                how @ ("response" | "error"),
            ],
        ) => {
            let answer = take(state, (*how).to_owned(), parts.headers, body).await;
            if !answer.complete {
                cut.notify_one();
                std::future::pending::<()>().await;
            }
            let waiting = state.answers.lock().unwrap().remove(*id);
            if let Some(waiting) = waiting {
                let _ = waiting.send(answer);
            }
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        (Method::POST, ["2020-01-01", "extension", "register"]) => {
            assert!(parts.headers.contains_key("lambda-extension-name"));
            response
                .headers_mut()
                .insert("lambda-extension-identifier", "e1".parse().unwrap());
        }
        (Method::GET, ["2020-01-01", "extension", "event", "next"]) => {
            assert_eq!(parts.headers["lambda-extension-identifier"], "e1");
            state.extension.notify_one();
            std::future::pending::<()>().await;
        }
        (method, path) => panic!("{method} {path:?} is no path of the runtime API"),
    }
    response
}

async fn take(state: &State, how: String, headers: HeaderMap, mut body: Incoming) -> Answer {
    let mut answer = Answer {
        how,
        headers,
        body: Vec::new(),
        pieces: Vec::new(),
        trailers: HeaderMap::new(),
        complete: false,
    };
    let cuts = &state.taking.cuts;
    if cuts
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |cuts| cuts.checked_sub(1))
        .is_ok()
    {
        return answer;
    }
    loop {
        if let Some(pace) = &state.taking.pace {
            pace.acquire().await.unwrap().forget();
        }
        match body.frame().await {
            Some(Ok(frame)) if frame.is_data() => {
                let data = frame.into_data().unwrap();
                answer.pieces.push(data.len());
                answer.body.extend_from_slice(&data);
            }
            Some(Ok(frame)) => answer.trailers = frame.into_trailers().unwrap(),
            Some(Err(_)) => return answer,
            None => break,
        }
    }
    answer.complete = true;
    answer
}
