//! A session as this instance knows it: what it remembers of the record, and what is at work here.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rmcp::{
    model::{
        ClientJsonRpcMessage, GetExtensions, GetMeta, JsonRpcRequest, ProgressToken, RequestId, ServerRequest,
    },
    service::OriginatingRequestId,
    transport::streamable_http_server::SessionId,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use super::{
    Absent,
    flow::Flow,
    post::{Expecting, Post},
    record::{Record, unguessable},
    standalone::Said,
};

/// Messages of the client that the service of a session has not taken yet.
const WAITING: usize = 64;

/// A session at this instance.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) id: SessionId,
    state: Mutex<State>,
    /// One at a time wakes the session's service.
    pub(super) waking: tokio::sync::Mutex<()>,
    /// The standalone stream may have something new.
    pub(super) heard: Notify,
    /// What this instance has written into the session's log.
    pub(super) said: Mutex<Said>,
    /// The standalone streams that were opened here; only the newest one speaks.
    streams: AtomicU64,
    /// The session has ended, by its client or by time.
    pub(super) over: tokio_util::sync::CancellationToken,
}

#[derive(Debug)]
struct State {
    record: Record,
    version: u64,
    /// When the store last said that the record is so.
    seen: Instant,
    /// When the store was last to be told that the session is in use, and when it last was.
    touched: Instant,
    told: Instant,
    leases: usize,
    last: Instant,
    /// The requests that have been taken in and not answered, by their id as JSON.
    claims: HashSet<String>,
    flows: HashMap<RequestId, Arc<Flow>>,
    /// The questions that the client was asked here and has not answered.
    questions: HashMap<i64, Question>,
    service: Option<Service>,
    lines: u64,
}

#[derive(Debug)]
struct Question {
    /// The service that asks, and what it calls the question.
    line: u64,
    id: RequestId,
    /// What it calls the question's progress.
    token: Option<ProgressToken>,
    origin: Option<RequestId>,
    _expecting: Expecting,
}

/// The way to the service that runs the handler for this session.
#[derive(Debug)]
struct Service {
    number: u64,
    messages: mpsc::Sender<ClientJsonRpcMessage>,
    /// The id of what is replayed to it: nobody else can use it.
    replay: RequestId,
    /// Told whether the handler agrees to the handshake, when it has seen that.
    replayed: Option<oneshot::Sender<bool>>,
    ready: bool,
}

/// What a new service is given, and what tells that it has seen the handshake.
pub(super) struct Woken {
    pub(super) number: u64,
    pub(super) replay: RequestId,
    pub(super) messages: mpsc::Receiver<ClientJsonRpcMessage>,
    pub(super) sender: mpsc::Sender<ClientJsonRpcMessage>,
    pub(super) replayed: oneshot::Receiver<bool>,
}

