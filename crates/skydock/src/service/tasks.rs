//! Tasks that any instance can be asked about: what the handler says of them is mirrored in the store, and what clients
//! tell them is passed on to the instance that works on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, ServerHandler,
    model::{DetailedTask, ErrorCode, GetTaskResult, JsonObject, Task, TaskPayload},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    guard::{Caller, Guard, Tasks, Told},
    sessions::{Absent, Answers, Sessions, owner},
};

/// How often the handler is asked how a task stands.
const MIRROR: Duration = Duration::from_millis(250);
/// And at the most.
const OFTEN: Duration = Duration::from_millis(20);
/// The longest that a finished task is kept when it has no lifetime of its own.
const KEPT: Duration = Duration::from_secs(86_400);

/// The tasks of this instance, and the way to those of others.
pub(super) struct Desk<H: ServerHandler> {
    guard: Guard<H>,
    sessions: Weak<Sessions>,
    /// What is at work here.
    own: Mutex<HashMap<String, Arc<Own>>>,
    this: Weak<Self>,
}

/// A task at work here.
struct Own {
    id: String,
    caller: Caller,
    begun: Instant,
    /// How it stood when the store was last told; one at a time looks and tells.
    told: tokio::sync::Mutex<Option<GetTaskResult>>,
}

/// What the handler says of a task.
enum Stands {
    As(Box<GetTaskResult>),
    /// There is no such task any more.
    Forgotten,
    /// It does not say.
    Unknown,
}

/// A task as the store knows it.
#[derive(Debug, Serialize, Deserialize)]
struct Mirrored {
    /// Who works on it.
    instance: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    state: GetTaskResult,
}

impl<H: ServerHandler> Desk<H> {
    pub(super) fn new(guard: Guard<H>, sessions: &Arc<Sessions>) -> Arc<Self> {
        let desk = Arc::new_cyclic(|this: &Weak<Self>| Self {
            guard,
            sessions: Arc::downgrade(sessions),
            own: Mutex::default(),
            this: Weak::clone(this),
        });
        let tasks: Weak<Self> = Arc::downgrade(&desk);
        desk.guard.share_tasks(Weak::<Self>::clone(&tasks));
        sessions.answer_with(tasks);
        desk
    }

