//! One turn: what the user says, and everything that happens until it is the user's turn again.
//!
//! The model is asked, its calls are made, and it is asked again, until it has nothing to call. Whatever happens, the
//! conversation is left as a model takes it: roles alternate, and each call is answered.

mod ask;
mod calls;
mod compaction;
mod keeper;

use std::sync::Arc;

use tracing::Instrument as _;

use self::ask::{Asked, Asking};
pub(crate) use self::keeper::{Keeper, Over, Until};
use crate::{
    agent::{Parts, system},
    conversation::{Conversation, Ending, Stand},
    event::{Ended, Event, Outcome},
    listener::Listener,
    message::{Block, Message, Passage, Role},
    model::{Stop, Usage},
    store,
    tools::{Desk, Shelf, Toolbox, unknown},
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
    pub(crate) until: Until,
    pub(crate) progress: Progress,
}

/// How far a turn is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How often the model was asked.
    turns: u32,
    usage: Usage,
    /// Whether the model was asked once more because its answer could not be read.
    repaired: bool,
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

impl From<Over> for End {
    fn from(over: Over) -> Self {
        let (outcome, detail) = over.outcome();
        Self::With(outcome, detail)
    }
}

impl Run {
    /// Goes on to the end, which is stored; how it ended is to be told by whoever cleans up.
    pub(crate) async fn go(mut self) -> Ended {
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
        ended
    }

    /// Waits for something as long as the turn may go on.
    async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<Result<T, Over>, store::Failure> {
        self.keeper
            .during(&mut self.conversation, &self.until, work)
            .await
    }

    /// Makes the calls that are to be made, or asks the model.
    async fn step(&mut self) -> Result<(), End> {
        let toolbox = Arc::clone(&self.toolbox);
        let shelf = match self.within(toolbox.shelf()).await?? {
            Ok(shelf) => shelf,
            Err(collision) => return Err(End::With(Outcome::Failed, Some(collision.to_string()))),
        };
        if !self.conversation.pending.is_empty() {
            return self.calls(&shelf).await;
        }
        let sampled = self.desk.take_spent();
        self.spend(sampled);
        let Progress { turns, usage, .. } = &self.progress;
        if let Some(spent) = self.parts.budget.spent(*turns, usage) {
            return Err(End::With(Outcome::Budget, Some(spent)));
        }
        self.progress.turns = turns.saturating_add(1);
        if self.progress.turns == 1 {
            self.greet(&shelf).await?;
        }
        self.answer(&shelf).await
    }

    /// Says what the user should know before anything else, and finds what belongs to the question.
    async fn greet(&mut self, shelf: &Shelf) -> Result<(), End> {
        for (server, why) in &shelf.missing {
            let text = format!("{server} is not there, so its tools are missing: {why}");
            self.listener.tell(Event::Note { text }).await;
        }
        let question = self.conversation.messages.last().filter(|last| {
            let looked_up = |block: &Block| matches!(block, Block::Passage(_));
            !last.has_results() && !last.blocks.iter().any(looked_up)
        });
        let (Some(knowledge), Some(question)) = (self.parts.knowledge.clone(), question) else {
            return Ok(());
        };
        let question = question.text();
        match self.within(knowledge.find(&question, PASSAGES)).await?? {
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
        Ok(())
    }

    /// Asks the model, and takes its answer into the conversation.
    async fn answer(&mut self, shelf: &Shelf) -> Result<(), End> {
        let asking = Asking {
            system: &system(&self.parts, self.keeper.user(), shelf),
            tools: &shelf.specs,
            messages: self.conversation.messages.clone(),
            longest: self.parts.budget.answer,
            aloud: true,
        };
        let (message, stop, usage) = match self.ask(&asking).await? {
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
        self.spend(usage);
        match stop {
            Stop::EndTurn | Stop::ToolUse => self.take(message, shelf).await,
            Stop::Malformed if !std::mem::replace(&mut self.progress.repaired, true) => {
                // once more; what was said counts for nothing
                let reason = "the answer could not be read".to_owned();
                self.listener.tell(Event::Again { reason, wait_ms: 0 }).await;
                Ok(())
            }
            Stop::Overflow => {
                let reason = "the answer did not fit into the model any more".to_owned();
                self.listener.tell(Event::Again { reason, wait_ms: 0 }).await;
                self.compact().await
            }
            Stop::Malformed => Err(End::With(
                Outcome::Failed,
                Some("the model's answers cannot be read".to_owned()),
            )),
            Stop::MaxTokens => {
                self.keep_words(message);
                let detail = "the answer reached the model's bound".to_owned();
                Err(End::With(Outcome::Cut, Some(detail)))
            }
            Stop::Filtered => {
                self.keep_words(message);
                let detail = "the model's provider withheld it".to_owned();
                Err(End::With(Outcome::Filtered, Some(detail)))
            }
        }
    }

    /// The words of an answer that was cut: its calls may be cut as well, and are not made.
    fn keep_words(&mut self, message: Message) {
        let words = |block: &Block| matches!(block, Block::Text { .. });
        let blocks = message.blocks.into_iter().filter(words).collect();
        self.conversation.add(Role::Assistant, blocks);
    }

    /// Takes a whole answer into the conversation. It is the end when it calls nothing.
    async fn take(&mut self, mut message: Message, shelf: &Shelf) -> Result<(), End> {
        let count = self.conversation.messages.len();
        for block in &mut message.blocks {
            let call = match block {
                Block::Call(call) => call,
                Block::Reasoning(thought) => {
                    self.parts.model.name().clone_into(&mut thought.model);
                    continue;
                }
                _ => continue,
            };
            call.title = shelf.find(&call.name).and_then(|tool| tool.title());
            // some providers count from the beginning in each answer; a decision is on one call
            if self.conversation.has_call(&call.id) {
                call.id = format!("{}-{count}", call.id);
            }
        }
        let calls: Vec<_> = message.calls().cloned().collect();
        self.conversation.add(Role::Assistant, message.blocks);
        if calls.is_empty() {
            return Err(End::With(Outcome::Answered, None));
        }
        self.conversation.pending = self.judge(shelf, calls).await;
        Ok(())
    }

    /// Stores how it ended.
    async fn close(&mut self, end: End) -> Ended {
        let (outcome, detail) = match end {
            End::With(outcome, detail) => {
                if outcome != Outcome::Waiting {
                    self.conversation.give_up(|stand| match stand {
                        Stand::Begun => unknown("the turn ended while it was made"),
                        _ => "The turn ended before this call was made.".to_owned(),
                    });
                }
                self.conversation.release();
                self.conversation.ending = Some(Ending {
                    outcome,
                    detail: detail.clone(),
                });
                match self.keeper.finish(&self.conversation).await {
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
            turns: self.progress.turns,
            usage: self.progress.usage,
        }
    }
}

fn lost(failure: &store::Failure) -> (Outcome, Option<String>) {
    (Outcome::Failed, Some(crate::client::tell(failure)))
}
