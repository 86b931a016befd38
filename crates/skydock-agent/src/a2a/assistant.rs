//! An agent as what does tasks: a context is a conversation of the caller, and what waits for the caller's decision makes
//! the task wait for the caller.

use std::{pin::pin, time::Duration};

use ::a2a::{Artifact, Message, Part, PartContent, Role};
use async_trait::async_trait;
use futures::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    executor::{End, Executor, Job},
    sink::{Lost, Sink},
    store::Failure,
};
use crate::{
    Agent, Conversation, Decision, Ended, Error, Event, Input, NotAsked, Outcome, Reply, Standing, Turn,
    View,
    agent::Opening,
    conversation::{Ending, Mark},
    message,
    store::Key,
};

/// The id of the artifact that an answer is.
const ANSWER: &str = "answer";
/// How many words are told at once, in bytes, and how long they wait for more.
const CHUNK: usize = 400;
const PATIENCE: Duration = Duration::from_millis(300);
/// How much of a task's time is left when its turn has ended, so that its end is told.
const RESERVE: Duration = Duration::from_secs(2);
/// How soon a task is tried again that has to wait for another one of its context.
const AGAIN: Duration = Duration::from_millis(500);
const RARELY: Duration = Duration::from_secs(5);

/// What happens in a turn.
type Events = mpsc::UnboundedReceiver<Event>;

/// Has an agent do tasks.
#[derive(Debug, Clone)]
pub struct Assistant {
    agent: Agent,
}

/// What a caller sends to decide on calls: `{"decisions": [{"id": …, "approve": true}]}` in a data part.
#[derive(Debug, Deserialize)]
struct Decisions {
    decisions: Vec<Decision>,
}

/// What to do with a message.
enum Plan {
    Turn(Input),
    /// The turn for it has ended, and the conversation has its answer.
    Over(Ending, Box<Conversation>),
    End(End),
}

impl Assistant {
    /// This agent does the tasks.
    #[must_use]
    pub const fn new(agent: Agent) -> Self {
        Self { agent }
    }

    /// How to go on with the conversation.
    async fn plan(job: &Job, view: View, sink: &Sink) -> Result<Plan, Failure> {
        let View {
            mut conversation,
            standing,
        } = view;
        if standing == Standing::Running {
            return Ok(Plan::End(later(job)));
        }
        match &conversation.mark {
            Some(mark) if *mark == self::mark(job) => {
                return Ok(match conversation.ending.take() {
                    Some(ending) => Plan::Over(ending, Box::new(conversation)),
                    // a worker before died in the middle of the turn
                    None => Plan::Turn(Input::Resume),
                });
            }
            // whoever has that task has not taken what came of the turn
            Some(other) if other.task != job.task.id && sink.is_open(&other.task).await? => {
                return Ok(Plan::End(later(job)));
            }
            _ => {}
        }
        let words = words(&job.message);
        // a decision is on what this task's caller was shown, and on nothing that is asked since
        let shown = shown(job);
        let asked = conversation.asked().map(|(pending, _)| pending.call.id.clone());
        let asked: Vec<_> = asked.filter(|id| shown.contains(id)).collect();
        Ok(match decisions(&job.message, &words, asked.clone()) {
            Some(decisions) if standing == Standing::Waiting && continues(job) => {
                decide(job, decisions, &asked)
            }
            _ => Plan::Turn(Input::Say(words)),
        })
    }

    /// Begins the turn, when nobody else is at the conversation.
    async fn begin(&self, key: &Key, job: &Job, sink: &Sink) -> Result<Result<Events, Plan>, Error> {
        let view = self.agent.view(key).await?;
        let input = match Self::plan(job, view, sink).await {
            Ok(Plan::Turn(input)) => input,
            Ok(over) => return Ok(Err(over)),
            Err(failure) => return Err(Error::Store(crate::store::Failure::Broken(failure.into()))),
        };
        match self.turn(key, job, input, sink).await {
            Ok(events) => Ok(Ok(events)),
            // somebody else began one, or has ended it, at the same moment
            Err(Error::Busy | Error::NothingToResume) => Ok(Err(Plan::End(later(job)))),
            Err(error) => Err(error),
        }
    }

