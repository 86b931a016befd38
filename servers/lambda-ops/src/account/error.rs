//! What AWS refused, in the words that help the caller on.

use aws_sdk_lambda::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::{
    FunctionName,
    cause::{Cause, chain},
};

/// A call to AWS Lambda that did not succeed, after the SDK's own retries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such function, version or alias. AWS does not say which of them is missing.
    #[error("{}", missing(.name, .qualifier.as_deref(), .region))]
    NotFound {
        /// As the caller wrote it, without a version or alias.
        name: String,
        /// The version or alias that was asked for, `$LATEST` apart.
        qualifier: Option<String>,
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
        cause: Box<Cause>,
    },
    /// The server's credentials are wrong or have expired.
    #[error(
        "the AWS credentials of this server are not valid, or not any more; its operator has to renew them"
    )]
    Credentials(#[source] Box<Cause>),
    /// No answer. Whether the call took effect is not known.
    #[error("AWS Lambda in {region} gave no answer to {operation}")]
    Unreachable {
        /// The API's name of the call.
        operation: &'static str,
        /// Where it was sent.
        region: String,
        /// What the SDK says.
        #[source]
        cause: Box<Cause>,
    },
    /// An answer that is not what the API promises. Whether the call took effect is not known.
    #[error("AWS's answer to {operation} could not be read")]
    Unreadable {
        /// The API's name of the call.
        operation: &'static str,
        /// What the SDK says.
        #[source]
        cause: Box<Cause>,
    },
    /// AWS could not start the function, so none of its code was run. AWS's text names ARNs, so it stays in the log.
    #[error(
        "AWS could not start the function ({code}), so its code was not run; get-function shows its state, and its \
         owner or the operator of this server can mend its configuration"
    )]
    NotStarted {
        /// AWS's error code.
        code: String,
        /// What the SDK says.
        #[source]
        cause: Box<Cause>,
    },
    /// AWS stopped a loop of functions and services that call each other, before this run of the function's code.
    #[error(
        "AWS found the function in a recursive loop with other AWS resources and stopped this run before its code; do \
         not repeat it: its owner has to break the loop"
    )]
    Recursive(#[source] Box<Cause>),
    /// An answer we do not know. Whether the call took effect is not known.
    #[error("AWS answered {operation} with {code}")]
    Unexpected {
        /// The API's name of the call.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// What the SDK says.
        #[source]
        cause: Box<Cause>,
    },
}

fn missing(name: &str, qualifier: Option<&str>, region: &str) -> String {
    match qualifier {
        None => format!("there is no function {name:?} in {region}; list-functions has the names"),
        Some(qualifier) => format!(
            "there is no function {name:?} with a version or alias {qualifier:?} in {region}; get-function with the name \
             alone lists the versions and aliases, and list-functions has the names"
        ),
    }
}

impl Error {
    /// The text for callers. Its cause names principals and hosts, so it goes to the operator's log.
    #[must_use]
    pub fn say(&self) -> String {
        if let Some(cause) = std::error::Error::source(self) {
            tracing::warn!(cause = chain(cause), "{self}");
        }
        self.to_string()
    }

    /// True if the call may have taken effect although it did not succeed.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Unreadable { .. } | Self::Unexpected { .. }
        )
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

/// Refusals of `Invoke` that come before the function's code runs (API reference, `Invoke`). What may come from the
/// code itself (`SnapStart*` but NotReady, `EFSIOException`, `ServiceException`) is not among them.
const BEFORE_THE_CODE: [&str; 26] = [
    "CodeArtifactUserDeletedException",
    "CodeArtifactUserFailedException",
    "CodeArtifactUserPendingException",
    "EC2AccessDeniedException",
    "EC2UnexpectedException",
    "EFSMountConnectivityException",
    "EFSMountFailureException",
    "EFSMountTimeoutException",
    "ENILimitReachedException",
    "ENINotReadyException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "ModeNotSupportedException",
    "NoPublishedVersionException",
    "S3FilesMountConnectivityException",
    "S3FilesMountFailureException",
    "S3FilesMountTimeoutException",
    "ServiceQuotaExceededException",
    "SnapStartNotReadyException",
    "SubnetIPAddressLimitReachedException",
];

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
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is what `map_err` gives; its raw answer must not live on"
    )]
    pub(super) fn refused<E>(self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let Self { operation, .. } = self;
        let cause = Box::new(Cause::of(&error));
        let code = error.code().unwrap_or_default().to_owned();
        let message = error.message().unwrap_or("no reason given").to_owned();
        match code.as_str() {
            "ResourceNotFoundException" => self.not_found(),
            "TooManyRequestsException"
            | "ThrottlingException"
            | "ThrottledException"
            | "Throttling"
            | "EC2ThrottledException" => Error::Throttled { operation },
            "ResourceConflictException" | "ResourceNotReadyException" => {
                Error::Conflict { operation, message }
            }
            "PreconditionFailedException" => Error::Changed {
                name: self.name.to_owned(),
            },
            "InvalidParameterValueException"
            | "InvalidParameterException"
            | "ValidationException"
            | "InvalidRequestContentException"
            | "RequestTooLargeException"
            | "SerializedRequestEntityTooLargeException"
            | "UnsupportedMediaTypeException" => Error::Invalid { operation, message },
            "AccessDeniedException" | "AccessDenied" => Error::Denied { operation, cause },
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException" => Error::Credentials(cause),
            "RecursiveInvocationException" => Error::Recursive(cause),
            code if BEFORE_THE_CODE.contains(&code) => Error::NotStarted {
                code: code.to_owned(),
                cause,
            },
            "" if cause.status.is_some() => Error::Unreadable { operation, cause },
            "" => Error::Unreachable {
                operation,
                region: self.region.to_owned(),
                cause,
            },
            _ => Error::Unexpected {
                operation,
                code,
                cause,
            },
        }
    }

    fn not_found(self) -> Error {
        let (name, qualifier) = match FunctionName::parse(self.name) {
            Ok(named) => {
                let qualifier = named.qualifier().filter(|qualifier| *qualifier != "$LATEST");
                (named.whole().to_string(), qualifier.map(str::to_owned))
            }
            // a layer, or nothing at all
            Err(_) => (self.name.to_owned(), None),
        };
        Error::NotFound {
            name,
            qualifier,
            region: self.region.to_owned(),
        }
    }
}
