//! Asking the model: what it says is told as it comes, and it is asked again when it could not answer.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::StreamExt as _;
use tracing::Instrument as _;

use super::{End, Run, keeper::Over};
use crate::{
    event::{Event, Outcome},
    listener::Listener,
    message::{Block, Message},
    model::{Assembly, Failure, Model, Part, Request, Spec, Stop, Usage},
};

/// How long it takes until a model that could not answer is asked again, the first time; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What the model is asked.
pub(super) struct Asking<'a> {
    pub(super) system: &'a str,
    pub(super) tools: &'a [Spec],
    pub(super) messages: Vec<Message>,
    pub(super) longest: Option<u32>,
    /// Whether what it says is for the user.
    pub(super) aloud: bool,
}

/// What came of asking.
pub(super) enum Asked {
    Answer(Message, Stop, Usage),
    /// What was said does not fit into the model.
    TooLong,
    /// It does not go on; what was said so far.
    Ended(Vec<Block>, Outcome, Option<String>),
}

impl Run {
    pub(super) async fn ask(&mut self, asking: &Asking<'_>) -> Result<Asked, End> {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(self.parts.budget.retries)
            .with_jitter()
            .build();
        loop {
            let mut assembly = Assembly::default();
            let heard = self.ask_once(asking, &mut assembly).await?;
            let (message, stop, usage) = assembly.finish();
            let failure = match heard {
                Ok(Ok(())) => return Ok(Asked::Answer(message, stop, usage)),
                Ok(Err(failure)) => failure,
                Err(over) => {
                    self.spend(usage);
                    return Ok(cut(message, over));
                }
            };
            self.spend(usage);
            tracing::warn!(error = %failure, "the model did not answer");
            let wait = match &failure {
                Failure::Overflow(_) => return Ok(Asked::TooLong),
                failure if failure.is_passing() => waits.next(),
                _ => None,
            };
            let Some(wait) = wait else {
                return Ok(Asked::Ended(
                    Vec::new(),
                    Outcome::Failed,
                    Some(failure.to_string()),
                ));
            };
            let wait = match &failure {
                Failure::Throttled {
                    after: Some(after), ..
                } => wait.max(*after),
                _ => wait,
            };
            if asking.aloud {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let reason = failure.to_string();
                self.listener.tell(Event::Again { reason, wait_ms }).await;
            }
            let waited = self.within(tokio::time::sleep(wait)).await?;
            match waited {
                Ok(()) => {}
                Err(Over::Stopped) => return Ok(cut(Message::assistant(""), Over::Stopped)),
                Err(Over::Late) => {
                    return Ok(Asked::Ended(
                        Vec::new(),
                        Outcome::Failed,
                        Some(failure.to_string()),
                    ));
                }
            }
        }
    }

    /// Counts what an answer has cost.
    pub(super) fn spend(&mut self, usage: Usage) {
        self.progress.usage += usage;
        self.conversation.usage += usage;
    }

    async fn ask_once(
        &mut self,
        asking: &Asking<'_>,
        assembly: &mut Assembly,
    ) -> Result<Result<Result<(), Failure>, Over>, End> {
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
        let user = self.keeper.user().to_owned();
        let request = Request {
            system: asking.system,
            messages: &asking.messages,
            tools: asking.tools,
            max_tokens: asking.longest,
            user: &user,
        };
        let listener = asking.aloud.then(|| self.listener.clone());
        let hearing = hear(&*model, request, listener.as_ref(), assembly).instrument(span);
        Ok(self.within(hearing).await?)
    }
}

/// What is left of an answer that was cut off.
fn cut(message: Message, over: Over) -> Asked {
    let (outcome, detail) = over.outcome();
    Asked::Ended(message.blocks, outcome, detail)
}

impl Over {
    /// How a turn ends with it.
    pub(super) fn outcome(self) -> (Outcome, Option<String>) {
        match self {
            Self::Stopped => (Outcome::Stopped, None),
            Self::Late => (
                Outcome::Budget,
                Some("the time for this turn is used up".to_owned()),
            ),
        }
    }
}

/// Hears an answer to its end.
async fn hear(
    model: &dyn Model,
    request: Request<'_>,
    listener: Option<&Listener>,
    assembly: &mut Assembly,
) -> Result<(), Failure> {
    let mut pieces = model.ask(request).await?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let event = match &piece.what {
            Part::Text(text) if !text.is_empty() => Some(Event::Text { text: text.clone() }),
            Part::Reasoning(reasoning) if !reasoning.text.is_empty() => Some(Event::Reasoning {
                text: reasoning.text.clone(),
            }),
            _ => None,
        };
        // kept before it is told: a listener may be slow, and the time may be up
        assembly.add(piece);
        if let (Some(listener), Some(event)) = (listener, event) {
            listener.tell(event).await;
        }
    }
    Ok(())
}
