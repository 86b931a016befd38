//! The operations of A2A (specification 3.1), each for one caller, who reaches no task of another.

use std::sync::Arc;

use ::a2a::{
    A2AError, AgentCard, CancelTaskRequest, DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest, GetTaskPushNotificationConfigRequest, GetTaskRequest,
    ListTaskPushNotificationConfigsRequest, ListTaskPushNotificationConfigsResponse, ListTasksRequest,
    ListTasksResponse, Message, SendMessageRequest, SendMessageResponse, StreamResponse,
    SubscribeToTaskRequest, Task, TaskPushNotificationConfig, TaskState, TaskStatus, new_context_id,
    new_task_id,
};
use a2a_server::{RequestHandler, middleware::ServiceParams};
use async_trait::async_trait;
use futures::{StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    follow::{Until, follow},
    inquiry,
    push::Push,
    refusal::{busy, failed},
    service::{Inner, Service},
    sink::{lease, now, set},
    store::{Failure, Record},
};

/// How often a change is tried that others get in the way of.
const TRIES: usize = 10;

tokio::task_local! {
    /// Who asks. It is set around the routers, and no header says it.
    pub(super) static CALLER: Arc<str>;
}

type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// What becomes of a message.
enum Accepted {
    Answer(Message),
    Task(Box<Record>),
}

impl Service {
    /// Who asks, when what is asked can be asked.
    fn admit(&self, params: &ServiceParams) -> Result<Arc<str>, A2AError> {
        inquiry::version(params)?;
        inquiry::extensions(&self.0.card, params)?;
        let caller = CALLER.try_with(Arc::clone);
        caller.map_err(|_outside| A2AError::internal("the agent failed: nobody said who asks"))
    }

    /// A task of this caller.
    async fn own(&self, caller: &str, id: &str) -> Result<Record, A2AError> {
        let found = self.0.tasks.load(id).await.map_err(|failure| failed(&failure))?;
        let own = found.filter(|record| record.caller == caller);
        own.ok_or_else(|| A2AError::task_not_found(id))
    }

    fn push(&self) -> Result<&Push, A2AError> {
        let push = self.0.push.as_deref();
        push.ok_or_else(A2AError::push_notification_not_supported)
    }

    /// Takes a message, and begins to work on it.
    async fn accept(&self, caller: &str, request: SendMessageRequest) -> Result<Accepted, A2AError> {
        inquiry::message(&request.message, &self.0.card)?;
        let configuration = request.configuration.as_ref();
        let webhook = configuration.and_then(|wanted| wanted.task_push_notification_config.clone());
        if let Some(webhook) = &webhook {
            self.push()?.check(webhook)?;
        }
        if let Some(length) = configuration.and_then(|wanted| wanted.history_length)
            && length < 0
        {
            return Err(A2AError::invalid_params("historyLength: it is less than 0"));
        }
        let mut message = request.message;
        let task = message.task_id.clone().filter(|id| !id.is_empty());
        message.context_id = message.context_id.filter(|id| !id.is_empty());
        if task.is_none()
            && let Some(mut answer) = self.0.executor.answer(caller, &message).await
        {
            answer.context_id = Some(message.context_id.unwrap_or_else(new_context_id));
            return Ok(Accepted::Answer(answer));
        }
        let place = self.place()?;
        let record = match task {
            Some(id) => self.goes_on(caller, &id, message, webhook).await?,
            None => self.opened(caller, message, webhook).await?,
        };
        let id = record.task.id.clone();
        match (&self.0.dispatch, place) {
            (Some(dispatch), _) => {
                if let Err(error) = dispatch.dispatch(&id).await {
                    tracing::warn!(
                        task = id,
                        error = &*error,
                        "a task cannot be sent on; the next sweep does"
                    );
                }
            }
            (None, Some(place)) => self.begin(id, place),
            (None, None) => {}
        }
        Ok(Accepted::Task(Box::new(record)))
    }

