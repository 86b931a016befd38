//! The service: what answers callers, with everything it is made of.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::a2a::{AgentCard, StreamResponse};
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    bell::Bells,
    executor::Executor,
    push::Push,
    store::{Failure, Record, Tasks},
};

/// How much, and how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many tasks are worked on at once in this process.
    pub parallel: usize,
    /// How many more wait in this process for their turn; callers beyond are told that the agent is busy.
    pub waiting: usize,
    /// How long a task may be worked on without its caller saying anything.
    pub time: Duration,
    /// How long a worker has a task for itself after it last said so. It says so three times as often. Whoever looks for
    /// tasks whose workers have died finds them after this time.
    pub lease: Duration,
    /// How often a task is taken up again whose workers have died; then it has failed.
    pub attempts: u32,
    /// How often what happens at other instances is looked for.
    pub poll: Duration,
    /// How many webhooks a task has at most.
    pub webhooks: usize,
    /// How long a task is kept after something changed last.
    pub keep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel: 16,
            waiting: 100,
            time: Duration::from_secs(900),
            lease: Duration::from_secs(15),
            attempts: 3,
            poll: Duration::from_millis(500),
            webhooks: 10,
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Has tasks worked on somewhere else than in this process, which may be frozen as soon as it has answered, as on Lambda:
/// by a message in a queue, or an asynchronous invocation. Whoever gets it calls [`Service::run_alone`].
#[async_trait]
pub trait Dispatch: Debug + Send + Sync {
    /// Sends the id of a task. A task whose id is lost is found by [`Service::sweep_once`].
    ///
    /// # Errors
    /// What went wrong; it is logged, and the next sweep sends the task again.
    async fn dispatch(&self, task: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Answers callers. Clones are the same service.
#[derive(Debug, Clone)]
pub struct Service(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) card: AgentCard,
    pub(super) extended: Option<AgentCard>,
    pub(super) user: String,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) limits: Limits,
    pub(super) dispatch: Option<Arc<dyn Dispatch>>,
    pub(super) push: Option<Arc<Push>>,
    pub(super) bells: Arc<Bells>,
    /// One for each task that is worked on or waits here.
    pub(super) places: Arc<Semaphore>,
    /// One for each task that is worked on here.
    pub(super) desks: Semaphore,
    /// One for each task that waits here for another one to end.
    pub(super) later: Semaphore,
    /// What waits here for its turn, or is worked on.
    pub(super) queued: Mutex<HashSet<String>>,
    /// How to stop what is worked on here.
    pub(super) running: Mutex<HashMap<String, CancellationToken>>,
    /// Ends streams and workers.
    pub(super) stop: CancellationToken,
}

/// Of what a service is made.
#[derive(Debug)]
struct Draft {
    card: AgentCard,
    extended: Option<AgentCard>,
    user: String,
    tasks: Arc<dyn Tasks>,
    executor: Arc<dyn Executor>,
    limits: Limits,
    dispatch: Option<Arc<dyn Dispatch>>,
    push: Option<Arc<Push>>,
}

impl Draft {
    fn build(self) -> Service {
        let Self {
            mut card,
            mut extended,
            user,
            tasks,
            executor,
            limits,
            dispatch,
            push,
        } = self;
        let declares = extended.is_some();
        for card in std::iter::once(&mut card).chain(&mut extended) {
            card.capabilities.streaming = Some(true);
            card.capabilities.push_notifications = Some(push.is_some());
            card.capabilities.extended_agent_card = Some(declares);
        }
        let places = limits.parallel.saturating_add(limits.waiting);
        Service(Arc::new(Inner {
            card,
            extended,
            user,
            tasks,
            executor,
            dispatch,
            push,
            bells: Arc::default(),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            later: Semaphore::new(limits.waiting.min(Semaphore::MAX_PERMITS)),
            desks: Semaphore::new(limits.parallel.clamp(1, Semaphore::MAX_PERMITS)),
            limits,
            queued: Mutex::default(),
            running: Mutex::default(),
            stop: CancellationToken::new(),
        }))
    }
}

impl Service {
    /// A service that says `card` of itself, has tasks done by `executor` and keeps them in `tasks`.
    ///
    /// Tasks are worked on in this process; [`work`](Self::work) has to run beside the router for tasks whose workers
    /// have died and for webhooks.
    #[must_use]
    pub fn new(card: AgentCard, tasks: Arc<dyn Tasks>, executor: Arc<dyn Executor>) -> Self {
        let draft = Draft {
            card,
            extended: None,
            user: "anonymous".to_owned(),
            tasks,
            executor,
            limits: Limits::default(),
            dispatch: None,
            push: None,
        };
        draft.build()
    }

    /// Before it is used: a service that has begun to work is not changed, another one is made.
    fn with(self, change: impl FnOnce(&mut Draft)) -> Self {
        let inner = &self.0;
        let mut draft = Draft {
            card: inner.card.clone(),
            extended: inner.extended.clone(),
            user: inner.user.clone(),
            tasks: Arc::clone(&inner.tasks),
            executor: Arc::clone(&inner.executor),
            limits: inner.limits.clone(),
            dispatch: inner.dispatch.clone(),
            push: inner.push.clone(),
        };
        change(&mut draft);
        draft.build()
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.with(|draft| draft.limits = limits)
    }

    /// The same that tells webhooks.
    #[must_use]
    pub fn with_push(self, push: Push) -> Self {
        self.with(|draft| draft.push = Some(Arc::new(push)))
    }

    /// The same with a card for callers who are known (specification 3.1.11).
    #[must_use]
    pub fn with_extended_card(self, card: AgentCard) -> Self {
        self.with(|draft| draft.extended = Some(card))
    }

    /// The same whose callers without a [`skydock::Principal`] are called this.
    #[must_use]
    pub fn with_user(self, user: impl Into<String>) -> Self {
        self.with(|draft| draft.user = user.into())
    }

    /// The same whose tasks are worked on elsewhere.
    #[must_use]
    pub fn with_dispatch(self, dispatch: Arc<dyn Dispatch>) -> Self {
        self.with(|draft| draft.dispatch = Some(dispatch))
    }

    /// What it says of itself.
    #[must_use]
    pub fn card(&self) -> &AgentCard {
        &self.0.card
    }
}

impl Inner {
    /// When what is written now may be forgotten.
    pub(super) fn expiry(&self) -> Timestamp {
        let keep = jiff::SignedDuration::try_from(self.limits.keep).unwrap_or(jiff::SignedDuration::MAX);
        Timestamp::now().saturating_add(keep).unwrap_or(Timestamp::MAX)
    }

    /// Writes a record that was changed, and tells those who wait in this process.
    pub(super) async fn save(&self, record: &mut Record, events: &[StreamResponse]) -> Result<(), Failure> {
        record.version = record.version.saturating_add(1);
        let count = u64::try_from(events.len()).unwrap_or_default();
        record.sequence = record.sequence.saturating_add(count);
        if count > 0 {
            record.changed = Timestamp::now();
        }
        record.expires = self.expiry();
        self.tasks.save(record, events).await?;
        if count > 0 {
            self.bells.ring(&record.task.id);
            if record.mail
                && let Some(push) = &self.push
            {
                push.news.notify_one();
            }
        }
        Ok(())
    }
}
