//! The `ServerHandler` that stands around the author's: whatever a handler does, its caller gets an answer.
//!
//! - A panic becomes an error at once, and the server lives.
//! - A request past its deadline gets a timeout error; the handler is told to stop (`context.ct`) and may wind up.
//! - A handler whose caller went away is told to stop and may wind up; it is never dropped in mid-change. (In a session
//!   the caller may come back for its answer, so there only `notifications/cancelled` stops it.)
//! - A request from the server to a client that cannot be reached fails at once instead of waiting for ever.
//! - A question to the user ([`Ask`](crate::Ask)) becomes what the protocol era has for it.

mod handler;
mod running;
mod tasks;

use std::{
    any::Any,
    sync::{Arc, OnceLock, Weak},
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, InputRequests,
        InputRequiredResult, InputResponses, JsonObject, ProtocolVersion, TASKS_EXTENSION_ID,
    },
    service::RequestContext,
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::running::{End, Running, Terms};
pub(crate) use self::tasks::{Caller, Tasks, Told};
use crate::{
    ask::{Ask, Binding, Seal},
    changes::Changes,
    config::Key,
    limits::Limits,
    telemetry,
};

/// How a request over HTTP came in; it travels in the extensions of the HTTP request. stdio has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visit {
    /// Whether the client has a session, in which it can be sent requests.
    pub(crate) session: bool,
    /// When the platform stops waiting, if that is known.
    pub(crate) deadline: Option<Instant>,
    /// What has to live as long as the handler is at work: the lease of a session.
    pub(crate) keep: Option<Arc<dyn Any + Send + Sync>>,
}

/// The author's handler, guarded. Clones share it.
pub(crate) struct Guard<H>(Arc<Shared<H>>);

struct Shared<H> {
    handler: Arc<H>,
    limits: Limits,
    seal: Seal,
    /// Whether something goes on between requests.
    lasts: bool,
    changes: Changes,
    /// The tasks that instances share.
    tasks: OnceLock<Weak<dyn Tasks>>,
    running: TaskTracker,
    stop: CancellationToken,
}

impl<H> Clone for Guard<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Why there is no result of the handler's own.
enum Failure {
    /// The handler's own protocol error.
    Protocol(ErrorData),
    /// Something went wrong on our side; the text may be shown.
    Fault(String),
    /// The handler wants to know something first.
    Asked(InputRequests),
}

impl Failure {
    /// What a caller hears of a panic, and the log with the same reference.
    fn panicked(what: &'static str) -> Self {
        let reference = telemetry::reference();
        tracing::error!(what, reference, "the handler panicked");
        Self::Fault(format!("internal error (reference {reference})"))
    }

    fn into_error(self) -> ErrorData {
        match self {
            Self::Protocol(error) => error,
            Self::Fault(text) => ErrorData::internal_error(text, None),
            Self::Asked(_) => ErrorData::internal_error("this request cannot ask for input", None),
        }
    }
}

