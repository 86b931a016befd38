//! The short way of a stateless request: straight to the handler, without a service loop of its own.
//!
//! rmcp serves each stateless request with a loop, four tasks and three channels, so that the handler can talk back
//! through its peer. Most requests cannot be talked back to: they carry no progress token, and the server has no log
//! to send. These are parsed into the one type they are, and given to rmcp's own `Service::handle_request` with a peer
//! that is kept. Whatever is out of the ordinary (a header that does not match, a token, a method that is rare) takes
//! rmcp's way, which is also the one that words the errors of the protocol.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler,
    model::{
        CallToolRequest, ClientCapabilities, ClientJsonRpcMessage, ClientRequest, CompleteRequestParams,
        ErrorCode, GetPromptRequest, Implementation, InitializeRequestParams, JsonObject, JsonRpcMessage,
        ListToolsRequest, ProtocolVersion, ReadResourceRequest, RequestId, RequestMetaObject,
        RequestParamsMeta, ServerJsonRpcMessage, ServerResult,
    },
    service::{RequestContext, RunningService, Service as _, serve_directly},
    transport::Transport,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    envelope::{Envelope, Kind},
    rejection::Rejection,
};
use crate::{config::Mode, guard::Guard};

/// A request that is still worked on after this becomes a stream, so that nobody on the way takes it for dead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often such a stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";

/// Calls the handler directly where nothing is lost by it.
pub(super) struct Dispatch<H: ServerHandler> {
    guard: Guard<H>,
    mode: Mode,
    logs: bool,
    /// A handler once talked back through its peer where the protocol gave it no reason to; it gets rmcp's way.
    talks: Arc<AtomicBool>,
    service: OnceLock<RunningService<RoleServer, Guard<H>>>,
}

/// What a request needs to be called directly.
struct Call {
    id: RequestId,
    request: ClientRequest,
    meta: RequestMetaObject,
    modern: bool,
}

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl<H: ServerHandler> Dispatch<H> {
    pub(super) fn new(guard: Guard<H>, mode: Mode) -> Self {
        let logs = ServerHandler::get_info(&guard).capabilities.logging.is_some();
        Self {
            guard,
            mode,
            logs,
            talks: Arc::default(),
            service: OnceLock::new(),
        }
    }

    /// The answer, when the request can go the short way; `events` when the client takes them.
    ///
    /// # Errors
    /// When the parameters do not have the shape of the method (rmcp takes such a request for an unknown method).
    pub(super) fn call(
        &self,
        envelope: &Envelope<'_>,
        message: &mut Request<Bytes>,
        events: bool,
    ) -> Result<Option<Answer>, Rejection> {
        let Some((request, meta)) = read_request(envelope)? else {
            return Ok(None);
        };
        let Some(call) = self.admit(envelope, message.headers(), request, meta) else {
            return Ok(None);
        };
        let (parts, _) = std::mem::take(message).into_parts();
        let events = events && self.mode != Mode::Json;
        Ok(Some(self.answer(call, parts, events)))
    }

    fn admit(
        &self,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        request: ClientRequest,
        mut meta: RequestMetaObject,
    ) -> Option<Call> {
        if meta.get_progress_token().is_some() || self.talks.load(Ordering::Relaxed) {
            return None;
        }
        let modern = match meta.protocol_version() {
            Some(version) => {
                let plain = version == ProtocolVersion::V_2026_07_28
                    && meta.missing_required_keys(&version).is_empty()
                    && (!self.logs || meta.log_level().is_none())
                    && headers_match(headers, version.as_str(), &envelope.method, target(&request))
                    && !self.has_header_parameters(&request);
                if !plain {
                    return None;
                }
                true
            }
            None => {
                let version =
                    legacy_version(headers).filter(|_| self.mode != Mode::Stateful && !self.logs)?;
                // the kept peer says that it cannot be asked; what the handler sees is in the request
                meta.set_protocol_version(version);
                false
            }
        };
        let id = serde_json::from_str(envelope.id?.get()).ok()?;
        Some(Call {
            id,
            request,
            meta,
            modern,
        })
    }

    /// Whether a tool takes parameters from headers, which rmcp checks.
    fn has_header_parameters(&self, request: &ClientRequest) -> bool {
        fn mentions(schema: &JsonObject) -> bool {
            let properties = schema.get("properties").and_then(serde_json::Value::as_object);
            properties.is_some_and(|properties| {
                let mut schemas = properties.values().filter_map(serde_json::Value::as_object);
                schemas.any(|property| property.contains_key("x-mcp-header") || mentions(property))
            })
        }
        let ClientRequest::CallToolRequest(call) = request else {
            return false;
        };
        self.guard
            .get_tool(&call.params.name)
            .is_some_and(|tool| mentions(&tool.input_schema))
    }

    fn answer(&self, call: Call, parts: Parts, events: bool) -> Answer {
        let Call {
            id,
            request,
            meta,
            modern,
        } = call;
        let mut context = RequestContext::new(id.clone(), self.peer());
        context.meta = meta;
        context.extensions.insert(parts);
        let guard = self.guard.clone();
        let mut result = Box::pin(async move { guard.handle_request(request, context).await });
        if !events {
            return Box::pin(async move { plain(&respond(id, result.await), modern, false) });
        }
        Box::pin(async move {
            tokio::select! {
                biased;
                result = &mut result => plain(&respond(id, result), modern, true),
                () = tokio::time::sleep(PATIENCE) => stream(async move { respond(id, result.await) }),
            }
        })
    }

    /// A peer that leads nowhere, from a service that never ends.
    fn peer(&self) -> Peer<RoleServer> {
        let start = || {
            let info = InitializeRequestParams::new(ClientCapabilities::default(), Implementation::default())
                .with_protocol_version(ProtocolVersion::NO_INITIALIZE);
            serve_directly(
                self.guard.clone(),
                DeadLetters(Arc::clone(&self.talks)),
                Some(info),
            )
        };
        self.service.get_or_init(start).peer().clone()
    }
}

