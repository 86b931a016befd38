//! OAuth by challenge: a 401 or 403 says where to log in and for which scopes (MCP authorization, RFC 9728, RFC 8414, RFC 7636).

use std::{error::Error as StdError, mem, sync::Arc};

use reqwest::Url;
use rmcp::{
    ServiceError,
    transport::{
        AuthorizationManager,
        auth::{
            AuthError, AuthorizationCallback, AuthorizationMetadata, AuthorizationRequest,
            AuthorizationSession, ClientCredentialsConfig, WWWAuthenticateParams,
        },
        streamable_http_client::{AuthRequiredError, InsufficientScopeError},
    },
};

use super::{
    error::{Error, chain},
    gate::Gate,
    http::Client,
    user::Browser,
};

/// How this client is known to authorization servers. Without anything it registers itself (RFC 7591).
#[derive(Clone, Default)]
pub struct Registration {
    /// A client id that was issued beforehand, with its secret if it has one.
    pub client: Option<(String, Option<String>)>,
    /// Whether the id and its secret alone are to get the token (OAuth client credentials), without a person.
    pub machine: bool,
    /// The URL of a Client ID Metadata Document, used where the server supports it.
    pub metadata_url: Option<String>,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("client_id", &self.client.as_ref().map(|(id, _)| id))
            .field("metadata_url", &self.metadata_url)
            .finish_non_exhaustive()
    }
}

/// The `WWW-Authenticate` header of a refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge(pub(super) String);

impl Challenge {
    /// Finds the challenge that a request failed at.
    pub(super) fn of_request(error: &ServiceError) -> Option<Self> {
        // rmcp does not link this cause into the chain
        match error {
            ServiceError::TransportSend(cause) => Self::find(cause.error.as_ref()),
            error => Self::find(error),
        }
    }

    /// Finds the challenge among the causes of an error.
    pub(super) fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        chain(error).find_map(|cause| {
            let unauthorized = cause.downcast_ref::<AuthRequiredError>();
            let forbidden = cause.downcast_ref::<InsufficientScopeError>();
            unauthorized
                .map(|error| &error.www_authenticate_header)
                .or(forbidden.map(|error| &error.www_authenticate_header))
                .map(|header| Self(header.clone()))
        })
    }
}

/// The login at one endpoint: it keeps the token, and gets a better one when the server asks for it.
pub(super) struct Login {
    endpoint: Url,
    registration: Registration,
    browser: Arc<dyn Browser>,
    http: Gate,
}

impl Login {
    pub(super) fn new(
        endpoint: Url,
        http: Client,
        registration: Registration,
        browser: Arc<dyn Browser>,
    ) -> Self {
        Self {
            endpoint,
            registration,
            browser,
            http: Gate::new(http),
        }
    }

    /// The HTTP client that sends the token.
    pub(super) fn http(&self) -> Gate {
        self.http.clone()
    }

    /// Does what the challenge asks for: a first login, a login elsewhere, or more scopes.
    pub(super) async fn answer(&self, challenge: &Challenge) -> Result<(), Error> {
        let params = WWWAuthenticateParams::parse(&challenge.0, &self.endpoint);
        let login = match self.http.login() {
            Some(login) => login,
            None => self.http.log_in_with(manager(&self.endpoint).await?),
        };
        let mut slot = login.auth_manager.lock().await;
        let known = slot.get_credentials().await.is_ok();
        match params
            .scope
            .filter(|_| known && params.error.as_deref() == Some("insufficient_scope"))
        {
            Some(scope) => self.widen(&slot, &scope).await,
            None => self.log_in(&mut slot, &challenge.0, known).await,
        }
    }

