//! Works on tasks: one task at a time in a worker's hands, many workers, and a search for tasks whose workers have died.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use ::a2a::TaskState;
use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    executor::{End, Job, said},
    inquiry,
    service::{Inner, Service},
    sink::{Lost, Sink, lease, set},
    store::{Failure, Record},
};

/// How often a task is tried to be taken that others change meanwhile.
const TRIES: usize = 5;
/// How many tasks are taken up in one search.
const SWEPT: usize = 32;
/// How long a process that works on one task alone waits for another one to end. The time of the task itself goes on.
const WAITED: Duration = Duration::from_secs(30);
/// How much of such a process's time is left when its task has ended.
const RESERVE: Duration = Duration::from_secs(1);
/// How often tasks are forgotten that were kept long enough.
const FORGET: Duration = Duration::from_secs(600);

/// What came of an attempt to work on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ran {
    /// It was worked on to its end, or until its caller has to do something.
    Ended,
    /// Nothing is to be done: it is over, waits for its caller, or is not there.
    Nothing,
    /// Another worker is at it.
    Elsewhere,
    /// Something else has to end first; it can be taken up again after this time.
    Later(Duration),
    /// It was taken away while it was worked on: cancelled, or this process stops.
    Lost,
}

/// Why a task was not worked on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. It is safe to try again.
    #[error("the task {id} cannot be taken up; try again")]
    Store {
        /// The task.
        id: String,
        /// What the store says.
        source: Failure,
    },
}

impl Service {
    /// Works on a task until it has ended or its caller has to do something. It can be called twice for the same task: one
    /// of them works.
    ///
    /// # Errors
    /// [`Error::Store`] when the task could not be taken up.
    pub async fn run_once(&self, task: &str) -> Result<Ran, Error> {
        self.run_before(task, None).await
    }

    /// As [`run_once`](Self::run_once), for a process that is frozen when it has ended, as on Lambda, where whoever gets the
    /// message of a [`Dispatch`](super::Dispatch) calls this. The task has ended by `deadline`, and its webhooks are told
    /// meanwhile. While another task has to end first, this waits for half a minute, and then leaves it to a sweep.
    ///
    /// # Errors
    /// [`Error::Store`] when the task could not be taken up; the message is to be delivered again then.
    pub async fn run_alone(&self, task: &str, deadline: Option<Instant>) -> Result<Ran, Error> {
        let over = CancellationToken::new();
        let before = |reserve| deadline.map(|deadline| deadline.checked_sub(reserve).unwrap_or(deadline));
        let run = async {
            let _over = over.clone().drop_guard();
            let patience = Instant::now() + WAITED;
            loop {
                let ran = self.run_before(task, before(RESERVE)).await?;
                let Ran::Later(pause) = ran else { return Ok(ran) };
                let again = Instant::now() + pause;
                if again >= patience || deadline.is_some_and(|deadline| again + WAITED >= deadline) {
                    // a sweep has it begun anew, with all the time that there is
                    return Ok(ran);
                }
                tokio::time::sleep(pause).await;
            }
        };
        let deliver = async {
            let Some(push) = &self.0.push else { return };
            let deliver = push.deliver_until(self, task, &over);
            match before(RESERVE / 4) {
                Some(until) => {
                    let _late = tokio::time::timeout_at(until, deliver).await;
                }
                None => deliver.await,
            }
        };
        tokio::join!(run, deliver).0
    }

    async fn run_before(&self, task: &str, deadline: Option<Instant>) -> Result<Ran, Error> {
        let failed = |source| Error::Store {
            id: task.to_owned(),
            source,
        };
        let holder = Uuid::new_v4().to_string();
        match claim(&self.0, task, &holder).await.map_err(failed)? {
            Claim::Ours(record) => Ok(run(&self.0, holder, *record, deadline).await),
            Claim::Nothing => Ok(Ran::Nothing),
            Claim::Elsewhere => Ok(Ran::Elsewhere),
        }
    }

