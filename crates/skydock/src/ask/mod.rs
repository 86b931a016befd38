//! Asking the user: a question is written once and works in both protocol eras.
//!
//! In a session (up to 2025-11-25) a question is a request from the server to the client, sent while the tool waits.
//! In 2026-07-28 the server cannot send requests: the tool's future is dropped at the question, the client gets an
//! input-required result, and its retry runs the tool again from the start, with the answered questions returning at
//! once. What has been answered travels in the signed, expiring `requestState`, so any instance can take the retry.
//!
//! Rules follow for authors: **side effects come after the last question**, and nothing else runs beside one, because
//! the tool is dropped where it asks. A question's `key` is the same in every run. So is its text: an answer holds for
//! the question that the user saw, and when the price in it has changed meanwhile, the user is asked again. Questions
//! that are asked together (`tokio::join!`) reach the user in one round.

#![expect(
    deprecated,
    reason = "sampling and roots are deprecated by SEP-2577 and still part of the protocol"
)]

mod error;
mod state;

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use rmcp::{
    ErrorData, Peer, RoleServer,
    handler::server::{common::AsRequestContext, common::FromContextPart},
    model::{
        ClientCapabilities, CreateMessageRequest, CreateMessageRequestParams, CreateMessageResult,
        ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
        InputRequests, ListRootsRequest, ListRootsResult, ProtocolVersion,
    },
    service::{ElicitationSafe, RequestContext},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::error::{Capability, Error};
pub(crate) use self::state::{Answers, Binding, Seal};

/// What the user said to a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The user filled the form.
    Accepted(T),
    /// The user said no.
    Declined,
    /// The user closed the question without a choice.
    Cancelled,
}

/// Asks the user, or the client on the user's behalf, in the middle of a request.
///
/// It is an extractor in `#[tool]` and `#[prompt]` methods; elsewhere [`Ask::from`] takes it from the request's
/// context. The module documentation says how it works in each protocol era.
#[derive(Debug, Clone)]
pub struct Ask(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    way: Way,
    capabilities: ClientCapabilities,
    limit: Duration,
    over: CancellationToken,
    round: Mutex<Round>,
}

/// How a question reaches the client.
#[derive(Debug)]
enum Way {
    /// As a request on the session.
    Session(Peer<RoleServer>),
    /// As an input-required result, and an answer in the next request.
    Round,
    /// Not at all: an old client without a session.
    Nobody,
}

#[derive(Debug, Default)]
struct Round {
    /// What the user has answered, in this round and those before.
    answers: Answers,
    /// What is to be asked now.
    pending: InputRequests,
    /// Wakes whoever runs the tool when there is something to ask.
    waker: Option<Waker>,
    /// Questions of a session that wait for the user, since when, and the time spent so far.
    open: u32,
    open_since: Option<Instant>,
    waited: Duration,
}

impl Ask {
    /// The way to ask the client of `context`; `session` says whether a request can be sent to it.
    pub(crate) fn new(context: &RequestContext<RoleServer>, session: bool, limit: Duration) -> Self {
        let way = match context.protocol_version() {
            Some(version) if version >= ProtocolVersion::V_2026_07_28 => Way::Round,
            Some(_) if session => Way::Session(context.peer.clone()),
            Some(_) | None => Way::Nobody,
        };
        let capabilities = match way {
            Way::Nobody => ClientCapabilities::default(),
            Way::Session(_) | Way::Round => context.client_capabilities().unwrap_or_default(),
        };
        Self(Arc::new(Inner {
            way,
            capabilities,
            limit,
            over: CancellationToken::new(),
            round: Mutex::default(),
        }))
    }

