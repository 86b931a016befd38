//! A session's standalone stream: what belongs to no request, kept in a log that outlives the instance.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use rmcp::{
    model::{ProtocolVersion, ServerJsonRpcMessage},
    transport::streamable_http_server::session::ServerSseMessage,
};

use super::{
    Absent, Sessions,
    event::EventId,
    flow::{RETRY, event},
    parts::{Assembly, split},
    post::Letter,
    record::{Record, pack, unpack},
    resident::Resident,
    store::{Failure, Patience},
};
use crate::changes::Change;

/// How long what was said is kept for a client that has lost its stream.
pub(super) const KEPT: Duration = Duration::from_secs(300);
/// How often a stream looks by itself, in case it was not told.
const LOOK: Duration = Duration::from_secs(15);
/// Begins a stream: an entry that says nothing.
const BEGIN: &[u8] = b"";

/// A reader of a session's log.
struct Reader {
    sessions: Arc<Sessions>,
    resident: Arc<Resident>,
    key: String,
    number: u64,
    cursor: u64,
    ready: std::collections::VecDeque<ServerSseMessage>,
    assembly: Assembly,
    ended: bool,
}

impl Sessions {
    /// Says something to the session's client that belongs to no request. What nobody listens to is not kept.
    pub(super) async fn say(&self, resident: &Arc<Resident>, message: &ServerJsonRpcMessage) {
        let found = self.store.read(&super::key(&resident.id)).await;
        let record = match found {
            Ok(Some(found)) if found.value.is_empty() => return,
            Ok(Some(found)) => unpack::<Record>(&found.value).ok(),
            Ok(None) | Err(_) => None,
        };
        let listener = record.map_or_else(
            || resident.with_record(|record| record.listener.clone()),
            |record| record.listener,
        );
        let Some(listener) = listener else {
            tracing::debug!("a message to a client that has no standalone stream");
            return;
        };
        if let Err(error) = self.keep_message(&resident.id, message).await {
            tracing::warn!(%error, "a message to a client is lost");
            return;
        }
        if *listener == *self.post.instance {
            resident.heard.notify_waiters();
            return;
        }
        let session = resident.id.to_string();
        if let Err(error) = self.post.send(&listener, &Letter::Heard { session }).await {
            tracing::debug!(%error, "a listener was not told; it will look by itself");
        }
    }

    /// Tells the clients of a change whose standalone streams are here.
    pub(super) async fn tell(&self, change: &Change) {
        let here = |resident: &Arc<Resident>| {
            resident.with_record(|record| {
                record.listener.as_deref() == Some(&*self.post.instance)
                    && change.concerns(&record.subscriptions)
            })
        };
        let listening: Vec<_> = self.residents(|residents| {
            residents
                .values()
                .filter(|resident| here(resident))
                .cloned()
                .collect()
        });
        let message = ServerJsonRpcMessage::notification(change.notification());
        for resident in listening {
            match self.keep_message(&resident.id, &message).await {
                Ok(()) => resident.heard.notify_waiters(),
                Err(error) => tracing::warn!(%error, "a client was not told of a change"),
            }
        }
    }

    async fn keep_message(&self, session: &str, message: &ServerJsonRpcMessage) -> Result<(), Failure> {
        let value = pack(message).map_err(|error| Failure::Unavailable(error.into()))?;
        let entries = split(&value, self.store.limit());
        self.store.append(&log(session), entries, KEPT).await.map(|_| ())
    }

    /// Opens the session's standalone stream at this instance, after entry `after` of the log or at its end.
    pub(super) async fn listen(
        &self,
        resident: &Arc<Resident>,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + use<>, Absent> {
        let own = self.post.instance.to_string();
        let before = resident.with_record(|record| record.listener.clone());
        let number = resident.open_stream();
        // who speaks looks at the record after it has written; whoever listens writes the record before it reads
        let record = self
            .change(resident, |record| record.listener = Some(own.clone()))
            .await?;
        if let Some(before) = before.filter(|before| *before != own) {
            let session = resident.id.to_string();
            if let Err(error) = self.post.send(&before, &Letter::Changed { session }).await {
                tracing::debug!(%error, "the listener before was not told; it will find out");
            }
        }
        // the handler here is told of the session, so that it can speak to it
        self.service(resident, None, false).await?;
        let cursor = match after {
            Some(after) => after,
            None => {
                self.store
                    .append(
                        &log(&resident.id),
                        split(&Bytes::from_static(BEGIN), usize::MAX),
                        KEPT,
                    )
                    .await?
            }
        };
        let primes = record.client.protocol_version >= ProtocolVersion::V_2025_11_25;
        let key = record.events;
        let id = EventId::Standalone {
            key: key.clone(),
            number: cursor,
        };
        let prime = primes.then(|| ServerSseMessage::priming(id.to_string(), RETRY));
        let sessions = self
            .own
            .upgrade()
            .ok_or_else(|| Absent::Broken("the sessions have ended".into()))?;
        let reader = Reader {
            sessions,
            resident: Arc::clone(resident),
            key,
            number,
            cursor,
            ready: std::collections::VecDeque::new(),
            assembly: Assembly::default(),
            ended: false,
        };
        Ok(stream::iter(prime).chain(stream::unfold(reader, Reader::next)))
    }
}

impl Reader {
    async fn next(mut self) -> Option<(ServerSseMessage, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if self.ended {
                return None;
            }
            let resident = Arc::clone(&self.resident);
            let mut heard = std::pin::pin!(resident.heard.notified());
            heard.as_mut().enable();
            if self.speaks() {
                self.read().await;
            }
            if !self.ready.is_empty() {
                continue;
            }
            let draining = self.sessions.terms.draining.clone();
            tokio::select! {
                () = heard => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.resident.over.cancelled() => return None,
                () = draining.cancelled() => {
                    // the client is to come back soon, to another instance
                    self.ended = true;
                    return Some((ServerSseMessage::retry(RETRY), self));
                }
            }
        }
    }

    /// Whether this is the session's one standalone stream; others stay open and say nothing.
    fn speaks(&self) -> bool {
        let is_here = |record: &Record| record.listener.as_deref() == Some(&*self.sessions.post.instance);
        self.resident.is_newest_stream(self.number) && self.resident.with_record(is_here)
    }

    async fn read(&mut self) {
        let log = log(&self.resident.id);
        let entries = match self
            .sessions
            .store
            .follow(&log, self.cursor, Patience::NONE)
            .await
        {
            Ok(entries) => entries,
            Err(error) => {
                tracing::debug!(%error, "cannot read what a client is to be told; tried again later");
                return;
            }
        };
        for entry in entries {
            self.cursor = entry.number;
            let Some(value) = self.assembly.add(&entry.value).filter(|value| !value.is_empty()) else {
                continue;
            };
            match unpack::<ServerJsonRpcMessage>(&value) {
                Ok(message) => {
                    let id = EventId::Standalone {
                        key: self.key.clone(),
                        number: entry.number,
                    };
                    self.ready.push_back(event(&id, Arc::new(message)));
                }
                Err(error) => tracing::warn!(%error, "a message to a client cannot be read"),
            }
        }
    }
}

/// Where a session's messages are kept that belong to no request.
fn log(session: &str) -> String {
    format!("said:{session}")
}
