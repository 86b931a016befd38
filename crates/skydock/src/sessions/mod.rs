//! What is remembered between requests, for clients of 2025-11-25 and older: sessions, which any instance serves.
//!
//! A session is a record in a [`store`]. An instance that is sent a message of the session reads the record, wakes a
//! service for it (the handler is told of the handshake that it did not see), and lets the service go when the session
//! has been idle for a moment. Three things cross from one instance to another, as letters in the store:
//!
//! - A client's answer to a question, and its cancellation, to the instance that works on the request. The id of a
//!   question says who asked.
//! - What belongs to no request: it is kept in the session's log, which the instance that has the client's standalone
//!   stream reads.
//! - The rest of an answer whose stream broke: the instance that has it writes it into the store when a client asks
//!   for it elsewhere. The ids of events say who has it.
//!
//! While an instance looks into its mailbox it knows of every session that has ended elsewhere, so that a message needs
//! no question to the store.

mod calls;
mod event;
mod flow;
mod letters;
mod line;
mod parts;
mod post;
mod record;
mod resident;
mod resume;
mod standalone;
pub(crate) mod store;
mod streams;
mod waking;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use rmcp::{model::InitializeRequestParams, transport::streamable_http_server::SessionId};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

pub(crate) use self::{calls::Answers, line::Line, record::owner, resident::Lease, streams::with_cause};
use self::{
    flow::Flows,
    post::{Letter, Post},
    record::{Record, unguessable, unpack},
    resident::Resident,
    store::{Failure, Store, Written},
};
use crate::{changes::Hub, runtime::drain::Drain};

/// How long a session is kept whose client does not come back after `initialize`.
const UNCONFIRMED: Duration = Duration::from_secs(60);
/// How often the store is told that a session is in use.
const TOUCH: Duration = Duration::from_secs(60);
/// News that is older has to be asked for.
const NEWS: Duration = Duration::from_secs(1);
/// How long a message waits for the store to confirm a session that is known here.
const CONFIRM: Duration = Duration::from_secs(1);
/// For how long a session is idle before its service is let go.
const HIBERNATE: Duration = Duration::from_secs(10);
/// For how long a session is idle before this instance forgets it, where the store remembers.
const FORGET: Duration = Duration::from_secs(60);
/// How often the idle are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How many sessions the store is told of at once.
const AT_ONCE: usize = 16;
/// For how long it is remembered that a session has ended: longer than the store takes to say what it was.
const ENDED: Duration = Duration::from_secs(10);
/// Beyond it a tombstone outlives everybody who may still believe in the session.
const TOMB: Duration = Duration::from_secs(120);
/// How often a change is tried that others get in the way of.
const TRIES: usize = 16;

/// Why a session cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Absent {
    /// It ended, never was, or is somebody else's.
    #[error("there is no such session")]
    Unknown,
    /// A request with the same id is at work in it.
    #[error("a request with this id is at work")]
    Twice,
    /// All places are taken.
    #[error("too many sessions")]
    Full,
    /// What the client said of itself does not fit the store.
    #[error("too large for the store")]
    TooLarge(#[source] Failure),
    /// The store cannot say.
    #[error("the store of sessions fails")]
    Store(#[source] Failure),
    /// The reason was noted, for whoever asks: see [`with_cause`].
    #[error("a session cannot be used")]
    Noted,
    /// A record, or the handler, is not as it should be.
    #[error("a session cannot be used")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Failure> for Absent {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::TooLarge { .. } => Self::TooLarge(failure),
            Failure::Unavailable(_) => Self::Store(failure),
        }
    }
}

/// Runs the handler on a line, for a client that says this of itself.
type Serve = Box<dyn Fn(Line, InitializeRequestParams, CancellationToken) + Send + Sync>;

/// What sessions are held to.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The number of sessions that are awake at once.
    pub(crate) awake: usize,
    /// How long an unused session is kept.
    pub(crate) ttl: Duration,
    /// Whether this instance stands still between requests: what others may want of it is written down at once.
    pub(crate) freezes: bool,
    /// The shutdown, which waits for answers and ends streams.
    pub(crate) drain: Drain,
}

