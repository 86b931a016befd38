//! Why Bedrock did not answer, and what helps.

use std::{error::Error, fmt::Debug, time::Duration};

use aws_sdk_bedrockruntime::{
    error::{BuildError, ProvideErrorMetadata, SdkError},
    types::error::ConverseStreamOutputError,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::event_stream::RawMessage;

use super::super::{Failure, overflow, short};
use crate::client::tell;

/// What was asked, for the words of a failure.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) region: String,
}

/// A request that the SDK does not take: our fault.
pub(super) fn own(error: &BuildError) -> Failure {
    Failure::Refused(format!("the request could not be built: {}", tell(error)))
}

/// Waits so long and no longer.
pub(super) async fn patiently<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    let done = tokio::time::timeout(time, work).await;
    done.map_err(|_elapsed| Failure::Unavailable(format!("Amazon Bedrock said nothing for {time:?}")))
}

/// It did not begin to answer.
pub(super) fn of_answer<E>(error: SdkError<E, HttpResponse>, asked: &Asked) -> Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let response = error.raw_response();
    let status = response.map(|response| response.status().as_u16());
    let after = response
        .and_then(|response| response.headers().get("retry-after")?.parse().ok())
        .map(Duration::from_secs);
    match error {
        SdkError::ServiceError(error) => {
            let error = error.err();
            let code = error.code().unwrap_or_default();
            of_service(code, &told(error), status, after, asked)
        }
        error => of_way(error, status, asked),
    }
}

/// It broke off.
pub(super) fn of_stream(error: SdkError<ConverseStreamOutputError, RawMessage>, asked: &Asked) -> Failure {
    match error {
        SdkError::ServiceError(error) => {
            let error = error.err();
            of_service(code(error), &told(error), None, None, asked)
        }
        // HTTP said 200, so what is wrong now is wrong on the way
        error => Failure::Unavailable(format!("the answer was cut off: {}", short(&tell(&error)))),
    }
}

/// The SDK leaves the code of an error in a stream in the name of its variant.
fn code(error: &ConverseStreamOutputError) -> &str {
    match error {
        ConverseStreamOutputError::InternalServerException(_) => "InternalServerException",
        ConverseStreamOutputError::ModelStreamErrorException(_) => "ModelStreamErrorException",
        ConverseStreamOutputError::ValidationException(_) => "ValidationException",
        ConverseStreamOutputError::ThrottlingException(_) => "ThrottlingException",
        ConverseStreamOutputError::ServiceUnavailableException(_) => "ServiceUnavailableException",
        error => error.code().unwrap_or_default(),
    }
}

/// What the service says.
fn told(error: &(impl ProvideErrorMetadata + Error + 'static)) -> String {
    error.message().map_or_else(|| tell(error), str::to_owned)
}

/// Bedrock itself says no.
fn of_service(
    code: &str,
    told: &str,
    status: Option<u16>,
    after: Option<Duration>,
    asked: &Asked,
) -> Failure {
    // a code may have the name of its module before it
    let code = code.rsplit('#').next().unwrap_or_default();
    let said = short(told);
    let said = said.trim_end_matches('.');
    let reason = if code.is_empty() {
        said.to_owned()
    } else {
        format!("{code}: {said}")
    };
    let Asked { id, region } = asked;
    match code {
        "ThrottlingException" | "ServiceQuotaExceededException" | "TooManyRequestsException" => {
            Failure::Throttled { reason, after }
        }
        "ModelTimeoutException"
        | "ModelNotReadyException"
        | "ModelErrorException"
        | "ModelStreamErrorException"
        | "InternalServerException"
        | "ServiceUnavailableException" => Failure::Unavailable(reason),
        "ValidationException" if overflow::is_told(told) => Failure::Overflow(reason),
        "ValidationException" if told.contains("on-demand throughput") => Failure::Refused(format!(
            "{reason}. Name an inference profile in place of {id:?}, such as us.{id}"
        )),
        "AccessDeniedException" => Failure::Refused(format!(
            "{reason}. Allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on {id:?} in {region}, and \
             get access to the model in the Bedrock console"
        )),
        "ResourceNotFoundException" => Failure::Refused(format!(
            "{reason}. Is {id:?} the id of a model or inference profile in {region}?"
        )),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignatureException" => Failure::Refused(format!("{reason}. Renew the AWS credentials")),
        _ => match status {
            Some(429) => Failure::Throttled { reason, after },
            Some(500..) => Failure::Unavailable(reason),
            None if code.is_empty() => Failure::Unavailable(reason),
            _ => Failure::Refused(reason),
        },
    }
}

/// The request did not reach Bedrock, or its answer did not reach us.
fn of_way<E, R>(error: SdkError<E, R>, status: Option<u16>, asked: &Asked) -> Failure
where
    E: Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    let is_construction = matches!(error, SdkError::ConstructionFailure(_));
    let told = error
        .into_source()
        .map_or_else(|error| error.to_string(), |source| tell(source.as_ref()));
    let reason = short(&told);
    let Asked { region, .. } = asked;
    if told.to_lowercase().contains("credentials") || told.contains("identity") {
        let reason = reason.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        return Failure::Refused(format!(
            "there are no AWS credentials; log in with aws sso login, set AWS_PROFILE, or run it with a role ({reason})"
        ));
    }
    if is_construction || status.is_some_and(|status| (400..500).contains(&status)) {
        return Failure::Refused(reason);
    }
    Failure::Unavailable(format!("Amazon Bedrock in {region}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str, status: Option<u16>) -> Failure {
        let asked = Asked {
            id: "some.model".to_owned(),
            region: "eu-west-1".to_owned(),
        };
        of_service(code, message, status, None, &asked)
    }

    #[test]
    fn a_code_says_whether_it_helps_to_ask_again() {
        for code in [
            "ThrottlingException",
            "ServiceQuotaExceededException",
            "x#ThrottlingException",
        ] {
            assert!(
                matches!(of(code, "m", Some(429)), Failure::Throttled { .. }),
                "{code}"
            );
        }
        for (code, status) in [
            ("ModelTimeoutException", Some(408)),
            ("ModelNotReadyException", Some(429)),
            ("ServiceUnavailableException", Some(503)),
            ("Unheard", Some(502)),
        ] {
            assert!(matches!(of(code, "m", status), Failure::Unavailable(_)), "{code}");
        }
        for (message, overflow) in [
            ("Input is too long for requested model.", true),
            ("messages: roles must alternate", false),
        ] {
            let failure = of("ValidationException", message, Some(400));
            assert_eq!(matches!(failure, Failure::Overflow(_)), overflow, "{failure}");
            assert!(!failure.is_passing());
        }
    }

    #[test]
    fn a_refusal_says_what_helps() {
        for (code, message, part) in [
            (
                "AccessDeniedException",
                "no",
                "bedrock:InvokeModelWithResponseStream",
            ),
            ("ResourceNotFoundException", "no", "eu-west-1"),
            ("ExpiredTokenException", "no", "Renew"),
            (
                "ValidationException",
                "with on-demand throughput isn't supported",
                "us.some.model",
            ),
        ] {
            let Failure::Refused(text) = of(code, message, Some(403)) else {
                panic!("{code}");
            };
            assert!(text.contains(part), "{text}");
        }
    }
}
