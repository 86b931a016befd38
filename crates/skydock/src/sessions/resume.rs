//! The rest of an answer, for a client that has lost the stream and asks another instance, or this one, for it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, future::Either, stream};
use rmcp::{
    ErrorData,
    model::{ErrorCode, JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::session::ServerSseMessage,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Absent, Sessions,
    event::{EventId, NoEvent, Position},
    flow::{Flow, event},
    parts::{Assembly, split},
    post::Letter,
    record::{pack, unpack},
    resident::Resident,
    store::{Failure, Patience},
};

/// How long a shared stream is kept after its last message.
const KEPT: Duration = Duration::from_secs(300);
/// How long one look at a shared stream takes.
const LOOK: Patience = Patience {
    whole: Duration::from_secs(1),
    pause: Duration::from_millis(100),
};
/// How often it is asked whether the instance that works on the request lives.
const ROLL: Duration = Duration::from_secs(2);
/// How long to leave a store alone that has just failed, and at the most.
const RECOVER: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);
/// How long it is tried to hand over an answer that is ready.
const TRIED: Duration = Duration::from_secs(60);

/// What an instance writes of a stream that it has.
#[derive(Debug, Serialize, Deserialize)]
enum Shared {
    /// Message number so and so.
    Message(usize, Box<ServerJsonRpcMessage>),
    /// There is nothing more.
    End,
    /// It is not kept any more.
    Gone,
}

/// A reader of a stream that another instance has.
struct Reader {
    sessions: Arc<Sessions>,
    resident: Arc<Resident>,
    position: Position,
    cursor: u64,
    asked: Instant,
    /// Whether something has come since then.
    grown: bool,
    ready: VecDeque<ServerSseMessage>,
    assembly: Assembly,
    ended: bool,
    /// The instance has gone; one last look, and then the client is told.
    orphaned: bool,
}