impl<H: ServerHandler> Guard<H> {
    /// Guards `handler`; `keys` sign the state of questions, `changes` tells clients of them. A guard that does not
    /// `last`, since nothing goes on between requests, does not promise clients to tell them later what has changed, nor
    /// handlers that a client follows a task.
    pub(crate) fn new(handler: H, limits: Limits, keys: &[Key], changes: Changes, lasts: bool) -> Self {
        let seal = Seal::new(keys, limits.question);
        Self(Arc::new(Shared {
            handler: Arc::new(handler),
            limits,
            seal,
            lasts,
            changes,
            tasks: OnceLock::new(),
            running: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Handlers that are at work, those that wind up included.
    pub(crate) fn running(&self) -> &TaskTracker {
        &self.0.running
    }

    /// Tells all handlers to stop, those that begin later included.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Whether something goes on between requests: clients can be told of changes, and tasks come to an end.
    pub(crate) fn lasts(&self) -> bool {
        self.0.lasts
    }

    /// Takes back what a client says it can, where a handler that relied on it would fail the client: a task that is
    /// begun in Lambda stands still with its environment, so the work has to be done before the answer.
    pub(crate) fn take_back(&self, client: &mut ClientCapabilities) {
        if !self.lasts()
            && let Some(extensions) = &mut client.extensions
        {
            extensions.remove(TASKS_EXTENSION_ID);
        }
    }

    /// What tells clients of changes.
    pub(crate) fn changes(&self) -> &Changes {
        &self.0.changes
    }

    fn inner(&self) -> &H {
        &self.0.handler
    }

    /// Runs one request of the handler to an end that can be answered.
    async fn run<T, F, W>(
        &self,
        what: &'static str,
        mut context: RequestContext<RoleServer>,
        work: W,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorData>> + Send + 'static,
        W: FnOnce(Arc<H>, RequestContext<RoleServer>) -> F,
    {
        let visit = settle(&mut context);
        if let Some(mut client) = context.meta.client_capabilities()
            && client.supports_tasks()
            && !self.lasts()
        {
            self.take_back(&mut client);
            context.meta.set_client_capabilities(client);
        }
        let ask = match context.extensions.get::<Ask>() {
            Some(ask) => ask.clone(),
            None => Ask::new(&context, visit.session, self.0.limits.question),
        };
        context.extensions.insert(ask.clone());
        context.extensions.insert(self.0.changes.clone());
        let timeout = visit.deadline.map_or(self.0.limits.timeout, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            left.min(self.0.limits.timeout)
        });
        let terms = Terms {
            ask,
            ct: context.ct.clone(),
            stop: self.0.stop.clone(),
            tracker: self.0.running.clone(),
            timeout,
            deadline: visit.deadline,
            wind_up: self.0.limits.wind_up,
            keep: visit.keep,
        };
        let work = work(Arc::clone(&self.0.handler), context);
        match Running::new(work, terms).end().await {
            End::Done(Ok(result)) => Ok(result),
            End::Done(Err(error)) => {
                // its text may hold what the caller sent
                tracing::info!(what, code = error.code.0, "the handler answered with an error");
                Err(Failure::Protocol(error))
            }
            End::Asked(requests) => Err(Failure::Asked(requests)),
            End::Panicked => Err(Failure::panicked(what)),
            End::Late => {
                tracing::warn!(
                    what,
                    limit = ?timeout,
                    "the handler missed its deadline and was told to stop"
                );
                Err(Failure::Fault(format!(
                    "no answer within {} s; the work was told to stop",
                    (timeout.as_secs_f64() * 1_000.0).round() / 1_000.0
                )))
            }
        }
    }

    /// Prepares a request that may ask the user: takes over what was answered in earlier rounds.
    fn round(
        &self,
        context: &mut RequestContext<RoleServer>,
        asking: &mut Asking<'_>,
    ) -> Result<Round, ErrorData> {
        let visit = settle(context);
        let ask = Ask::new(context, visit.session, self.0.limits.question);
        let mut binding = None;
        if ask.by_rounds() {
            let bound = Binding::new(asking.method, asking.name, asking.arguments);
            if let Some(answers) = self.0.seal.open(&bound, asking.state, asking.responses)? {
                ask.remember(answers);
            }
            binding = Some(bound);
        }
        context.extensions.insert(ask.clone());
        Ok(Round { ask, binding })
    }

    /// The answer to a client that has to be asked first.
    fn required(&self, round: &Round, requests: InputRequests) -> Result<InputRequiredResult, ErrorData> {
        let Some(binding) = &round.binding else {
            return Err(Failure::Asked(requests).into_error());
        };
        let state = self.0.seal.seal(binding, round.ask.answers(), &requests)?;
        Ok(InputRequiredResult::new(Some(requests), Some(state)))
    }
}

/// What binds a question's state to one request, and where the request carries it.
struct Asking<'a> {
    method: &'static str,
    name: &'a str,
    arguments: Option<&'a JsonObject>,
    state: &'a mut Option<String>,
    responses: &'a mut Option<InputResponses>,
}

/// One round of questions: the way to ask, and the request that its state is bound to (2026-07-28 only).
struct Round {
    ask: Ask,
    binding: Option<Binding>,
}

/// Makes requests to an old client without a session fail at once, and tells how the request came.
///
/// rmcp refuses requests to a client whose *peer* is of 2026-07-28, but waits for ever for an older client that it
/// serves statelessly. So the version that the handler sees moves into the request's own metadata, and the peer says
/// that it cannot be asked.
fn settle(context: &mut RequestContext<RoleServer>) -> Visit {
    let visit = context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.extensions.get::<Visit>());
    let Some(visit) = visit.cloned() else {
        // stdio is a session by itself
        return Visit {
            session: true,
            ..Visit::default()
        };
    };
    if !visit.session
        && context.meta.protocol_version().is_none()
        && let Some(info) = context.peer.peer_info()
        && info.protocol_version.has_initialize()
    {
        context.meta.set_protocol_version(info.protocol_version.clone());
        let mut unreachable = (*info).clone();
        unreachable.protocol_version = ProtocolVersion::NO_INITIALIZE;
        context.peer.set_peer_info(unreachable);
    }
    visit
}

/// A fault in a tool is a result that the model can read; only broken protocol is a JSON-RPC error.
fn tool_result(failure: Failure) -> Result<CallToolResponse, ErrorData> {
    match failure {
        Failure::Fault(text) => Ok(CallToolResult::error(vec![ContentBlock::text(text)]).into()),
        Failure::Protocol(_) | Failure::Asked(_) => Err(failure.into_error()),
    }
}
