//! A session's standalone stream: what belongs to no request, kept in a log that outlives the instance.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use rmcp::{
    model::{ProtocolVersion, ServerJsonRpcMessage},
    transport::streamable_http_server::session::ServerSseMessage,
};

use super::{
    Absent, Sessions,
    event::{EventId, Place},
    flow::{RETRY, event},
    parts::{Assembly, split},
    post::Letter,
    record::{Record, pack, unpack},
    resident::Resident,
    store::{Entry, Failure, Patience},
};
use crate::changes::Change;

/// How long what was said is kept for a client that has lost its stream.
pub(super) const KEPT: Duration = Duration::from_secs(300);
/// How often a stream looks by itself, in case it was not told.
const LOOK: Duration = Duration::from_secs(15);
/// The log of changes, which all sessions share.
const CHANGES: &str = "changes";
/// The most entries of a log that this instance keeps for clients.
const MOST: usize = 10_000;
/// Begins a stream: an entry that says nothing.
const BEGIN: &[u8] = b"";

/// A reader of a session's log.
struct Reader {
    sessions: Arc<Sessions>,
    resident: Arc<Resident>,
    key: String,
    number: u64,
    place: Place,
    ready: VecDeque<ServerSseMessage>,
    said: Assembly,
    changes: Assembly,
    ended: bool,
}

/// The entries of a log that this instance has written, and when.
#[derive(Debug, Default)]
pub(super) struct Said(VecDeque<(Instant, u64)>);

impl Said {
    /// Notes an entry. Gives the number up to which the log can be forgotten, when that is further than before.
    pub(super) fn add(&mut self, number: u64) -> Option<u64> {
        self.0.push_back((Instant::now(), number));
        let mut past = None;
        while self.0.len() > MOST || self.0.front().is_some_and(|(since, _)| since.elapsed() >= KEPT) {
            past = self.0.pop_front().map(|(_, number)| number);
        }
        past
    }
}

impl Sessions {
    /// Says something to the session's client that belongs to no request; whether it can reach it. What nobody has
    /// ever listened to is not kept.
    pub(super) async fn say(&self, resident: &Arc<Resident>, message: &ServerJsonRpcMessage) -> bool {
        let found = self.store.read(&super::key(&resident.id)).await;
        let record = match found {
            Ok(Some(found)) if found.value.is_empty() => return false,
            Ok(Some(found)) => unpack::<Record>(&found.value).ok(),
            Ok(None) | Err(_) => None,
        };
        let listener = record.map_or_else(
            || resident.with_record(|record| record.listener.clone()),
            |record| record.listener,
        );
        let Some(listener) = listener else {
            tracing::debug!("a message to a client that has no standalone stream");
            return false;
        };
        if let Err(error) = self.keep_message(resident, message).await {
            tracing::warn!(%error, "a message to a client is lost");
            return false;
        }
        if *listener == *self.post.instance {
            resident.heard.notify_waiters();
            return true;
        }
        let session = resident.id.to_string();
        if let Err(error) = self.post.send(&listener, &Letter::Heard { session }).await {
            tracing::debug!(%error, "a listener was not told; it will look by itself");
        }
        true
    }

    /// Keeps a change for the standalone streams of all sessions, and says whether that was done.
    pub(super) async fn keep_change(&self, change: &Change) -> bool {
        let kept = async {
            let value = pack(change).map_err(|error| Failure::Unavailable(error.into()))?;
            let entries = split(&value, self.store.limit());
            self.write_down(CHANGES, &self.changes, entries).await
        };
        kept.await
            .inspect_err(|error| tracing::warn!(%error, "a change is not told to the clients of sessions"))
            .is_ok()
    }

    /// The standalone streams here are to look what has changed.
    pub(super) fn look_for_changes(&self) {
        self.residents(|residents| {
            for resident in residents.values() {
                resident.heard.notify_waiters();
            }
        });
    }

    async fn keep_message(&self, resident: &Resident, message: &ServerJsonRpcMessage) -> Result<(), Failure> {
        let value = pack(message).map_err(|error| Failure::Unavailable(error.into()))?;
        let entries = split(&value, self.store.limit());
        self.write_down(&log(&resident.id), &resident.said, entries)
            .await
            .map(drop)
    }

