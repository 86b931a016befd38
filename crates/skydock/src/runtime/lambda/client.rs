//! A client of Lambda's runtime API: what is to be done, and what became of it.
//!
//! One connection, one request at a time, no pool: that is all that a poller needs. `TCP_NODELAY` is set, because a
//! streamed response is several small writes, each of which would wait for the other side's delayed ACK.

use std::{net::SocketAddr, str::FromStr};

use axum::body::{Body, Bytes};
use base64::Engine as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{contract, invocation::Invocation};
use crate::error::Faults;

/// Where the runtime API is: `AWS_LAMBDA_RUNTIME_API`, a host and a port, and with some emulators a scheme and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Api {
    authority: http::uri::Authority,
    base: String,
}

impl Api {
    /// What a configuration says.
    ///
    /// # Errors
    /// When it is no host and port.
    pub(crate) fn read(text: &str) -> Result<Self, Faults> {
        text.parse().map_err(|_error| {
            Faults::one(
                "--lambda-runtime-api (AWS_LAMBDA_RUNTIME_API)",
                text,
                "write a host and a port such as 127.0.0.1:9001",
            )
        })
    }
}

impl FromStr for Api {
    type Err = http::uri::InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        let base = base.trim_end_matches('/');
        let base = if base.is_empty() {
            String::new()
        } else {
            format!("/{base}")
        };
        // the path has to make a URI too
        http::uri::PathAndQuery::from_str(&format!("{base}/"))?;
        Ok(Self {
            authority: authority.parse()?,
            base,
        })
    }
}

