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
mod line;

mod parts;
mod post;
mod record;
mod resident;
mod resume;
mod standalone;
pub(crate) mod store;
mod streams;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use rmcp::{
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, InitializeRequest, InitializeRequestParams,
        InitializedNotification, JsonRpcMessage, RequestId, SubscribeRequestParams,
    },
    transport::streamable_http_server::SessionId,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{calls::Answers, line::Line, record::owner, resident::Lease, streams::with_cause};
use self::{
    flow::Flows,
    post::{Inbox, Letter, Post},
    record::{Record, pack, unguessable, unpack},
    resident::{Resident, addressee},
    store::{Failure, Store, Written},
};
use crate::{
    caller::Restored,
    changes::{Beyond, Change, Hub},
};

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
    /// Cancelled when streams have to end, so that clients go elsewhere.
    pub(crate) draining: CancellationToken,
    /// Cancelled when everything has to end.
    pub(crate) streams: CancellationToken,
}

/// All sessions, as far as this instance has to do with them.
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    post: Arc<Post>,
    residents: Mutex<HashMap<SessionId, Arc<Resident>>>,
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
        };
        let id: SessionId = unguessable().into();
        let value = pack(&record).map_err(|error| Absent::Broken(error.into()))?;
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
        Ok(self.residents(|residents| {
            let resident = residents
                .entry(Arc::clone(&id))
                .or_insert_with(|| Resident::new(id, record, found.version));
            Lease::new(Arc::clone(resident))
        }))
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
                self.post.failed();
                Ok(())
            }
        }
    }

    /// Writes a session again that the store has lost.
    async fn put_back(&self, resident: &Resident) {
        let Ok(value) = pack(&resident.record()) else {
            return;
        };
        match self
            .store
            .write(&key(&resident.id), value, None, self.terms.ttl)
            .await
        {
            Ok(Written::Done(version)) => {
                tracing::warn!("the store had lost a session, which was put back");
                resident.reset(version);
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
            let value = pack(&record).map_err(|error| Absent::Broken(error.into()))?;
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
        if let Some(resident) = self.residents(|residents| residents.remove(id)) {
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

    /// The way to the session's service, which is woken if it sleeps. `parts` are of the request that needs it.
    async fn service(
        &self,
        resident: &Arc<Resident>,
        parts: Option<&http::request::Parts>,
        handshakes: bool,
    ) -> Result<(u64, tokio::sync::mpsc::Sender<ClientJsonRpcMessage>), Absent> {
        if let Some(service) = resident.service() {
            return Ok(service);
        }
        let _one = resident.waking.lock().await;
        if let Some(service) = resident.service() {
            return Ok(service);
        }
        self.make_room()?;
        let sessions = Weak::clone(&self.own);
        let woken = resident.wake().ok_or(Absent::Unknown)?;
        let record = resident.record();
        let line = Line {
            sessions,
            resident: Arc::clone(resident),
            number: woken.number,
            messages: woken.messages,
        };
        (self.serve)(line, record.client.clone(), self.terms.streams.child_token());
        let gone = |_gone| resident.why("the service of a session has ended");
        let replay = |message: ClientJsonRpcMessage| mark(message, parts);
        woken
            .sender
            .send(replay(initialize(record.client, woken.replay.clone())))
            .await
            .map_err(gone)?;
        let replayed = woken.replayed.await;
        replayed.map_err(|_ended| resident.why("the handshake was not answered"))?;
        if !handshakes {
            woken.sender.send(replay(initialized())).await.map_err(gone)?;
        }
        for uri in record.subscriptions {
            woken
                .sender
                .send(replay(subscribe(uri, woken.replay.clone())))
                .await
                .map_err(gone)?;
        }
        resident.ready(woken.number);
        Ok((woken.number, woken.sender))
    }

    /// Lets the service of the idlest session go when there are as many as there may be.
    fn make_room(&self) -> Result<(), Absent> {
        if self.residents(|residents| residents.len()) < self.terms.awake {
            return Ok(());
        }
        let awake: Vec<_> = self.residents(|residents| {
            residents
                .values()
                .filter(|resident| resident.is_awake())
                .cloned()
                .collect()
        });
        if awake.len() < self.terms.awake {
            return Ok(());
        }
        let idle = awake.iter().filter(|resident| !resident.in_use());
        let idlest = idle.min_by_key(|resident| resident.last_used());
        match idlest {
            Some(idlest) if idlest.hibernate(Duration::ZERO) => Ok(()),
            _ => Err(Absent::Full),
        }
    }

    /// Gives a message of the client to the handler.
    async fn pass(
        &self,
        resident: &Arc<Resident>,
        message: ClientJsonRpcMessage,
        parts: Option<&http::request::Parts>,
    ) -> Result<(), Absent> {
        let handshakes = matches!(
            &message,
            JsonRpcMessage::Notification(notification)
                if matches!(notification.notification, ClientNotification::InitializedNotification(_))
        );
        let (_, service) = self.service(resident, parts, handshakes).await?;
        let sent = service.send(message).await;
        sent.map_err(|_gone| resident.why("the service of a session has ended"))
    }

    /// Gives an answer of the client to whoever asked, here or elsewhere.
    async fn answer(
        &self,
        resident: &Arc<Resident>,
        mut message: ClientJsonRpcMessage,
    ) -> Result<(), Absent> {
        let id = match &mut message {
            JsonRpcMessage::Response(response) => Some(&mut response.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let Some(id) = id else { return Ok(()) };
        let Some((instance, number)) = addressee(id) else {
            tracing::debug!("an answer to a question that nobody has asked");
            return Ok(());
        };
        if *instance == *self.post.instance {
            let Some(asked) = resident.answered(number) else {
                tracing::debug!("an answer came when nobody waited for it any more");
                return Ok(());
            };
            *id = asked;
            if let Some((_, service)) = resident.service()
                && service.send(message).await.is_err()
            {
                tracing::debug!("an answer came when nobody waited for it any more");
            }
            return Ok(());
        }
        if !self.store.is_shared() {
            tracing::debug!("an answer to a question that nobody here has asked");
            return Ok(());
        }
        let instance = instance.to_owned();
        let letter = Letter::Deliver {
            session: resident.id.to_string(),
            message: Box::new(message),
        };
        Ok(self.post.send(&instance, &letter).await?)
    }

    /// Says that this instance lives, as long as somebody holds the sessions.
    pub(crate) async fn announce(sessions: Weak<Self>) {
        let Some(post) = sessions.upgrade().map(|sessions| Arc::clone(&sessions.post)) else {
            return;
        };
        let mut announcing = std::pin::pin!(post.announce());
        while sessions.strong_count() > 0 {
            if tokio::time::timeout(NEWS, &mut announcing).await.is_ok() {
                return;
            }
        }
    }

    /// Looks into the mailbox as long as somebody holds the sessions, and does what the letters say.
    pub(crate) async fn run(sessions: Weak<Self>) {
        let mut inbox = Inbox::default();
        let Some(post) = sessions.upgrade().map(|sessions| Arc::clone(&sessions.post)) else {
            return;
        };
        while sessions.strong_count() > 0 {
            for letter in post.look(&mut inbox).await {
                let Some(sessions) = sessions.upgrade() else {
                    return;
                };
                sessions.read(letter).await;
            }
        }
    }

    async fn read(self: Arc<Self>, letter: Letter) {
        match letter {
            Letter::Deliver { session, message } => {
                let Some(resident) = self.resident(&session) else {
                    return;
                };
                if let Err(error) = self.deliver(&resident, *message).await {
                    tracing::debug!(%error, "cannot deliver a message from another instance");
                }
            }
            Letter::Ended { session } => self.forget(&session),
            // a store that is slow holds up nobody else's letters
            Letter::Changed { session } => drop(tokio::spawn(async move {
                if let Some(resident) = self.resident(&session) {
                    // what became of it is in the record, or the session is gone
                    let _ = self.confirm(&resident, false).await;
                    resident.heard.notify_waiters();
                }
            })),
            Letter::Heard { session } => {
                if let Some(resident) = self.resident(&session) {
                    resident.heard.notify_waiters();
                }
            }
            Letter::Share { session, stream } => self.share(&session, &stream),
            Letter::Call { from, number, body } => self.answer_call(from, number, body),
            Letter::Reply { number, body } => self.calls.reply(number, body),
            // a client that takes nothing holds up nobody else's letters
            Letter::Change(change) => drop(tokio::spawn(async move {
                self.look_for_changes();
                self.hub.tell_here(&change).await;
            })),
        }
    }

    /// A message that another instance has taken in, for something that is at work here.
    async fn deliver(&self, resident: &Arc<Resident>, message: ClientJsonRpcMessage) -> Result<(), Absent> {
        match &message {
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => self.answer(resident, message).await,
            JsonRpcMessage::Notification(_) => self.notify(resident, message).await.map(|_| ()),
            JsonRpcMessage::Request(_) => Ok(()),
        }
    }

    /// Gives a notification to the service, if one is awake and it concerns that one; says whether it did.
    async fn notify(&self, resident: &Arc<Resident>, message: ClientJsonRpcMessage) -> Result<bool, Absent> {
        let JsonRpcMessage::Notification(notification) = &message else {
            return Ok(false);
        };
        let (cancelled, concerns) = match &notification.notification {
            ClientNotification::CancelledNotification(cancelled) => {
                let id = cancelled.params.request_id.clone();
                let concerns = id.as_ref().is_some_and(|id| resident.works_on(id));
                (id, concerns)
            }
            _ => (None, resident.asks()),
        };
        if !concerns {
            return Ok(false);
        }
        let Some((_, service)) = resident.service() else {
            return Ok(false);
        };
        let sent = service.send(message).await.is_ok();
        if let Some(flow) = cancelled.and_then(|id| resident.finish(&id)) {
            // rmcp answers nothing that was cancelled
            flow.end();
            self.flows(|flows| flows.ended(&flow));
        }
        Ok(sent)
    }

    /// Looks after idle sessions as long as somebody holds the sessions.
    pub(crate) async fn sweep(sessions: Weak<Self>) {
        loop {
            let Some(pause) = sessions.upgrade().map(|sessions| sessions.terms.ttl / 4) else {
                return;
            };
            tokio::time::sleep(pause.clamp(Duration::from_millis(20), SWEEP)).await;
            let Some(sessions) = sessions.upgrade() else {
                return;
            };
            sessions.flows(Flows::sweep);
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
        for resident in due {
            // gone is gone; a store that fails is asked again
            let _ = self.confirm(&resident, true).await;
        }
    }

    /// This instance ends: others need not wait until they find out.
    pub(crate) async fn retire(&self) {
        self.post.retire().await;
    }
}

impl Beyond for Sessions {
    fn pass_on(&self, change: Change) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.keep_change(&change).await {
                self.look_for_changes();
            }
            if let Err(error) = self.post.send_all(&Letter::Change(change)).await {
                tracing::warn!(%error, "clients of other instances were not told of a change");
            }
        })
    }
}

fn key(session: &str) -> String {
    format!("session:{session}")
}

fn initialize(client: InitializeRequestParams, id: RequestId) -> ClientJsonRpcMessage {
    let request = InitializeRequest::new(client);
    ClientJsonRpcMessage::request(ClientRequest::InitializeRequest(request), id)
}

fn initialized() -> ClientJsonRpcMessage {
    ClientJsonRpcMessage::notification(ClientNotification::InitializedNotification(
        InitializedNotification::default(),
    ))
}

fn subscribe(uri: String, id: RequestId) -> ClientJsonRpcMessage {
    #[expect(deprecated, reason = "what the protocol deprecates is still served")]
    let request = rmcp::model::SubscribeRequest::new(SubscribeRequestParams::new(uri));
    ClientJsonRpcMessage::request(ClientRequest::SubscribeRequest(request), id)
}

/// Marks a message as replayed: the handler sees what woke the session.
fn mark(mut message: ClientJsonRpcMessage, parts: Option<&http::request::Parts>) -> ClientJsonRpcMessage {
    if let Some(parts) = parts {
        message.insert_extension(parts.clone());
    }
    message.insert_extension(Restored);
    message
}