    /// Adds entries to a log, gives the number of the last, and forgets what no client will ask for any more.
    async fn write_down(&self, log: &str, said: &Mutex<Said>, entries: Vec<Bytes>) -> Result<u64, Failure> {
        let number = self.store.append(log, entries, KEPT).await?;
        let past = said.lock().unwrap_or_else(PoisonError::into_inner).add(number);
        if let Some(past) = past
            && let Err(error) = self.store.trim(log, past).await
        {
            tracing::debug!(%error, "cannot forget what is past");
        }
        Ok(number)
    }

    /// Opens the session's standalone stream at this instance, after a place in it or at its end.
    pub(super) async fn listen(
        &self,
        resident: &Arc<Resident>,
        after: Option<Place>,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + use<>, Absent> {
        let own = self.post.instance.to_string();
        let number = resident.open_stream();
        let before = Mutex::new(None);
        // who speaks looks at the record after it has written; whoever listens writes the record before it reads
        let take_over = |record: &mut Record| {
            *before.lock().unwrap_or_else(PoisonError::into_inner) = record.listener.replace(own.clone());
        };
        let record = self.change(resident, take_over).await?;
        let before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before.filter(|before| *before != own) {
            let session = resident.id.to_string();
            if let Err(error) = self.post.send(&before, &Letter::Changed { session }).await {
                tracing::debug!(%error, "the listener before was not told; it will find out");
            }
        }
        // the handler here is told of the session, so that it can speak to it
        self.service(resident, None, false).await?;
        let place = match after {
            Some(after) => after,
            None => self.end_of(resident).await?,
        };
        let primes = record.client.protocol_version >= ProtocolVersion::V_2025_11_25;
        let key = record.events;
        let id = EventId::Standalone {
            key: key.clone(),
            place,
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
            place,
            ready: VecDeque::new(),
            said: Assembly::default(),
            changes: Assembly::default(),
            ended: false,
        };
        Ok(stream::iter(prime).chain(stream::unfold(reader, Reader::next)))
    }

    /// The end of a session's standalone stream: what comes from now on is after it.
    async fn end_of(&self, resident: &Resident) -> Result<Place, Failure> {
        let begin = || split(&Bytes::from_static(BEGIN), usize::MAX);
        let log = log(&resident.id);
        Ok(Place {
            said: self.write_down(&log, &resident.said, begin()).await?,
            changes: self.write_down(CHANGES, &self.changes, begin()).await?,
        })
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
            let draining = self.sessions.terms.drain.draining().clone();
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
        for entry in self.look(&log, self.place.said).await {
            self.place.said = entry.number;
            let value = self.said.add(&entry.value);
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            match unpack(&value) {
                Ok(message) => self.push(message),
                Err(error) => tracing::warn!(%error, "a message to a client cannot be read"),
            }
        }
        for entry in self.look(CHANGES, self.place.changes).await {
            self.place.changes = entry.number;
            let value = self.changes.add(&entry.value);
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            match unpack::<Change>(&value) {
                Ok(change) => {
                    if self
                        .resident
                        .with_record(|record| change.concerns(&record.subscriptions))
                    {
                        self.push(ServerJsonRpcMessage::notification(change.notification()));
                    }
                }
                Err(error) => tracing::warn!(%error, "a change cannot be read"),
            }
        }
    }

    async fn look(&self, log: &str, after: u64) -> Vec<Entry> {
        let found = self.sessions.store.follow(log, after, Patience::NONE).await;
        found.unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot read what a client is to be told; tried again later");
            Vec::new()
        })
    }

    fn push(&mut self, message: ServerJsonRpcMessage) {
        let id = EventId::Standalone {
            key: self.key.clone(),
            place: self.place,
        };
        self.ready.push_back(event(&id, Arc::new(message)));
    }
}

/// Where a session's messages are kept that belong to no request.
fn log(session: &str) -> String {
    format!("said:{session}")
}
