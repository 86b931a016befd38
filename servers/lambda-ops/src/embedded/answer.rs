//! What the embedded account answers: a status, headers, JSON; and the errors under AWS's names.

use serde_json::{Value, json};

/// An HTTP answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// A refusal, with AWS's code and words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refused {
    pub(super) fn not_found(what: &str) -> Self {
        let message = format!("{what} not found");
        Self {
            status: 404,
            code: "ResourceNotFoundException",
            message,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "InvalidParameterValueException",
            message: message.into(),
        }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "InvalidRequestContentException",
            message: message.into(),
        }
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self {
            status: 409,
            code: "ResourceConflictException",
            message: message.into(),
        }
    }

    pub(super) fn in_progress(arn: &str) -> Self {
        Self::conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
        ))
    }

    pub(super) fn outdated() -> Self {
        let message =
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias \
                       API to retrieve the latest Revision Id"
                .to_owned();
        Self {
            status: 412,
            code: "PreconditionFailedException",
            message,
        }
    }

    pub(super) fn throttled() -> Self {
        Self {
            status: 429,
            code: "TooManyRequestsException",
            message: "Rate exceeded".to_owned(),
        }
    }

    pub(super) fn denied(operation: &str) -> Self {
        let message = format!("User is not authorized to perform: lambda:{operation}");
        Self {
            status: 403,
            code: "AccessDeniedException",
            message,
        }
    }

    pub(super) fn key_denied() -> Self {
        Self {
            status: 502,
            code: "KMSAccessDeniedException",
            message: "Lambda was unable to decrypt the environment variables because KMS access was denied"
                .to_owned(),
        }
    }

    pub(super) fn service() -> Self {
        Self {
            status: 500,
            code: "ServiceException",
            message: "An internal error occurred".to_owned(),
        }
    }

    pub(super) fn not_offered(method: &str, path: &str) -> Self {
        let message = format!("the embedded account does not offer the operation {method} {path}");
        Self {
            status: 501,
            code: "NotImplementedException",
            message,
        }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let kind = if refused.status < 500 { "User" } else { "Service" };
        let mut answer = Self::json(
            refused.status,
            &json!({ "Type": kind, "Message": refused.message }),
        );
        answer.headers.push(("x-amzn-errortype", refused.code.to_owned()));
        answer
    }
}
