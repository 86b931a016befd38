//! rmcp's side of sessions: what its HTTP service asks for, once [`Sessions::enter`] has let the client in.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{Stream, future::Either};
use rmcp::{
    ErrorData,
    model::{
        ClientJsonRpcMessage, ClientNotification, ErrorCode, GetExtensions, JsonRpcMessage, ProtocolVersion,
        ServerJsonRpcMessage,
    },
    transport::streamable_http_server::{SessionId, SessionManager, session::ServerSseMessage},
};
use sync_wrapper::SyncWrapper;

use super::{
    Absent, Line, Sessions,
    event::EventId,
    flow::Flow,
    resident::{Lease, Resident},
};
use crate::passage::Passage;

tokio::task_local! {
    /// Why the current request has no session or no stream; rmcp would not say.
    static CAUSE: Mutex<Option<Absent>>;
}

/// Runs a request of rmcp's service; gives its answer, and why it failed here if it did.
pub(crate) async fn with_cause<T>(request: impl Future<Output = T>) -> (T, Option<Absent>) {
    let request = async {
        let answer = request.await;
        let cause = CAUSE.with(|cause| cause.lock().unwrap_or_else(PoisonError::into_inner).take());
        (answer, cause)
    };
    CAUSE.scope(Mutex::default(), request).await
}

/// Notes why a request fails; rmcp gets to know only that it does.
fn noted<T>(result: Result<T, Absent>) -> Result<T, Absent> {
    result.map_err(|error| {
        // outside a request nobody asks
        let _ = CAUSE.try_with(|cause| {
            *cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        });
        Absent::Noted
    })
}

/// A stream that keeps its session alive.
struct Leased<S> {
    // the futures of a store are not `Sync`, which rmcp asks for; nobody shares a stream
    stream: SyncWrapper<Pin<Box<S>>>,
    _lease: Lease,
}

impl<S> Leased<S> {
    fn new(stream: S, resident: &Arc<Resident>) -> Self {
        Self {
            stream: SyncWrapper::new(Box::pin(stream)),
            _lease: Lease::new(Arc::clone(resident)),
        }
    }
}

impl<S: Stream> Stream for Leased<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.get_mut().as_mut().poll_next(context)
    }
}

impl Sessions {
    fn known(&self, id: &SessionId) -> Result<Arc<Resident>, Absent> {
        self.resident(id).ok_or(Absent::Unknown)
    }

    /// Has a request worked on; gives what is sent in answer to it.
    async fn stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + use<>, Absent> {
        let resident = self.known(id)?;
        let JsonRpcMessage::Request(request) = &message else {
            return Err(Absent::Broken("not a request".into()));
        };
        let parts = request
            .request
            .extensions()
            .get::<http::request::Parts>()
            .cloned();
        // the service is woken first, so that what it is told of the handshake cannot meet the request
        let (line, _) = self.service(&resident, parts.as_ref(), false).await?;
        let flow = Flow::new(Arc::clone(id), request, line, self.terms.drain.answer());
        if let Some(keep) = &flow.keeps
            && !resident.with_record(|record| keep.fits(record))
        {
            let text = "this session has as many subscriptions as it may";
            let refused = ErrorData::new(ErrorCode(-32000), text, None);
            flow.send(ServerJsonRpcMessage::error(refused, Some(flow.request.clone())));
            return Ok(Leased::new(self.events(flow, 0, false), &resident));
        }
        resident.begin(&flow)?;
        self.flows(|flows| flows.insert(&flow));
        if let Err(error) = self.pass(&resident, message, parts.as_ref()).await {
            resident.finish(&flow);
            flow.end();
            self.flows(|flows| flows.ended(&flow));
            return Err(error);
        }
        let passage = parts.as_ref().and_then(|parts| parts.extensions.get::<Passage>());
        let whole = passage.is_some_and(|passage| passage.whole);
        if self.terms.freezes && !whole {
            self.write_out(Arc::clone(&flow));
        }
        let primes =
            resident.with_record(|record| record.client.protocol_version >= ProtocolVersion::V_2025_11_25);
        Ok(Leased::new(self.events(flow, 0, primes), &resident))
    }

    /// Takes in what needs no answer.
    async fn accept(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Absent> {
        let resident = self.known(id)?;
        let JsonRpcMessage::Notification(notification) = &message else {
            return self.answer(&resident, message).await;
        };
        let crosses = matches!(
            notification.notification,
            ClientNotification::CancelledNotification(_) | ClientNotification::ProgressNotification(_)
        );
        if !crosses {
            let parts = notification
                .notification
                .extensions()
                .get::<http::request::Parts>()
                .cloned();
            return self.pass(&resident, message, parts.as_ref()).await;
        }
        self.pass_notice(&resident, message).await
    }

    /// The stream that an event belongs to, after it.
    async fn go_on(
        &self,
        id: &SessionId,
        last_event_id: &str,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + use<>, Absent> {
        let resident = self.known(id)?;
        let event = last_event_id
            .parse()
            .map_err(|error: super::event::NoEvent| Absent::Broken(error.into()))?;
        let stream = match event {
            EventId::Standalone { key, place } => {
                if resident.with_record(|record| record.events != key) {
                    return Err(Absent::Unknown);
                }
                Either::Left(self.listen(&resident, Some(place)).await?)
            }
            EventId::Answer(position) => Either::Right(self.rest(&resident, position).await?),
        };
        Ok(Leased::new(stream, &resident))
    }
}

impl SessionManager for Sessions {
    type Error = Absent;
    type Transport = Line;

    /// Never asked for: a session is opened with [`Sessions::open`] when its client was answered.
    async fn create_session(&self) -> Result<(SessionId, Line), Absent> {
        Err(Absent::Broken("sessions are not opened this way".into()))
    }

    async fn initialize_session(
        &self,
        _id: &SessionId,
        _message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Absent> {
        Err(Absent::Broken("sessions are not opened this way".into()))
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Absent> {
        Ok(self.resident(id).is_some())
    }

    async fn close_session(&self, _id: &SessionId) -> Result<(), Absent> {
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Absent> {
        noted(self.stream(id, message).await)
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Absent> {
        noted(self.accept(id, message).await)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Absent> {
        let resident = noted(self.known(id))?;
        let stream = noted(self.listen(&resident, None).await)?;
        Ok(Leased::new(stream, &resident))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Absent> {
        noted(self.go_on(id, &last_event_id).await)
    }
}
