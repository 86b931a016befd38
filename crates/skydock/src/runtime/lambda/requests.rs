//! Invocations that are requests of the HTTP service, by whatever door they came.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
};
use http::{HeaderValue, Request};

use super::{
    Failed, Invocation, Settings,
    answer::{Waiting, in_time},
    client::Report,
    events::{self, Arrived, Came, Source},
    message,
    poller::{Outgoing, Work, internal},
    response::Streamed,
};
use crate::passage::Passage;

/// The service, asked by Lambda.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    router: Router,
    settings: Settings,
    /// Whether it was said that a door cannot stream.
    told_of_mismatch: Arc<AtomicBool>,
}

impl Work for Requests {
    async fn answer(&self, invocation: &Invocation, event: &Bytes) -> Outgoing {
        let function = self.settings.function.as_ref();
        let unknown = match (events::read(invocation, event), function) {
            (Ok(Came::Request(arrived)), _) => return self.serve(invocation, *arrived).await,
            (Ok(Came::Warming), None) => {
                return warm();
            }
            (Ok(Came::Warming), Some(function)) => {
                let answer = function.answer(invocation, event).await;
                return if answer.is_refusal() { warm() } else { answer };
            }
            (Ok(Came::Other(_)), Some(function)) => return function.answer(invocation, event).await,
            (Ok(Came::Other(unknown)) | Err(unknown), _) => unknown,
        };
        tracing::warn!(error = %unknown, "refused an event");
        Outgoing::Failed(Report {
            kind: Failed::UNKNOWN_EVENT,
            message: unknown.to_string(),
        })
    }

    /// Lets handlers that were told to stop wind up before the environment is frozen under them. Where invocations
    /// overlap, it is not frozen.
    async fn wind_up(&self, invocation: &Invocation) {
        let running = &self.settings.running;
        if self.settings.concurrency > 1 || running.is_empty() {
            return;
        }
        let until = invocation.answer_by();
        // a tracker is waited for only when it is closed
        running.close();
        let wound_up = in_time(until, running.wait()).await;
        running.reopen();
        if wound_up.is_none() {
            tracing::warn!("a handler is frozen in the middle of its work: the function's time is over");
        }
    }
}

/// The answer to what only keeps an environment warm.
fn warm() -> Outgoing {
    tracing::debug!("kept warm");
    Outgoing::Whole(b"null".to_vec())
}

impl Requests {
    pub(super) fn new(router: Router, settings: Settings) -> Self {
        Self {
            router,
            settings,
            told_of_mismatch: Arc::default(),
        }
    }

    /// Has the service answer a request.
    async fn serve(&self, invocation: &Invocation, arrived: Arrived) -> Outgoing {
        let source = arrived.source;
        self.explain_mismatch(source);
        let streamed = self.settings.streams && source.streams();
        let waiting = Waiting::new(invocation, &arrived);
        let response = waiting
            .respond(
                self.router.clone(),
                prepare(invocation, arrived, &waiting, streamed),
            )
            .await;
        let written = if streamed {
            Streamed::new(response, waiting.until).map(|body| Outgoing::Streamed(Body::new(body)))
        } else if source == Source::AgentCore {
            let value = message::value_of(&waiting.gather(response).await.body);
            Ok(value.map_or_else(
                |message| {
                    Outgoing::Failed(Report {
                        kind: "Skydock.ToolError",
                        message,
                    })
                },
                Outgoing::Whole,
            ))
        } else {
            waiting
                .gather(response)
                .await
                .write(&waiting)
                .map(Outgoing::Whole)
        };
        written.unwrap_or_else(|error| internal(&error.to_string()))
    }

    /// Says once that streaming was asked for where nothing can be streamed. The opposite cannot be seen from here.
    fn explain_mismatch(&self, source: Source) {
        if self.settings.streams && !source.streams() && !self.told_of_mismatch.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                door = source.as_str(),
                "--lambda-response is streamed, but this door takes a response in one piece only, and gets one"
            );
        }
    }
}

/// The request as the service takes it.
fn prepare(invocation: &Invocation, arrived: Arrived, waiting: &Waiting, streamed: bool) -> Request<Body> {
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
        whole: !streamed,
    });
    extensions.insert(invocation.clone());
    request
}
