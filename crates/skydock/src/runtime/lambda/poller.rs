//! One line of work: fetch an invocation, answer it, fetch the next.

use std::{sync::atomic::Ordering, time::Duration};

use axum::body::{Body, Bytes};
use http::{HeaderValue, Request};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Common, Invocation,
    answer::{Waiting, in_time},
    client::{Client, Failure, Report},
    contract,
    events::{self, Arrived, Source},
    message,
    response::Streamed,
};
use crate::{runtime::Passage, telemetry};

/// So many failures of the runtime API in a row end the process; Lambda starts another.
const FAILURES: u32 = 5;

/// One line of work, with a connection of its own.
pub(super) struct Poller {
    common: Common,
    client: Client,
}

impl Poller {
    pub(super) fn new(common: Common) -> Self {
        let client = Client::new(common.settings.api.clone());
        Self { common, client }
    }

    /// Works until `stop` is cancelled; what was fetched by then is answered.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            let fetched = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                fetched = self.client.next() => fetched,
            };
            match fetched {
                Ok((invocation, event)) => {
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

    /// Answers one invocation.
    async fn attend(&mut self, invocation: &Invocation, event: Bytes) {
        let answered = match events::read(invocation, &event) {
            Ok(Some(arrived)) => self.serve(invocation, arrived).await,
            Ok(None) => {
                tracing::debug!("kept warm");
                self.client.respond(invocation, b"null".to_vec()).await
            }
            Err(unknown) => {
                tracing::warn!(error = %unknown, "refused an event");
                let report = Report {
                    kind: "Skydock.UnknownEvent",
                    message: unknown.to_string(),
                };
                self.client.fail(invocation, &report).await
            }
        };
        if let Err(failure) = answered {
            let error: &dyn std::error::Error = &failure;
            tracing::error!(error, "Lambda did not take an answer");
        }
        self.let_wind_up(invocation).await;
    }

    /// Has the service answer a request, and delivers the answer.
    async fn serve(&mut self, invocation: &Invocation, arrived: Arrived) -> Result<(), Failure> {
        let source = arrived.source;
        self.explain_mismatch(source);
        let streamed = self.common.settings.streams && source.streams();
        let waiting = Waiting::new(invocation, &arrived, !streamed);
        let response = waiting
            .respond(self.common.router.clone(), prepare(invocation, arrived, &waiting))
            .await;
        let answer = if streamed {
            match Streamed::new(response, waiting.until) {
                Ok(body) => return self.client.stream(invocation, Body::new(body)).await,
                Err(error) => Err(error),
            }
        } else if source == Source::AgentCore {
            match message::value_of(&waiting.gather(response).await.body) {
                Ok(value) => Ok(value),
                Err(message) => {
                    let kind = "Skydock.ToolError";
                    return self.client.fail(invocation, &Report { kind, message }).await;
                }
            }
        } else {
            waiting.gather(response).await.write(&waiting)
        };
        match answer {
            Ok(answer) => self.client.respond(invocation, answer).await,
            Err(error) => {
                let reference = telemetry::reference();
                tracing::error!(%error, reference, "cannot write a response");
                let report = Report {
                    kind: "Skydock.Internal",
                    message: format!("internal error (reference {reference})"),
                };
                self.client.fail(invocation, &report).await
            }
        }
    }

    /// Says once that streaming was asked for where nothing can be streamed. The opposite cannot be seen from here.
    fn explain_mismatch(&self, source: Source) {
        if self.common.settings.streams
            && !source.streams()
            && !self.common.told_of_mismatch.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                door = source.as_str(),
                "--lambda-response is streamed, but this door takes a response in one piece only, and gets one"
            );
        }
    }

    /// Lets handlers that were told to stop wind up before the environment is frozen under them. Where invocations
    /// overlap, it is not frozen.
    async fn let_wind_up(&self, invocation: &Invocation) {
        let running = &self.common.settings.running;
        if self.common.settings.concurrency > 1 || running.is_empty() {
            return;
        }
        let until = invocation
            .deadline()
            .map(|deadline| contract::answer_by(Instant::now(), deadline));
        // a tracker is waited for only when it is closed
        running.close();
        let wound_up = in_time(until, running.wait()).await;
        running.reopen();
        if wound_up.is_none() {
            tracing::warn!("a handler is frozen in the middle of its work: the function's time is over");
        }
    }
}

/// The request as the service takes it.
fn prepare(invocation: &Invocation, arrived: Arrived, waiting: &Waiting) -> Request<Body> {
    let Arrived { request, domain, .. } = arrived;
    let mut request = request.map(Body::from);
    let trace = invocation.trace_id.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(trace)) = trace {
        request.headers_mut().insert("x-amzn-trace-id", trace);
    }
    let extensions = request.extensions_mut();
    extensions.insert(Passage {
        deadline: waiting.tools_until,
        domain,
        whole: waiting.whole,
    });
    extensions.insert(invocation.clone());
    request
}