    /// Looks once for tasks whose workers have died, or whose messages were lost, and hands them on: to the
    /// [`Dispatch`](super::Dispatch), or to workers in this process as far as there are places. On Lambda, a schedule
    /// calls this.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be looked for.
    pub async fn sweep_once(&self) -> Result<usize, Failure> {
        let found = self.0.tasks.stranded(Timestamp::now(), SWEPT).await?;
        let mut taken = 0_usize;
        for id in found {
            if self.is_running(&id) {
                continue;
            }
            match &self.0.dispatch {
                Some(dispatch) => {
                    let sent = match reserve(&self.0, &id).await {
                        Ok(true) => dispatch.dispatch(&id).await,
                        Ok(false) => continue,
                        Err(failure) => Err(failure.into()),
                    };
                    match sent {
                        Ok(()) => taken = taken.saturating_add(1),
                        // those behind it are not held up by one that cannot be read
                        Err(error) => tracing::warn!(task = id, error = &*error, "a task cannot be sent on"),
                    }
                }
                None => {
                    let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
                        break;
                    };
                    self.begin(id, place);
                    taken = taken.saturating_add(1);
                }
            }
        }
        Ok(taken)
    }

    /// Takes up tasks whose workers have died, and tells webhooks, until `stop`. Then what is being worked on is given
    /// back, so that others go on with it at once, and streams end.
    pub async fn work(&self, stop: CancellationToken) {
        let sweep = async {
            // twice within a lease, and not all instances at once
            let pause = self.0.limits.lease.mul_f64(0.5);
            let mut forgotten = None::<Instant>;
            loop {
                if let Err(failure) = self.sweep_once().await {
                    let cause = crate::client::tell(&failure);
                    tracing::warn!(cause, "tasks whose workers have died cannot be looked for");
                }
                if forgotten.is_none_or(|at| at.elapsed() >= FORGET) {
                    forgotten = Some(Instant::now());
                    self.forget().await;
                }
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            }
        };
        let deliver = async {
            match &self.0.push {
                Some(push) => push.deliver(self).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sweep => {}
            () = deliver => {}
        }
        self.0.stop.cancel();
        let places = self.0.limits.parallel.saturating_add(self.0.limits.waiting);
        let all = u32::try_from(places).unwrap_or(u32::MAX);
        // all of them are given back within the time of a write
        let _ = tokio::time::timeout(Duration::from_secs(10), self.0.places.acquire_many(all)).await;
    }

    /// Forgets tasks that were kept long enough, in a store that does not do so by itself.
    async fn forget(&self) {
        match self.0.tasks.forget(Timestamp::now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "tasks were kept long enough, and are forgotten"),
            Err(failure) => {
                let cause = crate::client::tell(&failure);
                tracing::warn!(cause, "tasks that were kept long enough cannot be forgotten");
            }
        }
    }

    fn is_running(&self, id: &str) -> bool {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.contains_key(id) || self.0.queued().contains(id)
    }

    /// Works on a task in this process, as soon as it is its turn.
    pub(super) fn begin(&self, id: String, place: OwnedSemaphorePermit) {
        let service = self.clone();
        let Some(queued) = Queued::enter(&self.0, &id) else {
            // it waits here already, and needs one place
            return;
        };
        tokio::spawn(async move {
            let ran = service.run_in_turn(&id).await;
            drop((queued, place));
            if let Some(Ran::Later(pause)) = ran {
                service.begin_later(id, pause).await;
            }
        });
    }

    /// Works on a task when there is a desk for it.
    async fn run_in_turn(&self, id: &str) -> Option<Ran> {
        let desk = self.0.stop.run_until_cancelled(self.0.desks.acquire());
        let Some(Ok(_desk)) = desk.await else { return None };
        match self.run_once(id).await {
            Ok(ran) => Some(ran),
            Err(error) => {
                let cause = crate::client::tell(&error);
                tracing::warn!(cause, "a task was not worked on; it is found again");
                None
            }
        }
    }

    /// Begins a task that has to wait for another one, which may need the place that this one had, as soon as there is a
    /// place again. When too many wait, the sweep finds it.
    async fn begin_later(&self, id: String, pause: Duration) {
        let Inner {
            later, places, stop, ..
        } = &*self.0;
        let Ok(_waits) = later.try_acquire() else { return };
        let place = async {
            tokio::time::sleep(pause).await;
            Arc::clone(places).acquire_owned().await
        };
        if let Some(Ok(place)) = stop.run_until_cancelled(place).await {
            self.begin(id, place);
        }
    }
}

