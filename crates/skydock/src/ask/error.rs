//! Why a question was not answered.

use std::time::Duration;

use rmcp::{ErrorData, ServiceError, model::ClientCapabilities};

/// What a client must be able to do to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// Show a form to the user (`elicitation`, form mode).
    Form,
    /// Send the user to a URL (`elicitation`, URL mode).
    Url,
    /// Lend its model (`sampling`).
    Sampling,
    /// Tell the folders that the user works in (`roots`).
    Roots,
}

impl Capability {
    const fn name(self) -> &'static str {
        match self {
            Self::Form => "elicitation",
            Self::Url => "elicitation by URL",
            Self::Sampling => "sampling",
            Self::Roots => "roots",
        }
    }

    fn required(self) -> ClientCapabilities {
        let builder = ClientCapabilities::builder();
        match self {
            Self::Form | Self::Url => builder.enable_elicitation().build(),
            #[expect(deprecated, reason = "deprecated by SEP-2577 and still part of the protocol")]
            Self::Sampling => builder.enable_sampling().build(),
            #[expect(deprecated, reason = "deprecated by SEP-2577 and still part of the protocol")]
            Self::Roots => builder.enable_roots().build(),
        }
    }
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client did not declare that it can be asked this.
    #[error("the client does not support {}, which this request needs", .0.name())]
    Unsupported(Capability),
    /// The client is of 2025-11-25 or older and has no session in which it could be asked.
    #[error(
        "this server keeps no sessions, so a client before 2026-07-28 cannot be asked ({}); give the missing \
         values as arguments, or use a server in stateful mode",
        .0.name()
    )]
    Nobody(Capability),
    /// The user did not answer in time.
    #[error("the user did not answer within {} s", .0.as_secs())]
    Unanswered(Duration),
    /// The answer does not fit the question.
    #[error("the answer does not fit the question")]
    Misfit(#[source] serde_json::Error),
    /// The form cannot be shown: its type is not an object of plain fields.
    #[error("the question is not a form that a client can show")]
    Form(#[source] serde_json::Error),
    /// The request ended before there was an answer.
    #[error("the request ended before the question was answered")]
    Ended,
    /// The client refused, or went away.
    #[error("the client refused to be asked")]
    Refused(#[source] ServiceError),
}

impl From<Error> for ErrorData {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unsupported(capability) => {
                let mut data = Self::missing_required_client_capability(capability.required());
                data.message = error.to_string().into();
                data
            }
            Error::Nobody(_) | Error::Unanswered(_) | Error::Misfit(_) | Error::Ended | Error::Refused(_) => {
                Self::invalid_request(error.to_string(), None)
            }
            Error::Form(_) => Self::internal_error(error.to_string(), None),
        }
    }
}
