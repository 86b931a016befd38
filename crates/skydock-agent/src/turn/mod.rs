//! One turn: what the user says, and everything that happens until it is the user's turn again.
//!
//! The model is asked, its calls are made, and it is asked again, until it has nothing to call. Whatever happens, the
//! conversation is left as a model takes it: roles alternate, and each call is answered.

mod ask;
mod calls;
mod compaction;
mod keeper;

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::ask::Asked;
pub(crate) use self::keeper::Keeper;
use crate::{
    agent::{Parts, system},
    conversation::Conversation,
    event::{Ended, Event, Outcome},
    listener::Listener,
    message::{Block, Passage, Role},
    model::{Stop, Usage},
    store,
    tools::{Desk, Shelf, Toolbox},
};

/// How many passages are found for a question.
const PASSAGES: usize = 4;

/// A turn under way.
pub(crate) struct Run {
    pub(crate) parts: Arc<Parts>,
    pub(crate) toolbox: Arc<Toolbox>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) keeper: Keeper,
    pub(crate) conversation: Conversation,
    pub(crate) listener: Listener,
    pub(crate) stop: CancellationToken,
    /// When it has to have ended.
    pub(crate) deadline: Instant,
    pub(crate) turns: u32,
    pub(crate) usage: Usage,
}

/// Why a turn does not go on.
enum End {
    /// It has ended as it should.
    With(Outcome, Option<String>),
    /// What was done could not be stored: somebody else is at the conversation, or the store is gone.
    Lost(store::Failure),
}

impl From<store::Failure> for End {
    fn from(failure: store::Failure) -> Self {
        Self::Lost(failure)
    }
}

impl Run {
    /// Goes on to the end, which is stored before it is told.
    pub(crate) async fn go(mut self) {
        let model = &self.parts.model;
        let span = tracing::info_span!(
            "invoke_agent",
            otel.kind = "internal",
            gen_ai.operation.name = "invoke_agent",
            gen_ai.provider.name = model.provider(),
            gen_ai.request.model = model.name(),
            gen_ai.conversation.id = self.keeper.session(),
            gen_ai.usage.input_tokens = tracing::field::Empty,
            gen_ai.usage.output_tokens = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        let ended = async {
            let began = Event::Began {
                session: self.keeper.session().to_owned(),
                model: self.parts.model.name().to_owned(),
                notice: self.parts.model.notice(),
            };
            self.listener.tell(began).await;
            let end = loop {
                if let Err(end) = self.step().await {
                    break end;
                }
            };
            self.close(end).await
        }
        .instrument(span.clone())
        .await;
        span.record("gen_ai.usage.input_tokens", ended.usage.input_tokens);
        span.record("gen_ai.usage.output_tokens", ended.usage.output_tokens);
        if ended.outcome == Outcome::Failed {
            span.record("error.type", "failed");
        }
        self.listener.tell(Event::Ended(ended)).await;
    }

    /// Makes the calls that are to be made, or asks the model.
    async fn step(&mut self) -> Result<(), End> {
        let shelf = match self.toolbox.shelf().await {
            Ok(shelf) => shelf,
            Err(collision) => return Err(End::With(Outcome::Failed, Some(collision.to_string()))),
        };
        if !self.conversation.pending.is_empty() {
            return self.calls(&shelf).await;
        }
        let sampled = self.desk.take_spent();
        self.usage += sampled;
        self.conversation.usage += sampled;
        if let Some(spent) = self.parts.budget.spent(self.turns, &self.usage) {
            return Err(End::With(Outcome::Budget, Some(spent)));
        }
        self.turns = self.turns.saturating_add(1);
        if self.turns == 1 {
            self.greet(&shelf).await;
        }
        self.answer(&shelf).await
    }

    /// Says what the user should know before anything else, and finds what belongs to the question.
    async fn greet(&mut self, shelf: &Shelf) {
        for (server, why) in &shelf.missing {
            let text = format!("{server} is not there, so its tools are missing: {why}");
            self.listener.tell(Event::Note { text }).await;
        }
        let Some(knowledge) = &self.parts.knowledge else {
            return;
        };
        let Some(last) = self.conversation.messages.last() else {
            return;
        };
        let passages = |block: &Block| matches!(block, Block::Passage(_));
        if last.blocks.iter().any(passages) {
            return;
        }
        match knowledge.find(&last.text(), PASSAGES).await {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let sources = found
                    .iter()
                    .map(|Passage { source, .. }| source.clone())
                    .collect();
                self.listener.tell(Event::Sources { sources }).await;
                let blocks = found.into_iter().map(Block::Passage).collect();
                self.conversation.add(Role::User, blocks);
            }
            Err(error) => {
                tracing::warn!(error = &*error, "the knowledge cannot be asked");
                let text = format!("Nothing could be looked up: {error}");
                self.listener.tell(Event::Note { text }).await;
            }
        }
    }

