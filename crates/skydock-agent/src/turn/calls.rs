//! The calls that a model wants: judged, asked for, made beside each other, and answered in their order.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{End, Run};
use crate::{
    approval::Verdict,
    conversation::{Pending, Stand},
    event::{Call, Event, Outcome},
    listener::Listener,
    message::{ToolCall, ToolResult},
    tools::{Entitled, Shelf, unknown},
};

/// Where a call stands among the others, and what it is.
struct Job {
    index: usize,
    call: ToolCall,
    tool: Arc<Entitled>,
}

impl Run {
    /// What is to happen with each call.
    pub(super) fn judge(&self, shelf: &Shelf, calls: Vec<ToolCall>) -> Vec<Pending> {
        let judge = |call: ToolCall| {
            let stand = self.stand(shelf, &call);
            Pending { call, stand }
        };
        calls.into_iter().map(judge).collect()
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
            Verdict::Deny => {
                let text = format!("The owner of this agent does not allow {}.", call.name);
                Stand::Done(ToolResult::error(&call.id, text))
            }
        }
    }

    /// Makes the calls that may be made; ends the turn when the user has to decide on others.
    pub(super) async fn calls(&mut self, shelf: &Shelf) -> Result<(), End> {
        self.sort_out(shelf);
        let jobs = self.jobs(shelf);
        if !jobs.is_empty() {
            self.begin(&jobs).await?;
            let ended = self.make(jobs).await?;
            if let Some((outcome, detail)) = ended {
                self.conversation.give_up(|stand| match stand {
                    Stand::Begun => unknown("the turn ended while it was made"),
                    _ => "The turn ended before this call was made.".to_owned(),
                });
                return Err(End::With(outcome, detail));
            }
        }
        let asked: Vec<_> = self
            .conversation
            .asked()
            .map(|(call, reason)| (call.clone(), reason))
            .collect();
        if asked.is_empty() {
            self.conversation.hand_over();
            return Ok(());
        }
        for (call, reason) in asked {
            let call = told(&call, shelf.find(&call.name).map(|tool| &**tool));
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

    /// The calls that may be made, by what is known of their tools now.
    fn jobs(&mut self, shelf: &Shelf) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (index, pending) in self.conversation.pending.iter_mut().enumerate() {
            if pending.stand != Stand::Allowed {
                continue;
            }
            let call = pending.call.clone();
            match shelf.find(&call.name) {
                Some(tool) => jobs.push(Job {
                    index,
                    call,
                    tool: Arc::clone(tool),
                }),
                None => {
                    let text = format!(
                        "The tool {} is not there any more; the call was not made.",
                        call.name
                    );
                    pending.stand = Stand::Done(ToolResult::error(&call.id, text));
                }
            }
        }
        jobs
    }

    /// Notes that the calls are being made, before they are: whoever goes on after a crash must not make one twice.
    async fn begin(&mut self, jobs: &[Job]) -> Result<(), End> {
        for job in jobs {
            if let Some(pending) = self.conversation.pending.get_mut(job.index) {
                pending.stand = Stand::Begun;
            }
        }
        if jobs.iter().any(|job| !job.tool.is_read_only()) {
            self.keeper.take(&mut self.conversation).await?;
        }
        for job in jobs {
            let call = told(&job.call, Some(&job.tool));
            self.listener.tell(Event::Call(call)).await;
        }
        Ok(())
    }

    /// Makes the calls, some at once; tells why the turn ends, when it does.
    async fn make(&mut self, jobs: Vec<Job>) -> Result<Option<(Outcome, Option<String>)>, End> {
        let (longest, listener) = (self.parts.budget.call, self.listener.clone());
        let content = self.parts.content;
        let mut results: Vec<Option<ToolResult>> = Vec::new();
        results.resize(self.conversation.pending.len(), None);
        let making = stream::iter(jobs)
            .map(|job| make_one(job, longest, listener.clone(), content))
            .buffer_unordered(self.parts.budget.parallel.max(1))
            .for_each(|(index, result)| {
                if let Some(place) = results.get_mut(index) {
                    *place = Some(result);
                }
                std::future::ready(())
            });
        let ended = tokio::select! {
            biased;
            done = self.keeper.during(&mut self.conversation, making) => { done?; None }
            () = self.stop.cancelled() => Some((Outcome::Stopped, None)),
            () = tokio::time::sleep_until(self.deadline) => {
                Some((Outcome::Budget, Some("the time for this turn is used up".to_owned())))
            }
        };
        for (pending, result) in self.conversation.pending.iter_mut().zip(results) {
            if let Some(result) = result {
                pending.stand = Stand::Done(result);
            }
        }
        Ok(ended)
    }
}

/// Makes a call in a task of its own, so that one that panics ends nothing else.
async fn make_one(job: Job, longest: Duration, listener: Listener, content: bool) -> (usize, ToolResult) {
    let Job { index, call, tool } = job;
    let id = call.id.clone();
    let began = Instant::now();
    let span = tracing::info_span!(
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
    );
    let making = async move { tokio::time::timeout(longest, tool.call(&call)).await };
    let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(making.instrument(span.clone())));
    let result = match task.await {
        Ok(Ok(result)) => result,
        Ok(Err(_elapsed)) => ToolResult::error(
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
    if content {
        span.record("gen_ai.tool.call.result", &*result.text);
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let told = result.clone();
    listener
        .tell(Event::Result {
            result: told,
            took_ms,
        })
        .await;
    (index, result)
}

/// A call, as listeners are told of it.
fn told(call: &ToolCall, tool: Option<&Entitled>) -> Call {
    Call {
        id: call.id.clone(),
        name: call.name.clone(),
        title: call.title.clone(),
        server: tool.map(Entitled::server).unwrap_or_default(),
        input: call.input.clone(),
    }
}
