//! What is remembered between requests, for clients of 2025-11-25 and older: sessions, in this process's memory.

mod store;

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::Stream;
use rmcp::{
    model::{ClientJsonRpcMessage, GetExtensions, JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::{
        RestoreOutcome, SessionId, SessionManager, SessionRestoreMarker,
        session::{
            ServerSseMessage,
            local::{LocalSessionManager, LocalSessionManagerError, SessionTransport},
        },
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    /// The place of the session that the current request opens.
    static PLACE: Mutex<Option<OwnedSemaphorePermit>>;
}

/// How long a session is kept whose client does not come back after `initialize`.
const UNCONFIRMED: Duration = Duration::from_secs(60);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// rmcp's own reason.
    #[error(transparent)]
    Local(#[from] LocalSessionManagerError),
    /// A session was opened past [`Sessions::place`].
    #[error("no place was kept for the session")]
    NoPlace,
}

/// rmcp's sessions, with what rmcp leaves to its host: a bound, an end for the unused, and none for those at work.
#[derive(Debug)]
pub(crate) struct Sessions {
    local: LocalSessionManager,
    places: Arc<Semaphore>,
    uses: Mutex<HashMap<SessionId, Arc<Use>>>,
    ttl: Duration,
}

/// Who uses a session right now, and since when nobody does.
#[derive(Debug)]
struct Use {
    state: Mutex<UseState>,
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct UseState {
    leases: usize,
    last: Instant,
    /// Whether its client has come back since it was opened.
    confirmed: bool,
    /// The requests that are being worked on, by their id as JSON.
    requests: HashSet<String>,
    /// A session that is being restored takes requests only when its handshake was replayed.
    restoring: bool,
}

impl Use {
    fn new(place: Option<OwnedSemaphorePermit>, restoring: bool) -> Arc<Self> {
        let state = UseState {
            leases: 0,
            last: Instant::now(),
            confirmed: false,
            requests: HashSet::new(),
            restoring,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            _place: place,
        })
    }

    fn state<T>(&self, with: impl FnOnce(&mut UseState) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps a session alive: a request, a running tool or an open stream holds one.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Use>);

impl Lease {
    fn new(session: Arc<Use>) -> Self {
        session.state(|state| {
            state.leases += 1;
            state.confirmed = true;
        });
        Self(session)
    }

    /// Reserves a request's id, given as JSON; `None` when a request with this id is being worked on.
    pub(crate) fn claim(self, id: &str) -> Option<Claim> {
        let id = id.to_owned();
        self.0
            .state(|state| state.requests.insert(id.clone()))
            .then_some(Claim { lease: self, id })
    }
}

/// A request that is being worked on in a session, which it keeps alive.
#[derive(Debug)]
pub(crate) struct Claim {
    lease: Lease,
    id: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lease.0.state(|state| state.requests.remove(&self.id));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.state(|state| {
            state.leases -= 1;
            state.last = Instant::now();
        });
    }
}

impl Sessions {
    /// At most `max` sessions, each kept for `ttl` after its last use.
    pub(crate) fn new(max: usize, ttl: Duration) -> Arc<Self> {
        let mut local = LocalSessionManager::default();
        // rmcp's idle timer does not know that a tool is running or a stream open; ours does
        local.session_config.keep_alive = None;
        let places = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            local,
            places,
            uses: Mutex::default(),
            ttl,
        })
    }

    /// Keeps a place for a session that is about to be opened; `None` when all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Runs `request`, which may open a session in `place`.
    pub(crate) async fn with_place<T>(place: OwnedSemaphorePermit, request: impl Future<Output = T>) -> T {
        PLACE.scope(Mutex::new(Some(place)), request).await
    }

    /// Keeps the session alive while the lease lives; `None` when there is no such session.
    pub(crate) fn lease(&self, id: &str) -> Option<Lease> {
        // counted before the map is let go, so that the reaper does not come between
        self.uses(|uses| uses.get(id).map(|session| Lease::new(Arc::clone(session))))
    }

    /// Ends sessions that nobody has used for the time to live, as long as somebody holds the sessions.
    pub(crate) async fn reap(sessions: Weak<Self>) {
        loop {
            let Some(pause) = sessions.upgrade().map(|sessions| sessions.ttl / 4) else {
                return;
            };
            tokio::time::sleep(pause.clamp(Duration::from_millis(20), Duration::from_secs(30))).await;
            let Some(sessions) = sessions.upgrade() else {
                return;
            };
            let unused = |session: &Arc<Use>| {
                session.state(|state| {
                    let ttl = if state.confirmed {
                        sessions.ttl
                    } else {
                        sessions.ttl.min(UNCONFIRMED)
                    };
                    state.leases == 0 && state.last.elapsed() >= ttl
                })
            };
            let ended: Vec<_> = sessions.uses(|uses| {
                uses.extract_if(|_, session| unused(session))
                    .map(|(id, _)| id)
                    .collect()
            });
            for id in ended {
                tracing::debug!("a session ended unused");
                if let Err(error) = sessions.local.close_session(&id).await {
                    tracing::debug!(%error, "cannot close a session");
                }
            }
        }
    }

    fn usage(&self, id: &str) -> Option<Arc<Use>> {
        self.uses(|uses| uses.get(id).cloned())
    }

    fn uses<T>(&self, with: impl FnOnce(&mut HashMap<SessionId, Arc<Use>>) -> T) -> T {
        with(&mut self.uses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream that keeps its session alive.
struct Leased<S> {
    stream: Pin<Box<S>>,
    _lease: Option<Lease>,
}

impl<S: Stream> Stream for Leased<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl Sessions {
    fn leased<S: Stream>(&self, id: &SessionId, stream: S) -> Leased<S> {
        Leased {
            stream: Box::pin(stream),
            _lease: self.lease(id),
        }
    }
}

impl SessionManager for Sessions {
    type Error = Error;
    type Transport = SessionTransport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Error> {
        let place = PLACE
            .try_with(|place| place.lock().unwrap_or_else(PoisonError::into_inner).take())
            .ok()
            .flatten()
            .ok_or(Error::NoPlace)?;
        let (id, transport) = self.local.create_session().await?;
        self.uses(|uses| uses.insert(Arc::clone(&id), Use::new(Some(place), false)));
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Error> {
        Ok(self.local.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Error> {
        if self
            .usage(id)
            .is_some_and(|session| session.state(|state| state.restoring))
        {
            return Ok(false);
        }
        Ok(self.local.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Error> {
        self.uses(|uses| uses.remove(id));
        Ok(self.local.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        let stream = self.local.create_stream(id, message).await?;
        Ok(self.leased(id, stream))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Error> {
        let replayed = matches!(
            &message,
            JsonRpcMessage::Notification(notification)
                if notification.notification.extensions().get::<SessionRestoreMarker>().is_some()
        );
        let accepted = self.local.accept_message(id, message).await;
        if replayed && let Some(session) = self.usage(id) {
            session.state(|state| state.restoring = false);
        }
        Ok(accepted?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        let stream = self.local.create_standalone_stream(id).await?;
        Ok(self.leased(id, stream))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        let stream = self.local.resume(id, last_event_id).await?;
        Ok(self.leased(id, stream))
    }

    async fn restore_session(&self, id: SessionId) -> Result<RestoreOutcome<Self::Transport>, Error> {
        // rmcp shows a session to other requests before its handshake was replayed, and they destroy it
        let place = self.place().ok_or(Error::NoPlace)?;
        self.uses(|uses| uses.insert(Arc::clone(&id), Use::new(Some(place), true)));
        Ok(self.local.restore_session(id).await?)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use rmcp::{
        ServerHandler,
        model::{ClientCapabilities, Implementation, InitializeRequestParams},
        transport::streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService,
            session::{SessionState, SessionStore, SessionStoreError},
        },
    };

    use super::*;

    struct Nothing;
    impl ServerHandler for Nothing {}

    /// A store that knows every session.
    struct Store;

    #[async_trait]
    impl SessionStore for Store {
        async fn load(&self, _id: &str) -> Result<Option<SessionState>, SessionStoreError> {
            let params =
                InitializeRequestParams::new(ClientCapabilities::default(), Implementation::new("old", "1"))
                    .with_protocol_version(rmcp::model::ProtocolVersion::V_2025_06_18);
            Ok(Some(SessionState::new(params)))
        }

        async fn store(&self, _id: &str, _state: &SessionState) -> Result<(), SessionStoreError> {
            Ok(())
        }

        async fn delete(&self, _id: &str) -> Result<(), SessionStoreError> {
            Ok(())
        }
    }

    /// rmcp shows a session before its handshake was replayed; a handler that takes a moment to build opens the gap.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_that_meet_a_session_while_it_is_restored_are_all_served() {
        let sessions = Sessions::new(10, Duration::from_secs(60));
        let mut config = StreamableHttpServerConfig::default();
        config.session_store = Some(Arc::new(Store));
        let building = Arc::new(Semaphore::new(0));
        let slow = {
            let building = Arc::clone(&building);
            move || {
                building.add_permits(1);
                std::thread::sleep(Duration::from_millis(20));
                Ok(Nothing)
            }
        };
        let service = StreamableHttpService::new(slow, Arc::clone(&sessions), config);
        for round in 0..3 {
            let call = |id: u32| {
                let service = service.clone();
                let request = Request::post("/mcp")
                    .header("host", "localhost")
                    .header("content-type", "application/json")
                    .header("accept", "application/json, text/event-stream")
                    .header("mcp-session-id", format!("session-{round}"))
                    .body(Full::new(Bytes::from(format!(
                        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#
                    ))))
                    .unwrap();
                tokio::spawn(async move {
                    let body = service.handle(request).await.into_body().collect().await.unwrap();
                    String::from_utf8(body.to_bytes().to_vec()).unwrap()
                })
            };
            let mut calls = vec![call(0)];
            building.acquire().await.unwrap().forget();
            calls.extend((1..12).map(call));
            for body in futures::future::join_all(calls).await {
                let body = body.unwrap();
                assert!(body.contains(r#""tools":[]"#), "{body}");
            }
        }
    }
}