    /// Begins a turn, whose events are taken in as they come. It is stopped when its task is over; when the task is only
    /// another worker's by then, it goes on, and that worker finds it.
    async fn turn(&self, key: &Key, job: &Job, input: Input, sink: &Sink) -> Result<Events, Error> {
        let opening = Opening {
            input,
            mark: Some(mark(job)),
            deadline: Some(job.deadline.checked_sub(RESERVE).unwrap_or(job.deadline)),
        };
        let (begins, begun) = oneshot::channel();
        let (told, events) = mpsc::unbounded_channel();
        let (assistant, key, sink) = (self.clone(), key.clone(), sink.clone());
        let task = job.task.id.clone();
        tokio::spawn(async move {
            match assistant.agent.clone().begin(key.clone(), opening).await {
                Ok(turn) => {
                    let _nobody = begins.send(Ok(()));
                    let over = async {
                        // as long as it is followed, whoever follows it knows
                        told.closed().await;
                        sink.over(&task).await;
                    };
                    assistant.attend(&key, turn, &told, over).await;
                }
                Err(error) => {
                    let _nobody = begins.send(Err(error));
                }
            }
        });
        begun.await.unwrap_or(Err(Error::Busy))?;
        Ok(events)
    }

    /// Takes in what a turn tells, to its end, and stops it when `over` is ready.
    async fn attend(
        &self,
        key: &Key,
        mut turn: Turn,
        told: &mpsc::UnboundedSender<Event>,
        over: impl Future<Output = ()>,
    ) {
        let mut over = pin!(over.fuse());
        loop {
            tokio::select! {
                event = turn.next() => {
                    let Some(event) = event else { return };
                    if let Event::Question(question) = &event {
                        // it waits in this process, which a task must not
                        self.agent.reply(key, &question.id, Reply::Decline).await;
                    }
                    let _nobody = told.send(event);
                }
                () = &mut over => turn.stop(),
            }
        }
    }

    /// Tells what happens in a turn; how it ended, when it says so.
    async fn follow(mut events: Events, sink: &Sink) -> Result<Option<Ended>, Lost> {
        let mut answer = Answer::default();
        loop {
            let event = match answer.due {
                Some(due) => tokio::select! {
                    event = events.recv() => event,
                    () = tokio::time::sleep_until(due) => {
                        answer.flush(sink, false).await?;
                        continue;
                    }
                },
                None => events.recv().await,
            };
            let Some(event) = event else { return Ok(None) };
            match event {
                Event::Text { text } => answer.add(&text, sink).await?,
                Event::Again { .. } => answer.forget(),
                Event::Call(call) => {
                    answer.flush(sink, false).await?;
                    // what is said behind a call is another answer
                    answer.forget();
                    let name = call.title.unwrap_or(call.name);
                    sink.working(format!("{name} ({})", call.server)).await?;
                }
                Event::Progress { text } | Event::Note { text } => sink.working(text).await?,
                Event::Question(question) => {
                    let text = format!("{} asked something that cannot be asked here", question.server);
                    sink.working(text).await?;
                }
                Event::Ended(ended) => {
                    answer.flush(sink, true).await?;
                    return Ok(Some(ended));
                }
                _ => {}
            }
        }
    }

    /// Tells the answer of a turn that has ended while another worker had the task.
    async fn tell_again(conversation: &Conversation, sink: &Sink) -> Result<(), Lost> {
        let last = conversation.messages.last();
        let said = last.filter(|last| last.role == message::Role::Assistant);
        let mut answer = Answer {
            waiting: said.map(message::Message::text).unwrap_or_default(),
            ..Answer::default()
        };
        answer.flush(sink, true).await
    }