    /// Asks the model, and takes its answer into the conversation.
    async fn answer(&mut self, shelf: &Shelf) -> Result<(), End> {
        let system = system(&self.parts, self.keeper.user(), shelf);
        let asked = self.ask(&system, &shelf.specs).await?;
        let (message, stop, usage) = match asked {
            Asked::Answer(message, stop, usage) => (message, stop, usage),
            Asked::TooLong => return self.compact().await,
            Asked::Ended(partial, outcome, detail) => {
                // calls that were being written are not made; the words stand
                let blocks = partial
                    .into_iter()
                    .filter(|block| matches!(block, Block::Text { .. }));
                self.conversation.add(Role::Assistant, blocks.collect());
                return Err(End::With(outcome, detail));
            }
        };
        self.usage += usage;
        self.conversation.usage += usage;
        let mut message = message;
        for block in &mut message.blocks {
            if let Block::Call(call) = block {
                call.title = shelf.find(&call.name).and_then(|tool| tool.title());
            }
        }
        let calls: Vec<_> = message.calls().cloned().collect();
        self.conversation.add(Role::Assistant, message.blocks);
        let (outcome, detail) = match stop {
            _ if !calls.is_empty() => {
                self.conversation.pending = self.judge(shelf, calls);
                return Ok(());
            }
            Stop::EndTurn | Stop::ToolUse => (Outcome::Answered, None),
            Stop::MaxTokens => (
                Outcome::Cut,
                Some("the answer reached the model's bound".to_owned()),
            ),
            Stop::Filtered => (
                Outcome::Filtered,
                Some("the model's provider withheld it".to_owned()),
            ),
            Stop::Malformed => {
                // one more try, with what is wrong
                let text = "The last answer could not be read. Answer again.".to_owned();
                self.conversation.add(Role::User, vec![Block::Text { text }]);
                return Ok(());
            }
            Stop::Overflow => return self.compact().await,
        };
        Err(End::With(outcome, detail))
    }

    /// Stores how it ended.
    async fn close(&mut self, end: End) -> Ended {
        let (outcome, detail) = match end {
            End::With(outcome, detail) => {
                if outcome != Outcome::Waiting {
                    self.conversation
                        .give_up(|_| "The turn ended before this call was made.".to_owned());
                }
                self.conversation.release();
                match self.keeper.save(&self.conversation).await {
                    Ok(()) => (outcome, detail),
                    Err(failure) => lost(&failure),
                }
            }
            End::Lost(failure) => lost(&failure),
        };
        if outcome == Outcome::Failed {
            tracing::warn!(detail, "a turn failed");
        }
        Ended {
            outcome,
            detail,
            turns: self.turns,
            usage: self.usage,
        }
    }
}

fn lost(failure: &store::Failure) -> (Outcome, Option<String>) {
    (Outcome::Failed, Some(crate::client::tell(failure)))
}
