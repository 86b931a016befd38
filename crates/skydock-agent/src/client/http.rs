//! The HTTP client under the connection: it sends headers and tokens to the server that was named, and to no other.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use reqwest::{
    StatusCode,
    header::{HeaderName, HeaderValue},
    redirect::{Attempt, Policy},
};
use rmcp::{
    model::{ClientJsonRpcMessage, JsonRpcError, JsonRpcMessage},
    transport::{
        common::client_side_sse::BoxedSseResponse,
        streamable_http_client::{StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse},
    },
};

use super::{
    error::{Error, tell},
    tokens::Tokens,
};

/// How many redirects one request may take.
const HOPS: usize = 10;

/// What connections are made with. One for all: each would have the roots of TLS for itself, half a megabyte.
static HTTP: OnceLock<reqwest::Client> = OnceLock::new();

/// A client whose tokens are asked for with each request, when there is a source of them.
pub(super) fn client(tokens: Option<Arc<dyn Tokens>>) -> Result<Client, Error> {
    let http = match HTTP.get() {
        Some(http) => http.clone(),
        None => {
            let made = http().map_err(|error| Error::Http(Box::new(error)))?;
            HTTP.get_or_init(|| made).clone()
        }
    };
    Ok(Client { http, tokens })
}

/// As rmcp's own: follows 307 and 308 on the same origin only, because other redirects lose the body of a POST, and
/// another host must not get the headers.
fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        // an idle connection whose last body was not read to its end costs a delayed ACK (40 ms) on Linux
        .pool_max_idle_per_host(0)
        .redirect(Policy::custom(|attempt| {
            if may_follow(&attempt) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }))
        .build()
}

fn may_follow(attempt: &Attempt<'_>) -> bool {
    let keeps_the_body = matches!(
        attempt.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let same_origin = attempt
        .previous()
        .last()
        .is_some_and(|from| from.origin() == attempt.url().origin());
    keeps_the_body && same_origin && attempt.previous().len() <= HOPS
}

/// reqwest's client, but an error that names no request is the failure of the request that it answers.
///
/// Servers answer so when they did not read the request (413, 503, 408); rmcp finds nobody who waits for such an answer
/// and drops it, and the request would wait for ever.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    tokens: Option<Arc<dyn Tokens>>,
}

type Headers = HashMap<HeaderName, HeaderValue>;
type Failure = StreamableHttpError<reqwest::Error>;

impl Client {
    /// The token that goes with a request: a fresh one, or the one that it has already.
    async fn token(&self, uri: &str, given: Option<String>) -> Result<Option<String>, Failure> {
        let Some(tokens) = &self.tokens else {
            return Ok(given);
        };
        let server = uri.parse().map_err(std::io::Error::other)?;
        match tokens.token(&server).await {
            Ok(token) => Ok(Some(token)),
            Err(error) => {
                // keys and accounts are for the log
                let reference = skydock::reference();
                let cause = tell(&*error);
                tracing::error!(cause, reference, "no token could be had for a server");
                let text = format!("the agent could not sign a token for it (reference {reference})");
                Err(std::io::Error::other(text).into())
            }
        }
    }
}

impl StreamableHttpClient for Client {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let token = self.token(&uri, token).await?;
        let answer = self
            .http
            .post_message(uri, message, session, token, headers)
            .await?;
        attribute(answer)
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
        let token = self.token(&uri, token).await?;
        let answer = self
            .http
            .post_message_with_max_sse_event_size(uri, message, session, token, headers, limit)
            .await?;
        attribute(answer)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<(), Failure> {
        let token = self.token(&uri, token).await?;
        self.http.delete_session(uri, session, token, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<BoxedSseResponse, Failure> {
        let token = self.token(&uri, token).await?;
        self.http
            .get_stream(uri, session, last_event, token, headers)
            .await
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
        let token = self.token(&uri, token).await?;
        self.http
            .get_stream_with_max_sse_event_size(uri, session, last_event, token, headers, limit)
            .await
    }
}

fn attribute(answer: StreamableHttpPostResponse) -> Result<StreamableHttpPostResponse, Failure> {
    match answer {
        StreamableHttpPostResponse::Json(JsonRpcMessage::Error(JsonRpcError { id: None, error, .. }), _) => {
            let text = format!("{} (error {})", error.message, error.code.0);
            Err(StreamableHttpError::UnexpectedServerResponse(text.into()))
        }
        answer => Ok(answer),
    }
}