impl Resident {
    pub(super) fn new(id: SessionId, record: Record, version: u64) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            record,
            version,
            seen: now,
            touched: now,
            told: now,
            leases: 0,
            last: now,
            claims: HashSet::new(),
            flows: HashMap::new(),
            questions: HashMap::new(),
            service: None,
            lines: 0,
        };
        Arc::new(Self {
            id,
            state: Mutex::new(state),
            waking: tokio::sync::Mutex::default(),
            heard: Notify::new(),
            said: Mutex::default(),
            streams: AtomicU64::new(0),
            over: tokio_util::sync::CancellationToken::new(),
        })
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn record(&self) -> Record {
        self.state(|state| state.record.clone())
    }

    pub(super) fn with_record<T>(&self, with: impl FnOnce(&Record) -> T) -> T {
        self.state(|state| with(&state.record))
    }

    /// From which severity on the client wants log messages.
    pub(super) fn severity(&self) -> Option<u8> {
        self.state(|state| state.record.severity)
    }

    /// What the store says now, unless something newer is known.
    pub(super) fn refresh(&self, record: Record, version: u64) {
        self.state(|state| {
            if version >= state.version || record.generation != state.record.generation {
                state.record = record;
                state.version = version;
            }
            state.seen = Instant::now();
        });
    }

    /// The store has lost the record, and has this one now.
    pub(super) fn reset(&self, record: Record, version: u64) {
        self.state(|state| {
            state.record = record;
            state.version = version;
            state.seen = Instant::now();
            state.told = state.seen;
        });
    }

    /// How long ago the store said what the record is, as long as that was while this instance was here.
    pub(super) fn age(&self) -> Duration {
        self.state(|state| state.seen.elapsed())
    }

    /// Whether the store has to be told that the session is in use; it counts as told from now on.
    pub(super) fn touches(&self, interval: Duration) -> bool {
        self.state(|state| {
            let due = state.touched.elapsed() >= interval;
            if due {
                state.touched = Instant::now();
            }
            due
        })
    }

    /// The store knows that the session is in use.
    pub(super) fn told(&self) {
        self.state(|state| state.told = Instant::now());
    }

    /// The store could not be told that the session is in use; that is still to be done.
    pub(super) fn owes(&self) {
        self.state(|state| state.touched = state.told);
    }

    /// How long ago the store was told that the session is in use.
    pub(super) fn untold(&self) -> Duration {
        self.state(|state| state.told.elapsed())
    }

    /// Why something did not work out: because the session has ended meanwhile, or for this reason.
    pub(super) fn why(&self, reason: &'static str) -> Absent {
        if self.over.is_cancelled() {
            return Absent::Unknown;
        }
        Absent::Broken(reason.into())
    }

    /// Whether nobody has used the session for so long, and nobody does.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        self.state(|state| state.leases == 0 && state.last.elapsed() >= time)
    }

    pub(super) fn in_use(&self) -> bool {
        self.state(|state| state.leases > 0)
    }

    pub(super) fn last_used(&self) -> Instant {
        self.state(|state| state.last)
    }

    pub(super) fn is_awake(&self) -> bool {
        self.state(|state| state.service.is_some())
    }

    /// The way to the service and its number, when there is one that has seen the handshake.
    pub(super) fn service(&self) -> Option<(u64, mpsc::Sender<ClientJsonRpcMessage>)> {
        self.state(|state| {
            let service = state.service.as_ref().filter(|service| service.ready)?;
            (!service.messages.is_closed()).then(|| (service.number, service.messages.clone()))
        })
    }

    /// Makes room for a new service; `None` when the session has ended.
    pub(super) fn wake(&self) -> Option<Woken> {
        let (sender, messages) = mpsc::channel(WAITING);
        let (told, replayed) = oneshot::channel();
        let replay = RequestId::String(unguessable().into());
        self.state(|state| {
            if self.over.is_cancelled() {
                return None;
            }
            state.lines += 1;
            state.service = Some(Service {
                number: state.lines,
                messages: sender.clone(),
                replay: replay.clone(),
                replayed: Some(told),
                ready: false,
            });
            Some(Woken {
                number: state.lines,
                replay,
                messages,
                sender,
                replayed,
            })
        })
    }

    /// Whether `id` is that of something that was replayed to the service `line`; whoever woke it is told whether the
    /// handler `agreed`.
    pub(super) fn replayed(&self, line: u64, id: &RequestId, agreed: bool) -> bool {
        let told = self.state(|state| {
            let service = state.service.as_mut();
            let service = service.filter(|service| service.number == line && service.replay == *id);
            service.map(|service| service.replayed.take())
        });
        match told {
            Some(Some(told)) => {
                // whoever woke the session may have gone
                let _ = told.send(agreed);
                true
            }
            Some(None) => true,
            None => false,
        }
    }

    /// From now on the service takes messages.
    pub(super) fn ready(&self, number: u64) {
        self.state(|state| {
            if let Some(service) = state.service.as_mut().filter(|service| service.number == number) {
                service.ready = true;
            }
        });
    }

    /// Lets this service go; it ends by itself.
    pub(super) fn let_go(&self, number: u64) {
        self.state(|state| {
            state.service.take_if(|service| service.number == number);
        });
    }

    /// Lets the service go if nobody uses the session; it ends by itself.
    pub(super) fn hibernate(&self, idle: Duration) -> bool {
        self.state(|state| {
            let may = state.leases == 0 && state.last.elapsed() >= idle;
            may && state.service.take().is_some()
        })
    }

    /// The service with this number has ended: gives what it leaves unanswered.
    pub(super) fn hang_up(&self, number: u64) -> Vec<Arc<Flow>> {
        self.state(|state| {
            if state.lines == number {
                state.service = None;
            }
            state.questions.retain(|_, question| question.line != number);
            let left = state.flows.extract_if(|_, flow| flow.line == number);
            left.map(|(_, flow)| flow).collect()
        })
    }

    /// Ends the session at this instance: gives what gets no answer any more.
    pub(super) fn end(&self) -> Vec<Arc<Flow>> {
        let flows: Vec<_> = self.state(|state| {
            // nobody wakes it or begins something after that
            self.over.cancel();
            state.service = None;
            state.questions.clear();
            state.flows.drain().map(|(_, flow)| flow).collect()
        });
        for flow in &flows {
            flow.end();
        }
        self.heard.notify_waiters();
        flows
    }

    /// A request is at work, and this is its stream.
    ///
    /// # Errors
    /// When the session has ended, or one with the same id is at work.
    pub(super) fn begin(&self, flow: &Arc<Flow>) -> Result<(), Absent> {
        self.state(|state| {
            if self.over.is_cancelled() {
                return Err(Absent::Unknown);
            }
            match state.flows.entry(flow.request.clone()) {
                Entry::Occupied(_) => Err(Absent::Twice),
                Entry::Vacant(place) => {
                    place.insert(Arc::clone(flow));
                    Ok(())
                }
            }
        })
    }

    /// The stream of a request that is at work.
    pub(super) fn flow(&self, id: &RequestId) -> Option<Arc<Flow>> {
        self.state(|state| state.flows.get(id).cloned())
    }

    /// A request is not at work any more; `false` when it was not.
    pub(super) fn finish(&self, flow: &Arc<Flow>) -> bool {
        self.state(|state| {
            let is_at_work = state
                .flows
                .get(&flow.request)
                .is_some_and(|found| Arc::ptr_eq(found, flow));
            if is_at_work {
                state.flows.remove(&flow.request);
            }
            is_at_work
        })
    }

    pub(super) fn flow_of_progress(&self, token: &ProgressToken) -> Option<Arc<Flow>> {
        self.state(|state| {
            let mut flows = state.flows.values();
            flows.find(|flow| flow.token.as_ref() == Some(token)).cloned()
        })
    }

    /// The stream of the only request that can have logged something.
    pub(super) fn flow_of_log(&self) -> Option<Arc<Flow>> {
        self.state(|state| {
            let mut flows = state.flows.values();
            let first = flows.next()?;
            flows.next().is_none().then(|| Arc::clone(first))
        })
    }

    /// Notes a question of the service `line`. It gets an id under which its answer finds its way back from anywhere,
    /// and so does its progress.
    pub(super) fn ask(
        &self,
        post: &Arc<Post>,
        line: u64,
        question: &mut JsonRpcRequest<ServerRequest>,
    ) -> Option<RequestId> {
        let number = post.number();
        let address = address(&post.instance, number);
        let origin = question.request.extensions().get::<OriginatingRequestId>();
        let origin = origin.map(|origin| origin.0.clone());
        let meta = question.request.get_meta_mut();
        let token = meta.get_progress_token();
        if token.is_some() {
            meta.set_progress_token(ProgressToken(address.clone()));
        }
        let asked = Question {
            line,
            id: std::mem::replace(&mut question.id, address),
            token,
            origin: origin.clone(),
            _expecting: post.expects(),
        };
        self.state(|state| state.questions.insert(number, asked));
        origin
    }

    /// Nobody waits any more for answers to the questions that were asked for a request: gives the ids that the client
    /// knows them by.
    pub(super) fn drop_questions(&self, instance: &str, line: u64, request: &RequestId) -> Vec<RequestId> {
        self.state(|state| {
            let dropped = state
                .questions
                .extract_if(|_, question| question.line == line && question.origin.as_ref() == Some(request));
            dropped.map(|(number, _)| address(instance, number)).collect()
        })
    }

    /// What the service that has asked the question with this number calls its progress.
    pub(super) fn token_of(&self, number: i64) -> Option<ProgressToken> {
        self.state(|state| state.questions.get(&number)?.token.clone())
    }

    /// A question is not open any more, which `line` calls `id`: gives the id that the client knows it by, and the
    /// request it belongs to.
    pub(super) fn unask(
        &self,
        instance: &str,
        line: u64,
        id: &RequestId,
    ) -> Option<(RequestId, Option<RequestId>)> {
        self.state(|state| {
            let mut questions = state.questions.iter();
            let (number, _) = questions.find(|(_, question)| question.line == line && question.id == *id)?;
            let number = *number;
            let question = state.questions.remove(&number)?;
            Some((address(instance, number), question.origin))
        })
    }

    /// What the service that has asked calls the question with this number, if it still waits; it is not open any more.
    pub(super) fn answered(&self, number: i64) -> Option<RequestId> {
        self.state(|state| {
            let question = state.questions.remove(&number)?;
            (state.lines == question.line).then_some(question.id)
        })
    }

    /// Opens a standalone stream, which from now on is the one that speaks.
    pub(super) fn open_stream(&self) -> u64 {
        let number = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        self.heard.notify_waiters();
        number
    }

    /// Whether no newer standalone stream was opened here.
    pub(super) fn is_newest_stream(&self, number: u64) -> bool {
        self.streams.load(Ordering::Relaxed) == number
    }
}

