//! What is sent in answer to one request, in order: kept until its reader has it, and for a while longer in case the
//! reader comes back for the rest.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use rmcp::{
    model::{
        ClientRequest, GetMeta, JsonRpcMessage, JsonRpcRequest, ProgressToken, RequestId,
        ServerJsonRpcMessage,
    },
    transport::streamable_http_server::{SessionId, session::ServerSseMessage},
};
use tokio::sync::Notify;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    Sessions,
    event::{EventId, Position},
    record::{Keep, unguessable},
};

/// How long a client is to wait before it comes back for the rest of a stream.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How long an answer is kept for a client that comes back for it.
const KEPT: Duration = Duration::from_secs(60);
/// How long the end of a stream waits for the store.
const WRITTEN: Duration = Duration::from_secs(2);
/// The most answers that are kept for that.
const MOST_KEPT: usize = 1_000;
/// What they may come to together, in bytes of JSON.
const MOST_BYTES: usize = 32 << 20;
/// The most messages that wait in one stream for a reader; beyond, notifications are dropped. So many are also kept for
/// a reader that comes back.
const MOST_WAITING: usize = 10_000;

/// The messages of one request's stream.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) session: SessionId,
    pub(super) request: RequestId,
    pub(super) token: Option<ProgressToken>,
    /// What is to be remembered when the request has succeeded.
    pub(super) keeps: Option<Keep>,
    /// The service that works on the request.
    pub(super) line: u64,
    pub(super) stream: String,
    messages: Mutex<Messages>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Messages {
    sent: VecDeque<Arc<ServerJsonRpcMessage>>,
    /// The number of messages that were sent and are not kept any more.
    forgotten: usize,
    /// The number that some reader has taken.
    taken: usize,
    ended: bool,
    /// While it is there, a shutdown waits for the answer, whether or not somebody reads it.
    work: Option<TaskTrackerToken>,
    readers: usize,
    /// Whether they are being written to the store, for a reader at another instance.
    shared: bool,
    /// Whether that has come to its end.
    written: bool,
}

impl Messages {
    /// The messages after the first `seen` that are kept, with their numbers.
    fn after(&self, seen: usize) -> impl Iterator<Item = (usize, Arc<ServerJsonRpcMessage>)> {
        let numbered = (self.forgotten + 1..).zip(&self.sent);
        let left = numbered.skip(seen.saturating_sub(self.forgotten));
        left.map(|(number, message)| (number, Arc::clone(message)))
    }

    fn total(&self) -> usize {
        self.forgotten + self.sent.len()
    }

    fn end(&mut self) {
        self.ended = true;
        self.work = None;
    }

    fn add(&mut self, message: ServerJsonRpcMessage) {
        self.sent.push_back(Arc::new(message));
        // what some reader has is not kept for ever in case that it comes back
        while self.sent.len() > MOST_WAITING && self.forgotten < self.taken {
            self.sent.pop_front();
            self.forgotten += 1;
        }
    }
}

/// What a reader finds.
pub(super) enum Next {
    /// A message, and its number.
    Message(usize, Arc<ServerJsonRpcMessage>),
    /// There is nothing more to come.
    End,
}

impl Flow {
    /// The stream of a request that the service `line` is to work on; `work` is what a shutdown waits for.
    pub(super) fn new(
        session: SessionId,
        request: &JsonRpcRequest<ClientRequest>,
        line: u64,
        work: TaskTrackerToken,
    ) -> Arc<Self> {
        let messages = Messages {
            work: Some(work),
            ..Messages::default()
        };
        Arc::new(Self {
            line,
            session,
            request: request.id.clone(),
            token: request.request.get_meta().get_progress_token(),
            keeps: Keep::of(&request.request),
            stream: unguessable(),
            messages: Mutex::new(messages),
            grown: Notify::new(),
        })
    }

