//! Every method of `ServerHandler`, delegated. A test fails when rmcp adds one.

#![expect(deprecated, reason = "what the protocol deprecates is still delegated")]

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
        CompleteRequestParams, CompleteResult, CustomNotification, CustomRequest, CustomResult,
        DiscoverResult, GetPromptRequestParams, GetPromptResponse, GetSkillRequestParams, GetSkillResult,
        GetTaskParams, GetTaskResult, InitializeRequestParams, InitializeResult, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListSkillsResult, ListToolsResult,
        PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
        ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams,
        ReadResourceResponse, ServerCapabilities, ServerConfig, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};

use super::{Asking, Failure, Guard, tool_result};

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
        async fn $method(&self, $($params: $type,)? context: NotificationContext<RoleServer>) {
            let work = self.inner().$method($($params,)? context);
            if futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await.is_err() {
                tracing::error!(what = stringify!($method), "the handler panicked");
            }
        }
    )*};
}

/// rmcp's macros say "public" of every list, with a lifetime of nothing. What a user may see can depend on the user,
/// so a list is public only when its author gave it a lifetime too.
fn keep_private(ttl_ms: Option<u64>, scope: &mut Option<CacheScope>) {
    if ttl_ms.is_none_or(|ttl| ttl == 0) {
        *scope = scope.take().map(|_| CacheScope::Private);
    }
}

impl<H: ServerHandler> Guard<H> {
    /// Takes the promise to tell of changes back, where it cannot be kept.
    fn promise_less(&self, capabilities: &mut ServerCapabilities) {
        if self.has_subscriptions() {
            return;
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
        get_task(GetTaskParams) -> GetTaskResult;
        update_task(UpdateTaskParams) -> ();
        cancel_task(CancelTaskParams) -> ();
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
        on_initialized();
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
        match self.run("tools/call", context, work).await {
            Err(Failure::Asked(requests)) => self.required(&round, requests).map(Into::into),
            Err(failure) => tool_result(failure),
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

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let work = move |handler: Arc<H>, context| async move { handler.subscribe(request, context).await };
        self.run("subscribe", context, work)
            .await
            .map_err(Failure::into_error)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let work = move |handler: Arc<H>, context| async move { handler.unsubscribe(request, context).await };
        self.run("unsubscribe", context, work)
            .await
            .map_err(Failure::into_error)
    }

    /// A subscription lives as long as its client wants: no deadline.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let work = self.inner().listen(context);
        futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work))
            .await
            .unwrap_or_else(|_panic| Err(Failure::panicked("subscriptions/listen").into_error()))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.inner().accepted_subscription_filter(requested)
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
