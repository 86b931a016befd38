//! A function, as Lambda runs one: environments that are started when they are needed, work on one invocation after
//! another, are frozen in between, and end.

mod environment;
mod process;
mod runtime_api;

use std::{
    ffi::OsString,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Bytes;
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};

use self::environment::{End, Environment};
use crate::screen::{self, FAINT};

/// How long a call waits for an environment whose answer is out, before another one is started for it.
const SETTLES: Duration = Duration::from_millis(100);

/// What a function is and may.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// What AWS calls it.
    pub arn: String,
    /// What is started in each environment.
    pub program: OsString,
    /// What it is started with.
    pub arguments: Vec<OsString>,
    /// What it finds in its environment beside what Lambda puts there.
    pub variables: Vec<(&'static str, String)>,
    /// Which of the variables whose names begin with `SKYDOCK_` it finds there, of those that we have.
    pub takes: fn(&str) -> bool,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// How many environments there may be.
    pub environments: usize,
    /// Whether all are started at once and used in turn; Lambda starts them when they are needed, and takes the one that
    /// worked last.
    pub in_turn: bool,
    /// How many invocations one of them works on at once.
    pub concurrency: usize,
    /// After how many invocations one is ended.
    pub recycle: Option<u64>,
    /// Whether environments are frozen between invocations, as Lambda does unless they overlap.
    pub freezes: bool,
    /// Whether to say nothing of what goes well.
    pub quiet: bool,
}

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// JSON.
    pub event: Bytes,
    /// JSON, as the caller of `Invoke` said it.
    pub client_context: Option<String>,
    /// As in `X-Amzn-Trace-Id`.
    pub trace_id: String,
}

/// What came of an invocation.
#[derive(Debug)]
pub enum Outcome {
    /// An answer in one piece.
    Payload(Bytes),
    /// An answer that comes piece by piece.
    Stream(Stream),
    /// No answer, and what its caller is told.
    Failed(Failure),
    /// All environments are at work.
    Throttled,
}

/// An answer that comes piece by piece. The function is told nothing when nobody reads it any more, as in AWS.
#[derive(Debug)]
pub struct Stream {
    /// What the function calls it.
    pub content_type: String,
    /// The pieces; an error is the last.
    pub pieces: mpsc::Receiver<Result<Bytes, Failure>>,
}

/// An error in place of an answer.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The error's JSON, as `Invoke` gives it.
    pub payload: Bytes,
}

impl Failure {
    fn new(kind: &str, message: &str) -> Self {
        let payload = json!({"errorType": kind, "errorMessage": message});
        Self {
            payload: payload.to_string().into(),
        }
    }

    fn ended() -> Self {
        Self::new("Emulator.Ended", "the emulator ends")
    }

    /// A text in the error's JSON.
    fn text(&self, key: &str) -> Option<String> {
        let error: serde_json::Value = serde_json::from_slice(&self.payload).ok()?;
        Some(error.get(key)?.as_str()?.to_owned())
    }

    /// The message, or what stands in its place.
    #[must_use]
    pub fn message(&self) -> String {
        self.text("errorMessage")
            .unwrap_or_else(|| String::from_utf8_lossy(&self.payload).into_owned())
    }

    /// The message with the kind in front.
    #[must_use]
    pub fn explain(&self) -> String {
        let message = self.message();
        match self.text("errorType") {
            Some(kind) if kind != message => format!("{kind}: {message}"),
            _ => message,
        }
    }
}

/// A function with its environments. They are ended when it is dropped; [`Function::end`] does it in order.
pub struct Function {
    settings: Settings,
    pool: Mutex<Pool>,
    /// When the pool has changed.
    changed: Notify,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The environments that there are. Those that worked last stand last.
#[derive(Default)]
struct Pool {
    slots: Vec<Slot>,
    /// So many are being started.
    starting: usize,
    /// How many were started in all.
    count: usize,
    ended: bool,
}

/// An environment in the pool.
struct Slot {
    environment: Arc<Environment>,
    /// The invocations that it works on.
    busy: Vec<Arc<AtomicBool>>,
    /// How many it has had.
    invocations: u64,
}

impl Slot {
    /// Its answers are out, and it will be free in a moment.
    fn is_settling(&self) -> bool {
        self.busy.iter().any(|answered| answered.load(Ordering::Acquire))
    }
}

/// An environment that works on one invocation.
struct Lease {
    environment: Arc<Environment>,
    /// Set when the answer is out.
    answered: Arc<AtomicBool>,
}

/// Why no environment takes an invocation.
enum Refusal {
    Throttled,
    Failed(Failure),
}

impl Function {
    /// A function, none of whose environments is started yet.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            pool: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Starts an environment before it is needed, so that a program that cannot start is told of at once; or all of
    /// them, where they are used in turn.
    ///
    /// # Errors
    /// It does not start.
    pub async fn warm(&self) -> Result<(), Failure> {
        let count = if self.settings.in_turn {
            self.settings.environments
        } else {
            1
        };
        for _ in 0..count {
            self.warm_one().await?;
        }
        Ok(())
    }

    async fn warm_one(&self) -> Result<(), Failure> {
        let number = {
            let mut pool = self.pool();
            pool.starting += 1;
            pool.count += 1;
            pool.count
        };
        self.start(number, |slot| slot.environment.freeze()).await
    }

