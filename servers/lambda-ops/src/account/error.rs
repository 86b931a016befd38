//! What AWS refused, in the words that help the caller on.

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call to AWS Lambda that did not succeed, after the SDK's own retries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such function, version or alias.
    #[error("there is no function {name:?} in {region}; list-functions has the names")]
    NotFound {
        /// As the caller wrote it.
        name: String,
        /// Where it was looked for.
        region: String,
    },
    /// The account's rate or concurrency is used up.
    #[error("AWS is refusing {operation} at this rate; wait a few seconds and try again")]
    Throttled {
        /// The API's name of the call.
        operation: &'static str,
    },
    /// Another change is under way, or the function is in a state that forbids this.
    #[error("AWS cannot do {operation} now: {message}; get-function shows the state")]
    Conflict {
        /// The API's name of the call.
        operation: &'static str,
        /// AWS's own words.
        message: String,
    },
    /// The revision id does not fit any more.
    #[error(
        "somebody else changed {name:?} since it was read, so nothing was changed; look with get-function and decide anew"
    )]
    Changed {
        /// As the caller wrote it.
        name: String,
    },
    /// AWS does not accept a value.
    #[error("AWS does not accept this for {operation}: {message}")]
    Invalid {
        /// The API's name of the call.
        operation: &'static str,
        /// AWS's own words.
        message: String,
    },
    /// The server's identity lacks a permission. AWS's text names ARNs, so it stays in the log.
    #[error("this server may not call {operation} here; its operator can permit it in IAM")]
    Denied {
        /// The API's name of the call.
        operation: &'static str,
        /// AWS's own words.
        #[source]
        cause: Cause,
    },
    /// The server's credentials are wrong or have expired.
    #[error(
        "the AWS credentials of this server are not valid, or not any more; its operator has to renew them"
    )]
    Credentials(#[source] Cause),
    /// No answer. Whether the call took effect is not known.
    #[error("AWS Lambda in {region} gave no answer to {operation}")]
    Unreachable {
        /// The API's name of the call.
        operation: &'static str,
        /// Where it was sent.
        region: String,
        /// What the SDK says.
        #[source]
        cause: Cause,
    },
    /// An answer we do not know. Whether the call took effect is not known.
    #[error("AWS answered {operation} with {code}")]
    Unexpected {
        /// The API's name of the call.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// What the SDK says.
        #[source]
        cause: Cause,
    },
}

impl Error {
    /// The text for callers. Its cause names principals and hosts, so it goes to the operator's log.
    #[must_use]
    pub fn say(&self) -> String {
        if let Some(cause) = std::error::Error::source(self) {
            tracing::warn!(cause = ?cause, "{self}");
        }
        self.to_string()
    }

    /// True if the call may have taken effect although it did not succeed.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unexpected { .. })
    }

    /// True if the same call may succeed a little later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.is_ambiguous()
            || matches!(
                self,
                Self::Throttled { .. } | Self::Conflict { .. } | Self::Changed { .. }
            )
    }
}

/// What was asked, for the error's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    /// The function, or empty when the call concerns none.
    pub(super) name: &'a str,
    pub(super) region: &'a str,
}

impl Call<'_> {
    /// Turns the SDK's error into ours. The code decides; AWS's text is passed on only where it is about the request.
    pub(super) fn refused<E, R>(self, error: SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let Self { operation, .. } = self;
        let code = error.code().unwrap_or_default().to_owned();
        let message = error.message().unwrap_or("no reason given").to_owned();
        match code.as_str() {
            "ResourceNotFoundException" => Error::NotFound {
                name: self.name.to_owned(),
                region: self.region.to_owned(),
            },
            "TooManyRequestsException" | "ThrottlingException" | "Throttling" | "EC2ThrottledException" => {
                Error::Throttled { operation }
            }
            "ResourceConflictException" | "ResourceNotReadyException" => {
                Error::Conflict { operation, message }
            }
            "PreconditionFailedException" => Error::Changed {
                name: self.name.to_owned(),
            },
            "InvalidParameterValueException"
            | "ValidationException"
            | "InvalidRequestContentException"
            | "RequestTooLargeException"
            | "UnsupportedMediaTypeException" => Error::Invalid { operation, message },
            "AccessDeniedException" | "AccessDenied" => Error::Denied {
                operation,
                cause: error.into(),
            },
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException" => Error::Credentials(error.into()),
            "" => Error::Unreachable {
                operation,
                region: self.region.to_owned(),
                cause: error.into(),
            },
            _ => Error::Unexpected {
                operation,
                code,
                cause: error.into(),
            },
        }
    }
}
