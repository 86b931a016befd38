//! One line of work: fetch an invocation, answer it, fetch the next.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::body::{Body, Bytes};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Failed, Invocation,
    answer::in_time,
    client::{Api, Client, Failure, Report},
};
use crate::telemetry;

/// So many failures of the runtime API in a row end the process; Lambda starts another.
const FAILURES: u32 = 5;

/// What is made of invocations.
pub(super) trait Work: Send + Sync {
    /// What an event is answered with.
    fn answer(&self, invocation: &Invocation, event: &Bytes) -> impl Future<Output = Outgoing> + Send;

    /// What has to come to its end after an answer, before the environment is frozen.
    fn wind_up(&self, invocation: &Invocation) -> impl Future<Output = ()> + Send;
}

/// What leaves for Lambda.
pub(super) enum Outgoing {
    Whole(Vec<u8>),
    Streamed(Body),
    Failed(Report),
}

impl Outgoing {
    /// Whether it says that nobody here answers such an event.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed(report) if report.kind == Failed::UNKNOWN_EVENT)
    }
}

/// The error in place of an answer that there is not, because of a fault of this library.
pub(super) fn internal(cause: &str) -> Outgoing {
    let reference = telemetry::reference();
    tracing::error!(cause, reference, "cannot answer an invocation");
    Outgoing::Failed(Report {
        kind: "Skydock.Internal",
        message: format!("internal error (reference {reference})"),
    })
}

/// One line of work, with a connection of its own.
pub(super) struct Poller<W> {
    work: W,
    client: Client,
}

impl<W: Work> Poller<W> {
    pub(super) const fn new(api: Api, work: W) -> Self {
        Self {
            work,
            client: Client::new(api),
        }
    }

    /// Connects before there is something to ask. When that fails, so will the question, which says so.
    pub(super) async fn connect(&mut self) {
        self.client.connect_ahead().await;
    }

    /// Works until `stop` is cancelled; what was fetched by then is answered.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            match self.client.next(&stop).await {
                Ok(None) => return Ok(()),
                Ok(Some((invocation, event))) => {
                    failures = 0;
                    let span = tracing::info_span!(
                        "invocation",
                        request_id = invocation.request_id,
                        trace_id = invocation.trace_id
                    );
                    self.attend(&invocation, event).instrument(span).await;
                }
                Err(failure) => {
                    failures += 1;
                    if failures == FAILURES {
                        return Err(failure);
                    }
                    tracing::warn!(
                        error = &failure as &dyn std::error::Error,
                        "cannot fetch an invocation; trying again"
                    );
                    tokio::time::sleep(Duration::from_millis(10) * 2_u32.pow(failures)).await;
                }
            }
        }
    }

    /// Answers one invocation, within its time.
    async fn attend(&mut self, invocation: &Invocation, event: Bytes) {
        let deadline = invocation.deadline();
        let work = AssertUnwindSafe(self.work.answer(invocation, &event)).catch_unwind();
        let answer = work.await.unwrap_or_else(|_panic| internal("answering panicked"));
        let delivered = in_time(deadline, self.deliver(invocation, answer)).await;
        match delivered {
            Some(Ok(())) => {}
            Some(Err(failure)) => {
                let error: &dyn std::error::Error = &failure;
                tracing::error!(error, "Lambda did not take an answer");
            }
            None => tracing::error!("Lambda did not take an answer before the function's time was over"),
        }
        self.work.wind_up(invocation).await;
    }

    async fn deliver(&mut self, invocation: &Invocation, answer: Outgoing) -> Result<(), Failure> {
        match answer {
            Outgoing::Whole(answer) => self.client.respond(invocation, answer).await,
            Outgoing::Streamed(body) => self.client.stream(invocation, body).await,
            Outgoing::Failed(report) => self.client.fail(invocation, &report).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
    };
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::runtime::lambda::{Settings, contract, requests::Requests};

    const TAKEN: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

    /// A poller at work, and the runtime API that it asks.
    async fn start(stop: CancellationToken) -> (TcpListener, JoinHandle<Result<(), Failure>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap().to_string().parse().unwrap();
        let settings = Settings {
            api,
            streams: true,
            concurrency: 1,
            running: TaskTracker::new(),
            function: None,
        };
        let poller = Poller::new(settings.api.clone(), Requests::new(Router::new(), settings));
        (listener, tokio::spawn(poller.run(stop)))
    }

    /// Reads until `end` has come.
    async fn read_to(stream: &mut TcpStream, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut bytes));
            assert!(read.await.unwrap().unwrap() > 0, "it broke off");
        }
        String::from_utf8(bytes).unwrap()
    }

    /// The head of an invocation whose event has so many bytes, and so much time.
    fn head(length: usize, time: Duration) -> Vec<u8> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let deadline = (now.unwrap() + time).as_millis();
        format!(
            "HTTP/1.1 200 OK\r\n{}: 1\r\n{}: {deadline}\r\ncontent-length: {length}\r\n\r\n",
            contract::header::REQUEST_ID,
            contract::header::DEADLINE_MS,
        )
        .into_bytes()
    }

    #[tokio::test]
    async fn an_invocation_whose_head_has_come_is_answered_though_the_environment_ends() {
        let stop = CancellationToken::new();
        let (listener, running) = start(stop.clone()).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        read_to(&mut stream, "\r\n\r\n").await;
        stream.write_all(&head(2, Duration::from_secs(10))).await.unwrap();
        // until the head has been read at the other side, there is nothing to see from here
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"{}").await.unwrap();
        let answer = read_to(&mut stream, "\r\n\r\nnull").await;
        assert!(answer.contains("/invocation/1/response"), "{answer}");
        stream.write_all(TAKEN).await.unwrap();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_lambda_does_not_take_is_given_up_in_time() {
        let (listener, _running) = start(CancellationToken::new()).await;
        let (mut stuck, _) = listener.accept().await.unwrap();
        read_to(&mut stuck, "\r\n\r\n").await;
        stuck
            .write_all(&[&head(2, Duration::from_millis(300))[..], b"{}"].concat())
            .await
            .unwrap();
        read_to(&mut stuck, "\r\n\r\nnull").await;
        // no word from Lambda: the next invocation is fetched over another connection, and this one is closed
        let (mut fresh, _) = tokio::time::timeout(Duration::from_secs(10), listener.accept())
            .await
            .expect("the poller hangs")
            .unwrap();
        let next = read_to(&mut fresh, "\r\n\r\n").await;
        assert!(
            next.starts_with("GET /2018-06-01/runtime/invocation/next "),
            "{next}"
        );
        assert_eq!(stuck.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_on_which_a_stream_was_refused_is_not_used_again() {
        let (listener, _running) = start(CancellationToken::new()).await;
        let (mut refusing, _) = listener.accept().await.unwrap();
        read_to(&mut refusing, "\r\n\r\n").await;
        let event = r#"{"rawPath":"/mcp","headers":{},"requestContext":{"domainName":"u.lambda-url.eu-west-1.on.aws","http":{"method":"GET"}}}"#;
        let head = head(event.len(), Duration::from_secs(10));
        refusing
            .write_all(&[&head[..], event.as_bytes()].concat())
            .await
            .unwrap();
        let answer = read_to(&mut refusing, "0\r\n\r\n").await;
        assert!(answer.contains("response-mode: streaming"), "{answer}");
        refusing
            .write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let (mut fresh, _) = tokio::time::timeout(Duration::from_secs(10), listener.accept())
            .await
            .expect("the connection is used again")
            .unwrap();
        read_to(&mut fresh, "\r\n\r\n").await;
    }
}