    /// Has an environment work on an invocation. It goes on when nobody waits for its answer any more, as in AWS.
    pub async fn invoke(self: &Arc<Self>, invocation: Invocation) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        tokio::spawn(Arc::clone(self).attend(invocation, reply));
        outcome
            .await
            .unwrap_or_else(|_closed| Outcome::Failed(Failure::ended()))
    }

    async fn attend(self: Arc<Self>, invocation: Invocation, reply: oneshot::Sender<Outcome>) {
        let lease = match self.lease().await {
            Ok(lease) => lease,
            Err(Refusal::Throttled) => {
                let _gone = reply.send(Outcome::Throttled);
                return;
            }
            Err(Refusal::Failed(failure)) => {
                let _gone = reply.send(Outcome::Failed(failure));
                return;
            }
        };
        let Lease {
            environment,
            answered,
        } = lease;
        let end = environment.work(invocation, Arc::clone(&answered), reply).await;
        self.release(&environment, &answered, end).await;
    }

    /// An environment that is free: the one that worked last, as in Lambda, or longest ago; or one more.
    async fn lease(&self) -> Result<Lease, Refusal> {
        // in AWS the way to the client and back takes longer than the rest of an invocation
        let patience = tokio::time::Instant::now() + SETTLES;
        let number = loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut pool = self.pool();
                if pool.ended {
                    return Err(Refusal::Throttled);
                }
                if let Some(slot) = self.find_free(&mut pool.slots) {
                    return Ok(slot.lease());
                }
                let settling = pool.slots.iter().any(Slot::is_settling);
                let has_room = pool.slots.len() + pool.starting < self.settings.environments;
                if has_room && (!settling || tokio::time::Instant::now() >= patience) {
                    pool.starting += 1;
                    pool.count += 1;
                    break pool.count;
                }
                if !settling {
                    return Err(Refusal::Throttled);
                }
            }
            // where there is no room for another one, it is looked at again all the same
            let _late = tokio::time::timeout(SETTLES, changed).await;
        };
        self.start(number, Slot::lease).await.map_err(Refusal::Failed)
    }

    /// Starts an environment that is counted as starting, and does `first` with it before anybody else can.
    async fn start<T>(&self, number: usize, first: impl FnOnce(&mut Slot) -> T) -> Result<T, Failure> {
        let began = Instant::now();
        let started = Environment::start(&self.settings, number).await;
        let done = {
            let mut pool = self.pool();
            pool.starting -= 1;
            if pool.ended {
                return Err(Failure::ended());
            }
            started.map(|environment| {
                let mut slot = Slot {
                    environment,
                    busy: Vec::new(),
                    invocations: 0,
                };
                let done = first(&mut slot);
                pool.slots.push(slot);
                done
            })
        };
        self.changed.notify_waiters();
        if done.is_ok() {
            let (name, took) = (&self.settings.name, millis(began.elapsed()));
            self.tell(&format!("{name} environment {number} is ready after {took}"));
        }
        done
    }

    fn find_free<'a>(&self, slots: &'a mut [Slot]) -> Option<&'a mut Slot> {
        let free =
            |slot: &&mut Slot| slot.busy.len() < self.settings.concurrency && !self.is_worn(slot.invocations);
        if self.settings.in_turn {
            slots.iter_mut().find(free)
        } else {
            slots.iter_mut().rev().find(free)
        }
    }

    async fn release(&self, environment: &Arc<Environment>, answered: &Arc<AtomicBool>, end: End) {
        let over = {
            let mut pool = self.pool();
            let at = pool
                .slots
                .iter()
                .position(|slot| Arc::ptr_eq(&slot.environment, environment));
            // one that was ended meanwhile is not there any more
            let Some(at) = at else { return };
            let mut slot = pool.slots.remove(at);
            slot.busy.retain(|other| !Arc::ptr_eq(other, answered));
            let worn = self.is_worn(slot.invocations) && slot.busy.is_empty();
            let over = pool.ended || matches!(end, End::Broken) || worn;
            if !over {
                if slot.busy.is_empty() {
                    slot.environment.freeze();
                }
                pool.slots.push(slot);
            }
            over
        };
        self.changed.notify_waiters();
        if over {
            environment.end().await;
            self.tell(&format!(
                "{} environment {} has ended",
                self.settings.name,
                environment.number()
            ));
        }
    }

    fn is_worn(&self, invocations: u64) -> bool {
        self.settings.recycle.is_some_and(|most| invocations >= most)
    }

    /// Ends all environments, as Lambda does when it needs them no more.
    pub async fn end(&self) {
        let slots = {
            let mut pool = self.pool();
            pool.ended = true;
            std::mem::take(&mut pool.slots)
        };
        self.changed.notify_waiters();
        futures::future::join_all(slots.iter().map(|slot| slot.environment.end())).await;
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, line: &str) {
        if !self.settings.quiet {
            screen::note(&format!("{FAINT}{line}{FAINT:#}"));
        }
    }
}

impl Slot {
    fn lease(&mut self) -> Lease {
        let answered = Arc::default();
        self.busy.push(Arc::clone(&answered));
        self.invocations += 1;
        Lease {
            environment: Arc::clone(&self.environment),
            answered,
        }
    }
}

/// A time as people read it.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