/// Parses the parameters of a frequent method straight into their type.
///
/// # Errors
/// When they do not have the shape of the method.
fn read_request(envelope: &Envelope<'_>) -> Result<Option<(ClientRequest, RequestMetaObject)>, Rejection> {
    fn read<P: DeserializeOwned + RequestParamsMeta>(
        params: Option<&RawValue>,
    ) -> Result<(P, RequestMetaObject), Rejection> {
        let params = serde_json::from_str(params.map_or("{}", RawValue::get));
        let mut params: P = params.map_err(|error| {
            tracing::debug!(%error, "refused parameters");
            Rejection::Params
        })?;
        let meta = params.meta_mut().take().unwrap_or_default();
        Ok((params, meta))
    }
    if envelope.kind != Kind::Request {
        return Ok(None);
    }
    let (request, meta) = match envelope.method.as_ref() {
        "tools/call" => {
            let (params, meta) = read(envelope.params)?;
            (ClientRequest::CallToolRequest(CallToolRequest::new(params)), meta)
        }
        "prompts/get" => {
            let (params, meta) = read(envelope.params)?;
            (
                ClientRequest::GetPromptRequest(GetPromptRequest::new(params)),
                meta,
            )
        }
        "resources/read" => {
            let (params, meta) = read(envelope.params)?;
            (
                ClientRequest::ReadResourceRequest(ReadResourceRequest::new(params)),
                meta,
            )
        }
        "tools/list" => {
            let (params, meta) = read(envelope.params)?;
            (
                ClientRequest::ListToolsRequest(ListToolsRequest::with_param(params)),
                meta,
            )
        }
        // rare, but worth the right error: rmcp takes either for an unknown method
        "initialize" if !envelope.is_self_contained() => {
            return read::<InitializeRequestParams>(envelope.params).map(|_| None);
        }
        "completion/complete" => return read::<CompleteRequestParams>(envelope.params).map(|_| None),
        _ => return Ok(None),
    };
    Ok(Some((request, meta)))
}

