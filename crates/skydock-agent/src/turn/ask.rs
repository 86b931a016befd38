//! Asking the model: what it says is told as it comes, and it is asked again when it could not answer.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::StreamExt as _;
use tracing::Instrument as _;

use super::{End, Run};
use crate::{
    event::{Event, Outcome},
    listener::Listener,
    message::{Block, Message},
    model::{Assembly, Failure, Model, Part, Request, Spec, Stop, Usage},
};

/// How long it takes until a model that could not answer is asked again, the first time; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What came of asking.
pub(super) enum Asked {
    Answer(Message, Stop, Usage),
    /// What was said does not fit into the model.
    TooLong,
    /// It does not go on; what was said so far.
    Ended(Vec<Block>, Outcome, Option<String>),
}

impl Run {
    pub(super) async fn ask(&mut self, system: &str, tools: &[Spec]) -> Result<Asked, End> {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(self.parts.budget.retries)
            .with_jitter()
            .build();
        loop {
            let mut assembly = Assembly::default();
            let failure = match self.ask_once(system, tools, &mut assembly).await? {
                Some(Ok(())) => {
                    let (message, stop, usage) = assembly.finish();
                    return Ok(Asked::Answer(message, stop, usage));
                }
                Some(Err(failure)) => failure,
                None => {
                    let (message, _, usage) = assembly.finish();
                    self.usage += usage;
                    return Ok(self.cut(message));
                }
            };
            tracing::warn!(error = %failure, "the model did not answer");
            let failed =
                |failure: Failure| Asked::Ended(Vec::new(), Outcome::Failed, Some(failure.to_string()));
            let wait = match &failure {
                Failure::Overflow(_) => return Ok(Asked::TooLong),
                failure if failure.is_passing() => waits.next(),
                _ => None,
            };
            let Some(wait) = wait else {
                return Ok(failed(failure));
            };
            let wait = match &failure {
                Failure::Throttled {
                    after: Some(after), ..
                } => wait.max(*after),
                _ => wait,
            };
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let reason = failure.to_string();
            self.listener.tell(Event::Again { reason, wait_ms }).await;
            let waiting = tokio::time::sleep(wait);
            tokio::select! {
                done = self.keeper.during(&mut self.conversation, waiting) => done?,
                () = self.stop.cancelled() => return Ok(self.cut(Message::assistant(""))),
                () = tokio::time::sleep_until(self.deadline) => return Ok(failed(failure)),
            }
        }
    }

    /// `None` when it was stopped, or its time is used up.
    async fn ask_once(
        &mut self,
        system: &str,
        tools: &[Spec],
        assembly: &mut Assembly,
    ) -> Result<Option<Result<(), Failure>>, End> {
        let model = std::sync::Arc::clone(&self.parts.model);
        let span = tracing::info_span!(
            "chat",
            otel.name = format!("chat {}", model.name()),
            otel.kind = "client",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = model.provider(),
            gen_ai.request.model = model.name(),
            gen_ai.output.type = "text",
        );
        // the store is told about the lease while the model is at work, so it works on a copy
        let messages = self.conversation.messages.clone();
        let user = self.keeper.user().to_owned();
        let request = Request {
            system,
            messages: &messages,
            tools,
            max_tokens: self.parts.budget.answer,
            user: &user,
        };
        let asking = hear(&*model, request, &self.listener, assembly).instrument(span);
        tokio::select! {
            biased;
            heard = self.keeper.during(&mut self.conversation, asking) => Ok(Some(heard?)),
            () = self.stop.cancelled() => Ok(None),
            () = tokio::time::sleep_until(self.deadline) => Ok(None),
        }
    }

    /// What is left of an answer that was cut off.
    fn cut(&self, message: Message) -> Asked {
        if self.stop.is_cancelled() {
            return Asked::Ended(message.blocks, Outcome::Stopped, None);
        }
        let detail = Some("the time for this turn is used up".to_owned());
        Asked::Ended(message.blocks, Outcome::Budget, detail)
    }
}

/// Hears an answer to its end.
async fn hear(
    model: &dyn Model,
    request: Request<'_>,
    listener: &Listener,
    assembly: &mut Assembly,
) -> Result<(), Failure> {
    let mut pieces = model.ask(request).await?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        match &piece.what {
            Part::Text(text) if !text.is_empty() => {
                listener.tell(Event::Text { text: text.clone() }).await;
            }
            Part::Reasoning(reasoning) if !reasoning.text.is_empty() => {
                let text = reasoning.text.clone();
                listener.tell(Event::Reasoning { text }).await;
            }
            _ => {}
        }
        assembly.add(piece);
    }
    Ok(())
}