/// Why the runtime API could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke")]
    Broke(#[from] hyper::Error),
    #[error("{path} was refused with {status}")]
    Refused { path: &'static str, status: StatusCode },
    #[error("the answer of {0} has no id")]
    NoId(&'static str),
    #[error("cannot make a request")]
    Request(#[from] http::Error),
}

/// An error that is reported instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Report {
    /// As the runtime API takes it, in a body or, encoded, in a trailer.
    fn to_json(&self) -> String {
        json!({"errorType": self.kind, "errorMessage": self.message, "stackTrace": []}).to_string()
    }

    /// As trailers, which say that a stream ended too early.
    pub(super) fn to_trailers(&self) -> HeaderMap {
        let body = base64::engine::general_purpose::STANDARD.encode(self.to_json());
        let mut trailers = HeaderMap::new();
        trailers.insert(contract::header::ERROR_TYPE, HeaderValue::from_static(self.kind));
        if let Ok(body) = HeaderValue::try_from(body) {
            trailers.insert(contract::header::ERROR_BODY, body);
        }
        trailers
    }
}

/// What speaks to the runtime API. Its connection is kept only when a request went well; it is closed when one fails
/// or is given up.
pub(super) struct Client {
    api: Api,
    kept: Option<Connection>,
}

/// An open connection. What drives it ends with it.
struct Connection {
    sender: http1::SendRequest<Body>,
    _driver: JoinSet<()>,
}

impl Client {
    pub(super) const fn new(api: Api) -> Self {
        Self { api, kept: None }
    }

    /// Opens a connection for the next request. An error comes with that request.
    pub(super) async fn connect_ahead(&mut self) {
        self.kept = self.connect().await.ok();
    }

    /// Waits for the next invocation, however long that takes, and gives it with its event; nothing when `stop` is
    /// cancelled first. Once its head has come it is ours, and `stop` does not end the wait for the rest.
    pub(super) async fn next(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<(Invocation, Bytes)>, Failure> {
        let path = "/invocation/next";
        let request = self.request(Method::GET, &format!("{}{path}", contract::RUNTIME));
        let request = request.body(Body::empty())?;
        let (response, connection) = tokio::select! {
            biased;
            sent = self.send(request) => sent?,
            () = stop.cancelled() => return Ok(None),
        };
        let (parts, body) = response.into_parts();
        let event = body.collect().await?.to_bytes();
        if parts.status != StatusCode::OK {
            return Err(Failure::Refused {
                path,
                status: parts.status,
            });
        }
        let invocation = Invocation::read(&parts.headers).ok_or(Failure::NoId(path))?;
        self.kept = Some(connection);
        Ok(Some((invocation, event)))
    }

    /// Answers in one piece. Sent a second time when the connection broke under it: Lambda takes one of the two.
    pub(super) async fn respond(&mut self, invocation: &Invocation, answer: Vec<u8>) -> Result<(), Failure> {
        let answer = Bytes::from(answer);
        let mut retried = false;
        loop {
            let request = self.answering(invocation, "response");
            let request = request.header(header::CONTENT_TYPE, "application/json");
            match self
                .deliver("/response", request.body(Body::from(answer.clone()))?)
                .await
            {
                Err(Failure::Broke(error)) if !retried => {
                    tracing::debug!(%error, "answering again");
                    retried = true;
                }
                ended => return ended,
            }
        }
    }

    /// Answers piece by piece, as `body` comes. Its trailers may say that it ended too early.
    pub(super) async fn stream(&mut self, invocation: &Invocation, body: Body) -> Result<(), Failure> {
        let request = self
            .answering(invocation, "response")
            .header(header::CONTENT_TYPE, contract::INTEGRATION)
            .header(header::TRANSFER_ENCODING, "chunked")
            .header(contract::header::RESPONSE_MODE, "streaming")
            .header(header::TRAILER, contract::header::ERROR_TYPE)
            .header(header::TRAILER, contract::header::ERROR_BODY);
        self.deliver("/response", request.body(body)?).await
    }

    /// Says that there is no answer, and why.
    pub(super) async fn fail(&mut self, invocation: &Invocation, report: &Report) -> Result<(), Failure> {
        let request = self.answering(invocation, "error");
        self.report("/error", request, report).await
    }

    /// Says that the environment cannot be used, and why.
    pub(super) async fn fail_to_start(&mut self, report: &Report) -> Result<(), Failure> {
        let request = self.request(Method::POST, &format!("{}/init/error", contract::RUNTIME));
        self.report("/init/error", request, report).await
    }

    /// Registers an internal extension that wants no events, and gives its id.
    pub(super) async fn register(&mut self, name: &'static str) -> Result<HeaderValue, Failure> {
        let path = "/extension/register";
        let request = self.request(Method::POST, &format!("{}/register", contract::EXTENSION));
        let request = request
            .header(contract::header::EXTENSION_NAME, name)
            .header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(r#"{"events":[]}"#))?;
        let (response, connection) = self.send(request).await?;
        let (parts, body) = response.into_parts();
        body.collect().await?;
        if parts.status != StatusCode::OK {
            return Err(Failure::Refused {
                path,
                status: parts.status,
            });
        }
        let id = parts.headers.get(contract::header::EXTENSION_ID).cloned();
        self.kept = Some(connection);
        id.ok_or(Failure::NoId(path))
    }

    /// Waits for an event of the extension, which never comes: to wait is what tells Lambda that it is ready.
    pub(super) async fn next_event(&mut self, id: HeaderValue) -> Result<(), Failure> {
        let request = self.request(Method::GET, &format!("{}/event/next", contract::EXTENSION));
        let request = request.header(contract::header::EXTENSION_ID, id);
        self.deliver("/event/next", request.body(Body::empty())?).await
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api.base))
            .header(header::HOST, self.api.authority.as_str())
            .header(header::USER_AGENT, concat!("skydock/", env!("CARGO_PKG_VERSION")))
    }

    fn answering(&self, invocation: &Invocation, what: &str) -> http::request::Builder {
        let path = format!(
            "{}/invocation/{}/{what}",
            contract::RUNTIME,
            invocation.request_id
        );
        let request = self.request(Method::POST, &path);
        match &invocation.invocation_id {
            Some(id) => request.header(contract::header::INVOCATION_ID, id),
            None => request,
        }
    }

    async fn report(
        &mut self,
        path: &'static str,
        request: http::request::Builder,
        report: &Report,
    ) -> Result<(), Failure> {
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(contract::header::ERROR_TYPE, report.kind);
        self.deliver(path, request.body(Body::from(report.to_json()))?)
            .await
    }

    /// Sends a request whose answer says no more than whether it was taken.
    async fn deliver(&mut self, path: &'static str, request: Request<Body>) -> Result<(), Failure> {
        let (response, connection) = self.send(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        if status.is_success() {
            self.kept = Some(connection);
            Ok(())
        } else {
            Err(Failure::Refused { path, status })
        }
    }

    /// Sends a request, and gives the head of its response with the connection, to be kept when the rest has come.
    async fn send(&mut self, request: Request<Body>) -> Result<(Response<Incoming>, Connection), Failure> {
        let mut kept = self.kept.take();
        if let Some(connection) = &mut kept
            && connection.sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.sender.send_request(request).await?;
        Ok((response, connection))
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let host = self.api.authority.host().trim_matches(['[', ']']);
        let port = self.api.authority.port_u16().unwrap_or(80);
        // an address needs no resolver, which would cost a thread
        let stream = match host.parse() {
            Ok(address) => TcpStream::connect(SocketAddr::new(address, port)).await,
            Err(_name) => TcpStream::connect((host, port)).await,
        };
        let stream = stream.map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the runtime API ended early");
            }
        });
        sender.ready().await?;
        Ok(Connection {
            sender,
            _driver: driver,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_have_a_scheme_and_a_path() {
        for (text, authority, base) in [
            ("127.0.0.1:9001", "127.0.0.1:9001", ""),
            ("http://[::]:9000/.rt/shop", "[::]:9000", "/.rt/shop"),
            ("localhost:9001/", "localhost:9001", ""),
        ] {
            let api: Api = text.parse().unwrap();
            assert_eq!(
                (api.authority.as_str(), api.base.as_str()),
                (authority, base),
                "{text}"
            );
        }
        for wrong in ["", "a b", "/path", "x:1/a b"] {
            assert!(wrong.parse::<Api>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_report_is_the_same_in_a_body_and_in_a_trailer() {
        let report = Report {
            kind: "Skydock.Late",
            message: "no \"answer\"".to_owned(),
        };
        let trailers = report.to_trailers();
        assert_eq!(trailers[contract::header::ERROR_TYPE], "Skydock.Late");
        let body = base64::engine::general_purpose::STANDARD
            .decode(&trailers[contract::header::ERROR_BODY])
            .unwrap();
        assert_eq!(body, report.to_json().into_bytes());
    }
}