/// A task that waits for its turn in this process, or is worked on.
struct Queued {
    inner: Arc<Inner>,
    id: String,
}

impl Queued {
    fn enter(inner: &Arc<Inner>, id: &str) -> Option<Self> {
        inner.queued().insert(id.to_owned()).then(|| Self {
            inner: Arc::clone(inner),
            id: id.to_owned(),
        })
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.inner.queued().remove(&self.id);
    }
}

impl Inner {
    fn queued(&self) -> MutexGuard<'_, HashSet<String>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a worker in this process at once.
    pub(super) fn interrupt(&self, id: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = running.get(id) {
            stop.cancel();
        }
    }
}

enum Claim {
    Ours(Box<Record>),
    Nothing,
    Elsewhere,
}

/// Takes a task for this worker, again when something beside the work has changed meanwhile.
async fn claim(service: &Inner, id: &str, holder: &str) -> Result<Claim, Failure> {
    for _ in 1..TRIES {
        match try_to_claim(service, id, holder).await {
            Err(Failure::Conflict) => {}
            claimed => return claimed,
        }
    }
    match try_to_claim(service, id, holder).await {
        Err(Failure::Conflict) => Ok(Claim::Elsewhere),
        claimed => claimed,
    }
}

async fn try_to_claim(service: &Inner, id: &str, holder: &str) -> Result<Claim, Failure> {
    let Some(mut record) = service.tasks.load(id).await? else {
        return Ok(Claim::Nothing);
    };
    if !record.is_open() {
        return Ok(Claim::Nothing);
    }
    let now = Timestamp::now();
    let held = record
        .lease
        .as_ref()
        .is_some_and(|lease| !lease.holder.is_empty() && lease.until > now);
    if held {
        return Ok(Claim::Elsewhere);
    }
    let died = record.attempts.saturating_sub(record.released);
    if died >= service.limits.attempts {
        let text = format!("the task was given up: {died} workers have died at it");
        tracing::warn!(task = id, died, "a task is given up");
        record.lease = None;
        let event = set(&mut record, TaskState::Failed, Some(said(text)));
        service.save(&mut record, &[event]).await?;
        return Ok(Claim::Nothing);
    }
    record.attempts = record.attempts.saturating_add(1);
    record.lease = Some(lease(holder, service.limits.lease));
    let events = if record.task.status.state == TaskState::Submitted {
        vec![set(&mut record, TaskState::Working, None)]
    } else {
        Vec::new()
    };
    service.save(&mut record, &events).await?;
    Ok(Claim::Ours(Box::new(record)))
}

/// How long a task's caller has been told nothing.
pub(super) fn silence(record: &Record) -> Duration {
    let silence = Timestamp::now().duration_since(record.changed);
    silence.try_into().unwrap_or_default()
}

/// Why a worker stops.
enum Stopped {
    Ended(Box<Result<End, Lost>>),
    Lost,
    Late,
    Leaving,
}