    /// What the end of a turn is for its task.
    async fn end(&self, key: &Key, job: &Job, outcome: Outcome, detail: Option<String>) -> Result<End, Lost> {
        let detail = detail.unwrap_or_default();
        Ok(match outcome {
            Outcome::Answered => End::done(),
            Outcome::Waiting => match self.agent.view(key).await {
                Ok(view) => End::InputRequired(question(&view.conversation)),
                Err(error) => refused(job, &error),
            },
            Outcome::Cut => End::Completed(Some(said(format!("The answer is not complete: {detail}")))),
            Outcome::Budget => End::failed(format!("A budget is used up: {detail}")),
            Outcome::Filtered => End::Rejected(said(detail)),
            Outcome::Stopped => End::failed("The turn was stopped."),
            Outcome::Failed => match self.agent.view(key).await {
                // it was broken off, and the conversation says so: another worker resumes it
                Ok(View { conversation, .. })
                    if conversation.ending.is_none() && conversation.mark == Some(mark(job)) =>
                {
                    return Err(Lost);
                }
                Err(_) => return Err(Lost),
                Ok(_) => End::failed(detail),
            },
        })
    }
}

#[async_trait]
impl Executor for Assistant {
    async fn execute(&self, job: Job, sink: &Sink) -> Result<End, Lost> {
        let key = Key::new(job.caller.as_str(), job.task.context_id.as_str());
        match self.begin(&key, &job, sink).await {
            Ok(Ok(events)) => match Self::follow(events, sink).await? {
                Some(ended) => self.end(&key, &job, ended.outcome, ended.detail).await,
                // the conversation knows
                None => Ok(later(&job)),
            },
            Ok(Err(Plan::Over(ending, conversation))) => {
                Self::tell_again(&conversation, sink).await?;
                if ending.outcome == Outcome::Waiting {
                    return Ok(End::InputRequired(question(&conversation)));
                }
                self.end(&key, &job, ending.outcome, ending.detail).await
            }
            Ok(Err(Plan::End(end))) => Ok(end),
            Ok(Err(Plan::Turn(_))) => Ok(End::failed("the agent failed; its log has more")),
            Err(error) => Ok(refused(&job, &error)),
        }
    }
}

/// What the turn for a task's last message is begun for.
fn mark(job: &Job) -> Mark {
    let history = job.task.history.iter().flatten();
    Mark {
        task: job.task.id.clone(),
        message: history.filter(|said| said.role == Role::User).count(),
    }
}

/// What to do with decisions; `asked` is what this task's caller was shown and is still asked.
fn decide(job: &Job, decisions: Vec<Decision>, asked: &[String]) -> Plan {
    let named = decisions.first().map(|decision| decision.id.clone());
    let ours: Vec<_> = decisions
        .into_iter()
        .filter(|decision| asked.contains(&decision.id))
        .collect();
    if !ours.is_empty() {
        return Plan::Turn(Input::Decide(ours));
    }
    Plan::End(match named {
        Some(id) => refused(job, &Error::NotAsked(NotAsked(id))),
        None => End::failed("nothing that this task asked waits for a decision any more"),
    })
}

/// The calls that this task's last question was about.
fn shown(job: &Job) -> Vec<String> {
    let history = job.task.history.iter().flatten();
    let said = history.chain(&job.task.status.message);
    let mut questions = said.filter(|said| said.role == Role::Agent).filter_map(|said| {
        said.parts.iter().find_map(|part| match &part.content {
            PartContent::Data(data) => data.get("approvals")?.as_array(),
            _ => None,
        })
    });
    let last = questions.next_back().into_iter().flatten();
    last.filter_map(|approval| approval.get("id")?.as_str())
        .map(str::to_owned)
        .collect()
}

/// Once more, the later the longer the task has waited.
fn later(job: &Job) -> End {
    End::Later((job.silence / 4).clamp(AGAIN, RARELY))
}