impl Sessions {
    /// The rest of an answer after `position`.
    ///
    /// # Errors
    /// When the position is none that the client can be at, or the store fails.
    pub(super) async fn rest(
        &self,
        resident: &Arc<Resident>,
        position: Position,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + use<>, Absent> {
        if let Some(flow) = self.flows(|flows| flows.get(&position.stream)) {
            if flow.session != resident.id {
                return Err(Absent::Unknown);
            }
            if position.seen > flow.total() {
                return Err(Absent::Broken(NoEvent.into()));
            }
            return Ok(Either::Left(self.events(flow, position.seen, false)));
        }
        let here = *position.instance == *self.post.instance;
        // whoever has ended does not read letters either; what it has written is in the store
        let orphaned = here || self.post.has_gone(&position.instance).await?;
        if !orphaned {
            self.ask_for(resident, &position).await?;
        }
        let sessions = self
            .own
            .upgrade()
            .ok_or_else(|| Absent::Broken("the sessions have ended".into()))?;
        let reader = Reader {
            orphaned,
            sessions,
            resident: Arc::clone(resident),
            position,
            cursor: 0,
            asked: Instant::now(),
            grown: false,
            ready: VecDeque::new(),
            assembly: Assembly::default(),
            ended: false,
        };
        Ok(Either::Right(stream::unfold(reader, Reader::next)))
    }

    /// Asks the instance that has a stream to write it into the store.
    async fn ask_for(&self, resident: &Resident, position: &Position) -> Result<(), Failure> {
        let letter = Letter::Share {
            session: resident.id.to_string(),
            stream: position.stream.clone(),
        };
        self.post.send(&position.instance, &letter).await
    }

    /// Writes a stream of ours into the store, for a reader at another instance.
    pub(super) fn share(self: Arc<Self>, session: &str, stream: &str) {
        let flow = self.flows(|flows| flows.get(stream));
        if let Some(flow) = flow.filter(|flow| *flow.session == *session) {
            return self.write_out(flow);
        }
        let log = log(session, stream);
        tokio::spawn(async move {
            if let Err(error) = self.write(&log, &[Shared::Gone]).await {
                tracing::warn!(%error, "another instance is not told that there is no such answer here");
            }
        });
    }

    /// Writes a stream into the store as it goes on. A shutdown waits for that.
    pub(super) fn write_out(&self, flow: Arc<Flow>) {
        let Some(sessions) = self.own.upgrade().filter(|_| flow.share()) else {
            return;
        };
        let work = self.terms.drain.answer();
        tokio::spawn(async move {
            match sessions.write_all(&flow).await {
                Ok(()) => flow.written(),
                Err(error) => {
                    tracing::warn!(%error, "the rest of an answer could not be handed over");
                    flow.unshare();
                }
            }
            drop(work);
        });
    }

    /// Writes all of a stream. What the store does not take is tried again: a message that is there twice is read once.
    async fn write_all(&self, flow: &Flow) -> Result<(), Failure> {
        let log = log(&flow.session, &flow.stream);
        let (mut seen, mut pause, mut ready) = (0, RECOVER, None);
        loop {
            let (messages, ended) = flow.all(seen).await;
            let last = messages.last().map_or(seen, |(number, _)| *number);
            let messages = messages.into_iter();
            let mut shared: Vec<_> = messages
                .map(|(number, message)| Shared::Message(number, Box::new((*message).clone())))
                .collect();
            if ended {
                shared.push(Shared::End);
            }
            match self.write(&log, &shared).await {
                Ok(()) if ended => return Ok(()),
                Ok(()) => (seen, pause) = (last, RECOVER),
                Err(Failure::Unavailable(error)) => {
                    if flow.has_ended() && ready.get_or_insert_with(Instant::now).elapsed() >= TRIED {
                        return Err(Failure::Unavailable(error));
                    }
                    tracing::debug!(%error, "the rest of an answer is not handed over yet; tried again");
                    tokio::time::sleep(pause).await;
                    pause = LONGEST.min(pause * 2);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn write(&self, log: &str, shared: &[Shared]) -> Result<(), Failure> {
        let mut entries = Vec::new();
        for shared in shared {
            let value = pack(shared).map_err(|error| Failure::Unavailable(error.into()))?;
            entries.extend(split(&value, self.store.limit()));
        }
        self.store.append(log, entries, KEPT).await.map(|_| ())
    }
}

impl Reader {
    async fn next(mut self) -> Option<(ServerSseMessage, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if self.ended
                || self.resident.over.is_cancelled()
                || self.sessions.terms.drain.streams().is_cancelled()
            {
                return None;
            }
            let patience = if self.orphaned { Patience::NONE } else { LOOK };
            let log = log(&self.resident.id, &self.position.stream);
            match self.sessions.store.follow(&log, self.cursor, patience).await {
                Ok(entries) if entries.is_empty() && self.orphaned => {
                    self.ended = true;
                    let kept = *self.position.instance != *self.sessions.post.instance;
                    self.tell_lost(kept);
                    continue;
                }
                Ok(entries) => {
                    self.grown |= !entries.is_empty();
                    for entry in entries {
                        self.cursor = entry.number;
                        if let Some(value) = self.assembly.add(&entry.value) {
                            self.take(&value);
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot read the rest of an answer; tried again");
                    tokio::time::sleep(LOOK.pause).await;
                }
            }
            self.ask_about().await;
        }
    }

    fn take(&mut self, value: &[u8]) {
        match unpack(value) {
            Ok(Shared::Message(number, message)) if number > self.position.seen => {
                self.position.seen = number;
                self.ended = matches!(*message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
                let id = EventId::Answer(self.position.clone());
                self.ready.push_back(event(&id, Arc::new(*message)));
            }
            // the client has it already
            Ok(Shared::Message(..)) => {}
            Ok(Shared::End) => self.ended = true,
            Ok(Shared::Gone) => {
                self.ended = true;
                self.tell_lost(false);
            }
            Err(error) => {
                tracing::warn!(%error, "the rest of an answer cannot be read");
                self.ended = true;
            }
        }
    }

    /// Finds out whether the instance that works on the request still lives, and asks again for what does not come.
    async fn ask_about(&mut self) {
        if self.orphaned || self.ended || self.asked.elapsed() < ROLL {
            return;
        }
        self.asked = Instant::now();
        if matches!(
            self.sessions.post.has_gone(&self.position.instance).await,
            Ok(true)
        ) {
            self.orphaned = true;
            return;
        }
        if !std::mem::take(&mut self.grown)
            && let Err(error) = self.sessions.ask_for(&self.resident, &self.position).await
        {
            tracing::debug!(%error, "cannot ask for the rest of an answer; tried again");
        }
    }

    /// Tells the client that its request gets no answer: because the instance that worked on it has ended, or because
    /// the answer is not kept any more.
    fn tell_lost(&mut self, unanswered: bool) {
        let Some(request) = self.position.request.clone() else {
            return;
        };
        let (text, retryable) = if unanswered {
            let text = "the instance that worked on this request has ended before it answered; whether the work was \
                        done is not known; the request can be sent again";
            (text, true)
        } else {
            let text = "the answer to this request is not kept any more; the work has ended, and would be done again if \
                        the request were sent again";
            (text, false)
        };
        let error = ErrorData::new(ErrorCode(-32000), text, Some(json!({"retryable": retryable})));
        self.position.seen = self.position.seen.saturating_add(1);
        let id = EventId::Answer(self.position.clone());
        let message = Arc::new(ServerJsonRpcMessage::error(error, Some(request)));
        self.ready.push_back(event(&id, message));
    }
}

/// Where a stream is shared.
fn log(session: &str, stream: &str) -> String {
    format!("rest:{session}:{stream}")
}
