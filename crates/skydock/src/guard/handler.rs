//! Every method of `ServerHandler`, delegated. A test fails when rmcp adds one.

#![expect(deprecated, reason = "what the protocol deprecates is still delegated")]

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
        CompleteRequestParams, CompleteResult, CustomNotification, CustomRequest, CustomResult,
        DiscoverResult, Extensions, GetPromptRequestParams, GetPromptResponse, GetSkillRequestParams,
        GetSkillResult, GetTaskParams, GetTaskResult, InitializeRequestParams, InitializeResult,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListSkillsResult,
        ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
        ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams,
        ReadResourceResponse, ServerCapabilities, ServerConfig, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, TASKS_EXTENSION_ID, Tool, UnsubscribeRequestParams,
        UpdateTaskParams,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};

use super::{
    Asking, Failure, Guard,
    tasks::{Caller, Told},
    tool_result,
};
use crate::caller::Restored;

/// Requests that are only shielded: name, parameters, result.
macro_rules! shielded {
    ($($method:ident($params:ty) -> $result:ty;)*) => {$(
        async fn $method(&self, params: $params, context: RequestContext<RoleServer>) -> Result<$result, ErrorData> {
            let work = move |handler: Arc<H>, context| async move { handler.$method(params, context).await };
            self.run(stringify!($method), context, work).await.map_err(Failure::into_error)
        }
    )*};
}

/// Lists, whose hints for caches are private unless the author says otherwise.
macro_rules! listed {
    ($($method:ident -> $result:ty;)*) => {$(
        async fn $method(
            &self,
            page: Option<PaginatedRequestParams>,
            context: RequestContext<RoleServer>,
        ) -> Result<$result, ErrorData> {
            let work = move |handler: Arc<H>, context| async move { handler.$method(page, context).await };
            let mut list = self.run(stringify!($method), context, work).await.map_err(Failure::into_error)?;
            keep_private(list.ttl_ms, &mut list.cache_scope);
            Ok(list)
        }
    )*};
}

/// Notifications: nobody waits for an answer, so a panic is all that has to be caught.
macro_rules! notified {
    ($($method:ident($($params:ident: $type:ty)?);)*) => {$(
        async fn $method(&self, $($params: $type,)? mut context: NotificationContext<RoleServer>) {
            context.extensions.insert(self.changes().clone());
            shield(stringify!($method), self.inner().$method($($params,)? context)).await;
        }
    )*};
}

/// Whether clients are promised to hear of any change.
fn announces_changes(capabilities: &ServerCapabilities) -> bool {
    let tools = capabilities.tools.as_ref().and_then(|tools| tools.list_changed);
    let prompts = capabilities
        .prompts
        .as_ref()
        .and_then(|prompts| prompts.list_changed);
    let resources = capabilities.resources.as_ref();
    let listed = resources.and_then(|resources| resources.list_changed);
    let subscribed = resources.and_then(|resources| resources.subscribe);
    [tools, prompts, listed, subscribed].contains(&Some(true))
}

async fn shield(what: &'static str, work: impl Future<Output = ()>) {
    if futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work))
        .await
        .is_err()
    {
        tracing::error!(what, "the handler panicked");
    }
}

/// Whether there is no HTTP between us and the client.
fn is_pipe(extensions: &Extensions) -> bool {
    extensions.get::<http::request::Parts>().is_none() && extensions.get::<Restored>().is_none()
}

/// rmcp's macros say "public" of every list, with a lifetime of nothing. What a user may see can depend on the user,
/// so a list is public only when its author gave it a lifetime too.
fn keep_private(ttl_ms: Option<u64>, scope: &mut Option<CacheScope>) {
    if ttl_ms.is_none_or(|ttl| ttl == 0) {
        *scope = scope.take().map(|_| CacheScope::Private);
    }
}

impl<H: ServerHandler> Guard<H> {
    /// Takes back the promises to tell of changes and to go on with tasks, where they cannot be kept.
    fn promise_less(&self, capabilities: &mut ServerCapabilities) {
        if self.lasts() {
            return;
        }
        if let Some(extensions) = &mut capabilities.extensions {
            extensions.remove(TASKS_EXTENSION_ID);
        }
        if let Some(tools) = &mut capabilities.tools {
            tools.list_changed = None;
        }
        if let Some(prompts) = &mut capabilities.prompts {
            prompts.list_changed = None;
        }
        if let Some(resources) = &mut capabilities.resources {
            resources.list_changed = None;
            resources.subscribe = None;
        }
    }
}

impl<H: ServerHandler> ServerHandler for Guard<H> {
    shielded! {
        complete(CompleteRequestParams) -> CompleteResult;
        set_level(SetLevelRequestParams) -> ();
        on_custom_request(CustomRequest) -> CustomResult;
        get_skill(GetSkillRequestParams) -> GetSkillResult;
        read_resource_directory(ReadResourceDirectoryRequestParams) -> ReadResourceDirectoryResult;
    }

    listed! {
        list_prompts -> ListPromptsResult;
        list_resources -> ListResourcesResult;
        list_resource_templates -> ListResourceTemplatesResult;
        list_tools -> ListToolsResult;
        list_skills -> ListSkillsResult;
    }

    notified! {
        on_cancelled(params: CancelledNotificationParam);
        on_progress(params: ProgressNotificationParam);
        on_roots_list_changed();
        on_custom_notification(params: CustomNotification);
    }

