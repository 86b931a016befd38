//! A session as this instance knows it: what it remembers of the record, and what is at work here.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rmcp::{
    model::{ClientJsonRpcMessage, ProgressToken, RequestId, ServerJsonRpcMessage},
    transport::streamable_http_server::SessionId,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use super::{
    flow::Flow,
    post::{Expecting, Post},
    record::Record,
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
    /// When the store was last told that the session is in use.
    touched: Instant,
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
    origin: Option<RequestId>,
    _expecting: Expecting,
}

/// The way to the service that runs the handler for this session.
#[derive(Debug)]
struct Service {
    number: u64,
    messages: mpsc::Sender<ClientJsonRpcMessage>,
    /// Told when the handler has seen the handshake.
    replayed: Option<oneshot::Sender<()>>,
    ready: bool,
}

/// What a new service is given, and what tells that it has seen the handshake.
pub(super) struct Woken {
    pub(super) number: u64,
    pub(super) messages: mpsc::Receiver<ClientJsonRpcMessage>,
    pub(super) sender: mpsc::Sender<ClientJsonRpcMessage>,
    pub(super) replayed: oneshot::Receiver<()>,
}

impl Resident {
    pub(super) fn new(id: SessionId, record: Record, version: u64) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            record,
            version,
            seen: now,
            touched: now,
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
            if version >= state.version {
                state.record = record;
                state.version = version;
            }
            state.seen = Instant::now();
        });
    }

    /// The store has lost the record, and has this one now.
    pub(super) fn reset(&self, version: u64) {
        self.state(|state| {
            state.version = version;
            state.seen = Instant::now();
        });
    }

    /// How long ago the store said what the record is.
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

    /// How long ago the store was told that the session is in use.
    pub(super) fn untouched(&self) -> Duration {
        self.state(|state| state.touched.elapsed())
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

    /// The way to the service, when there is one that has seen the handshake.
    pub(super) fn service(&self) -> Option<mpsc::Sender<ClientJsonRpcMessage>> {
        self.state(|state| {
            let service = state.service.as_ref().filter(|service| service.ready)?;
            (!service.messages.is_closed()).then(|| service.messages.clone())
        })
    }

    /// Makes room for a new service.
    pub(super) fn wake(&self) -> Woken {
        let (sender, messages) = mpsc::channel(WAITING);
        let (told, replayed) = oneshot::channel();
        self.state(|state| {
            state.lines += 1;
            state.service = Some(Service {
                number: state.lines,
                messages: sender.clone(),
                replayed: Some(told),
                ready: false,
            });
            Woken {
                number: state.lines,
                messages,
                sender,
                replayed,
            }
        })
    }

    /// The handler has answered the handshake, or what else was replayed.
    pub(super) fn replayed(&self) {
        let told = self.state(|state| state.service.as_mut().and_then(|service| service.replayed.take()));
        if let Some(told) = told {
            // whoever woke the session may have gone
            let _ = told.send(());
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
            if state.lines != number {
                return Vec::new();
            }
            state.service = None;
            state.questions.clear();
            state.flows.drain().map(|(_, flow)| flow).collect()
        })
    }

    /// Ends the session at this instance: gives what was at work, which gets no answer any more.
    pub(super) fn end(&self) -> Vec<Arc<Flow>> {
        self.over.cancel();
        let flows: Vec<_> = self.state(|state| {
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
    pub(super) fn begin(&self, flow: &Arc<Flow>) {
        self.state(|state| state.flows.insert(flow.request.clone(), Arc::clone(flow)));
    }

    /// A request is not at work any more.
    pub(super) fn finish(&self, id: &RequestId) -> Option<Arc<Flow>> {
        self.state(|state| state.flows.remove(id))
    }

    pub(super) fn works_on(&self, id: &RequestId) -> bool {
        self.state(|state| state.flows.contains_key(id))
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

    /// Sends a message into the stream of the request that it belongs to; gives it back when there is none.
    pub(super) fn send(
        &self,
        origin: Option<&RequestId>,
        message: ServerJsonRpcMessage,
    ) -> Option<ServerJsonRpcMessage> {
        let flow = origin.and_then(|origin| self.state(|state| state.flows.get(origin).cloned()));
        match flow {
            Some(flow) => {
                flow.send(message);
                None
            }
            None => Some(message),
        }
    }

    /// Notes a question to the client; gives the id under which its answer finds its way back from anywhere.
    pub(super) fn ask(
        &self,
        post: &Arc<Post>,
        id: &RequestId,
        origin: Option<RequestId>,
    ) -> Option<RequestId> {
        let RequestId::Number(number) = *id else {
            return None;
        };
        let question = Question {
            origin,
            _expecting: post.expects(),
        };
        self.state(|state| state.questions.insert(number, question));
        Some(address(&post.instance, number))
    }

    /// A question is not open any more: gives the id that the client knows it by, and the request it belongs to.
    pub(super) fn unask(&self, instance: &str, id: &RequestId) -> Option<(RequestId, Option<RequestId>)> {
        let RequestId::Number(number) = *id else {
            return None;
        };
        let question = self.state(|state| state.questions.remove(&number))?;
        Some((address(instance, number), question.origin))
    }

    /// Whether a question with this number was asked here; it is not open any more.
    pub(super) fn answered(&self, number: i64) -> bool {
        self.state(|state| state.questions.remove(&number).is_some())
    }

    /// Whether the client was asked something here that it has not answered.
    pub(super) fn asks(&self) -> bool {
        self.state(|state| !state.questions.is_empty())
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
        let id = id.to_owned();
        self.0
            .state(|state| state.claims.insert(id.clone()))
            .then_some(Claim { lease: self, id })
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
