//! rmcp's view of the user: the requests and notifications that a server sends to its client.
#![expect(
    deprecated,
    reason = "SEP-2577 retires sampling, roots and logging; older servers still use them"
)]

use std::sync::Arc;

use reqwest::Url;
use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
        ElicitRequestParams, ElicitResult, ElicitationCapability, ErrorCode, ErrorData,
        FormElicitationCapability, Implementation, ListRootsResult, LoggingMessageNotificationParam,
        ProgressNotificationParam, Role, Root, RootsCapabilities, SamplingCapability, SamplingMessage,
        SamplingMessageContentBlock, UrlElicitationCapability,
    },
    service::{NotificationContext, RequestContext},
};

use super::{
    setup::Setup,
    user::{Sample, User},
    vigil::Vigil,
};

/// What the server can ask for, and whom.
#[derive(Clone)]
pub(super) struct Handler {
    config: ClientConfig,
    roots: Vec<Root>,
    user: Arc<dyn User>,
    vigil: Arc<Vigil>,
}

impl Handler {
    pub(super) fn new(setup: &Setup, user: Arc<dyn User>) -> Self {
        let (version, roots) = (setup.era.handshake_version(), &setup.roots);
        let mut capabilities = ClientCapabilities::default();
        if user.asks() {
            capabilities.elicitation = Some(
                ElicitationCapability::new()
                    .with_form(FormElicitationCapability::default())
                    .with_url(UrlElicitationCapability::default()),
            );
        }
        if user.samples() {
            capabilities.sampling = Some(SamplingCapability::default());
        }
        if !roots.is_empty() {
            capabilities.roots = Some(RootsCapabilities::default());
        }
        let name = Implementation::new("skydock", env!("CARGO_PKG_VERSION")).with_title("Skydock");
        let config = ClientConfig::new(capabilities, name).with_protocol_version(version);
        Self {
            config,
            roots: roots.iter().map(root).collect(),
            user,
            vigil: Arc::new(Vigil::new(setup.request_patience)),
        }
    }

    /// What bounds the requests to the server.
    pub(super) fn vigil(&self) -> &Vigil {
        &self.vigil
    }
}

/// What a server wants to be answered, when it is words.
fn sample(params: CreateMessageRequestParams) -> Result<Sample, String> {
    if params.tools.is_some_and(|tools| !tools.is_empty()) {
        return Err("tools are not sampled here; the capability does not have them".to_owned());
    }
    let mut messages = Vec::new();
    for message in params.messages {
        let user = message.role == Role::User;
        for block in message.content.into_vec() {
            match block {
                SamplingMessageContentBlock::Text(text) => messages.push((user, text.text)),
                _ => return Err("only text is sampled here".to_owned()),
            }
        }
    }
    Ok(Sample {
        system: params.system_prompt,
        messages,
        max_tokens: params.max_tokens,
    })
}

fn root(url: &Url) -> Root {
    let name = url.path_segments().and_then(|mut segments| segments.next_back());
    let root = Root::new(url.as_str());
    match name {
        Some(name) if !name.is_empty() => root.with_name(name),
        _ => root,
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn create_elicitation(
        &self,
        question: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let _ours = self.vigil.pause();
        Ok(self.user.answer(&question).await)
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        if !self.user.samples() {
            let text = "this client has no model to sample; it does not declare the sampling capability";
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, text, None));
        }
        let sample = sample(params).map_err(|fault| ErrorData::invalid_params(fault, None))?;
        let _ours = self.vigil.pause();
        let sampled = self.user.sample(sample).await;
        // -1 is what the specification shows for a user who says no
        let sampled = sampled.map_err(|why| ErrorData::new(ErrorCode(-1), why, None))?;
        let reason = if sampled.cut {
            CreateMessageResult::STOP_REASON_END_MAX_TOKEN
        } else {
            CreateMessageResult::STOP_REASON_END_TURN
        };
        let message = SamplingMessage::assistant_text(sampled.text);
        Ok(CreateMessageResult::new(message, sampled.model).with_stop_reason(reason))
    }

    async fn list_roots(&self, _context: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(self.roots.clone()))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.vigil.sign();
        self.user.progress(&params);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.user.tools_changed();
    }

    async fn on_logging_message(
        &self,
        params: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.user
            .log(&format!("{:?}", params.level).to_lowercase(), &params.data);
    }
}
