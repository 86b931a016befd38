//! Tasks (the extension of MCP) that outlive the instance which works on them: what the guard asks of whoever keeps them.

use std::sync::{Arc, Weak};

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler,
    model::{CancelTaskParams, Extensions, GetTaskParams, GetTaskResult, RequestId, Task, UpdateTaskParams},
    service::RequestContext,
};
use serde::{Deserialize, Serialize};

use super::{Failure, Guard};
use crate::caller::Principal;

/// What a client tells a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Told {
    Update(UpdateTaskParams),
    Cancel(CancelTaskParams),
}

impl Told {
    /// Whom it is told.
    pub(crate) fn task(&self) -> &str {
        match self {
            Self::Update(params) => &params.task_id,
            Self::Cancel(params) => &params.task_id,
        }
    }
}

/// Whose request began a task.
#[derive(Clone)]
pub(crate) struct Caller {
    peer: Peer<RoleServer>,
    extensions: Extensions,
}

impl From<&RequestContext<RoleServer>> for Caller {
    fn from(context: &RequestContext<RoleServer>) -> Self {
        Self {
            peer: context.peer.clone(),
            extensions: context.extensions.clone(),
        }
    }
}

impl Caller {
    /// The caller's name, where that is known.
    pub(crate) fn principal(&self) -> Option<&str> {
        let parts = self.extensions.get::<http::request::Parts>()?;
        parts.extensions.get::<Principal>().map(Principal::as_str)
    }

    fn context(&self) -> RequestContext<RoleServer> {
        let mut context = RequestContext::new(RequestId::Number(0), self.peer.clone());
        context.extensions = self.extensions.clone();
        context
    }
}

/// The tasks of all instances.
pub(crate) trait Tasks: Send + Sync {
    /// The handler has begun a task here.
    fn begun(&self, task: Task, caller: Caller) -> BoxFuture<'_, ()>;

    /// How a task of another instance stands; `None` when it is the handler's here, or nobody's.
    fn get<'a>(
        &'a self,
        id: &'a str,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Option<Result<GetTaskResult, ErrorData>>>;

    /// Tells a task of another instance something; `None` when it is the handler's here, or nobody's.
    fn tell<'a>(&'a self, told: &'a Told, caller: &'a Caller)
    -> BoxFuture<'a, Option<Result<(), ErrorData>>>;

    /// The handler here was told something, so that a task may stand differently now.
    fn stirred<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()>;
}

impl<H: ServerHandler> Guard<H> {
    /// From now on tasks are shared with other instances.
    pub(crate) fn share_tasks(&self, tasks: Weak<dyn Tasks>) {
        // a guard belongs to one service
        let _ = self.0.tasks.set(tasks);
    }

    pub(super) fn tasks(&self) -> Option<Arc<dyn Tasks>> {
        self.0.tasks.get().and_then(Weak::upgrade)
    }

    pub(super) async fn tell_task(
        &self,
        told: Told,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let Some(tasks) = self.tasks() else {
            return self.tell_own_task(told, context).await;
        };
        if let Some(done) = tasks.tell(&told, &Caller::from(&context)).await {
            return done;
        }
        let id = told.task().to_owned();
        let done = self.tell_own_task(told, context).await;
        tasks.stirred(&id).await;
        done
    }

    async fn tell_own_task(&self, told: Told, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let work = move |handler: Arc<H>, context| async move {
            match told {
                Told::Update(params) => handler.update_task(params, context).await,
                Told::Cancel(params) => handler.cancel_task(params, context).await,
            }
        };
        self.run("tasks/update or tasks/cancel", context, work)
            .await
            .map_err(Failure::into_error)
    }

    /// How a task of the handler's stands, as its caller would see it.
    pub(crate) async fn look_at_task(&self, id: &str, caller: &Caller) -> Result<GetTaskResult, ErrorData> {
        let params = GetTaskParams::new(id);
        let work = move |handler: Arc<H>, context| async move { handler.get_task(params, context).await };
        self.run("tasks/get", caller.context(), work)
            .await
            .map_err(Failure::into_error)
    }

    /// Tells a task of the handler's something that another instance has taken in.
    pub(crate) async fn pass_to_task(&self, told: Told, caller: &Caller) -> Result<(), ErrorData> {
        self.tell_own_task(told, caller.context()).await
    }
}