    /// Asks the same authorization server for more scopes, with the client id it already knows.
    async fn widen(&self, manager: &AuthorizationManager, scope: &str) -> Result<(), Error> {
        let page = manager
            .request_scope_upgrade(scope)
            .await
            .map_err(|source| self.failed(source))?;
        let back = self.visit(&page).await?;
        let callback =
            AuthorizationCallback::from_redirect_url(back.as_str()).map_err(|source| self.failed(source))?;
        manager
            .exchange_code_for_token_with_issuer(
                &callback.code,
                &callback.csrf_token,
                callback.issuer.as_deref(),
            )
            .await
            .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Discovers the authorization server, registers with it, and gets a token.
    async fn log_in(
        &self,
        slot: &mut AuthorizationManager,
        challenge: &str,
        known: bool,
    ) -> Result<(), Error> {
        let resolution = slot
            .resolve_metadata_from_challenge(Some(challenge))
            .await
            .map_err(|source| self.failed(source))?;
        if self.registration.machine {
            slot.set_metadata(resolution.metadata);
            return self.identify(slot).await.map_err(|source| self.failed(source));
        }
        require_pkce(&resolution.metadata).map_err(|source| self.failed(source))?;
        slot.set_metadata(resolution.metadata);
        let request = self.request(challenge, known);
        // a session owns its manager, so an empty one keeps the place while somebody is at the browser
        let manager = mem::replace(slot, manager(&self.endpoint).await?);
        let session = match AuthorizationSession::new(manager, request).await {
            Ok(session) => session,
            Err((manager, source)) => {
                *slot = manager;
                return Err(self.failed(source));
            }
        };
        let outcome = async {
            let back = self.visit(session.get_authorization_url()).await?;
            session
                .handle_callback_url(back.as_str())
                .await
                .map_err(|source| self.failed(source))
        }
        .await;
        *slot = session.auth_manager;
        outcome.map(drop)
    }

    /// Gets a token for this client itself (RFC 6749 §4.4).
    async fn identify(&self, manager: &mut AuthorizationManager) -> Result<(), AuthError> {
        let Some((client_id, Some(client_secret))) = self.registration.client.clone() else {
            return Err(AuthError::AuthorizationRequired);
        };
        let scopes = manager.select_initial_scopes(&[]).await;
        let resource = Some(self.endpoint.to_string());
        let config = ClientCredentialsConfig::ClientSecret {
            client_id,
            client_secret,
            scopes,
            resource,
        };
        manager.validate_client_credentials_metadata(&config)?;
        manager.configure_client_credentials(&config)?;
        manager.exchange_client_credentials(&config).await.map(drop)
    }

    fn request(&self, challenge: &str, known: bool) -> AuthorizationRequest {
        let mut request = AuthorizationRequest::new(self.browser.redirect_uri())
            .with_client_name("Skydock")
            .with_application_type("native")
            .with_challenge(challenge);
        if !known {
            request = request.with_initial_scope_selection();
        }
        if let Some((id, secret)) = &self.registration.client {
            request = request.with_preregistered_client(id);
            if let Some(secret) = secret {
                request = request.with_client_secret(secret);
            }
        }
        if let Some(url) = &self.registration.metadata_url {
            request = request.with_client_metadata_url(url);
        }
        request
    }

    async fn visit(&self, page: &str) -> Result<Url, Error> {
        let page = Url::parse(page).map_err(|source| self.failed(AuthError::UrlError(source)))?;
        let back = self.browser.visit(&page).await?;
        let value = |name: &str| {
            back.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        match value("error") {
            None => Ok(back),
            Some(code) => Err(Error::LoginRefused {
                code,
                description: value("error_description")
                    .map(|text| format!(": {text}"))
                    .unwrap_or_default(),
            }),
        }
    }

    fn failed(&self, source: AuthError) -> Error {
        Error::Login {
            target: self.endpoint.to_string(),
            source: Box::new(source),
        }
    }
}

async fn manager(endpoint: &Url) -> Result<AuthorizationManager, Error> {
    AuthorizationManager::new(endpoint.clone())
        .await
        .map_err(|source| Error::Login {
            target: endpoint.to_string(),
            source: Box::new(source),
        })
}

/// Authorization servers that publish their PKCE methods must offer S256 (OAuth 2.1 §7.5.2).
fn require_pkce(metadata: &AuthorizationMetadata) -> Result<(), AuthError> {
    match &metadata.code_challenge_methods_supported {
        Some(methods) if !methods.iter().any(|method| method == "S256") => Err(AuthError::PkceUnsupported),
        _ => Ok(()),
    }
}
