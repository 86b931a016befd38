//! Tasks that any instance can be asked about: what the handler says of them is mirrored in the store, and what clients
//! tell them is passed on to the instance that works on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
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
/// The longest that a finished task is kept when it has no lifetime of its own.
const KEPT: Duration = Duration::from_secs(86_400);

/// The tasks of this instance, and the way to those of others.
pub(super) struct Desk<H: ServerHandler> {
    guard: Guard<H>,
    sessions: Weak<Sessions>,
    /// What is at work here, and who began it.
    own: Mutex<HashMap<String, Caller>>,
    this: Weak<Self>,
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

    fn own<T>(&self, with: impl FnOnce(&mut HashMap<String, Caller>) -> T) -> T {
        with(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes how a task stands into the store until it has ended.
    async fn mirror(self: Arc<Self>, task: Task, caller: Caller) {
        let id = task.task_id.clone();
        let pause = task
            .poll_interval_ms
            .map_or(MIRROR, Duration::from_millis)
            .min(MIRROR);
        let mut last = None;
        loop {
            let Ok(state) = self.guard.look_at_task(&id, &caller).await else {
                break;
            };
            let ended = state.task.status().is_terminal();
            if last.as_ref() != Some(&state) {
                if self.write(&id, &state, &caller).await.is_ok() {
                    last = Some(state);
                } else {
                    tokio::time::sleep(MIRROR).await;
                    continue;
                }
            }
            if ended {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        self.own(|own| own.remove(&id));
    }

    async fn write(&self, id: &str, state: &GetTaskResult, caller: &Caller) -> Result<(), Absent> {
        let Some(sessions) = self.sessions.upgrade() else {
            return Ok(());
        };
        let mirrored = Mirrored {
            instance: sessions.instance().to_owned(),
            owner: caller.principal().map(owner),
            state: state.clone(),
        };
        let ttl = state.task.task.ttl_ms.map_or(KEPT, Duration::from_millis);
        let written = sessions.set(&key(id), &mirrored, ttl).await;
        if let Err(error) = &written {
            tracing::warn!(%error, "how a task stands is not known to other instances");
        }
        written
    }

    /// The task as the store knows it, if it is `caller`'s and another instance's.
    async fn elsewhere(&self, id: &str, caller: &Caller) -> Result<Option<Mirrored>, ErrorData> {
        let sessions = self
            .sessions
            .upgrade()
            .filter(|_| self.own(|own| !own.contains_key(id)));
        let Some(sessions) = sessions else {
            return Ok(None);
        };
        let found: Option<Mirrored> = sessions
            .get(&key(id))
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(found.filter(|found| {
            found.owner == caller.principal().map(owner) && found.instance != sessions.instance()
        }))
    }

    async fn look(&self, id: &str, caller: &Caller) -> Result<Option<GetTaskResult>, ErrorData> {
        let Some(mut found) = self.elsewhere(id, caller).await? else {
            return Ok(None);
        };
        let Some(sessions) = self.sessions.upgrade() else {
            return Ok(None);
        };
        if !found.state.task.status().is_terminal()
            && !sessions
                .lives(&found.instance)
                .await
                .map_err(|error| unavailable(&error))?
        {
            let error =
                "the instance that worked on this task has ended; whether the work was done is not known";
            let mut failed = JsonObject::new();
            failed.insert("code".to_owned(), json!(-32000));
            failed.insert("message".to_owned(), json!(error));
            failed.insert("data".to_owned(), json!({"retryable": true}));
            let task = found.state.task.task;
            found.state.task = DetailedTask::new(task, TaskPayload::Failed { error: failed });
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
            self.own(|own| own.insert(task.task_id.clone(), caller.clone()));
            // before the client hears of it, so that it can ask anybody
            if let Ok(state) = self.guard.look_at_task(&task.task_id, &caller).await {
                // what fails is told there, and tried again by the mirror
                let _ = self.write(&task.task_id, &state, &caller).await;
            }
            tokio::spawn(desk.mirror(task, caller));
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
}

impl<H: ServerHandler> Answers for Desk<H> {
    /// Another instance passes on what a client tells a task of ours.
    fn answer(&self, body: Value) -> BoxFuture<'_, Value> {
        Box::pin(async move {
            let Ok(told) = serde_json::from_value::<Told>(body) else {
                return json!(ErrorData::internal_error("instances of different versions", None));
            };
            let id = told.task().to_owned();
            let Some(caller) = self.own(|own| own.get(&id).cloned()) else {
                return Value::Null;
            };
            let done = self.guard.pass_to_task(told, &caller).await;
            if let Ok(state) = self.guard.look_at_task(&id, &caller).await {
                // the mirror writes it too, a moment later
                let _ = self.write(&id, &state, &caller).await;
            }
            json!(done.err())
        })
    }
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
