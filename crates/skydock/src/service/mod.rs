//! MCP over HTTP as one service: a request in, a response out. Every door leads here.

mod body;
mod dispatch;
mod door;
mod envelope;
mod rejection;

use std::{any::Any, sync::Arc};

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use rmcp::{
    ServerHandler,
    model::ProtocolVersion,
    transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::door::Door;
use self::{
    body::Bounds,
    dispatch::Dispatch,
    envelope::{Envelope, Kind},
    rejection::Rejection,
};
use crate::{
    config::{Config, Mode},
    guard::{Guard, Visit},
    runtime::{
        Passage,
        drain::{Drain, hold},
    },
    sessions::Sessions,
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
    dispatch: Dispatch<H>,
    sessions: Arc<Sessions>,
    door: Door,
    drain: Drain,
    stateful: bool,
    subscriptions: bool,
    bounds: Bounds,
    requests: Arc<Semaphore>,
}

impl<H: ServerHandler> Service<H> {
    /// Serves `guard` as `config` says, to whom `door` lets in. Needs a runtime of tokio.
    pub(crate) fn new(guard: Guard<H>, config: &Config, drain: Drain, door: Door) -> Self {
        let limits = &config.limits;
        let sessions = Sessions::new(limits.sessions, limits.session_ttl);
        let stateful = config.mode == Mode::Stateful;
        if stateful {
            tokio::spawn(Sessions::reap(Arc::downgrade(&sessions)));
        }
        let rmcp = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(stateful)
            .with_json_response(config.mode == Mode::Json)
            .with_cancellation_token(drain.streams().clone())
            // the door and the envelope have checked both
            .disable_allowed_hosts()
            .with_max_request_body_bytes(usize::MAX);
        let dispatch = Dispatch::new(guard.clone(), config.mode);
        let subscriptions = guard.has_subscriptions();
        let mcp = StreamableHttpService::new(move || Ok(guard.clone()), Arc::clone(&sessions), rmcp);
        Self(Arc::new(Inner {
            mcp,
            dispatch,
            sessions,
            door,
            drain,
            stateful,
            subscriptions,
            bounds: Bounds {
                length: limits.body,
                time: limits.body_timeout,
            },
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
        }))
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
        if envelope.kind == Kind::Request && self.drain.is_draining() {
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
        let visit = Visit {
            deadline,
            ..self.visit(envelope, message.headers())?
        };
        message.extensions_mut().insert(visit.clone());
        // a subscription ends only when the client or a shutdown ends it: it is no work that ends by itself
        let work = (!envelope.requests("subscriptions/listen")).then(|| (self.drain.answer(), place));
        let response = if let Some(answer) = self.dispatch.call(envelope, &mut message, events)? {
            answer.await
        } else {
            let blame = blame(message.headers());
            let message = message.map(Full::new);
            // boxed: rmcp's future is large, and the short way should not have to carry it about
            let answer = Box::pin(self.mcp.handle(message));
            let answer = if opens {
                let place = self.sessions.place().ok_or(Rejection::Full)?;
                Sessions::with_place(place, answer).await
            } else {
                answer.await
            };
            translate(answer.map(Body::new), blame, true)?
        };
        Ok(hold(response, (work, visit)))
    }

    /// How a request comes: with a session or without, and what keeps the session alive while it is worked on.
    fn visit(&self, envelope: &Envelope<'_>, headers: &HeaderMap) -> Result<Visit, Rejection> {
        if !self.stateful || envelope.is_self_contained() {
            return Ok(Visit::default());
        }
        let lease = session(headers).and_then(|id| self.sessions.lease(id));
        let Some(lease) = lease else {
            return Ok(Visit {
                session: true,
                ..Visit::default()
            });
        };
        let keep: Arc<dyn Any + Send + Sync> = match envelope.id.filter(|_| envelope.kind == Kind::Request) {
            // rmcp gives both answers to one of two requests with the same id, and none to the other
            Some(id) => Arc::new(lease.claim(id.get()).ok_or(Rejection::DuplicateId)?),
            None => Arc::new(lease),
        };
        Ok(Visit {
            session: true,
            keep: Some(keep),
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
        if self.sessions.lease(id).is_none() {
            return Err(Rejection::UnknownSession);
        }
        let ends = parts.method == Method::DELETE;
        if !ends {
            if self.drain.is_draining() {
                return Err(Rejection::Draining);
            }
            door::widen_accept(&mut parts.headers)?;
        }
        let blame = blame(&parts.headers);
        let answer = Box::pin(
            self.mcp
                .handle(Request::from_parts(parts, Full::<Bytes>::default())),
        )
        .await;
        let mut response = match translate(answer.map(Body::new), blame, false) {
            Err(Rejection::Method) => return Ok(self.not_allowed()),
            response => response?,
        };
        if ends && response.status() == StatusCode::ACCEPTED {
            // clients take 202 for a failure
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        Ok(response)
    }

    fn not_allowed(&self) -> Response<Body> {
        let mut response = Rejection::Method.into_response(None);
        let allow = if self.stateful {
            "GET, POST, DELETE"
        } else {
            "POST"
        };
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
        response
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
