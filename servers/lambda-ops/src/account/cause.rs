//! What may be kept of an answer that was a refusal: never its body, which can hold values of environment variables.

use std::fmt;

use aws_sdk_lambda::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

/// What the operator's log is told of a call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// The answer's HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// AWS's id of the request.
    pub request_id: Option<String>,
    /// AWS's error code.
    pub code: Option<String>,
    /// AWS's own words.
    pub message: Option<String>,
    /// The SDK's errors, from the outermost in.
    pub chain: String,
}

impl Cause {
    /// Of the SDK's error, whose own `Debug` would print the raw answer.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        Self {
            status: error.raw_response().map(|answer| answer.status().as_u16()),
            request_id: error.request_id().map(str::to_owned),
            code: error.code().map(str::to_owned),
            message: error.message().map(str::to_owned),
            chain: chain(error),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain)?;
        if let Some(status) = self.status {
            write!(f, "; HTTP status {status}")?;
        }
        for (name, value) in [
            ("request id", &self.request_id),
            ("code", &self.code),
            ("message", &self.message),
        ] {
            if let Some(value) = value {
                write!(f, "; {name} {value}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Cause {}

/// An error and its causes as they display themselves, from the outermost in.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
