//! The calls that a model wants: judged, asked for, made beside each other, and answered in their order.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{End, Run, keeper::Lease};
use crate::{
    approval::Verdict,
    conversation::{Pending, Stand},
    event::{Call, Event, Outcome},
    listener::Listener,
    message::{ToolCall, ToolResult},
    tools::{Desk, Entitled, Shelf, unknown},
};

/// How often the time of a call is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Where a call stands among the others, and what it is.
struct Job {
    index: usize,
    call: ToolCall,
    tool: Arc<Entitled>,
}

/// What all calls of a turn are made with.
#[derive(Clone)]
struct Making {
    longest: Duration,
    listener: Listener,
    desk: Arc<Desk>,
    lease: Lease,
    content: bool,
    /// What they come to, and which have begun.
    results: Arc<Mutex<Vec<Made>>>,
}

/// How far a call is.
#[derive(Debug, Clone, Default)]
struct Made {
    begun: bool,
    result: Option<ToolResult>,
}

impl Run {
    /// What is to happen with each call. What is not made is told at once.
    pub(super) async fn judge(&self, shelf: &Shelf, calls: Vec<ToolCall>) -> Vec<Pending> {
        let mut judged = Vec::new();
        for call in calls {
            let server = shelf.find(&call.name).map(|tool| tool.server());
            let server = server.unwrap_or_default();
            let stand = self.stand(shelf, &call);
            if let Stand::Done(result) = &stand {
                self.listener.tell(Event::Call(told(&call, &server))).await;
                let result = result.clone();
                self.listener.tell(Event::Result { result, took_ms: 0 }).await;
            }
            judged.push(Pending { call, server, stand });
        }
        judged
    }

    fn stand(&self, shelf: &Shelf, call: &ToolCall) -> Stand {
        if let Some(fault) = &call.fault {
            let text = format!("{fault}. Write the call again, with arguments that are a JSON object.");
            return Stand::Done(ToolResult::error(&call.id, text));
        }
        let Some(tool) = shelf.find(&call.name) else {
            let names: Vec<_> = shelf.iter().map(|(name, _)| name).collect();
            let text = format!(
                "There is no tool {:?}; there are {}.",
                call.name,
                names.join(", ")
            );
            return Stand::Done(ToolResult::error(&call.id, text));
        };
        match self.parts.approvals.judge(&call.name, tool.annotations()) {
            Verdict::Allow => Stand::Allowed,
            Verdict::Ask(reason) => Stand::Asked(reason),
            Verdict::Deny => Stand::Done(denied(call)),
        }
    }

    /// Makes the calls that may be made; ends the turn when the user has to decide on others.
    pub(super) async fn calls(&mut self, shelf: &Shelf) -> Result<(), End> {
        self.sort_out(shelf);
        let jobs = self.jobs(shelf);
        if !jobs.is_empty() {
            self.begin(&jobs).await?;
            self.make(jobs).await?;
        }
        let asked: Vec<_> = self
            .conversation
            .asked()
            .map(|(pending, reason)| (told(&pending.call, &pending.server), reason))
            .collect();
        if asked.is_empty() {
            self.conversation.hand_over();
            return Ok(());
        }
        for (call, reason) in asked {
            self.listener.tell(Event::Approval { call, reason }).await;
        }
        Err(End::With(Outcome::Waiting, None))
    }

    /// Calls that a process had begun which is gone: what can do no harm is made again.
    fn sort_out(&mut self, shelf: &Shelf) {
        for pending in &mut self.conversation.pending {
            if pending.stand != Stand::Begun {
                continue;
            }
            let repeatable = shelf
                .find(&pending.call.name)
                .is_some_and(|tool| tool.is_repeatable());
            pending.stand = if repeatable {
                Stand::Allowed
            } else {
                let text = unknown("the process that made it is gone");
                Stand::Done(ToolResult::error(&pending.call.id, text))
            };
        }
    }