/// What `Mcp-Name` has to say (2026-07-28).
fn target(request: &ClientRequest) -> Option<&str> {
    match request {
        ClientRequest::CallToolRequest(request) => Some(&request.params.name),
        ClientRequest::GetPromptRequest(request) => Some(&request.params.name),
        ClientRequest::ReadResourceRequest(request) => Some(&request.params.uri),
        _ => None,
    }
}

/// Whether the headers of 2026-07-28 say, letter for letter, what the body says.
fn headers_match(headers: &HeaderMap, version: &str, method: &str, name: Option<&str>) -> bool {
    let says = |header: &str, value: Option<&str>| {
        let mut values = headers.get_all(header).iter();
        values.next().map(HeaderValue::as_bytes) == value.map(str::as_bytes) && values.next().is_none()
    };
    // a name that looks encoded is rmcp's to decode
    let encoded = name.is_some_and(|name| name.starts_with("=?"));
    !encoded && says(VERSION, Some(version)) && says(METHOD, Some(method)) && says(NAME, name)
}

/// The version of a client before 2026-07-28, by its header (2025-03-26 without one, as the protocol says).
fn legacy_version(headers: &HeaderMap) -> Option<ProtocolVersion> {
    if headers.contains_key(METHOD) {
        return None;
    }
    let Some(header) = headers.get(VERSION) else {
        return Some(ProtocolVersion::V_2025_03_26);
    };
    let known = |version: &&ProtocolVersion| {
        version.has_initialize() && version.as_str().as_bytes() == header.as_bytes()
    };
    ProtocolVersion::KNOWN_VERSIONS.iter().find(known).cloned()
}

fn respond(id: RequestId, result: Result<ServerResult, ErrorData>) -> ServerJsonRpcMessage {
    match result {
        Ok(result) => ServerJsonRpcMessage::response(result, id),
        Err(error) => ServerJsonRpcMessage::error(error, Some(id)),
    }
}

/// A ready answer needs no stream, even as an event: one body, one write.
fn plain(message: &ServerJsonRpcMessage, modern: bool, as_event: bool) -> Response<Body> {
    let status = if modern { status(message) } else { StatusCode::OK };
    let as_event = as_event && status == StatusCode::OK;
    let (media, body) = match serde_json::to_vec(message) {
        Ok(json) if as_event => ("text/event-stream", event(&json)),
        Ok(json) => ("application/json", json.into()),
        Err(error) => {
            tracing::error!(%error, "cannot write an answer");
            return Rejection::Internal.into_response(None);
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if as_event {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// The status that the transport of 2026-07-28 gives to errors of the protocol.
const fn status(message: &ServerJsonRpcMessage) -> StatusCode {
    let JsonRpcMessage::Error(error) = message else {
        return StatusCode::OK;
    };
    match error.error.code {
        ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
        | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
        | ErrorCode::HEADER_MISMATCH => StatusCode::BAD_REQUEST,
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

/// A late answer, as a stream that says every now and then that it lives.
fn stream(answer: impl Future<Output = ServerJsonRpcMessage> + Send + 'static) -> Response<Body> {
    let answer: Pin<Box<dyn Future<Output = ServerJsonRpcMessage> + Send>> = Box::pin(answer);
    let frames = stream::unfold(Some(answer), |answer| async move {
        let mut answer = answer?;
        let frame = tokio::select! {
            biased;
            message = &mut answer => match serde_json::to_vec(&message) {
                Ok(json) => return Some((event(&json), None)),
                Err(error) => {
                    tracing::error!(%error, "cannot write an answer");
                    return None;
                }
            },
            () = tokio::time::sleep(KEEP_ALIVE) => Bytes::from_static(b":\n\n"),
        };
        Some((frame, Some(answer)))
    });
    let mut response = Response::new(Body::from_stream(frames.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Where messages of a handler go that nobody can receive. The first one is the last: from then on the handler gets
/// rmcp's way, where there is somebody.
struct DeadLetters(Arc<AtomicBool>);

impl Transport<RoleServer> for DeadLetters {
    type Error = Infallible;

    fn send(
        &mut self,
        _message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "the handler sends messages of its own; its requests take the longer way from now on"
            );
        }
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        std::future::pending().await
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
