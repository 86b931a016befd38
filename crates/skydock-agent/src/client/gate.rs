//! The HTTP client under a connection that may come to a login: the plain one until there was one. What keeps a login has
//! HTTP clients of its own, which are half a megabyte, and most servers ask for none.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use reqwest::header::{HeaderName, HeaderValue};
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::{
        AuthClient, AuthorizationManager,
        common::client_side_sse::BoxedSseResponse,
        streamable_http_client::{StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse},
    },
};

use super::http::Client;

type Failure = StreamableHttpError<reqwest::Error>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// The client. Clones share the login.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    plain: Client,
    login: Arc<OnceLock<AuthClient<Client>>>,
}

impl Gate {
    pub(super) fn new(plain: Client) -> Self {
        let login = Arc::default();
        Self { plain, login }
    }

    /// What keeps the login, when there was one.
    pub(super) fn login(&self) -> Option<&AuthClient<Client>> {
        self.login.get()
    }

    /// Has `manager` keep the login, unless another one does already.
    pub(super) fn log_in_with(&self, manager: AuthorizationManager) -> &AuthClient<Client> {
        self.login
            .get_or_init(|| AuthClient::new(self.plain.clone(), manager))
    }
}

/// Asks the client that there is by now.
macro_rules! by {
    ($gate:ident.$method:ident($($argument:ident),*)) => {
        match $gate.login() {
            Some(login) => login.$method($($argument),*).await,
            None => $gate.plain.$method($($argument),*).await,
        }
    };
}

impl StreamableHttpClient for Gate {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        by!(self.post_message(uri, message, session, token, headers))
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        by!(self.post_message_with_max_sse_event_size(uri, message, session, token, headers, limit))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<(), Failure> {
        by!(self.delete_session(uri, session, token, headers))
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<BoxedSseResponse, Failure> {
        by!(self.get_stream(uri, session, last_event, token, headers))
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<BoxedSseResponse, Failure> {
        by!(self.get_stream_with_max_sse_event_size(uri, session, last_event, token, headers, limit))
    }
}