    fn own<T>(&self, with: impl FnOnce(&mut HashMap<String, Arc<Own>>) -> T) -> T {
        with(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes how a task stands into the store until it has ended.
    async fn mirror(self: Arc<Self>, own: Arc<Own>, pause: Duration) {
        loop {
            match self.tell_store(&own).await {
                Ok(Stands::As(state)) if !state.task.status().is_terminal() => {
                    tokio::time::sleep(pause).await;
                }
                Ok(Stands::As(_) | Stands::Forgotten) => break,
                // nobody asks for it any more
                Ok(Stands::Unknown) | Err(_) if own.begun.elapsed() >= KEPT => break,
                Ok(Stands::Unknown) => tokio::time::sleep(MIRROR * 4).await,
                Err(error) => {
                    tracing::warn!(%error, "how a task stands is not known to other instances");
                    tokio::time::sleep(MIRROR * 4).await;
                }
            }
        }
        self.own(|tasks| tasks.remove(&own.id));
    }

    /// Tells the store how a task stands, if that has changed; gives it.
    async fn tell_store(&self, own: &Own) -> Result<Stands, Absent> {
        let mut told = own.told.lock().await;
        let Some(sessions) = self.sessions.upgrade() else {
            return Ok(Stands::Forgotten);
        };
        let state = match self.guard.look_at_task(&own.id, &own.caller).await {
            Ok(state) => state,
            Err(error) if error.code == ErrorCode::INVALID_PARAMS => return Ok(Stands::Forgotten),
            // a handler that fails once may say more the next time
            Err(_) => return Ok(Stands::Unknown),
        };
        if told.as_ref() != Some(&state) {
            let mirrored = Mirrored {
                instance: sessions.instance().to_owned(),
                owner: own.caller.principal().map(owner),
                state: state.clone(),
            };
            let ttl = state.task.task.ttl_ms.map_or(KEPT, Duration::from_millis);
            match sessions.set(&key(&own.id), &mirrored, ttl).await {
                Err(Absent::TooLarge(error)) => {
                    tracing::warn!(%error, "a task's result is known here only");
                    let text =
                        "the result is larger than the store of tasks takes, and is lost to other instances";
                    let mirrored = Mirrored {
                        state: failed(state.clone(), text, false),
                        ..mirrored
                    };
                    sessions.set(&key(&own.id), &mirrored, ttl).await?;
                }
                written => written?,
            }
            *told = Some(state.clone());
        }
        Ok(Stands::As(Box::new(state)))
    }

    /// The task as the store knows it, if it is another instance's. One that is at work here is not asked for there.
    ///
    /// # Errors
    /// When it is somebody else's than `caller`'s, or the store does not say.
    async fn elsewhere(&self, id: &str, caller: &Caller) -> Result<Option<Mirrored>, ErrorData> {
        let own = self.own(|tasks| tasks.get(id).cloned());
        if let Some(own) = own {
            return if own.caller.principal() == caller.principal() {
                Ok(None)
            } else {
                Err(unknown())
            };
        }
        let Some(sessions) = self.sessions.upgrade() else {
            return Ok(None);
        };
        let found: Option<Mirrored> = sessions
            .get(&key(id))
            .await
            .map_err(|error| unavailable(&error))?;
        match found {
            Some(found) if found.owner != caller.principal().map(owner) => Err(unknown()),
            found => Ok(found.filter(|found| found.instance != sessions.instance())),
        }
    }

    async fn look(&self, id: &str, caller: &Caller) -> Result<Option<GetTaskResult>, ErrorData> {
        let Some(mut found) = self.elsewhere(id, caller).await? else {
            return Ok(None);
        };
        let Some(sessions) = self.sessions.upgrade() else {
            return Ok(None);
        };
        if !found.state.task.status().is_terminal()
            && sessions
                .has_gone(&found.instance)
                .await
                .map_err(|error| unavailable(&error))?
        {
            let text =
                "the instance that worked on this task has ended; whether the work was done is not known";
            found.state = failed(found.state, text, true);
        }
        Ok(Some(found.state))
    }

    async fn pass_on(&self, told: &Told, caller: &Caller) -> Result<Option<()>, ErrorData> {
        let Some(found) = self.elsewhere(told.task(), caller).await? else {
            return Ok(None);
        };
        let Some(sessions) = self.sessions.upgrade() else {
            return Ok(None);
        };
        if found.state.task.status().is_terminal() {
            // as rmcp's own manager does: what has ended takes no more notice
            return Ok(Some(()));
        }
        let told =
            serde_json::to_value(told).map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let answer = sessions
            .call(&found.instance, told)
            .await
            .map_err(|error| unavailable(&error))?;
        match serde_json::from_value::<Option<ErrorData>>(answer) {
            Ok(None) => Ok(Some(())),
            Ok(Some(error)) => Err(error),
            Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
        }
    }
}

impl<H: ServerHandler> Tasks for Desk<H> {
    fn begun(&self, task: Task, caller: Caller) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(desk) = self.this.upgrade() else { return };
            let pause = task
                .poll_interval_ms
                .map_or(MIRROR, Duration::from_millis)
                .clamp(OFTEN, MIRROR);
            let own = Arc::new(Own {
                id: task.task_id.clone(),
                caller,
                begun: Instant::now(),
                told: tokio::sync::Mutex::default(),
            });
            self.own(|tasks| tasks.insert(task.task_id, Arc::clone(&own)));
            // before the client hears of it, so that it can ask anybody
            if let Err(error) = self.tell_store(&own).await {
                tracing::warn!(%error, "a task is not known to other instances yet");
            }
            tokio::spawn(desk.mirror(own, pause));
        })
    }

    fn get<'a>(
        &'a self,
        id: &'a str,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Option<Result<GetTaskResult, ErrorData>>> {
        Box::pin(async move { self.look(id, caller).await.transpose() })
    }

    fn tell<'a>(
        &'a self,
        told: &'a Told,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Option<Result<(), ErrorData>>> {
        Box::pin(async move { self.pass_on(told, caller).await.transpose() })
    }

    /// Whoever asks next, and wherever, sees what has become of it.
    fn stirred<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let own = self.own(|tasks| tasks.get(id).cloned());
            if let Some(own) = own
                && let Err(error) = self.tell_store(&own).await
            {
                tracing::debug!(%error, "how a task stands is not known to other instances yet");
            }
        })
    }
}

impl<H: ServerHandler> Answers for Desk<H> {
    /// Another instance passes on what a client tells a task of ours.
    fn answer(&self, body: Value) -> BoxFuture<'_, Value> {
        Box::pin(async move {
            let Ok(told) = serde_json::from_value::<Told>(body) else {
                return json!(ErrorData::internal_error("instances of different versions", None));
            };
            let Some(own) = self.own(|tasks| tasks.get(told.task()).cloned()) else {
                // it has just ended, as whoever asks again will see
                let data = json!({"retryable": true});
                return json!(ErrorData::new(
                    ErrorCode(-32000),
                    "the task is not at work; try again",
                    Some(data)
                ));
            };
            let done = self.guard.pass_to_task(told, &own.caller).await;
            self.stirred(&own.id).await;
            json!(done.err())
        })
    }
}

/// A task that has failed, whatever it was.
fn failed(state: GetTaskResult, text: &str, retryable: bool) -> GetTaskResult {
    let error = json!({"code": -32000, "message": text, "data": {"retryable": retryable}});
    let error: JsonObject = error.as_object().cloned().unwrap_or_default();
    GetTaskResult::new(DetailedTask::new(state.task.task, TaskPayload::Failed { error }))
}

/// What is somebody else's is not there.
fn unknown() -> ErrorData {
    ErrorData::invalid_params("there is no such task", None)
}

fn unavailable(error: &Absent) -> ErrorData {
    tracing::warn!(%error, "a task of another instance cannot be asked about");
    let data = json!({"retryable": true});
    ErrorData::new(
        ErrorCode(-32000),
        "the store of tasks does not answer; try again",
        Some(data),
    )
}

fn key(task: &str) -> String {
    // ids are the handler's; a key is of our own letters
    format!("task:{}", owner(task))
}
