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
    event::{EventId, Position},
    flow::{Flow, event, events},
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

/// What an instance writes of a stream that it has.
#[derive(Debug, Serialize, Deserialize)]
enum Shared {
    /// Message number so and so.
    Message(usize, Box<ServerJsonRpcMessage>),
    /// There is nothing more.
    End,
}

/// A reader of a stream that another instance has.
struct Reader {
    sessions: Arc<Sessions>,
    resident: Arc<Resident>,
    position: Position,
    cursor: u64,
    asked: Instant,
    ready: VecDeque<ServerSseMessage>,
    assembly: Assembly,
    ended: bool,
    /// The instance has gone; one last look, and then the client is told.
    orphaned: bool,
}

impl Sessions {
    /// The rest of an answer after `position`.
    pub(super) async fn rest(
        &self,
        resident: &Arc<Resident>,
        position: Position,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + use<>, Absent> {
        if let Some(flow) = self.flows(|flows| flows.get(&position.stream)) {
            if flow.session != resident.id {
                return Err(Absent::Unknown);
            }
            let instance = Arc::clone(&self.post.instance);
            return Ok(Either::Left(events(flow, instance, position.seen, false)));
        }
        let here = *position.instance == *self.post.instance;
        // whoever is not on the roll does not read letters either; what it has written is in the store
        let orphaned = here || !self.post.lives(&position.instance).await?;
        if !orphaned {
            let letter = Letter::Share {
                session: resident.id.to_string(),
                stream: position.stream.clone(),
            };
            self.post.send(&position.instance, &letter).await?;
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
            ready: VecDeque::new(),
            assembly: Assembly::default(),
            ended: false,
        };
        Ok(Either::Right(stream::unfold(reader, Reader::next)))
    }

    /// Writes a stream of ours into the store, for a reader at another instance.
    pub(super) fn share(self: Arc<Self>, session: &str, stream: &str) {
        let flow = self.flows(|flows| flows.get(stream));
        if let Some(flow) = flow.filter(|flow| *flow.session == *session) {
            return self.write_out(flow);
        }
        let log = log(session, stream);
        tokio::spawn(async move {
            if let Err(error) = self.write(&log, &[Shared::End]).await {
                tracing::warn!(%error, "another instance is not told that there is no such answer here");
            }
        });
    }

    /// Writes a stream into the store as it goes on.
    pub(super) fn write_out(self: Arc<Self>, flow: Arc<Flow>) {
        if !flow.share() {
            return;
        }
        tokio::spawn(async move {
            if let Err(error) = self.write_all(&flow).await {
                tracing::warn!(%error, "the rest of an answer could not be handed over");
            }
            flow.written();
        });
    }

    async fn write_all(&self, flow: &Flow) -> Result<(), Failure> {
        let log = log(&flow.session, &flow.stream);
        let (mut seen, mut ended) = (0, false);
        while !ended {
            let (messages, last) = flow.all(seen).await;
            ended = last;
            let mut shared: Vec<_> = messages
                .into_iter()
                .map(|(number, message)| {
                    seen = number;
                    Shared::Message(number, Box::new((*message).clone()))
                })
                .collect();
            if ended {
                shared.push(Shared::End);
            }
            self.write(&log, &shared).await?;
        }
        Ok(())
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
            if self.ended || self.resident.over.is_cancelled() || self.sessions.terms.streams.is_cancelled() {
                return None;
            }
            let patience = if self.orphaned { Patience::NONE } else { LOOK };
            let log = log(&self.resident.id, &self.position.stream);
            match self.sessions.store.follow(&log, self.cursor, patience).await {
                Ok(entries) if entries.is_empty() && self.orphaned => {
                    self.ended = true;
                    let event = self.lost()?;
                    return Some((event, self));
                }
                Ok(entries) => {
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
            Err(error) => {
                tracing::warn!(%error, "the rest of an answer cannot be read");
                self.ended = true;
            }
        }
    }

    /// Finds out whether the instance that works on the request still lives.
    async fn ask_about(&mut self) {
        if self.orphaned || self.asked.elapsed() < ROLL {
            return;
        }
        self.asked = Instant::now();
        if matches!(self.sessions.post.lives(&self.position.instance).await, Ok(false)) {
            self.orphaned = true;
        }
    }

    /// What a client hears of a request whose instance has gone. What is not here any more was answered here.
    fn lost(&mut self) -> Option<ServerSseMessage> {
        if *self.position.instance == *self.sessions.post.instance {
            return None;
        }
        let request = self.position.request.clone()?;
        let text = "the instance that worked on this request has ended before it answered; whether the work was done is \
                    not known; the request can be sent again";
        let error = ErrorData::new(ErrorCode(-32000), text, Some(json!({"retryable": true})));
        self.position.seen += 1;
        let id = EventId::Answer(self.position.clone());
        Some(event(
            &id,
            Arc::new(ServerJsonRpcMessage::error(error, Some(request))),
        ))
    }
}

/// Where a stream is shared.
fn log(session: &str, stream: &str) -> String {
    format!("rest:{session}:{stream}")
}