    /// A place for a task in this process, when tasks are worked on here.
    fn place(&self) -> Result<Option<OwnedSemaphorePermit>, A2AError> {
        let Inner {
            limits,
            places,
            dispatch,
            ..
        } = &*self.0;
        if dispatch.is_some() {
            return Ok(None);
        }
        let place = Arc::clone(places).try_acquire_owned();
        let all = limits.parallel.saturating_add(limits.waiting);
        place.map(Some).map_err(|_none_left| busy(all))
    }

    /// A new task.
    async fn opened(
        &self,
        caller: &str,
        mut message: Message,
        webhook: Option<TaskPushNotificationConfig>,
    ) -> Result<Record, A2AError> {
        let id = new_task_id();
        let context = message.context_id.take().unwrap_or_else(new_context_id);
        message.task_id = Some(id.clone());
        message.context_id = Some(context.clone());
        let task = Task {
            id: id.clone(),
            context_id: context,
            status: TaskStatus {
                state: TaskState::Submitted,
                message: None,
                timestamp: Some(now()),
            },
            artifacts: None,
            history: Some(vec![message.clone()]),
            metadata: None,
        };
        let mut record = Record {
            task: task.clone(),
            caller: caller.to_owned(),
            version: 0,
            sequence: 0,
            changed: Timestamp::now(),
            message,
            lease: Some(lease("", inquiry::grace(self.0.dispatch.is_some()))),
            attempts: 0,
            mail: webhook.is_some(),
        };
        if let Some(webhook) = webhook {
            self.push()?.add(&self.0, &record, webhook).await?;
        }
        let saved = self.0.save(&mut record, &[StreamResponse::Task(task)]).await;
        saved.map_err(|failure| failed(&failure))?;
        Ok(record)
    }

    /// A task that waits for its caller gets what it waits for.
    async fn goes_on(
        &self,
        caller: &str,
        id: &str,
        message: Message,
        webhook: Option<TaskPushNotificationConfig>,
    ) -> Result<Record, A2AError> {
        let record = self.own(caller, id).await?;
        waits(&record, &message)?;
        if let Some(webhook) = webhook {
            self.configure(&record, webhook).await?;
        }
        let grace = inquiry::grace(self.0.dispatch.is_some());
        self.changed(caller, id, |record| {
            waits(record, &message)?;
            let message = Message {
                task_id: Some(id.to_owned()),
                context_id: Some(record.task.context_id.clone()),
                ..message.clone()
            };
            let history = record.task.history.get_or_insert_default();
            // what the agent asked belongs to what was said
            history.extend(record.task.status.message.take());
            history.push(message.clone());
            record.message = message;
            record.attempts = 0;
            record.lease = Some(lease("", grace));
            Ok(Some(set(record, TaskState::Submitted, None)))
        })
        .await
    }

    /// Changes a task of this caller, again when somebody got in the way; without an event, nothing is to be done.
    async fn changed(
        &self,
        caller: &str,
        id: &str,
        change: impl Fn(&mut Record) -> Result<Option<StreamResponse>, A2AError> + Send,
    ) -> Result<Record, A2AError> {
        for _ in 0..TRIES {
            let mut record = self.own(caller, id).await?;
            let Some(event) = change(&mut record)? else {
                return Ok(record);
            };
            match self.0.save(&mut record, &[event]).await {
                Ok(()) => return Ok(record),
                Err(Failure::Conflict) => {}
                Err(failure) => return Err(failed(&failure)),
            }
        }
        Err(failed(&Failure::Conflict))
    }

    /// Gives a task a webhook.
    async fn configure(
        &self,
        record: &Record,
        webhook: TaskPushNotificationConfig,
    ) -> Result<TaskPushNotificationConfig, A2AError> {
        let push = self.push()?;
        push.check(&webhook)?;
        let added = push.add(&self.0, record, webhook).await?;
        push.announce(&self.0, &record.task.id).await?;
        Ok(added)
    }