    /// The calls that may be made, by what is known of their tools, and by the rules that hold now.
    fn jobs(&mut self, shelf: &Shelf) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (index, pending) in self.conversation.pending.iter_mut().enumerate() {
            if pending.stand != Stand::Allowed {
                continue;
            }
            let call = pending.call.clone();
            let tool = shelf.find(&call.name);
            // what was allowed was a tool of this server, and of no other that has the name now
            let tool = tool.filter(|tool| pending.server.is_empty() || tool.server() == pending.server);
            let Some(tool) = tool else {
                let text = format!(
                    "The tool {} is not there any more; the call was not made.",
                    call.name
                );
                pending.stand = Stand::Done(ToolResult::error(&call.id, text));
                continue;
            };
            if self.parts.approvals.judge(&call.name, tool.annotations()) == Verdict::Deny {
                pending.stand = Stand::Done(denied(&call));
                continue;
            }
            jobs.push(Job {
                index,
                call,
                tool: Arc::clone(tool),
            });
        }
        jobs
    }

    /// Notes that the calls are being made, before they are: whoever goes on after a crash must not make one twice. It is
    /// told before it is noted, so that nothing stands between the note and the calls.
    async fn begin(&mut self, jobs: &[Job]) -> Result<(), End> {
        for job in jobs {
            let call = told(&job.call, &job.tool.server());
            self.listener.tell(Event::Call(call)).await;
        }
        for job in jobs {
            if let Some(pending) = self.conversation.pending.get_mut(job.index) {
                pending.stand = Stand::Begun;
            }
        }
        if jobs.iter().any(|job| !job.tool.is_read_only()) {
            self.keeper.take(&mut self.conversation).await?;
        }
        Ok(())
    }

    /// Makes the calls, some at once.
    async fn make(&mut self, jobs: Vec<Job>) -> Result<(), End> {
        let results = Arc::new(Mutex::new(vec![Made::default(); self.conversation.pending.len()]));
        let making = Making {
            longest: self.parts.budget.call,
            listener: self.listener.clone(),
            desk: Arc::clone(&self.desk),
            lease: self.keeper.lease(),
            content: self.parts.content,
            results: Arc::clone(&results),
        };
        let all = stream::iter(jobs)
            .map(|job| make_one(job, making.clone()))
            .buffer_unordered(self.parts.budget.parallel.max(1))
            .for_each(std::future::ready);
        let made = self.within(all).await;
        let results = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
        for (pending, Made { begun, result }) in self.conversation.pending.iter_mut().zip(results) {
            match result {
                Some(result) => pending.stand = Stand::Done(result),
                None if pending.stand == Stand::Begun && !begun => pending.stand = Stand::Allowed,
                None => {}
            }
        }
        made?.map_err(End::from)
    }
}

/// Makes a call in a task of its own, so that one that panics ends nothing else.
async fn make_one(job: Job, making: Making) {
    let Job { index, call, tool } = job;
    let id = call.id.clone();
    let note = |begun: bool, result: Option<ToolResult>| {
        let mut results = making.results.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = results.get_mut(index) {
            *place = Made { begun, result };
        }
    };
    // the machine may have slept, or the environment been frozen, since it was noted that this call is made
    if !tool.is_read_only() && !making.lease.holds() {
        let text = "The call was not made: this process was away for too long, and another may be at it.";
        note(false, Some(ToolResult::error(&id, text)));
        return;
    }
    note(true, None);
    let began = Instant::now();
    let span = span(&call, making.content);
    let (longest, desk) = (making.longest, Arc::clone(&making.desk));
    let working = async move { Box::pin(in_time(longest, &desk, tool.call(&call))).await };
    let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(working.instrument(span.clone())));
    let result = match task.await {
        Ok(Some(result)) => result,
        Ok(None) => ToolResult::error(
            &id,
            unknown(&format!("it took longer than {} s", longest.as_secs())),
        ),
        Err(error) => {
            let reference = skydock::reference();
            tracing::error!(%error, %reference, "a call of a tool broke");
            ToolResult::error(
                &id,
                unknown(&format!("a fault of the agent, reference {reference}")),
            )
        }
    };
    if result.is_error {
        span.record("error.type", "tool_error");
    }
    if making.content {
        span.record("gen_ai.tool.call.result", &*result.text);
    }
    // kept before it is told: a listener may be slow, and the time may be up
    note(true, Some(result.clone()));
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    making.listener.tell(Event::Result { result, took_ms }).await;
}

fn span(call: &ToolCall, content: bool) -> tracing::Span {
    tracing::info_span!(
        "execute_tool",
        otel.name = format!("execute_tool {}", call.name),
        otel.kind = "internal",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = call.name,
        gen_ai.tool.call.id = call.id,
        gen_ai.tool.type = "extension",
        mcp.method.name = "tools/call",
        gen_ai.tool.call.arguments = content.then(|| call.input.to_string()),
        gen_ai.tool.call.result = tracing::field::Empty,
        error.type = tracing::field::Empty,
    )
}

/// The outcome, when it comes in time. The time that a person takes to answer a question does not count.
async fn in_time<T>(longest: Duration, desk: &Desk, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = longest;
    loop {
        let tick = left.min(TICK);
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = tokio::time::sleep(tick) => {}
        }
        if !desk.is_asking() {
            left = left.saturating_sub(tick);
        }
        if left.is_zero() {
            return None;
        }
    }
}

fn denied(call: &ToolCall) -> ToolResult {
    ToolResult::error(
        &call.id,
        format!("The owner of this agent does not allow {}.", call.name),
    )
}

/// A call, as listeners are told of it.
fn told(call: &ToolCall, server: &str) -> Call {
    Call {
        id: call.id.clone(),
        name: call.name.clone(),
        title: call.title.clone(),
        server: server.to_owned(),
        input: call.input.clone(),
    }
}
