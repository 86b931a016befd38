//! Models behind an OpenAI-compatible `/chat/completions`: OpenAI itself, Ollama, llama.cpp, vLLM and others.

mod answer;
mod failure;
mod key;
mod request;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Url, header, redirect::Policy};

pub use self::key::{Key, KeyError};
use super::{Failure, Model, Patience, Pieces, Request};

/// How long it may take until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// The host that wants `max_completion_tokens`, which others do not know, in place of `max_tokens`.
const OPENAI: &str = "api.openai.com";

/// A model behind an OpenAI-compatible API.
#[derive(Debug, Clone)]
pub struct OpenAi {
    model: String,
    url: Url,
    key: Option<Key>,
    client: Client,
    patience: Patience,
}

/// Why a model cannot be asked at an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none.
    #[error("{url:?} is no URL of an API: {reason}; write one such as http://127.0.0.1:11434/v1")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No model is named.
    #[error("no model is named for {url:?}; write its name behind a #, such as {url}#qwen3")]
    NoModel {
        /// What was given.
        url: String,
    },
    /// There can be no HTTP client.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

impl OpenAi {
    /// The model of this name at an API; the URL ends where `/chat/completions` is added, most often in `/v1`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(url: &str, model: impl Into<String>) -> Result<Self, Error> {
        let model = model.into();
        if model.trim().is_empty() {
            return Err(Error::NoModel { url: url.to_owned() });
        }
        let api = endpoint(url).map_err(|reason| Error::Url {
            url: url.to_owned(),
            reason,
        })?;
        let mut client = Client::builder()
            .connect_timeout(CONNECT)
            // the key and what was said go to the host that was named, and to no other
            .redirect(Policy::none());
        if is_loopback(&api) {
            client = client.no_proxy();
        }
        Ok(Self {
            model,
            url: api,
            key: None,
            client: client.build().map_err(Error::Client)?,
            patience: Patience::default(),
        })
    }

    /// The key that is sent with each request (`Authorization: Bearer`).
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Self {
        if self.url.scheme() == "http" && !is_loopback(&self.url) {
            tracing::warn!(url = %self.url, "the model's key is sent without TLS; use https");
        }
        self.key = Some(key);
        self
    }

    /// How long the server may say nothing, in place of 300 s at first and 120 s then.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Patience::same(patience);
        self
    }

    async fn send(&self, body: Vec<u8>) -> Result<reqwest::Response, Failure> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "text/event-stream")
            .body(body);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key.header());
        }
        let sent = tokio::time::timeout(self.patience.first, request.send()).await;
        match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::of_way(&error)),
            Err(_) => Err(failure::silent(self.patience.first)),
        }
    }
}

#[async_trait]
impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.model
    }

    fn provider(&self) -> &'static str {
        "openai"
    }

    async fn ask(&self, request: Request<'_>) -> Result<Pieces, Failure> {
        let completion = self.url.host_str() == Some(OPENAI);
        let body = request::Body::new(&self.model, &request, completion);
        let body = serde_json::to_vec(&body)
            .map_err(|error| Failure::Refused(format!("the request cannot be written: {error}")))?;
        let response = self.send(body).await?;
        if response.status().is_success() {
            answer::pieces(response, self.patience).await
        } else {
            Err(failure::of_status(response, self.key.as_ref(), self.patience.next).await)
        }
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("its scheme is {}, not http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user or password, which belongs into a key".to_owned());
    }
    url.set_fragment(None);
    let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_completions() {
        for (url, expected) in [
            (
                "http://127.0.0.1:11434/v1",
                "http://127.0.0.1:11434/v1/chat/completions",
            ),
            ("http://[::1]:8080", "http://[::1]:8080/chat/completions"),
            (
                "https://x.example/a/v1/?api-version=2",
                "https://x.example/a/v1/chat/completions?api-version=2",
            ),
        ] {
            assert_eq!(OpenAi::new(url, "m").unwrap().url.as_str(), expected);
        }
        for (url, part) in [
            ("127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
            ("ftp://x.example/", "ftp"),
            ("https://a:b@x.example/v1", "password"),
        ] {
            let error = OpenAi::new(url, "m").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(
            OpenAi::new("http://127.0.0.1/v1", " ")
                .unwrap_err()
                .to_string()
                .contains('#')
        );
    }

    #[test]
    fn loopback_is_told_from_the_world() {
        for (url, expected) in [
            ("http://localhost:1/", true),
            ("http://127.0.0.9/", true),
            ("http://[::1]/", true),
            ("http://10.0.0.1/", false),
            ("https://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
