//! The doors of the embedded account: the SDK's requests enter here instead of going out, and so do plain HTTP ones.

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

use super::{
    Embedded,
    answer::Answer,
    dispatch::{self, Outcome},
    request::Request,
};

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
        let outcome = read(request).map(|request| dispatch::answer(&self.0, &request));
        match outcome {
            Ok(Outcome::Answered(answer)) => {
                HttpConnectorFuture::ready(respond(answer).map_err(ConnectorError::user))
            }
            Ok(Outcome::Unanswered) => HttpConnectorFuture::new(std::future::pending()),
            Ok(Outcome::Unreachable(region)) => {
                let cause = format!("the embedded account's {region} is unreachable by order");
                HttpConnectorFuture::ready(Err(ConnectorError::io(cause.into())))
            }
            Err(cause) => HttpConnectorFuture::ready(Err(ConnectorError::user(cause))),
        }
    }
}

impl Embedded {
    /// Answers a request of any client that signs for AWS, such as a program whose `AWS_ENDPOINT_URL` leads here. What
    /// is never answered by order waits for ever; a region that is unreachable by order answers 503.
    pub async fn answer(&self, request: http::Request<Vec<u8>>) -> http::Response<Vec<u8>> {
        match dispatch::answer(self, &Request::read(request)) {
            Outcome::Answered(answer) => answer.into(),
            Outcome::Unanswered => std::future::pending().await,
            Outcome::Unreachable(_) => Answer::empty(503).into(),
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn read(request: HttpRequest) -> Result<Request, Cause> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body
        .bytes()
        .ok_or("the embedded account takes no streamed bodies")?
        .to_vec();
    Ok(Request::read(http::Request::from_parts(parts, body)))
}

fn respond(answer: Answer) -> Result<HttpResponse, Cause> {
    let answer: http::Response<Vec<u8>> = answer.into();
    Ok(HttpResponse::try_from(answer.map(SdkBody::from))?)
}
