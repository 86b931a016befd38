//! MCP over HTTP as one service: a request in, a response out. Every door leads here.

mod body;
mod dispatch;
mod door;
mod envelope;
#[cfg(test)]
mod instances;
mod rejection;
mod tasks;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use rmcp::{
    ServerHandler,
    model::{InitializeRequestParams, ProtocolVersion},
    service::serve_directly_with_ct,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    body::Bounds,
    dispatch::Dispatch,
    envelope::{Envelope, Kind},
    tasks::Desk,
};
pub(crate) use self::{door::Door, rejection::Rejection};
use crate::{
    caller::Principal,
    config::{Config, Mode},
    guard::{Guard, Visit},
    passage::Passage,
    runtime::drain::{Drain, hold},
    sessions::{Absent, Lease, Sessions, Terms, store::Store, with_cause},
};

const SESSION: &str = "mcp-session-id";

/// The service behind `/mcp`. Clones share it.
pub(crate) struct Service<H: ServerHandler>(Arc<Inner<H>>);

impl<H: ServerHandler> Clone for Service<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<H: ServerHandler> {
    mcp: StreamableHttpService<Guard<H>, Sessions>,
    /// Answers `initialize`; the session is opened when it has.
    opening: StreamableHttpService<Guard<H>, NeverSessionManager>,
    dispatch: Dispatch<H>,
    guard: Guard<H>,
    /// Tasks that other instances can be asked about; nobody asks where there is one instance.
    _desk: Option<Arc<Desk<H>>>,
    sessions: Arc<Sessions>,
    door: Door,
    drain: Drain,
    stateful: bool,
    lambda: bool,
    subscriptions: bool,
    bounds: Bounds,
    requests: Arc<Semaphore>,
    /// Places for streams that a client asks for.
    streams: Arc<Semaphore>,
}

impl<H: ServerHandler> Service<H> {
    /// Serves `guard` as `config` says, with sessions in `store`, to whom `door` lets in. Needs a runtime of tokio.
    pub(crate) fn new(
        guard: Guard<H>,
        config: &Config,
        store: Arc<dyn Store>,
        drain: Drain,
        door: Door,
    ) -> Self {
        let limits = &config.limits;
        let shared = store.is_shared();
        let stateful = config.mode == Mode::Stateful;
        let lambda = config.lambda.is_some() && config.listen.is_none();
        let terms = Terms {
            awake: limits.sessions,
            ttl: limits.session_ttl,
            freezes: lambda,
            drain: drain.clone(),
        };
        let sessions = sessions(&guard, store, terms);
        if stateful || shared {
            sessions.start();
        }
        let rmcp = StreamableHttpServerConfig::default()
            .with_json_response(config.mode == Mode::Json)
            .with_cancellation_token(drain.streams().clone())
            // the streams of sessions begin with what the session knows of them
            .with_sse_retry(None)
            // the door and the envelope have checked both
            .disable_allowed_hosts()
            .with_max_request_body_bytes(usize::MAX);
        let dispatch = Dispatch::new(guard.clone(), config.mode);
        let subscriptions = guard.lasts();
        let factory = {
            let guard = guard.clone();
            move || Ok(guard.clone())
        };
        let opening = StreamableHttpService::new(
            factory.clone(),
            Arc::default(),
            rmcp.clone()
                .with_legacy_session_mode(false)
                .with_json_response(true),
        );
        let rmcp = rmcp.with_legacy_session_mode(stateful);
        let mcp = StreamableHttpService::new(factory, Arc::clone(&sessions), rmcp);
        Self(Arc::new(Inner {
            mcp,
            opening,
            dispatch,
            _desk: shared.then(|| Desk::new(guard.clone(), &sessions)),
            guard,
            sessions,
            door,
            drain,
            stateful,
            lambda,
            subscriptions,
            bounds: Bounds {
                length: limits.body,
                time: limits.body_timeout,
            },
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(limits.sessions.min(Semaphore::MAX_PERMITS))),
        }))
    }

    /// The sessions, for who ends them.
    pub(crate) fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.0.sessions)
    }

    /// Answers one request.
    pub(crate) async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let inner = &self.0;
        let domain = request
            .extensions()
            .get::<Passage>()
            .and_then(|passage| passage.domain.as_deref());
        if let Err(rejection) = inner.door.check(request.uri(), request.headers(), domain) {
            tracing::warn!(?rejection, host = ?request.headers().get(header::HOST), "refused a request");
            return rejection.into_response(None);
        }
        match *request.method() {
            Method::POST => inner.post(request).await,
            Method::GET | Method::DELETE => inner
                .get_or_delete(request)
                .await
                .unwrap_or_else(|rejection| rejection.into_response(None)),
            _ => inner.not_allowed(),
        }
    }
}