    /// Shows a form to the user. `key` names the question; it must be the same each time the tool runs.
    ///
    /// An answer that does not fit `T` is asked for again where that is possible (2026-07-28).
    ///
    /// # Errors
    /// When the client cannot be asked, the user does not answer in time, or the answer does not fit.
    pub async fn form<T>(&self, key: &str, message: impl Into<String>) -> Result<Answer<T>, Error>
    where
        T: ElicitationSafe + DeserializeOwned + 'static,
    {
        let requested_schema = ElicitationSchema::from_type::<T>().map_err(Error::Form)?;
        let params = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: message.into(),
            requested_schema,
        };
        let read = |result: ElicitResult| match result.action {
            ElicitationAction::Accept => {
                serde_json::from_value(result.content.unwrap_or_default()).map(Answer::Accepted)
            }
            ElicitationAction::Decline => Ok(Answer::Declined),
            // cancelled, or an action that this version does not know
            _ => Ok(Answer::Cancelled),
        };
        self.put_elicitation(key, params, read).await
    }

    /// Shows a form with a schema of the author's own, or sends the user to a URL.
    ///
    /// # Errors
    /// When the client cannot be asked, the user does not answer in time, or the answer is not one.
    pub async fn elicit(&self, key: &str, params: ElicitRequestParams) -> Result<ElicitResult, Error> {
        self.put_elicitation(key, params, Ok).await
    }

    /// Asks the client's model to write a message (sampling).
    ///
    /// # Errors
    /// When the client has no model to lend, refuses, or does not answer in time.
    pub async fn sample(
        &self,
        key: &str,
        params: CreateMessageRequestParams,
    ) -> Result<CreateMessageResult, Error> {
        self.require(Capability::Sampling, self.0.capabilities.sampling.is_some())?;
        if let Way::Session(peer) = &self.0.way {
            let answer = peer.create_message(params);
            return self.wait(answer).await;
        }
        let request = InputRequest::CreateMessage(CreateMessageRequest::new(params));
        self.ask(key, request, |answer| serde_json::from_value(answer).ok())
            .await
    }

    /// Asks the client for the folders that the user works in (roots).
    ///
    /// # Errors
    /// When the client does not tell its roots, or does not answer in time.
    pub async fn roots(&self, key: &str) -> Result<ListRootsResult, Error> {
        self.require(Capability::Roots, self.0.capabilities.roots.is_some())?;
        if let Way::Session(peer) = &self.0.way {
            let answer = peer.list_roots();
            return self.wait(answer).await;
        }
        let request = InputRequest::ListRoots(ListRootsRequest::default());
        self.ask(key, request, |answer| serde_json::from_value(answer).ok())
            .await
    }

    /// Whether the user can be shown a form.
    #[must_use]
    pub fn can_elicit(&self) -> bool {
        self.0
            .capabilities
            .elicitation
            .as_ref()
            .is_some_and(|elicit| elicit.form.is_some() || elicit.url.is_none())
    }

    /// Whether the user can be sent to a URL.
    #[must_use]
    pub fn can_elicit_url(&self) -> bool {
        self.0
            .capabilities
            .elicitation
            .as_ref()
            .is_some_and(|elicit| elicit.url.is_some())
    }

    /// Whether the client's model can be asked to write.
    #[must_use]
    pub fn can_sample(&self) -> bool {
        self.0.capabilities.sampling.is_some()
    }

    /// Whether the client tells its roots.
    #[must_use]
    pub fn can_list_roots(&self) -> bool {
        self.0.capabilities.roots.is_some()
    }

    async fn put_elicitation<T>(
        &self,
        key: &str,
        params: ElicitRequestParams,
        read: impl Fn(ElicitResult) -> Result<T, serde_json::Error>,
    ) -> Result<T, Error> {
        match params {
            ElicitRequestParams::UrlElicitationParams { .. } => {
                self.require(Capability::Url, self.can_elicit_url())?;
            }
            _ => self.require(Capability::Form, self.can_elicit())?,
        }
        if let Way::Session(peer) = &self.0.way {
            return read(self.wait(peer.create_elicitation(params)).await?).map_err(Error::Misfit);
        }
        let request = InputRequest::Elicitation(ElicitRequest::new(params));
        self.ask(key, request, |answer| {
            serde_json::from_value(answer).and_then(&read).ok()
        })
        .await
    }

    fn require(&self, capability: Capability, supported: bool) -> Result<(), Error> {
        match self.0.way {
            Way::Nobody => Err(Error::Nobody(capability)),
            Way::Session(_) | Way::Round if !supported => Err(Error::Unsupported(capability)),
            Way::Session(_) | Way::Round => Ok(()),
        }
    }

    /// Waits for an answer on the session, with the clock of the request's deadline stopped.
    async fn wait<T>(&self, answer: impl Future<Output = Result<T, rmcp::ServiceError>>) -> Result<T, Error> {
        let open = OpenQuestion::new(self);
        let answer = tokio::time::timeout(self.0.limit, answer).await;
        drop(open);
        answer
            .map_err(|_elapsed| Error::Unanswered(self.0.limit))?
            .map_err(Error::Refused)
    }

    /// The answer that came with the request; without one the question is noted and the tool stops here.
    async fn ask<T>(
        &self,
        key: &str,
        request: InputRequest,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<T, Error> {
        if let Some(answer) = self.round(|round| round.answers.to(key, &request))
            && let Some(answer) = read(answer)
        {
            return Ok(answer);
        }
        self.round(|round| {
            round.pending.insert(key.to_owned(), request);
            if let Some(waker) = round.waker.take() {
                waker.wake();
            }
        });
        // whoever runs the tool drops it here; only a task of its own lives on to see the end
        self.0.over.cancelled().await;
        Err(Error::Ended)
    }

    /// What the tool wants to know, when it has stopped for it.
    pub(crate) fn poll_pending(&self, context: &Context<'_>) -> Poll<InputRequests> {
        if !matches!(self.0.way, Way::Round) {
            return Poll::Pending;
        }
        self.round(|round| {
            if round.pending.is_empty() {
                round.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut round.pending))
        })
    }

    /// Takes over the answers of earlier rounds and of this one.
    pub(crate) fn remember(&self, answers: Answers) {
        self.round(|round| round.answers = answers);
    }

    pub(crate) fn answers(&self) -> Answers {
        self.round(|round| round.answers.clone())
    }

    /// Whether questions travel as input-required results.
    pub(crate) fn by_rounds(&self) -> bool {
        matches!(self.0.way, Way::Round)
    }

    /// The request is over: whoever still waits for an answer waits in vain.
    pub(crate) fn end(&self) {
        self.0.over.cancel();
    }

    /// How long the user has been thinking so far.
    pub(crate) fn waited(&self) -> Duration {
        self.round(|round| round.waited + round.open_since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    fn round<T>(&self, with: impl FnOnce(&mut Round) -> T) -> T {
        with(&mut self.0.round.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Stops the clock of a request's deadline while the user thinks.
struct OpenQuestion<'a>(&'a Ask);

impl<'a> OpenQuestion<'a> {
    fn new(ask: &'a Ask) -> Self {
        ask.round(|round| {
            round.open += 1;
            round.open_since.get_or_insert_with(Instant::now);
        });
        Self(ask)
    }
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.0.round(|round| {
            round.open -= 1;
            if round.open == 0
                && let Some(since) = round.open_since.take()
            {
                round.waited += since.elapsed();
            }
        });
    }
}

impl From<&RequestContext<RoleServer>> for Ask {
    /// The request's way to ask. Without a [`Host`](crate::Host) around the handler nobody can be asked.
    fn from(context: &RequestContext<RoleServer>) -> Self {
        context.extensions.get::<Self>().cloned().unwrap_or_else(|| {
            let inner = Inner {
                way: Way::Nobody,
                capabilities: ClientCapabilities::default(),
                limit: Duration::ZERO,
                over: CancellationToken::new(),
                round: Mutex::default(),
            };
            Self(Arc::new(inner))
        })
    }
}

impl<C: AsRequestContext> FromContextPart<C> for Ask {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Ok(Self::from(context.as_request_context()))
    }
}
