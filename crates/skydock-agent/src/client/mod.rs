//! The MCP client: both eras of the protocol, HTTP and stdio, OAuth by challenge.

mod era;
mod error;
mod gate;
mod handler;
mod http;
mod local;
mod login;
mod loopback;
mod process;
mod setup;
mod target;
mod tokens;
mod user;
mod vigil;

use std::{sync::Arc, time::Duration};

use reqwest::Url;
use rmcp::{
    RoleClient, ServiceError,
    model::{
        CallToolRequestParams, CallToolResult, GetPromptRequestParams, GetPromptResult, Prompt,
        ReadResourceRequestParams, ReadResourceResult, Resource, ResourceTemplate, ServerPeerInfo, Tool,
    },
    service::{ClientInitializeError, ClientServiceExt, RunningService},
    transport::{
        IntoTransport, StreamableHttpClientTransport,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};

pub use self::{
    era::{Era, UnknownEra},
    error::{Cause, Error, tell},
    local::Local,
    login::Registration,
    loopback::Loopback,
    setup::Setup,
    target::Target,
    tokens::{NoToken, Tokens},
    user::{Browser, Sample, Sampled, User},
};
use self::{
    handler::Handler,
    login::{Challenge, Login},
    process::LastWords,
};

/// How often one request may lead to a login before its refusal is final.
const LOGINS: usize = 2;
/// How long closing a connection may take before it is left to the operating system.
const FAREWELL: Duration = Duration::from_secs(8);

/// Everything that a server offers.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// Its tools.
    pub tools: Vec<Tool>,
    /// Its resources.
    pub resources: Vec<Resource>,
    /// Its resource templates.
    pub resource_templates: Vec<ResourceTemplate>,
    /// Its prompts.
    pub prompts: Vec<Prompt>,
}

/// A connection to a server.
pub struct Client {
    service: RunningService<RoleClient, Handler>,
    login: Option<Login>,
    address: String,
    remedy: &'static str,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, and logs in when the server asks for it.
    ///
    /// # Errors
    /// Any [`Error`] but those of a request.
    pub async fn connect(
        target: &Target,
        setup: &Setup,
        user: Arc<dyn User>,
        browser: Arc<dyn Browser>,
    ) -> Result<Self, Error> {
        let handler = Handler::new(setup, user);
        match target {
            Target::Command { program, arguments } => {
                let (process, words) = process::start(program, arguments, setup.loud)?;
                let address = target.to_string();
                let service = match greet(handler, process, setup).await {
                    Ok(service) => service,
                    Err(failure) => return Err(failure.named(&address, &words, setup)),
                };
                Ok(Self {
                    service,
                    login: None,
                    address,
                    remedy: remedy(setup),
                })
            }
            Target::Local(local) => {
                let address = local.to_string();
                match greet(handler, local.open(), setup).await {
                    Ok(service) => Ok(Self {
                        service,
                        login: None,
                        address,
                        remedy: remedy(setup),
                    }),
                    Err(failure) => Err(failure.named(&address, &LastWords::default(), setup)),
                }
            }
            Target::Url(url) => {
                let mut first = None;
                for endpoint in Target::endpoints(url) {
                    match Self::connect_http(&endpoint, setup, &handler, &browser).await {
                        Ok(client) => return Ok(client),
                        Err(error @ (Error::NotMcp { .. } | Error::Refused { .. })) => {
                            first.get_or_insert(error);
                        }
                        Err(error) => return Err(first.unwrap_or(error)),
                    }
                }
                Err(first.unwrap_or_else(|| Error::CommandLine {
                    text: url.to_string(),
                }))
            }
        }
    }

    async fn connect_http(
        endpoint: &Url,
        setup: &Setup,
        handler: &Handler,
        browser: &Arc<dyn Browser>,
    ) -> Result<Self, Error> {
        let address = endpoint.to_string();
        let mut config = StreamableHttpClientTransportConfig::with_uri(address.as_str())
            .custom_headers(setup.headers.clone());
        let http = http::client(setup.tokens.clone())?;
        if setup.bearer.is_some() || setup.tokens.is_some() {
            if let Some(bearer) = &setup.bearer {
                config = config.auth_header(bearer);
            }
            let transport = StreamableHttpClientTransport::with_client(http, config);
            let service = greet(handler.clone(), transport, setup)
                .await
                .map_err(|failure| failure.named(&address, &LastWords::default(), setup))?;
            return Ok(Self {
                service,
                login: None,
                address,
                remedy: remedy(setup),
            });
        }
        let login = Login::new(
            endpoint.clone(),
            http,
            setup.registration.clone(),
            Arc::clone(browser),
        );
        let mut logins = 0;
        loop {
            let transport = StreamableHttpClientTransport::with_client(login.http(), config.clone());
            match greet(handler.clone(), transport, setup).await {
                Ok(service) => {
                    return Ok(Self {
                        service,
                        login: Some(login),
                        address,
                        remedy: remedy(setup),
                    });
                }
                Err(failure) => match failure.challenge() {
                    Some(challenge) if logins < LOGINS => {
                        logins += 1;
                        login.answer(&challenge).await?;
                    }
                    _ => return Err(failure.named(&address, &LastWords::default(), setup)),
                },
            }
        }
    }