    /// The events of a task behind number `after`.
    fn events(&self, id: &str, after: u64, until: Until) -> Events {
        let followed = follow(Arc::clone(&self.0), id.to_owned(), after, until);
        followed.map(|logged| logged.map(|logged| logged.event)).boxed()
    }
}

/// Whether a task takes a message of its caller.
fn waits(record: &Record, message: &Message) -> Result<(), A2AError> {
    let id = &record.task.id;
    if let Some(context) = &message.context_id
        && *context != record.task.context_id
    {
        // specification 3.4.3
        return Err(A2AError::invalid_params(format!(
            "contextId {context:?} is not the context of the task {id}; leave one of them out"
        )));
    }
    if record.task.status.state.is_terminal() {
        return Err(A2AError::unsupported_operation(format!(
            "the task {id} is over; send a message without taskId in its context"
        )));
    }
    if record.is_open() {
        return Err(A2AError::unsupported_operation(format!(
            "the task {id} is being worked on; wait until it asks for something, or cancel it"
        )));
    }
    Ok(())
}

#[async_trait]
impl RequestHandler for Service {
    async fn send_message(
        &self,
        params: &ServiceParams,
        request: SendMessageRequest,
    ) -> Result<SendMessageResponse, A2AError> {
        let caller = self.admit(params)?;
        let configuration = request.configuration.clone();
        let mut record = match self.accept(&caller, request).await? {
            Accepted::Answer(answer) => return Ok(SendMessageResponse::Message(answer)),
            Accepted::Task(record) => record,
        };
        let at_once = configuration
            .as_ref()
            .and_then(|wanted| wanted.return_immediately);
        if at_once != Some(true) {
            let id = record.task.id.clone();
            let mut events = self.events(&id, record.sequence, Until::Paused);
            while let Some(event) = events.next().await {
                event?;
            }
            *record = self.own(&caller, &id).await?;
        }
        let mut task = record.task;
        inquiry::cut(&mut task, configuration.and_then(|wanted| wanted.history_length))?;
        Ok(SendMessageResponse::Task(task))
    }

    async fn send_streaming_message(
        &self,
        params: &ServiceParams,
        request: SendMessageRequest,
    ) -> Result<Events, A2AError> {
        let caller = self.admit(params)?;
        let length = request
            .configuration
            .as_ref()
            .and_then(|wanted| wanted.history_length);
        let mut record = match self.accept(&caller, request).await? {
            Accepted::Answer(answer) => {
                return Ok(stream::iter([Ok(StreamResponse::Message(answer))]).boxed());
            }
            Accepted::Task(record) => record,
        };
        let rest = self.events(&record.task.id, record.sequence, Until::Paused);
        inquiry::cut(&mut record.task, length)?;
        let first = stream::iter([Ok(StreamResponse::Task(record.task))]);
        Ok(first.chain(rest).boxed())
    }

    async fn get_task(&self, params: &ServiceParams, request: GetTaskRequest) -> Result<Task, A2AError> {
        let caller = self.admit(params)?;
        let mut task = self.own(&caller, &request.id).await?.task;
        inquiry::cut(&mut task, request.history_length)?;
        Ok(task)
    }

    async fn list_tasks(
        &self,
        params: &ServiceParams,
        request: ListTasksRequest,
    ) -> Result<ListTasksResponse, A2AError> {
        let caller = self.admit(params)?;
        let filter = inquiry::filter(&request)?;
        let page = self.0.tasks.list(&caller, &filter).await;
        let page = page.map_err(|failure| failed(&failure))?;
        let mut tasks = Vec::with_capacity(page.records.len());
        for record in page.records {
            let mut task = record.task;
            inquiry::cut(&mut task, request.history_length)?;
            if request.include_artifacts != Some(true) {
                task.artifacts = None;
            }
            tasks.push(task);
        }
        Ok(ListTasksResponse {
            tasks,
            next_page_token: page.next.as_ref().map(inquiry::token).unwrap_or_default(),
            page_size: i32::try_from(filter.size).unwrap_or(i32::MAX),
            total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
        })
    }