    async fn ping(&self, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let work = move |handler: Arc<H>, context| async move { handler.ping(context).await };
        self.run("ping", context, work).await.map_err(Failure::into_error)
    }

    async fn initialize(
        &self,
        params: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let work = move |handler: Arc<H>, context| async move { handler.initialize(params, context).await };
        let result = self.run("initialize", context, work).await;
        let mut result = result.map_err(Failure::into_error)?;
        self.promise_less(&mut result.capabilities);
        Ok(result)
    }

    async fn discover(&self, context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let work = move |handler: Arc<H>, context| async move { handler.discover(context).await };
        let result = self.run("discover", context, work).await;
        let mut result = result.map_err(Failure::into_error)?;
        self.promise_less(&mut result.capabilities);
        Ok(result)
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut asking = Asking {
            method: "tools/call",
            name: &request.name,
            arguments: request.arguments.as_ref(),
            state: &mut request.request_state,
            responses: &mut request.input_responses,
        };
        let round = self.round(&mut context, &mut asking)?;
        let work = move |handler: Arc<H>, context| async move { handler.call_tool(request, context).await };
        let caller = self.tasks().map(|tasks| (tasks, Caller::from(&context)));
        match self.run("tools/call", context, work).await {
            Err(Failure::Asked(requests)) => self.required(&round, requests).map(Into::into),
            Err(failure) => tool_result(failure),
            Ok(CallToolResponse::Task(created)) => {
                if let Some((tasks, caller)) = caller {
                    tasks.begun(created.task.clone(), caller).await;
                }
                Ok(CallToolResponse::Task(created))
            }
            Ok(response) => Ok(response),
        }
    }

    async fn get_prompt(
        &self,
        mut request: GetPromptRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let mut asking = Asking {
            method: "prompts/get",
            name: &request.name,
            arguments: request.arguments.as_ref(),
            state: &mut request.request_state,
            responses: &mut request.input_responses,
        };
        let round = self.round(&mut context, &mut asking)?;
        let work = move |handler: Arc<H>, context| async move { handler.get_prompt(request, context).await };
        match self.run("prompts/get", context, work).await {
            Err(Failure::Asked(requests)) => self.required(&round, requests).map(Into::into),
            result => result.map_err(Failure::into_error),
        }
    }

    async fn read_resource(
        &self,
        mut request: ReadResourceRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let mut asking = Asking {
            method: "resources/read",
            name: &request.uri,
            arguments: None,
            state: &mut request.request_state,
            responses: &mut request.input_responses,
        };
        let round = self.round(&mut context, &mut asking)?;
        let work =
            move |handler: Arc<H>, context| async move { handler.read_resource(request, context).await };
        match self.run("resources/read", context, work).await {
            Err(Failure::Asked(requests)) => self.required(&round, requests).map(Into::into),
            result => result.map_err(Failure::into_error),
        }
    }

    async fn get_task(
        &self,
        params: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        if let Some(tasks) = self.tasks()
            && let Some(task) = tasks.get(&params.task_id, &Caller::from(&context)).await
        {
            return task;
        }
        let work = move |handler: Arc<H>, context| async move { handler.get_task(params, context).await };
        self.run("tasks/get", context, work)
            .await
            .map_err(Failure::into_error)
    }

    async fn update_task(
        &self,
        params: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tell_task(Told::Update(params), context).await
    }

    async fn cancel_task(
        &self,
        params: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tell_task(Told::Cancel(params), context).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (uri, pipe) = (request.uri.clone(), is_pipe(&context.extensions));
        let work = move |handler: Arc<H>, context| async move { handler.subscribe(request, context).await };
        let done = self.run("subscribe", context, work).await;
        done.map_err(Failure::into_error)?;
        if pipe {
            self.changes().hub().subscriptions(|uris| {
                uris.insert(uri);
            });
        }
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_pipe(&context.extensions) {
            self.changes().hub().subscriptions(|uris| {
                uris.remove(&request.uri);
            });
        }
        let work = move |handler: Arc<H>, context| async move { handler.unsubscribe(request, context).await };
        self.run("unsubscribe", context, work)
            .await
            .map_err(Failure::into_error)
    }

    async fn on_initialized(&self, mut context: NotificationContext<RoleServer>) {
        if is_pipe(&context.extensions) {
            self.changes().hub().attach(context.peer.clone());
        }
        context.extensions.insert(self.changes().clone());
        shield("on_initialized", self.inner().on_initialized(context)).await;
    }

    /// A subscription lives as long as its client wants: no deadline. It hears of what is told through `Changes`, and
    /// of what the handler tells it itself.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let _listening = self.changes().hub().listen(context.sink().clone());
        let work = self.inner().listen(context);
        futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work))
            .await
            .unwrap_or_else(|_panic| Err(Failure::panicked("subscriptions/listen").into_error()))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let accepted = self.inner().accepted_subscription_filter(requested);
        // what is announced is told through `Changes`, whatever the handler does by itself
        accepted.or_else(|| announces_changes(&self.get_info().capabilities).then(|| requested.clone()))
    }

    fn negotiate_initialize(&self, request: &InitializeRequestParams) -> Result<InitializeResult, ErrorData> {
        self.inner().negotiate_initialize(request)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.inner().supported_protocol_versions()
    }

    fn get_info(&self) -> ServerConfig {
        let mut info = self.inner().get_info();
        self.promise_less(&mut info.capabilities);
        info
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.inner().get_tool(name)
    }
}
