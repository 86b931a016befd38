//! An answer as a stream: status and headers as JSON, eight zero bytes, and then the body as it comes.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html>

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http::{Response, response};
use http_body::Frame;
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{buffered::joined, cookies};
use crate::{
    runtime::lambda::{client::Report, contract},
    telemetry,
};

/// What stands before the body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prelude<'a> {
    status_code: u16,
    headers: BTreeMap<&'a str, String>,
    cookies: Vec<&'a str>,
}

/// The body of a streamed response. It ends by itself at the deadline; an error or a panic within it ends it too, and
/// is told in trailers, after what was sent already.
///
/// Prelude, delimiter and what comes next are chunks of their own, as `cargo lambda watch` wants them; those that are
/// ready leave in one write all the same.
pub(in super::super) struct Streamed {
    /// What has to be sent before the body, last first.
    opening: Vec<Bytes>,
    body: Option<Body>,
    report: Option<Report>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Streamed {
    /// The stream of a response, until `deadline`.
    ///
    /// # Errors
    /// When the head cannot be written, which is a fault of this library.
    pub(in super::super) fn new(
        response: Response<Body>,
        deadline: Option<Instant>,
    ) -> Result<Self, serde_json::Error> {
        let (parts, body) = response.into_parts();
        Ok(Self {
            opening: vec![Bytes::from_static(&contract::DELIMITER), write(&parts)?],
            body: Some(body),
            report: None,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
        })
    }

    /// The next piece of the body, or why there is none.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)));
            let broke = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => return Poll::Ready(Some(data)),
                    // trailers of HTTP have no place here
                    Err(_trailers) => continue,
                },
                Ok(Poll::Ready(None)) => None,
                Ok(Poll::Ready(Some(Err(error)))) => Some(error.to_string()),
                Err(_panic) => Some("a panic".to_owned()),
            };
            self.body = None;
            if let Some(cause) = broke {
                let reference = telemetry::reference();
                tracing::error!(cause, reference, "an answer broke off");
                self.report = Some(Report {
                    kind: "Skydock.StreamError",
                    message: format!("the answer broke off (reference {reference})"),
                });
            }
        }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.deadline.as_mut();
        self.body.is_some() && deadline.is_some_and(|deadline| deadline.as_mut().poll(context).is_ready())
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // at once, however long the first word takes: the client should know that it is served
        if let Some(piece) = self.opening.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.is_late(context) {
            tracing::info!("a stream was ended because the function's time is over");
            self.body = None;
        }
        self.poll_body(context).map(|data| match data {
            Some(data) => Some(Ok(Frame::data(data))),
            None => {
                let report = self.report.take()?;
                Some(Ok(Frame::trailers(report.to_trailers())))
            }
        })
    }
}

/// Status and headers.
fn write(parts: &response::Parts) -> Result<Bytes, serde_json::Error> {
    let prelude = Prelude {
        status_code: parts.status.as_u16(),
        headers: joined(&parts.headers),
        cookies: cookies(&parts.headers),
    };
    serde_json::to_vec(&prelude).map(Bytes::from)
}