/// All sessions, as far as this instance has to do with them.
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    post: Arc<Post>,
    residents: Mutex<HashMap<SessionId, Arc<Resident>>>,
    ended: Mutex<HashMap<SessionId, Instant>>,
    flows: Mutex<Flows>,
    hub: Arc<Hub>,
    calls: calls::Calls,
    /// What this instance has written into the log of changes.
    changes: Mutex<standalone::Said>,
    serve: Serve,
    terms: Terms,
    own: Weak<Self>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        terms: Terms,
        serve: impl Fn(Line, InitializeRequestParams, CancellationToken) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let post = Arc::new(Post::new(Arc::clone(&store)));
        let sessions = Arc::new_cyclic(|own: &Weak<Self>| Self {
            store,
            post,
            hub,
            calls: calls::Calls::default(),
            changes: Mutex::default(),
            residents: Mutex::default(),
            ended: Mutex::default(),
            flows: Mutex::default(),
            serve: Box::new(serve),
            terms,
            own: Weak::clone(own),
        });
        let beyond: Weak<Self> = Arc::downgrade(&sessions);
        sessions.hub.connect(beyond);
        sessions
    }

    fn residents<T>(&self, with: impl FnOnce(&mut HashMap<SessionId, Arc<Resident>>) -> T) -> T {
        with(&mut self.residents.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn flows<T>(&self, with: impl FnOnce(&mut Flows) -> T) -> T {
        with(&mut self.flows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The sessions that have ended a moment ago.
    fn ended<T>(&self, with: impl FnOnce(&mut HashMap<SessionId, Instant>) -> T) -> T {
        with(&mut self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn resident(&self, id: &str) -> Option<Arc<Resident>> {
        self.residents(|residents| residents.get(id).cloned())
    }

    /// Opens a session of `principal`'s for a client that says this of itself.
    ///
    /// # Errors
    /// When there is no room, or the store does not take it.
    pub(crate) async fn open(
        &self,
        client: InitializeRequestParams,
        principal: Option<&str>,
    ) -> Result<SessionId, Absent> {
        let record = Record {
            client,
            owner: principal.map(owner),
            severity: None,
            subscriptions: std::collections::BTreeSet::new(),
            events: unguessable(),
            listener: None,
            generation: 0,
        };
        let id: SessionId = unguessable().into();
        let value = record.pack()?;
        let ttl = self.terms.ttl.min(UNCONFIRMED);
        match self.store.write(&key(&id), value, None, ttl).await? {
            Written::Done(_) => Ok(id),
            Written::Conflict => Err(Absent::Broken("a random id was taken".into())),
        }
    }

    /// The session for a message of `principal`'s, kept alive by the lease.
    ///
    /// # Errors
    /// When there is no such session, or the store has to be asked and does not answer.
    pub(crate) async fn enter(&self, id: &str, principal: Option<&str>) -> Result<Lease, Absent> {
        if !event::is_plain(id) {
            return Err(Absent::Unknown);
        }
        let lease = match self.lease(id) {
            Some(lease) => lease,
            None => self.fetch(id).await?,
        };
        if !lease.0.with_record(|record| record.belongs_to(principal)) {
            return Err(Absent::Unknown);
        }
        let resident = &lease.0;
        if self.post.is_failing() {
            // it goes on here
            return Ok(lease);
        }
        let interval = TOUCH.min(self.terms.ttl / 4);
        if resident.touches(interval) {
            self.confirm(resident, true).await?;
        } else if resident.age() > NEWS && self.post.age() > NEWS {
            self.confirm(resident, false).await?;
        }
        Ok(lease)
    }

    fn lease(&self, id: &str) -> Option<Lease> {
        // counted before the map is let go, so that the sweeper does not come between
        self.residents(|residents| residents.get(id).map(|resident| Lease::new(Arc::clone(resident))))
    }

    /// A session that this instance does not know, from the store. Its client has come back, so it lives on.
    async fn fetch(&self, id: &str) -> Result<Lease, Absent> {
        let found = self.store.touch(&key(id), self.terms.ttl).await?;
        let found = found
            .filter(|found| !found.value.is_empty())
            .ok_or(Absent::Unknown)?;
        let record = unpack(&found.value).map_err(|error| Absent::Broken(error.into()))?;
        let id: SessionId = id.into();
        self.residents(|residents| {
            // the letter that said so may have come while the store was asked
            if self.ended(|ended| ended.contains_key(&id)) {
                return Err(Absent::Unknown);
            }
            let resident = residents
                .entry(Arc::clone(&id))
                .or_insert_with(|| Resident::new(id, record, found.version));
            Ok(Lease::new(Arc::clone(resident)))
        })
    }

    /// Asks the store whether a session is still as it is known here, and lets it live on if it is `used`. A store that
    /// does not answer changes nothing.
    async fn confirm(&self, resident: &Arc<Resident>, used: bool) -> Result<(), Absent> {
        let key = key(&resident.id);
        let asked = if used {
            self.store.touch(&key, self.terms.ttl)
        } else {
            self.store.read(&key)
        };
        let found = tokio::time::timeout(CONFIRM, asked).await;
        match found.unwrap_or_else(|late| Err(Failure::Unavailable(late.into()))) {
            Ok(Some(found)) if found.value.is_empty() => {
                self.forget(&resident.id);
                Err(Absent::Unknown)
            }
            Ok(Some(found)) => {
                match unpack(&found.value) {
                    Ok(record) => resident.refresh(record, found.version),
                    Err(error) => return Err(Absent::Broken(error.into())),
                }
                if used {
                    resident.told();
                }
                Ok(())
            }
            // the store has lost it: a session that had expired would not be here
            Ok(None) if resident.untold() < self.terms.ttl => {
                self.put_back(resident).await;
                Ok(())
            }
            Ok(None) => {
                self.forget(&resident.id);
                Err(Absent::Unknown)
            }
            Err(error) => {
                tracing::debug!(%error, "the store does not confirm a session; it goes on here");
                if used {
                    resident.owes();
                }
                self.post.failed();
                Ok(())
            }
        }
    }

    /// Writes a session again that the store has lost.
    async fn put_back(&self, resident: &Resident) {
        let generation = rand::random();
        let record = Record {
            generation,
            ..resident.record()
        };
        let Ok(value) = record.pack() else {
            return;
        };
        match self
            .store
            .write(&key(&resident.id), value, None, self.terms.ttl)
            .await
        {
            Ok(Written::Done(version)) => {
                tracing::warn!("the store had lost a session, which was put back");
                resident.reset(record, version);
            }
            Ok(Written::Conflict) => {}
            Err(error) => tracing::debug!(%error, "cannot put back a session"),
        }
    }

    /// Changes a session's record, and gives it as it is then. Others who know the session are told.
    async fn change(&self, resident: &Resident, with: impl Fn(&mut Record) + Send) -> Result<Record, Absent> {
        let key = key(&resident.id);
        for _ in 0..TRIES {
            let found = self.store.read(&key).await?.ok_or(Absent::Unknown)?;
            if found.value.is_empty() {
                return Err(Absent::Unknown);
            }
            let mut record: Record = unpack(&found.value).map_err(|error| Absent::Broken(error.into()))?;
            with(&mut record);
            let value = record.pack()?;
            let written = self.store.write(&key, value, Some(found.version), self.terms.ttl);
            if let Written::Done(version) = written.await? {
                resident.refresh(record.clone(), version);
                return Ok(record);
            }
        }
        Err(Absent::Store(Failure::Unavailable(
            "others change the session all the time".into(),
        )))
    }

    /// Ends a session everywhere.
    ///
    /// # Errors
    /// When the store does not take it; then the session lives.
    pub(crate) async fn end(&self, lease: &Lease) -> Result<(), Absent> {
        let id = &lease.0.id;
        let key = key(id);
        let ttl = self.terms.ttl + TOMB;
        let mut buried = false;
        for _ in 0..TRIES {
            let found = self.store.read(&key).await?;
            buried = found.as_ref().is_some_and(|found| found.value.is_empty());
            if buried {
                break;
            }
            let replaces = found.map(|found| found.version);
            let written = self.store.write(&key, Bytes::new(), replaces, ttl).await?;
            buried = matches!(written, Written::Done(_));
            if buried {
                break;
            }
        }
        if !buried {
            let busy = "others change the session all the time";
            return Err(Absent::Store(Failure::Unavailable(busy.into())));
        }
        self.forget(id);
        let letter = Letter::Ended {
            session: id.to_string(),
        };
        if let Err(error) = self.post.send_all(&letter).await {
            tracing::debug!(%error, "others were not told that a session has ended; they will ask");
        }
        Ok(())
    }

    /// Forgets a session and ends what is at work in it here.
    fn forget(&self, id: &str) {
        let resident = self.residents(|residents| {
            self.ended(|ended| ended.insert(id.into(), Instant::now()));
            residents.remove(id)
        });
        if let Some(resident) = resident {
            self.end_here(&resident);
        }
    }

    /// Ends what is at work in a session here. Its streams have to be told off, or they would be kept for ever.
    fn end_here(&self, resident: &Resident) {
        for flow in resident.end() {
            self.flows(|flows| flows.ended(&flow));
        }
    }

    /// The number of streams that are at work.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.flows(|flows| flows.open())
    }

    /// The number of questions that clients have not answered.
    #[cfg(test)]
    pub(crate) fn questions(&self) -> usize {
        self.post.open_questions()
    }

    /// Whether a session is known here.
    #[cfg(test)]
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.resident(id).is_some()
    }

    /// Whether it is known that a session has ended.
    #[cfg(test)]
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        self.ended(|ended| ended.contains_key(id))
    }

    /// Puts the sessions to sleep that nobody uses; whether all sleep.
    #[cfg(test)]
    pub(crate) fn put_all_to_sleep(&self) -> bool {
        self.residents(|residents| {
            residents.values().all(|resident| {
                resident.hibernate(Duration::ZERO);
                !resident.is_awake()
            })
        })
    }

    /// Looks after idle sessions as long as somebody holds the sessions.
    async fn sweep(sessions: Weak<Self>) {
        loop {
            let Some(pause) = sessions.upgrade().map(|sessions| sessions.terms.ttl / 4) else {
                return;
            };
            tokio::time::sleep(pause.clamp(Duration::from_millis(20), SWEEP)).await;
            let Some(sessions) = sessions.upgrade() else {
                return;
            };
            sessions.flows(Flows::sweep);
            sessions.ended(|ended| ended.retain(|_, since| since.elapsed() < ENDED));
            sessions.put_to_sleep();
            sessions.keep_alive().await;
        }
    }

    fn put_to_sleep(&self) {
        let forgotten = FORGET.min(self.terms.ttl);
        let gone: Vec<_> = self.residents(|residents| {
            for resident in residents.values() {
                resident.hibernate(HIBERNATE.min(forgotten));
            }
            residents
                .extract_if(|_, resident| resident.is_idle(forgotten))
                .collect()
        });
        for (_, resident) in gone {
            self.end_here(&resident);
        }
    }

    /// Tells the store of sessions that are in use for longer than a request.
    async fn keep_alive(&self) {
        let interval = TOUCH.min(self.terms.ttl / 4);
        let due: Vec<_> = self.residents(|residents| {
            let in_use = residents.values().filter(|resident| resident.in_use());
            in_use
                .filter(|resident| resident.touches(interval))
                .cloned()
                .collect()
        });
        let told = |resident: Arc<Resident>| async move {
            if self.post.is_failing() {
                resident.owes();
            } else {
                // gone is gone; a store that fails is asked again
                let _ = self.confirm(&resident, true).await;
            }
        };
        futures::stream::iter(due)
            .for_each_concurrent(AT_ONCE, told)
            .await;
    }

    /// Starts what goes on beside requests, as long as somebody holds the sessions. Needs a runtime of tokio.
    pub(crate) fn start(self: &Arc<Self>) {
        let sessions = || Arc::downgrade(self);
        tokio::spawn(Self::announce(sessions()));
        tokio::spawn(Self::run(sessions()));
        tokio::spawn(Self::sweep(sessions()));
        let drain = &self.terms.drain;
        tokio::spawn(Self::leave(sessions(), drain.draining().clone(), drain.answer()));
    }

    /// When a shutdown begins, what nobody reads here is handed over; `work` is what the shutdown waits for until then.
    async fn leave(sessions: Weak<Self>, draining: CancellationToken, work: TaskTrackerToken) {
        draining.cancelled().await;
        if let Some(sessions) = sessions.upgrade() {
            sessions.hand_over();
        }
        drop(work);
    }

    /// This instance ends: others need not wait until they find out.
    pub(crate) async fn retire(&self) {
        self.post.retire().await;
    }
}

fn key(session: &str) -> String {
    format!("session:{session}")
}
