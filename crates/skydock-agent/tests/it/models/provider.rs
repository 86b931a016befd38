//! A provider of models that answers as it is told, and keeps what it was asked.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// What it answers to one request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) end: End,
}

/// How an answer ends.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum End {
    /// As it should.
    #[default]
    Whole,
    /// The connection breaks.
    Cut,
    /// Nothing more comes.
    Never,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            chunks: vec![body.to_string().into()],
            end: End::Whole,
        }
    }

    /// Events of a stream, and `[DONE]`.
    pub(crate) fn events(events: &[Value]) -> Self {
        let mut answer = Self::open(events);
        answer.chunks.push("data: [DONE]\n\n".into());
        answer
    }

    /// Events of a stream, without an end.
    pub(crate) fn open(events: &[Value]) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream; charset=utf-8".to_owned())],
            chunks: events
                .iter()
                .map(|event| format!("data: {event}\n\n").into())
                .collect(),
            end: End::Whole,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) const fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    fn respond(self) -> Response {
        let end = match self.end {
            End::Whole => stream::empty().boxed(),
            // what was written goes out while the body is not ready
            End::Cut => stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            })
            .boxed(),
            End::Never => stream::pending().boxed(),
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let chunks = stream::iter(self.chunks.into_iter().map(Ok));
        response.body(Body::from_stream(chunks.chain(end))).unwrap()
    }
}

/// A request that it got.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Asked {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }
}

#[derive(Debug, Default)]
struct Book {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Asked>>,
}

/// The provider; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
    book: Arc<Book>,
    task: JoinHandle<()>,
}

impl Provider {
    /// Answers each request with the next answer.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let book = Arc::new(Book {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&book));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, book, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.book.asked.lock().unwrap().clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(book): State<Arc<Book>>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Infallible> {
    let path = uri.to_string();
    book.asked.lock().unwrap().push(Asked { path, headers, bytes });
    let next = book.answers.lock().unwrap().pop_front();
    let none = || Answer::json(418, &Value::from("no answer is left"));
    Ok(next.unwrap_or_else(none).respond())
}