    async fn cancel_task(
        &self,
        params: &ServiceParams,
        request: CancelTaskRequest,
    ) -> Result<Task, A2AError> {
        let caller = self.admit(params)?;
        let cancelled = self.changed(&caller, &request.id, |record| {
            match &record.task.status.state {
                // the same effect as the first time (specification 3.3.1)
                TaskState::Canceled => return Ok(None),
                state if state.is_terminal() => {
                    return Err(A2AError::task_not_cancelable(&record.task.id));
                }
                _ => {}
            }
            record.lease = None;
            Ok(Some(set(record, TaskState::Canceled, None)))
        });
        let cancelled = cancelled.await?;
        // a worker elsewhere finds out when it next says that it is at it
        self.0.interrupt(&request.id);
        Ok(cancelled.task)
    }

    async fn subscribe_to_task(
        &self,
        params: &ServiceParams,
        request: SubscribeToTaskRequest,
    ) -> Result<Events, A2AError> {
        let caller = self.admit(params)?;
        let record = self.own(&caller, &request.id).await?;
        if record.task.status.state.is_terminal() {
            return Err(A2AError::unsupported_operation(format!(
                "the task {} is over; get it instead",
                request.id
            )));
        }
        let rest = self.events(&request.id, record.sequence, Until::Over);
        let first = stream::iter([Ok(StreamResponse::Task(record.task))]);
        Ok(first.chain(rest).boxed())
    }

    async fn create_push_config(
        &self,
        params: &ServiceParams,
        request: TaskPushNotificationConfig,
    ) -> Result<TaskPushNotificationConfig, A2AError> {
        let caller = self.admit(params)?;
        self.push()?;
        let record = self.own(&caller, &request.task_id).await?;
        self.configure(&record, request).await
    }

    async fn get_push_config(
        &self,
        params: &ServiceParams,
        request: GetTaskPushNotificationConfigRequest,
    ) -> Result<TaskPushNotificationConfig, A2AError> {
        let caller = self.admit(params)?;
        let push = self.push()?;
        self.own(&caller, &request.task_id).await?;
        let mut configs = push.configs(&self.0, &request.task_id).await?.into_iter();
        let found = configs.find(|config| config.id.as_deref() == Some(&request.id));
        // that is the error for it (specification 3.1.8)
        found.ok_or_else(|| {
            A2AError::task_not_found(&format!("{} has no webhook {}", request.task_id, request.id))
        })
    }

    async fn list_push_configs(
        &self,
        params: &ServiceParams,
        request: ListTaskPushNotificationConfigsRequest,
    ) -> Result<ListTaskPushNotificationConfigsResponse, A2AError> {
        let caller = self.admit(params)?;
        let push = self.push()?;
        self.own(&caller, &request.task_id).await?;
        // there are so few that they are one page
        Ok(ListTaskPushNotificationConfigsResponse {
            configs: push.configs(&self.0, &request.task_id).await?,
            next_page_token: None,
        })
    }

    async fn delete_push_config(
        &self,
        params: &ServiceParams,
        request: DeleteTaskPushNotificationConfigRequest,
    ) -> Result<(), A2AError> {
        let caller = self.admit(params)?;
        let push = self.push()?;
        self.own(&caller, &request.task_id).await?;
        push.remove(&self.0, &request.task_id, &request.id).await
    }

    async fn get_extended_agent_card(
        &self,
        params: &ServiceParams,
        _request: GetExtendedAgentCardRequest,
    ) -> Result<AgentCard, A2AError> {
        self.admit(params)?;
        self.0.extended.clone().ok_or_else(|| {
            A2AError::unsupported_operation("this agent has no other card than its public one")
        })
    }
}