impl<H: ServerHandler> Inner<H> {
    /// One message of the client.
    async fn post(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let Ok(place) = Arc::clone(&self.requests).try_acquire_owned() else {
            return Rejection::Busy.into_response(None);
        };
        let read = async {
            door::check_content_type(&parts.headers)?;
            let events = door::widen_accept(&mut parts.headers)?;
            Ok((events, self.bounds.read(&parts.headers, body).await?))
        };
        let read: Result<_, Rejection> = read.await;
        let (events, body) = match read {
            Ok(read) => read,
            Err(rejection) => return rejection.into_response(None),
        };
        let envelope = match Envelope::read(&body) {
            Ok(envelope) => envelope,
            Err(rejection) => return rejection.into_response(None),
        };
        let message = Request::from_parts(parts, body.clone());
        self.deliver(&envelope, message, events, place)
            .await
            .unwrap_or_else(|rejection| rejection.into_response(envelope.id))
    }

    /// Hands a message over to rmcp, and waits for the head of the answer.
    async fn deliver(
        &self,
        envelope: &Envelope<'_>,
        mut message: Request<Bytes>,
        events: bool,
        place: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Rejection> {
        tracing::debug!(method = %envelope.method, target = envelope.target().as_deref(), "received");
        if envelope.kind == Kind::Request && self.drain.is_closed() {
            return Err(Rejection::Draining);
        }
        let opens = self.stateful && envelope.requests("initialize");
        if opens {
            // a platform may route by a session id of its own (AgentCore); it is not one of ours
            message.headers_mut().remove(SESSION);
        }
        let passage = message.extensions().get::<Passage>();
        if !self.subscriptions && envelope.requests("subscriptions/listen") {
            return Err(Rejection::NoSubscriptions);
        }
        let deadline = passage.and_then(|passage| passage.deadline);
        let whole = passage.is_some_and(|passage| passage.whole);
        let lease = self.enter(envelope, &message).await?;
        let visit = self.visit(envelope, lease.as_ref())?;
        let visit = Visit {
            deadline,
            // a question would reach the client together with the answer
            session: visit.session && !whole,
            ..visit
        };
        message.extensions_mut().insert(visit.clone());
        // a subscription ends only when the client or a shutdown ends it: it is no work that ends by itself
        let work = (!envelope.requests("subscriptions/listen")).then(|| (self.drain.answer(), place));
        let response = if let Some(answer) = self.dispatch.call(envelope, &mut message, events)? {
            answer.await
        } else if opens {
            Box::pin(self.open(envelope, message)).await?
        } else {
            let blame = blame(message.headers());
            // boxed: rmcp's future is large, and the short way should not have to carry it about
            let answer = Box::pin(with_cause(self.mcp.handle(message.map(Full::new))));
            let (answer, cause) = answer.await;
            if let Some(cause) = cause {
                return Err(cause.into());
            }
            translate(answer.map(Body::new), blame, true)?
        };
        Ok(hold(response, (work, visit, lease)))
    }

    /// Answers `initialize`, and opens a session when the handler has agreed.
    async fn open(
        &self,
        envelope: &Envelope<'_>,
        message: Request<Bytes>,
    ) -> Result<Response<Body>, Rejection> {
        #[derive(Deserialize)]
        struct Agreed {
            result: Version,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            protocol_version: ProtocolVersion,
        }
        let blame = blame(message.headers());
        let principal = message.extensions().get::<Principal>().cloned();
        let answer = self.opening.handle(message.map(Full::new)).await;
        let answer = translate(answer.map(Body::new), blame, true)?;
        let (mut parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|_gone| Rejection::Internal)?
            .to_bytes();
        if let Ok(agreed) = serde_json::from_slice::<Agreed>(&body) {
            let params = envelope.params.ok_or(Rejection::Params)?;
            let mut client: InitializeRequestParams =
                serde_json::from_str(params.get()).map_err(|_shape| Rejection::Params)?;
            client.protocol_version = agreed.result.protocol_version;
            self.guard.take_back(&mut client.capabilities);
            let id = self
                .sessions
                .open(client, principal.as_ref().map(Principal::as_str))
                .await?;
            let id = HeaderValue::from_str(&id).map_err(|_never| Rejection::Internal)?;
            parts.headers.insert(SESSION, id);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// Lets the message into the session that it names, if it is one that has a session.
    async fn enter(
        &self,
        envelope: &Envelope<'_>,
        message: &Request<Bytes>,
    ) -> Result<Option<Lease>, Rejection> {
        if !self.stateful || envelope.is_self_contained() {
            return Ok(None);
        }
        let Some(id) = session(message.headers()) else {
            return Ok(None);
        };
        let principal = message.extensions().get::<Principal>().map(Principal::as_str);
        Ok(Some(self.sessions.enter(id, principal).await?))
    }

    /// How a request comes: with a session or without, and what keeps the session alive while it is worked on.
    fn visit(&self, envelope: &Envelope<'_>, lease: Option<&Lease>) -> Result<Visit, Rejection> {
        if !self.stateful || envelope.is_self_contained() {
            return Ok(Visit::default());
        }
        let id = envelope.id.filter(|_| envelope.kind == Kind::Request);
        let claim = match (lease, id) {
            // two requests with the same id would get one answer between them
            (Some(lease), Some(id)) => Some(lease.clone().claim(id.get()).ok_or(Rejection::DuplicateId)?),
            _ => None,
        };
        Ok(Visit {
            session: true,
            keep: claim.map(|claim| Arc::new(claim) as Arc<_>),
            ..Visit::default()
        })
    }

    /// The stream of a session, its resumption, or its end.
    async fn get_or_delete(&self, request: Request<Body>) -> Result<Response<Body>, Rejection> {
        if !self.stateful {
            return Ok(self.not_allowed());
        }
        let (mut parts, _) = request.into_parts();
        let id = session(&parts.headers).ok_or(Rejection::SessionRequired)?;
        let principal = parts.extensions.get::<Principal>().map(Principal::as_str);
        let lease = self.sessions.enter(id, principal).await?;
        if parts.method == Method::DELETE {
            self.sessions.end(&lease).await?;
            let mut response = Response::new(Body::empty());
            // clients take 202 for a failure
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        if let Some(passage) = parts.extensions.get::<Passage>()
            && (passage.whole || !parts.headers.contains_key("last-event-id"))
        {
            // a stream that ends when its client leaves would hold an environment of Lambda, which is not told
            return Ok(self.not_allowed());
        }
        if self.drain.is_draining() {
            return Err(Rejection::Draining);
        }
        let place = Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_taken| Rejection::Busy)?;
        door::widen_accept(&mut parts.headers)?;
        let blame = blame(&parts.headers);
        let answer = self
            .mcp
            .handle(Request::from_parts(parts, Full::<Bytes>::default()));
        let (answer, cause) = Box::pin(with_cause(answer)).await;
        match cause {
            // a stream that nobody has any more: the client is not to ask for it again
            None | Some(Absent::Unknown | Absent::Broken(_)) => {}
            Some(cause) => return Err(cause.into()),
        }
        match translate(answer.map(Body::new), blame, false) {
            Err(Rejection::Method) => Ok(self.not_allowed()),
            response => Ok(hold(response?, (lease, place))),
        }
    }

    fn not_allowed(&self) -> Response<Body> {
        let mut response = Rejection::Method.into_response(None);
        let allow = match (self.stateful, self.lambda) {
            (true, false) => "GET, POST, DELETE",
            // there is no standalone stream
            (true, true) => "POST, DELETE",
            (false, _) => "POST",
        };
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
        response
    }
}

/// Sessions whose services run the guarded handler.
fn sessions<H: ServerHandler>(guard: &Guard<H>, store: Arc<dyn Store>, terms: Terms) -> Arc<Sessions> {
    let hub = Arc::clone(guard.changes().hub());
    let guard = guard.clone();
    Sessions::new(store, hub, terms, move |line, client, ct| {
        let service = serve_directly_with_ct(guard.clone(), line, Some(client), ct);
        // it ends with its line
        tokio::spawn(service.waiting());
    })
}

impl From<Absent> for Rejection {
    fn from(absent: Absent) -> Self {
        match &absent {
            Absent::Unknown => Self::UnknownSession,
            Absent::Twice => Self::DuplicateId,
            Absent::Full => Self::Full,
            Absent::TooLarge(_) => Self::ClientTooLarge,
            Absent::Store(_) => {
                let error: &dyn std::error::Error = &absent;
                tracing::warn!(error, "the store of sessions was needed, and failed");
                Self::Store
            }
            Absent::Broken(_) | Absent::Noted => {
                let error: &dyn std::error::Error = &absent;
                tracing::error!(error, "a session cannot be used");
                Self::Internal
            }
        }
    }
}

fn session(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION).and_then(|id| id.to_str().ok())
}

/// What is wrong with a request that rmcp calls bad without saying why.
fn blame(headers: &HeaderMap) -> Rejection {
    let known = |version: &HeaderValue| {
        let version = version.as_bytes();
        ProtocolVersion::KNOWN_VERSIONS
            .iter()
            .any(|known| known.as_str().as_bytes() == version)
    };
    if !headers.get("mcp-protocol-version").is_none_or(known) {
        Rejection::Version
    } else if !headers.contains_key(SESSION) {
        Rejection::SessionRequired
    } else {
        Rejection::Request
    }
}

/// rmcp explains itself in plain text, with what went wrong inside; clients get JSON-RPC and constant texts.
fn translate(response: Response<Body>, blame: Rejection, is_post: bool) -> Result<Response<Body>, Rejection> {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == "application/json");
    if status.is_success() || is_json {
        return Ok(response);
    }
    Err(match status {
        StatusCode::NOT_FOUND => Rejection::UnknownSession,
        StatusCode::METHOD_NOT_ALLOWED => Rejection::Method,
        StatusCode::NOT_ACCEPTABLE => Rejection::Accept,
        // the body is JSON-RPC, as the envelope has shown, so it is the parameters that rmcp cannot read
        StatusCode::UNSUPPORTED_MEDIA_TYPE if is_post => Rejection::Params,
        status if status.is_server_error() => {
            tracing::error!(%status, "rmcp could not serve a request");
            Rejection::Internal
        }
        _ => blame,
    })
}