    fn messages<T>(&self, with: impl FnOnce(&mut Messages) -> T) -> T {
        with(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a message; the answer ends the stream.
    pub(super) fn send(&self, message: ServerJsonRpcMessage) {
        let last = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        let optional = matches!(message, JsonRpcMessage::Notification(_));
        self.messages(|messages| {
            if messages.ended {
                return;
            }
            if optional && messages.total().saturating_sub(messages.taken) >= MOST_WAITING {
                tracing::debug!("dropped a notification that nobody reads");
                return;
            }
            messages.add(message);
            if last {
                messages.end();
            }
        });
        self.grown.notify_waiters();
    }

    /// Ends the stream without an answer.
    pub(super) fn end(&self) {
        self.messages(Messages::end);
        self.grown.notify_waiters();
    }

    /// Whether it was not shared yet, and is from now on.
    pub(super) fn share(&self) -> bool {
        self.messages(|messages| !std::mem::replace(&mut messages.shared, true))
    }

    /// All that there is to write has been written.
    pub(super) fn written(&self) {
        self.messages(|messages| messages.written = true);
        self.grown.notify_waiters();
    }

    /// It could not be written; whoever asks for it may try again.
    pub(super) fn unshare(&self) {
        self.messages(|messages| messages.shared = false);
        self.grown.notify_waiters();
    }

    /// The number of messages so far.
    pub(super) fn total(&self) -> usize {
        self.messages(|messages| messages.total())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.messages(|messages| messages.ended)
    }

    /// Whether some reader has all that there will ever be.
    fn is_read(&self) -> bool {
        self.messages(|messages| messages.ended && messages.taken >= messages.total())
    }

    /// Whether there is, or will be, something in it that nobody reads here.
    pub(super) fn is_left(&self) -> bool {
        !self.is_read() && self.messages(|messages| messages.readers == 0)
    }

    /// Waits until what is being shared is in the store.
    async fn is_written(&self) {
        loop {
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            if self.messages(|messages| messages.written || !messages.shared) {
                return;
            }
            grown.await;
        }
    }

    /// The messages after the first `seen` when there are any, or when there is nothing more to come; and whether that
    /// is so.
    pub(super) async fn all(&self, seen: usize) -> (Vec<(usize, Arc<ServerJsonRpcMessage>)>, bool) {
        let first = self.next(seen).await;
        self.messages(|messages| {
            let more = messages.after(seen).collect();
            (more, matches!(first, Next::End) || messages.ended)
        })
    }

    /// The message after the first `seen`, when it is there.
    pub(super) async fn next(&self, seen: usize) -> Next {
        loop {
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            let next = self.messages(|messages| {
                // what a client says of itself may be wrong
                messages.taken = messages.taken.max(seen.min(messages.total()));
                match messages.after(seen).next() {
                    Some((number, message)) => Some(Next::Message(number, message)),
                    None => messages.ended.then_some(Next::End),
                }
            });
            if let Some(next) = next {
                return next;
            }
            grown.await;
        }
    }

    /// What its messages come to, in bytes of JSON.
    fn bytes(&self) -> usize {
        self.messages(|messages| {
            let mut count = Count(0);
            for message in &messages.sent {
                // counting does not fail
                let _ = serde_json::to_writer(&mut count, &**message);
            }
            count.0
        })
    }

    /// Where a reader is that has so many messages.
    pub(super) fn position(&self, instance: &str, seen: usize) -> EventId {
        EventId::Answer(Position {
            instance: instance.to_owned(),
            stream: self.stream.clone(),
            seen,
            request: Some(self.request.clone()),
        })
    }
}

/// Somebody reads a stream.
struct Reading {
    flow: Arc<Flow>,
    sessions: Weak<Sessions>,
}

impl Reading {
    fn new(flow: Arc<Flow>, sessions: Weak<Sessions>) -> Self {
        flow.messages(|messages| messages.readers += 1);
        Self { flow, sessions }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.flow.messages(|messages| messages.readers -= 1);
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.left(&self.flow);
        }
    }
}

impl Sessions {
    /// The events after the first `seen` messages; `primes` begins with an event that only tells where the stream is.
    pub(super) fn events(
        &self,
        flow: Arc<Flow>,
        seen: usize,
        primes: bool,
    ) -> impl Stream<Item = ServerSseMessage> + Send + use<> {
        let instance = Arc::clone(&self.post.instance);
        let prime =
            primes.then(|| ServerSseMessage::priming(flow.position(&instance, seen).to_string(), RETRY));
        let reading = Reading::new(flow, Weak::clone(&self.own));
        let rest = stream::unfold(
            (reading, instance, seen),
            |(reading, instance, seen)| async move {
                let flow = &reading.flow;
                let Next::Message(seen, message) = flow.next(seen).await else {
                    // this instance may be frozen when the stream has ended; what is to be kept of it is kept before
                    let _ = tokio::time::timeout(WRITTEN, flow.is_written()).await;
                    return None;
                };
                let event = event(&flow.position(&instance, seen), message);
                Some((event, (reading, instance, seen)))
            },
        );
        futures::StreamExt::chain(stream::iter(prime), rest)
    }