    /// What the server said about itself.
    #[must_use]
    pub fn server(&self) -> Option<Arc<ServerPeerInfo>> {
        self.service.peer().peer_info()
    }

    /// Where the server is: the endpoint that answered, or the command line.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The tools, from all pages.
    ///
    /// # Errors
    /// [`Error::Answer`] or [`Error::Request`].
    pub async fn tools(&self) -> Result<Vec<Tool>, Error> {
        self.with_login(|| self.service.list_all_tools()).await
    }

    /// The resources, from all pages.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn resources(&self) -> Result<Vec<Resource>, Error> {
        self.with_login(|| self.service.list_all_resources()).await
    }

    /// The prompts, from all pages.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn prompts(&self) -> Result<Vec<Prompt>, Error> {
        self.with_login(|| self.service.list_all_prompts()).await
    }

    /// Everything that the server says it offers, from all pages.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn catalog(&self) -> Result<Catalog, Error> {
        let Some(server) = self.server() else {
            return Ok(Catalog::default());
        };
        let mut catalog = Catalog::default();
        if server.capabilities.tools.is_some() {
            catalog.tools = self.tools().await?;
        }
        if server.capabilities.resources.is_some() {
            catalog.resources = self.resources().await?;
            catalog.resource_templates = self
                .with_login(|| self.service.list_all_resource_templates())
                .await?;
        }
        if server.capabilities.prompts.is_some() {
            catalog.prompts = self.prompts().await?;
        }
        Ok(catalog)
    }

    /// Calls a tool, and answers what it asks meanwhile, in either era.
    ///
    /// # Errors
    /// As [`Client::tools`]. A tool's own error is a result with `is_error`.
    pub async fn call_tool(&self, params: CallToolRequestParams) -> Result<CallToolResult, Error> {
        self.with_login(|| self.service.call_tool(params.clone())).await
    }

    /// Gets a prompt, and answers what it asks meanwhile.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn get_prompt(&self, params: GetPromptRequestParams) -> Result<GetPromptResult, Error> {
        self.with_login(|| self.service.get_prompt(params.clone())).await
    }

    /// Reads a resource, and answers what it asks meanwhile.
    ///
    /// # Errors
    /// As [`Client::tools`].
    pub async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
    ) -> Result<ReadResourceResult, Error> {
        self.with_login(|| self.service.read_resource(params.clone()))
            .await
    }

    /// Ends the session, and a started program with it.
    pub async fn close(mut self) {
        // what is left after that time dies with this process
        let _ = self.service.close_with_timeout(FAREWELL).await;
    }

    async fn with_login<T, F>(&self, request: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        let mut logins = 0;
        loop {
            let vigil = self.service.service().vigil();
            let error = match vigil.keep(request()).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => error,
                None => {
                    return Err(Error::Overdue {
                        patience: vigil.limit(),
                    });
                }
            };
            let Some(challenge) = Challenge::of_request(&error) else {
                return Err(error.into());
            };
            match &self.login {
                Some(login) if logins < LOGINS => {
                    logins += 1;
                    login.answer(&challenge).await?;
                }
                _ => {
                    return Err(Error::Unauthorized {
                        target: self.address.clone(),
                        challenge: challenge.0,
                        remedy: self.remedy,
                    });
                }
            }
        }
    }
}

/// Why a handshake came to nothing.
enum Failure {
    Silent,
    Broken(Box<ClientInitializeError>),
}

impl Failure {
    fn challenge(&self) -> Option<Challenge> {
        match self {
            Self::Silent => None,
            Self::Broken(error) => Challenge::find(&**error)
                .or_else(|| error.auth_challenge().map(|header| Challenge(header.to_owned()))),
        }
    }

    fn named(self, target: &str, words: &LastWords, setup: &Setup) -> Error {
        let stderr = words.text();
        if let Some(challenge) = self.challenge() {
            return unauthorized(target, challenge, setup);
        }
        match self {
            Self::Silent => Error::Silent {
                target: target.to_owned(),
                patience: setup.patience,
                stderr,
            },
            Self::Broken(error) => Error::from_handshake(target, stderr, &setup.era, *error),
        }
    }
}

fn unauthorized(target: &str, challenge: Challenge, setup: &Setup) -> Error {
    Error::Unauthorized {
        target: target.to_owned(),
        challenge: challenge.0,
        remedy: remedy(setup),
    }
}

/// What to do about a token that is not accepted.
fn remedy(setup: &Setup) -> &'static str {
    if setup.tokens.is_some() {
        "it does not accept the agent's token; tell it the agent's issuer and public keys (--auth-issuer, --auth-keys), and \
         its own URL (--auth-audience)"
    } else if setup.bearer.is_some() {
        "the token given is not accepted; leave --bearer-file out to log in"
    } else {
        "the login gave a token that it does not accept"
    }
}

async fn greet<T, E, A>(
    handler: Handler,
    transport: T,
    setup: &Setup,
) -> Result<RunningService<RoleClient, Handler>, Failure>
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    match tokio::time::timeout(
        setup.patience,
        handler.serve_with_lifecycle(transport, setup.era.lifecycle()),
    )
    .await
    {
        Ok(Ok(service)) => Ok(service),
        Ok(Err(error)) => Err(Failure::Broken(Box::new(error))),
        Err(_elapsed) => Err(Failure::Silent),
    }
}
