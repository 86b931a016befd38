//! An agent as what does tasks: a context is a conversation of the caller, and what waits for the caller's decision makes
//! the task wait for the caller.

use std::time::Duration;

use ::a2a::{Artifact, Message, Part, PartContent, Role};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};

use super::{
    executor::{End, Executor, Job},
    sink::{Lost, Sink},
};
use crate::{
    Agent, Conversation, Decision, Ended, Error, Event, Input, NotAsked, Outcome, Reply, Standing, Turn,
    View, message, store::Key,
};

/// The id of the artifact that an answer is.
const ANSWER: &str = "answer";
/// How many words are told at once, in bytes, and how long they wait for more.
const CHUNK: usize = 400;
const PATIENCE: Duration = Duration::from_millis(300);
/// How often a conversation is looked at on which somebody else works.
const AGAIN: Duration = Duration::from_millis(500);

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

/// A turn that is stopped when nobody follows it any more, unless its process stops: then it ends with that, or is gone on
/// with elsewhere.
struct Followed<'a>(Turn, &'a Sink);

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        if !self.1.is_leaving() {
            self.0.stop();
        }
    }
}

/// What to do with a message.
enum Plan {
    Turn(Input),
    Answered(String),
    End(End),
}

impl Assistant {
    /// This agent does the tasks.
    #[must_use]
    pub const fn new(agent: Agent) -> Self {
        Self { agent }
    }

    /// How to go on with the conversation.
    fn plan(job: &Job, view: &View) -> Plan {
        let words = words(&job.message);
        let begun = job.attempt > 1;
        match view.standing {
            // the worker before died in the middle of the turn
            Standing::Interrupted if begun => Plan::Turn(Input::Resume),
            // or after it, before it could say so
            Standing::Idle
                if begun
                    && (answers(&view.conversation, &words)
                        || decisions(&job.message, &words, Vec::new()).is_some()) =>
            {
                let last = view.conversation.messages.last();
                Plan::Answered(last.map(message::Message::text).unwrap_or_default())
            }
            Standing::Waiting => {
                // a decision is on what this task's caller was shown, and on nothing that is asked since
                let shown = shown(job);
                let asked = view
                    .conversation
                    .asked()
                    .map(|(pending, _)| pending.call.id.clone());
                let asked: Vec<_> = asked.filter(|id| shown.contains(id)).collect();
                match decisions(&job.message, &words, asked.clone()) {
                    Some(decisions) if continues(job) => decide(job, view, decisions, &asked),
                    _ if begun && last_said(&view.conversation) == words => {
                        Plan::End(End::InputRequired(question(&view.conversation)))
                    }
                    _ => Plan::Turn(Input::Say(words)),
                }
            }
            _ => Plan::Turn(Input::Say(words)),
        }
    }

    /// Begins the turn, when nobody else is at the conversation.
    async fn begin(&self, key: &Key, job: &Job) -> Result<Result<Turn, Plan>, Error> {
        loop {
            let view = self.agent.view(key).await?;
            if view.standing != Standing::Running {
                let input = match Self::plan(job, &view) {
                    Plan::Turn(input) => input,
                    over => return Ok(Err(over)),
                };
                match self.turn(key, input).await {
                    Err(Error::Busy | Error::Store(crate::store::Failure::Conflict)) => {}
                    Err(error) => return Err(error),
                    Ok(turn) => return Ok(Ok(turn)),
                }
            }
            // another task of this context, or the worker that died, whose lease has to end
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Begins a turn. When nobody waits for that any more, as the task was cancelled meanwhile, the turn is stopped.
    async fn turn(&self, key: &Key, input: Input) -> Result<Turn, Error> {
        let (agent, key) = (self.agent.clone(), key.clone());
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let begun = agent.turn(&key, input, None::<Instant>).await;
            if let Err(Ok(turn)) = sender.send(begun) {
                turn.stop();
            }
        });
        receiver.await.unwrap_or(Err(Error::Busy))
    }

    /// Tells what happens in a turn; how it ended.
    async fn follow(&self, key: &Key, mut turn: Followed<'_>) -> Result<Option<Ended>, Lost> {
        let sink = turn.1;
        let mut answer = Answer::default();
        loop {
            let event = match answer.due {
                Some(due) => tokio::select! {
                    event = turn.0.next() => event,
                    () = tokio::time::sleep_until(due) => {
                        answer.flush(sink, false).await?;
                        continue;
                    }
                },
                None => turn.0.next().await,
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
                    // it waits in this process, which a task must not
                    self.agent.reply(key, &question.id, Reply::Decline).await;
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
}

#[async_trait]
impl Executor for Assistant {
    async fn execute(&self, job: Job, sink: &Sink) -> Result<End, Lost> {
        let key = Key::new(job.caller.as_str(), job.task.context_id.as_str());
        let turn = match self.begin(&key, &job).await {
            Ok(Ok(turn)) => Followed(turn, sink),
            Ok(Err(Plan::End(end))) => return Ok(end),
            Ok(Err(Plan::Answered(text))) => {
                let mut answer = Answer {
                    waiting: text,
                    ..Answer::default()
                };
                answer.flush(sink, true).await?;
                return Ok(End::done());
            }
            Ok(Err(Plan::Turn(_))) => return Ok(End::failed("the agent failed; its log has more")),
            Err(error) => return Ok(refused(&job, &error)),
        };
        let Some(ended) = self.follow(&key, turn).await? else {
            return Ok(End::failed("the turn ended without saying how"));
        };
        let detail = ended.detail.unwrap_or_default();
        Ok(match ended.outcome {
            Outcome::Answered => End::done(),
            Outcome::Waiting => match self.agent.view(&key).await {
                Ok(view) => End::InputRequired(question(&view.conversation)),
                Err(error) => refused(&job, &error),
            },
            Outcome::Cut => End::Completed(Some(said(format!("The answer is not complete: {detail}")))),
            Outcome::Budget => End::failed(format!("A budget is used up: {detail}")),
            Outcome::Filtered => End::Rejected(said(detail)),
            Outcome::Stopped => End::failed("The turn was stopped."),
            Outcome::Failed => End::failed(detail),
        })
    }
}

/// What to do with decisions; `asked` is what this task's caller was shown and is still asked.
fn decide(job: &Job, view: &View, decisions: Vec<Decision>, asked: &[String]) -> Plan {
    let named = decisions.first().map(|decision| decision.id.clone());
    let ours: Vec<_> = decisions
        .into_iter()
        .filter(|decision| asked.contains(&decision.id))
        .collect();
    if !ours.is_empty() {
        return Plan::Turn(Input::Decide(ours));
    }
    if job.attempt > 1 {
        // they were taken before the worker died; what waits now is another question
        return Plan::End(End::InputRequired(question(&view.conversation)));
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

/// Why the agent does not do this.
fn refused(job: &Job, error: &Error) -> End {
    match error {
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

/// What the user of a conversation said last.
fn last_said(conversation: &Conversation) -> String {
    let mut said = conversation.messages.iter().rev();
    let last = said.find(|said| said.role == message::Role::User && !said.text().is_empty());
    last.map(message::Message::text).unwrap_or_default()
}

/// Whether a conversation ends with an answer to these words.
fn answers(conversation: &Conversation, words: &str) -> bool {
    let last = conversation.messages.last();
    last.is_some_and(|last| last.role == message::Role::Assistant) && last_said(conversation).ends_with(words)
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