/// Why the agent does not do this, or not now.
fn refused(job: &Job, error: &Error) -> End {
    match error {
        Error::Store(crate::store::Failure::Broken(_) | crate::store::Failure::Conflict) => {
            let cause = crate::client::tell(error);
            tracing::warn!(
                task = job.task.id,
                cause,
                "the conversation of a task cannot be had; it is tried again"
            );
            later(job)
        }
        Error::Empty => End::Rejected(said("there is no text in the message; say what is wanted")),
        Error::NotAsked(not) => End::failed(format!("{not}; it was decided, or given up, before")),
        error => {
            let cause = crate::client::tell(error);
            tracing::warn!(task = job.task.id, cause, "the agent cannot do a task");
            End::failed("the agent failed; its log has more")
        }
    }
}

fn said(text: impl Into<String>) -> Message {
    super::executor::said(text)
}

/// The words of a message, and what else there is in it as text.
fn words(message: &Message) -> String {
    let part = |part: &Part| match &part.content {
        PartContent::Text(text) => Some(text.clone()),
        PartContent::Data(data) if data.get("decisions").is_some() => None,
        PartContent::Data(data) => Some(data.to_string()),
        PartContent::Url(url) => Some(url.clone()),
        PartContent::Raw(_) => None,
    };
    let parts: Vec<_> = message.parts.iter().filter_map(part).collect();
    parts.join("\n")
}

/// Whether the task has waited for this message.
fn continues(job: &Job) -> bool {
    job.task.history.as_ref().is_some_and(|history| history.len() > 1)
}

/// What the caller decides, when that is what the message is for.
fn decisions(message: &Message, words: &str, asked: Vec<String>) -> Option<Vec<Decision>> {
    let data = message.parts.iter().find_map(|part| match &part.content {
        PartContent::Data(data) => Decisions::deserialize(data).ok(),
        _ => None,
    });
    if let Some(Decisions { decisions }) = data {
        return Some(decisions);
    }
    let approve = match words.trim().trim_end_matches(['.', '!']).to_lowercase().as_str() {
        "approve" | "approved" | "yes" | "ok" => true,
        "refuse" | "refused" | "deny" | "no" => false,
        _ => return None,
    };
    let decision = |id| Decision {
        id,
        approve,
        note: None,
    };
    Some(asked.into_iter().map(decision).collect())
}

/// What the caller is asked: in words, and as data for programs.
fn question(conversation: &Conversation) -> Message {
    let mut text = "These calls need your decision:".to_owned();
    let mut approvals = Vec::new();
    for (pending, reason) in conversation.asked() {
        let call = &pending.call;
        text.push_str(&format!("\n- {} with {} ({reason})", call.name, call.input));
        approvals.push(json!({"id": call.id, "tool": call.name, "input": call.input, "reason": reason}));
    }
    text.push_str(
        "\nAnswer \"approve\" or \"refuse\", or send {\"decisions\": [{\"id\": …, \"approve\": true}]} as data.",
    );
    let data = Part::data(Value::from_iter([("approvals", Value::from(approvals))]));
    let parts = vec![Part::text(text), data.with_media_type("application/json")];
    Message::new(Role::Agent, parts)
}

/// An answer that is being said.
#[derive(Debug, Default)]
struct Answer {
    waiting: String,
    /// Whether some of it was told, so that more is added to that.
    told: bool,
    due: Option<Instant>,
}

impl Answer {
    async fn add(&mut self, text: &str, sink: &Sink) -> Result<(), Lost> {
        self.waiting.push_str(text);
        self.due.get_or_insert_with(|| Instant::now() + PATIENCE);
        if self.waiting.len() >= CHUNK {
            self.flush(sink, false).await?;
        }
        Ok(())
    }

    /// What was said counts for nothing, or is not the answer.
    fn forget(&mut self) {
        *self = Self::default();
    }

    async fn flush(&mut self, sink: &Sink, last: bool) -> Result<(), Lost> {
        self.due = None;
        if self.waiting.is_empty() && !(last && self.told) {
            return Ok(());
        }
        let artifact = Artifact {
            artifact_id: ANSWER.to_owned(),
            name: Some(ANSWER.to_owned()),
            description: None,
            parts: vec![Part::text(std::mem::take(&mut self.waiting))],
            metadata: None,
            extensions: None,
        };
        let append = std::mem::replace(&mut self.told, true);
        sink.artifact(artifact, append, last).await
    }
}
