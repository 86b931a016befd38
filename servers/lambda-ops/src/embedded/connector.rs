//! Where the SDK's requests enter the embedded account instead of going out over the network.

use std::collections::BTreeMap;

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use reqwest::Url;

use super::{Embedded, answer::Answer, operations};

/// A request to the account, taken apart.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// The parts of the path, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// The SDK's way into the account.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Embedded);

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answered = read(&request).map(|request| operations::answer(&self.0, &request));
        match answered.transpose() {
            Some(answered) => {
                HttpConnectorFuture::ready(answered.and_then(respond).map_err(ConnectorError::user))
            }
            None => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn read(request: &HttpRequest) -> Result<Request, Cause> {
    let url = Url::parse(request.uri())?;
    let body = request
        .body()
        .bytes()
        .ok_or("the embedded account takes no streamed bodies")?;
    let header = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.to_owned());
    Ok(Request {
        method: request.method().to_owned(),
        path: url
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decoded)
            .collect(),
        query: url.query_pairs().into_owned().collect(),
        headers: request.headers().iter().map(header).collect(),
        body: body.to_vec(),
    })
}

fn respond(answer: Answer) -> Result<HttpResponse, Cause> {
    let mut response = HttpResponse::new(StatusCode::try_from(answer.status)?, SdkBody::from(answer.body));
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Undoes percent-encoding in one part of a path (RFC 3986, 2.1). What is no encoding stays as it is.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some(byte) = rest.bytes().next() {
        let code = rest
            .get(1..3)
            .filter(|_| byte == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(byte));
        // A byte that is no encoding may begin a longer character: those are copied byte by byte.
        let step = if code.is_some() {
            3
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        if code.is_none() && step > 1 {
            bytes.pop();
            bytes.extend_from_slice(rest.get(..step).unwrap_or_default().as_bytes());
        }
        rest = rest.get(step..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_in_a_path_is_decoded() {
        assert_eq!(decoded("arn%3Aaws%3Alambda"), "arn:aws:lambda");
        assert_eq!(decoded("100%-käse%2"), "100%-käse%2");
    }
}