/// The id of a question: who asked, and which of its questions it is.
fn address(instance: &str, number: i64) -> RequestId {
    RequestId::String(format!("{instance}-{number}").into())
}

/// Who asked the question with this id, and which of its questions it is.
pub(super) fn addressee(id: &RequestId) -> Option<(&str, i64)> {
    let RequestId::String(text) = id else {
        return None;
    };
    let (instance, number) = text.split_once('-')?;
    let number = number.parse().ok()?;
    super::event::is_plain(instance).then_some((instance, number))
}

/// Keeps a session alive: a request, a running tool or an open stream holds one.
#[derive(Debug)]
pub(crate) struct Lease(pub(super) Arc<Resident>);

impl Lease {
    pub(super) fn new(resident: Arc<Resident>) -> Self {
        resident.state(|state| state.leases += 1);
        Self(resident)
    }

    /// Reserves a request's id, given as JSON; `None` when a request with this id is being worked on.
    pub(crate) fn claim(self, id: &str) -> Option<Claim> {
        // however it is written
        let id: serde_json::Value = serde_json::from_str(id).ok()?;
        let id = id.to_string();
        let is_free = self.0.state(|state| state.claims.insert(id.clone()));
        is_free.then(|| Claim { lease: self, id })
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
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

/// A request that is being worked on in a session, which it keeps alive.
#[derive(Debug)]
pub(crate) struct Claim {
    lease: Lease,
    id: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lease.0.state(|state| state.claims.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::InitializeRequestParams;

    use super::*;

    fn record(severity: u8, generation: u64) -> Record {
        Record {
            client: InitializeRequestParams::default(),
            owner: None,
            severity: Some(severity),
            subscriptions: std::collections::BTreeSet::new(),
            events: String::new(),
            listener: None,
            generation,
        }
    }

    #[tokio::test]
    async fn what_is_older_is_not_believed_unless_the_store_has_begun_anew() {
        let resident = Resident::new("session".into(), record(5, 0), 5);
        resident.refresh(record(4, 0), 4);
        assert_eq!(resident.severity(), Some(5));
        resident.refresh(record(6, 0), 6);
        assert_eq!(resident.severity(), Some(6));
        resident.refresh(record(1, 7), 1);
        assert_eq!(resident.severity(), Some(1));
        resident.refresh(record(2, 7), 2);
        assert_eq!(resident.severity(), Some(2));
    }
}
