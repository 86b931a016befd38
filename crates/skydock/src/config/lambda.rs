//! What the program is told when AWS Lambda runs it.

use super::Flags;
use crate::error::Faults;

/// More pollers than that are a mistake.
const MAX_CONCURRENCY: usize = 10_000;

/// How Lambda runs the program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lambda {
    /// Where the runtime API is: `AWS_LAMBDA_RUNTIME_API`, a host and a port.
    pub api: String,
    /// How invocations are answered.
    pub response: LambdaResponse,
    /// The number of invocations that are worked on at once; more than one on Lambda Managed Instances.
    pub concurrency: usize,
}

impl Lambda {
    /// A function whose runtime API is at `api`, with buffered responses, one invocation at a time.
    pub fn new(api: impl Into<String>) -> Self {
        Self {
            api: api.into(),
            response: LambdaResponse::default(),
            concurrency: 1,
        }
    }
}

/// How invocations of Lambda are answered. It has to be what the function URL (`InvokeMode`) or the API
/// (`responseTransferMode`) is set up for; an event does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LambdaResponse {
    /// In one piece, as any door takes it.
    #[default]
    Buffered,
    /// As a stream, by function URLs and REST APIs; other doors still get one piece.
    Streamed,
}

/// Reads what Lambda is told; nothing, when the program does not run there.
///
/// # Errors
/// All that is wrong, at once.
pub(super) fn read(flags: &Flags) -> Result<Option<Lambda>, Faults> {
    let mut faults = Faults::default();
    let response = match flags.lambda_response.as_deref() {
        None | Some("buffered") => LambdaResponse::Buffered,
        Some("streamed") => LambdaResponse::Streamed,
        Some(other) => {
            faults.add(
                "--lambda-response (SKYDOCK_LAMBDA_RESPONSE)",
                other,
                "write buffered or streamed",
            );
            LambdaResponse::default()
        }
    };
    let concurrency = flags.lambda_max_concurrency.as_deref().map_or(Some(1), |text| {
        text.parse()
            .ok()
            .filter(|number| (1..=MAX_CONCURRENCY).contains(number))
    });
    if concurrency.is_none() {
        faults.add(
            "--lambda-max-concurrency (AWS_LAMBDA_MAX_CONCURRENCY)",
            flags.lambda_max_concurrency.as_deref().unwrap_or_default(),
            "write a whole number from 1 to 10000",
        );
    }
    let api = api(flags).map(str::to_owned);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(api.zip(concurrency).map(|(api, concurrency)| Lambda {
        api,
        response,
        concurrency,
    }))
}

/// Where the runtime API is, if there is one: a variable that was emptied counts as unset.
pub(super) fn api(flags: &Flags) -> Option<&str> {
    flags.lambda_runtime_api.as_deref().filter(|api| !api.is_empty())
}

/// The fault of a program that is to keep sessions in Lambda.
pub(crate) fn no_sessions() -> Faults {
    Faults::one(
        "--mode (SKYDOCK_MODE)",
        "stateful",
        "sessions in memory do not outlive a request in Lambda; write json or stateless, or keep them in a store \
         (--sessions dynamodb://TABLE or valkeys://HOST)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Mode};

    #[test]
    fn lambda_is_chosen_by_its_runtime_api_unless_the_program_listens() {
        let mut flags = Flags {
            lambda_runtime_api: Some("127.0.0.1:9001".to_owned()),
            lambda_max_concurrency: Some("16".to_owned()),
            lambda_response: Some("streamed".to_owned()),
            ..Flags::default()
        };
        let config = Config::read(&flags).unwrap();
        let mut expected = Lambda::new("127.0.0.1:9001");
        expected.response = LambdaResponse::Streamed;
        expected.concurrency = 16;
        assert_eq!((config.lambda, config.mode), (Some(expected), Mode::Json));
        flags.mode = Some("stateless".to_owned());
        assert_eq!(Config::read(&flags).unwrap().mode, Mode::Stateless);
        flags.mode = Some("stateful".to_owned());
        assert!(
            Config::read(&flags)
                .unwrap_err()
                .to_string()
                .contains("json or stateless")
        );
        // as behind the Lambda Web Adapter
        flags.listen = Some("127.0.0.1:8000".to_owned());
        assert_eq!(Config::read(&flags).unwrap().mode, Mode::Stateful);
    }

    #[test]
    fn a_variable_that_was_emptied_counts_as_unset() {
        let flags = Flags {
            lambda_runtime_api: Some(String::new()),
            ..Flags::default()
        };
        let config = Config::read(&flags).unwrap();
        assert_eq!((config.lambda, config.mode), (None, Mode::Stateful));
    }

    #[test]
    fn what_lambda_is_told_wrongly_is_named() {
        let flags = Flags {
            lambda_max_concurrency: Some("0".to_owned()),
            lambda_response: Some("stream".to_owned()),
            ..Flags::default()
        };
        let text = Config::read(&flags).unwrap_err().to_string();
        for named in ["\"0\"", "\"stream\""] {
            assert!(text.contains(named), "{named} is missing in:\n{text}");
        }
    }
}
