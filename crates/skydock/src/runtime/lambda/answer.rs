//! The answer to one request, whatever becomes of it: the service's own, or one in its place.

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    body::{Body, Bytes},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::time::Instant;
use tower::ServiceExt;

use super::{
    Invocation, contract,
    events::{Arrived, Source},
    message,
    response::{self, Missing},
};
use crate::telemetry;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is known of a request while its answer is waited for.
pub(super) struct Waiting {
    source: Source,
    /// What was asked, for an answer in place of the service's.
    asked: Bytes,
    /// Until when tools may work.
    pub(super) tools_until: Option<Instant>,
    /// Until when there is an answer, and that is later.
    pub(super) until: Option<Instant>,
    takes_events: bool,
}

/// An answer in one piece.
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Waiting {
    pub(super) fn new(invocation: &Invocation, arrived: &Arrived) -> Self {
        let deadline = invocation.deadline();
        let tools_until = deadline.map(|deadline| contract::answer_by(Instant::now(), deadline));
        let until = deadline
            .zip(tools_until)
            .map(|(deadline, tools)| contract::answer_by(tools, deadline));
        let is_message = matches!(arrived.source, Source::Invoke | Source::AgentCore);
        Self {
            source: arrived.source,
            asked: arrived.request.body().clone(),
            tools_until,
            until,
            takes_events: !is_message && message::takes_events(arrived.request.headers()),
        }
    }

    /// The service's response, or one in its place when it panics or takes too long.
    pub(super) async fn respond(&self, router: Router, request: Request<Body>) -> Response<Body> {
        let work = AssertUnwindSafe(router.oneshot(request)).catch_unwind();
        let answer = match in_time(self.until, work).await {
            Some(Ok(Ok(response))) => return response,
            Some(Ok(Err(never))) => match never {},
            Some(Err(_panic)) => self.broken(),
            None => self.late(),
        };
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    /// The whole answer: its body read to the end, within the door's limit and the time.
    pub(super) async fn gather(&self, response: Response<Body>) -> Answer {
        let (parts, body) = response.into_parts();
        let collected = AssertUnwindSafe(response::collect(body, self.source.limit())).catch_unwind();
        let body = match in_time(self.until, collected).await {
            Some(Ok(Ok(body))) => body,
            Some(Ok(Err(Missing::TooLarge))) => return self.too_large(),
            Some(Ok(Err(Missing::Broken)) | Err(_)) => return self.broken(),
            None => return self.late(),
        };
        let mut answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        if !self.takes_events && message::is_events(&answer.headers) {
            let Some(only) = message::answer_of(&answer.body) else {
                return self.broken();
            };
            answer.headers.insert(header::CONTENT_TYPE, JSON);
            answer.body = only;
        }
        answer
    }

    fn too_large(&self) -> Answer {
        let limit = self.source.limit();
        tracing::warn!(
            door = self.source.as_str(),
            limit,
            "an answer was too large to be delivered"
        );
        Answer::json(StatusCode::OK, message::too_large(&self.asked, limit))
    }

    fn late(&self) -> Answer {
        tracing::warn!("no answer within the function's time");
        Answer::json(StatusCode::GATEWAY_TIMEOUT, message::late(&self.asked))
    }

    fn broken(&self) -> Answer {
        let reference = telemetry::reference();
        tracing::error!(reference, "there is no whole answer");
        Answer::json(
            StatusCode::INTERNAL_SERVER_ERROR,
            message::broken(&self.asked, &reference),
        )
    }
}

impl Answer {
    fn json(status: StatusCode, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, JSON);
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// The response for Lambda, or one that says that it is too large for the door.
    ///
    /// # Errors
    /// When it cannot be written, which is a fault of this library.
    pub(super) fn write(&self, waiting: &Waiting) -> Result<Vec<u8>, serde_json::Error> {
        let write =
            |answer: &Self| response::write(waiting.source, answer.status, &answer.headers, &answer.body);
        let written = write(self)?;
        // quotes are escaped, binary is encoded: it has grown
        if written.len() > waiting.source.limit() {
            return write(&waiting.too_large());
        }
        Ok(written)
    }
}

/// What `work` gives until then.
pub(super) async fn in_time<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::routing::any;

    use super::*;

    fn waiting(source: Source, until: Duration) -> Waiting {
        Waiting {
            source,
            asked: Bytes::from_static(br#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{}}"#),
            tools_until: None,
            until: Some(Instant::now() + until),
            takes_events: true,
        }
    }

    #[tokio::test]
    async fn a_panic_and_silence_are_answered_with_the_request_s_id() {
        async fn panics() {
            panic!("secret-4711")
        }
        let router = Router::new()
            .route("/panic", any(panics))
            .route("/silence", any(std::future::pending::<()>));
        for (path, status) in [("/panic", 500), ("/silence", 504)] {
            let waiting = waiting(Source::HttpApi, Duration::from_millis(50));
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = waiting.respond(router.clone(), request).await;
            let answer = waiting.gather(response).await;
            assert_eq!(answer.status, status);
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["id"], 5, "{body}");
            assert!(!body.to_string().contains("4711"));
        }
    }

    #[tokio::test]
    async fn a_body_without_an_end_and_one_that_grows_too_large_are_answered() {
        let waiting = waiting(Source::LoadBalancer { multi: false }, Duration::from_millis(50));
        let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(waiting.gather(Response::new(endless)).await.status, 504);
        let repeated =
            futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4_096])));
        let answer = waiting.gather(Response::new(Body::from_stream(repeated))).await;
        assert!(
            answer.body.starts_with(br#"{"jsonrpc":"2.0","id":5,"result""#),
            "{:?}",
            answer.body
        );
        // within the limit until its quotes are escaped
        let quotes = Answer::json(StatusCode::OK, vec![b'"'; 900_000]);
        assert!(quotes.write(&waiting).unwrap().len() < 1_000);
    }
}