    /// A reader has left a stream here. When this instance is about to end, what is left goes into the store, for the
    /// client to have it elsewhere.
    fn left(&self, flow: &Arc<Flow>) {
        if self.terms.drain.is_draining() && self.store.is_shared() && flow.is_left() {
            self.write_out(Arc::clone(flow));
        }
    }

    /// This instance is about to end: what nobody reads here can be had elsewhere.
    pub(super) fn hand_over(&self) {
        for flow in self.flows(|flows| flows.all()) {
            self.left(&flow);
        }
    }
}

/// A message as an event.
pub(super) fn event(id: &EventId, message: Arc<ServerJsonRpcMessage>) -> ServerSseMessage {
    let mut event = ServerSseMessage::default();
    event.event_id = Some(id.to_string());
    event.message = Some(message);
    event
}

/// The streams of this instance by their names, those that are open and the last that have ended.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_name: HashMap<String, Arc<Flow>>,
    ended: VecDeque<Ended>,
    bytes: usize,
}

/// A stream that has ended.
#[derive(Debug)]
struct Ended {
    since: Instant,
    stream: String,
    bytes: usize,
}

impl Flows {
    pub(super) fn insert(&mut self, flow: &Arc<Flow>) {
        self.by_name.insert(flow.stream.clone(), Arc::clone(flow));
    }

    pub(super) fn get(&self, stream: &str) -> Option<Arc<Flow>> {
        self.by_name.get(stream).cloned()
    }

    fn all(&self) -> Vec<Arc<Flow>> {
        self.by_name.values().cloned().collect()
    }

    /// The number of streams that have not ended.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.by_name.len() - self.ended.len()
    }

    /// A stream has ended: it is kept for a client that comes back for it.
    pub(super) fn ended(&mut self, flow: &Flow) {
        let ended = Ended {
            since: Instant::now(),
            stream: flow.stream.clone(),
            bytes: flow.bytes(),
        };
        self.bytes += ended.bytes;
        self.ended.push_back(ended);
        while self.ended.len() > MOST_KEPT || (self.bytes > MOST_BYTES && self.ended.len() > 1) {
            self.make_room();
        }
        self.sweep();
    }

    /// Forgets a stream before its time: the oldest that a reader has whole, if there is such a one.
    fn make_room(&mut self) {
        let is_read = |ended: &Ended| self.get(&ended.stream).is_none_or(|flow| flow.is_read());
        let first = self.ended.iter().position(is_read).unwrap_or_default();
        let forgotten = self.ended.remove(first);
        self.forget(forgotten);
    }

    /// Forgets what has been kept long enough.
    pub(super) fn sweep(&mut self) {
        while self
            .ended
            .front()
            .is_some_and(|ended| ended.since.elapsed() >= KEPT)
        {
            let oldest = self.ended.pop_front();
            self.forget(oldest);
        }
    }

    fn forget(&mut self, ended: Option<Ended>) {
        if let Some(ended) = ended {
            self.bytes -= ended.bytes;
            self.by_name.remove(&ended.stream);
        }
    }
}

/// Counts what is written.
struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::{PingRequest, ServerResult};

    use super::*;
    use crate::runtime::Drain;

    fn answered(flows: &mut Flows) -> Arc<Flow> {
        let id = RequestId::Number(1);
        let ping = ClientRequest::PingRequest(PingRequest::default());
        let JsonRpcMessage::Request(ping) = rmcp::model::ClientJsonRpcMessage::request(ping, id.clone())
        else {
            unreachable!()
        };
        let flow = Flow::new("session".into(), &ping, 1, Drain::default().answer());
        flows.insert(&flow);
        flow.send(ServerJsonRpcMessage::response(ServerResult::empty(()), id));
        flows.ended(&flow);
        flow
    }

    #[tokio::test]
    async fn what_was_read_makes_room_for_what_was_not() {
        let mut flows = Flows::default();
        let unread = answered(&mut flows);
        let read = answered(&mut flows);
        assert!(matches!(read.next(0).await, Next::Message(1, _)));
        assert!(matches!(read.next(1).await, Next::End));
        for _ in 2..MOST_KEPT {
            answered(&mut flows);
        }
        assert!(flows.get(&unread.stream).is_some() && flows.get(&read.stream).is_some());
        let newest = answered(&mut flows);
        assert!(flows.get(&read.stream).is_none(), "it can go first");
        assert!(flows.get(&unread.stream).is_some());
        answered(&mut flows);
        assert!(flows.get(&unread.stream).is_none(), "then the oldest goes");
        assert!(flows.get(&newest.stream).is_some());
        assert_eq!(flows.ended.len(), MOST_KEPT);
    }
}