/// Works on a task that is this worker's.
async fn run(service: &Arc<Inner>, holder: String, record: Record, deadline: Option<Instant>) -> Ran {
    let id = record.task.id.clone();
    let began = Instant::now();
    let late = began + service.limits.time;
    let late = deadline.map_or(late, |deadline| deadline.min(late));
    let job = Job {
        caller: record.caller.clone(),
        task: record.task.clone(),
        message: record.message.clone(),
        attempt: record.attempts,
        silence: silence(&record),
        deadline: late,
    };
    let over = CancellationToken::new();
    let sink = Sink::new(Arc::clone(service), holder, record, over.clone());
    let _entry = Entry::new(service, &id, over.clone());
    let late = async {
        tokio::time::sleep_until(late).await;
        over.cancel();
    };
    let execute = AssertUnwindSafe(service.executor.execute(job, &sink)).catch_unwind();
    let stopped = tokio::select! {
        biased;
        () = sink.lost() => Stopped::Lost,
        () = late => Stopped::Late,
        () = over.cancelled() => Stopped::Lost,
        () = service.stop.cancelled() => Stopped::Leaving,
        done = execute => Stopped::Ended(Box::new(done.unwrap_or_else(|_panic| {
            tracing::error!(task = id, "what does tasks panicked");
            Ok(End::failed("the agent failed at this task; its log has more"))
        }))),
        () = beat(&sink, service.limits.lease) => Stopped::Lost,
    };
    let end = match stopped {
        Stopped::Ended(done) => match *done {
            Ok(end) => end,
            Err(Lost) => return Ran::Lost,
        },
        Stopped::Lost => return Ran::Lost,
        Stopped::Leaving => {
            let _ = sink.release(Duration::ZERO).await;
            return Ran::Lost;
        }
        Stopped::Late => {
            let seconds = began.elapsed().as_secs();
            End::failed(format!("the task was not done within {seconds} seconds"))
        }
    };
    finish(service, &sink, end).await.unwrap_or(Ran::Lost)
}

/// Writes how the work has ended.
async fn finish(service: &Inner, sink: &Sink, end: End) -> Result<Ran, Lost> {
    let (state, message) = match end {
        End::Completed(message) => (TaskState::Completed, message),
        End::InputRequired(message) => (TaskState::InputRequired, Some(message)),
        End::AuthRequired(message) => (TaskState::AuthRequired, Some(message)),
        End::Rejected(message) => (TaskState::Rejected, Some(message)),
        End::Failed(message) => (TaskState::Failed, Some(message)),
        End::Later(pause) if sink.silence().await < service.limits.time => {
            sink.release(pause).await?;
            return Ok(Ran::Later(pause));
        }
        End::Later(_) => {
            let seconds = service.limits.time.as_secs();
            let text = format!("the task could not be begun within {seconds} seconds; send it again");
            (TaskState::Failed, Some(said(text)))
        }
    };
    sink.status(state, message, true).await?;
    Ok(Ran::Ended)
}

/// Keeps others from sending a task on as long as it takes a message to be delivered; false when there is nothing to
/// send, as somebody else has done so or works on it.
async fn reserve(service: &Inner, id: &str) -> Result<bool, Failure> {
    let Some(mut record) = service.tasks.load(id).await? else {
        return Ok(false);
    };
    if record.due().is_none_or(|due| due > Timestamp::now()) {
        return Ok(false);
    }
    record.lease = Some(lease("", inquiry::grace(true)));
    match service.save(&mut record, &[]).await {
        Ok(()) => Ok(true),
        Err(Failure::Conflict) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Says again and again that this worker is at it, until it is not.
async fn beat(sink: &Sink, lease: Duration) {
    loop {
        tokio::time::sleep(lease / 3).await;
        if sink.beat().await.is_err() {
            return;
        }
    }
}

/// A worker's place in the list of those of this process.
struct Entry<'a> {
    service: &'a Inner,
    id: &'a str,
}

impl<'a> Entry<'a> {
    fn new(service: &'a Inner, id: &'a str, stop: CancellationToken) -> Self {
        let mut running = service.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(id.to_owned(), stop);
        drop(running);
        Self { service, id }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut running = self
            .service
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        running.remove(self.id);
    }
}
