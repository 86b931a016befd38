//! The plan carried out: as a task where the client knows tasks, else within the call.

use std::time::Duration;

use rmcp::{
    RoleServer,
    model::{CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult, Task},
    service::RequestContext,
    task_manager::{TaskContext, TaskFuture, TaskOptions},
};
use tokio::{sync::mpsc::unbounded_channel, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    super::{failure::Failure, progress, structured},
    Outcome, Output, Row,
    rows::{self, Drawn},
};
use crate::{
    LambdaOps,
    audit::Who,
    upgrade::{
        Outcome as Ended, State, Surroundings,
        batch::{Fate, run_all},
    },
};

/// Within a call no further function is begun after this long: hosts end a call after 5 minutes, and what is under way
/// must be able to end.
const WITHIN_A_CALL: Duration = Duration::from_mins(2);
/// A task is kept for so long, and for so long again after its end. Fifty functions take less.
const KEPT: Duration = Duration::from_hours(2);

pub(super) async fn run(
    server: &LambdaOps,
    drawn: Drawn,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResponse, Failure> {
    let who = Who::of(&context);
    if context
        .client_capabilities()
        .is_some_and(|client| client.supports_tasks())
    {
        return Ok(CreateTaskResult::new(begin(server, drawn, who)).into());
    }
    let (told, hears) = unbounded_channel();
    let cancelled = context.ct.child_token();
    // If this call is dropped (a host's deadline, a client that left), the procedure is not: it puts back and ends.
    let _cancel_when_dropped = cancelled.clone().drop_guard();
    let surroundings = server.surroundings(who, cancelled, told);
    let work = carry_out(
        server.clone(),
        drawn,
        surroundings,
        Some(Instant::now() + WITHIN_A_CALL),
    );
    let work = tokio::spawn(work);
    progress::forward(hears, &context).await;
    Ok(work.await??.into())
}

/// Begins a task that outlives the call.
fn begin(server: &LambdaOps, drawn: Drawn, who: Who) -> Task {
    let (told, mut hears) = unbounded_channel();
    let cancelled = CancellationToken::new();
    let surroundings = server.surroundings(who, cancelled.clone(), told);
    let upgrades = drawn.items.len();
    let work = carry_out(server.clone(), drawn, surroundings, None);
    let kept = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
    let options = TaskOptions::new()
        .with_ttl_ms(kept)
        .with_status_message(format!("{upgrades} functions to upgrade"));
    let work = move |task: TaskContext| -> TaskFuture {
        Box::pin(async move {
            // If the task is given up, the procedure is not: it puts back and ends.
            let _cancel_when_dropped = cancelled.clone().drop_guard();
            let work = tokio::spawn(work);
            let tell = async {
                while let Some(message) = hears.recv().await {
                    task.set_status_message(message);
                }
            };
            let stop = async {
                task.cancelled().await;
                cancelled.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = tell => {}
                () = stop => {}
            }
            match work.await.map_err(Failure::from).flatten() {
                // even of a task that was cancelled the report says more than its status could
                Ok(result) => Ok(result),
                Err(failure) => Ok(CallToolResult::error(vec![ContentBlock::text(failure.tell())])),
            }
        })
    };
    server.tasks.0.spawn(options, work)
}

/// Makes the changes and writes down what became of each.
async fn carry_out(
    server: LambdaOps,
    drawn: Drawn,
    surroundings: Surroundings,
    until: Option<Instant>,
) -> Result<CallToolResult, Failure> {
    let (counts, identity) = (drawn.counts(), drawn.identity.clone());
    let mut functions: Vec<Row> = drawn.plans().map(Row::of).collect();
    let fates = run_all(&server.account, drawn.items, &surroundings, until).await;
    let all_good = fates.iter().all(Fate::is_good);
    for (row, fate) in functions.iter_mut().zip(fates) {
        row.end(fate);
    }
    functions.extend(drawn.others);
    let output = Output {
        outcome: if all_good { Outcome::Done } else { Outcome::Stopped },
        summary: rows::table(&functions, &counts),
        counts,
        functions,
        plan_token: None,
        next: None,
        identity,
    };
    structured::result(output, !all_good)
}

impl Row {
    /// Says what became of it.
    fn end(&mut self, fate: Fate) {
        match fate {
            Fate::Ended(report) => {
                let failed = report.steps.iter().find(|step| step.state == State::Failed);
                // with tryOlder there may be failures on the way to a success
                let telling = failed.filter(|_| report.outcome != Ended::Updated);
                if let Some(step) = telling.or(report.steps.last()) {
                    step.detail.clone_into(&mut self.detail);
                }
                self.outcome = Some(report.outcome);
                self.runtime = report.runtime;
                self.new_version = report.new_version;
                self.rollback_version = report.rollback_version;
            }
            Fate::Refused(refusal) => self.detail = Failure::from(refusal).tell(),
            Fate::Left(reason) => reason.clone_into(&mut self.detail),
        }
    }
}
