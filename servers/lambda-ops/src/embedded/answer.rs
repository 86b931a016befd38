//! What the embedded account answers: a status, headers, JSON; and the errors under AWS's names.

use serde_json::{Value, json};

use super::{
    dispatch::caller,
    operation::{Operation, Service},
};

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

    pub(super) fn xml(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/xml".to_owned())],
            body: body.as_bytes().to_vec(),
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

    /// What AWS says of an ARN of another region.
    pub(super) fn out_of_reach(there: &str, here: &str) -> Self {
        Self {
            status: 404,
            code: "ResourceNotFoundException",
            message: format!("Functions from '{there}' are not reachable in this region ('{here}')"),
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

    pub(super) fn denied(operation: Operation) -> Self {
        let action = operation.iam_action().unwrap_or("sts:GetCallerIdentity");
        let message = format!("User: {} is not authorized to perform: {action}", caller());
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

    pub(super) fn looping() -> Self {
        Self {
            status: 400,
            code: "RecursiveInvocationException",
            message: "Lambda detected the function in a recursive loop and stopped its invocation".to_owned(),
        }
    }

    pub(super) fn expired() -> Self {
        Self {
            status: 403,
            code: "ExpiredTokenException",
            message: "The security token included in the request is expired".to_owned(),
        }
    }

    pub(super) fn unsigned() -> Self {
        Self {
            status: 403,
            code: "MissingAuthenticationTokenException",
            message: "Missing Authentication Token".to_owned(),
        }
    }

    pub(super) fn broken() -> Self {
        Self {
            status: 500,
            code: "ServiceException",
            message: "An internal error occurred".to_owned(),
        }
    }

    pub(super) fn not_offered(service: &str, method: &str, path: &str) -> Self {
        let message = format!("the embedded account does not offer the operation {service}{method} {path}");
        Self {
            status: 501,
            code: "NotImplementedException",
            message,
        }
    }
}

impl Refused {
    /// The refusal as `service` writes it.
    pub(super) fn answer(self, service: Service) -> Answer {
        match service {
            Service::Lambda => self.rest(),
            Service::Sts => self.query(),
            Service::Tagging => self.json(),
        }
    }

    fn rest(self) -> Answer {
        let kind = if self.status < 500 { "User" } else { "Service" };
        let mut answer = Answer::json(self.status, &json!({ "Type": kind, "Message": self.message }));
        answer.headers.push(("x-amzn-errortype", self.code.to_owned()));
        answer
    }

    /// STS's form; it has other names for some codes.
    fn query(self) -> Answer {
        let (status, code) = match self.code {
            "TooManyRequestsException" => (400, "Throttling"),
            "AccessDeniedException" => (403, "AccessDenied"),
            "ExpiredTokenException" => (403, "ExpiredToken"),
            "ServiceException" => (500, "InternalFailure"),
            code => (self.status, code),
        };
        let message = self.message;
        Answer::xml(
            status,
            &format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                 <Code>{code}</Code><Message>{message}</Message></Error><RequestId>embedded</RequestId>\
                 </ErrorResponse>"
            ),
        )
    }

    /// The Tagging API's form; it has other names for some codes.
    fn json(self) -> Answer {
        let (status, code) = match self.code {
            "TooManyRequestsException" => (400, "ThrottledException"),
            "ServiceException" => (500, "InternalServiceException"),
            "InvalidParameterValueException" => (400, "InvalidParameterException"),
            code if self.status < 500 => (400, code),
            code => (self.status, code),
        };
        Answer::json(status, &json!({ "__type": code, "message": self.message }))
    }
}

impl From<Answer> for http::Response<Vec<u8>> {
    fn from(answer: Answer) -> Self {
        let mut response = Self::new(answer.body);
        *response.status_mut() =
            http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            // every value was made here, of printable characters
            if let Ok(value) = http::HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
