//! What is run: a function, once, with its answer and the end of its log.

use std::time::Duration;

use aws_sdk_lambda::{
    config::{Config, timeout::TimeoutConfig},
    primitives::Blob,
    types::{InvocationType, LogType},
};
use aws_smithy_types::base64;

use super::{Account, Error, FunctionName, once::OnlyWhenThrottled};

/// The largest event of a synchronous invocation, in bytes (Lambda quotas: 6 MB).
pub const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;

/// A function runs for at most 15 minutes (Lambda quotas); then AWS itself answers.
const LONGEST: Duration = Duration::from_mins(16);

/// What a function answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invocation {
    /// 200 once the function ran, even if it failed.
    pub status_code: i32,
    /// Set if the function failed: `Unhandled` or `Handled`.
    pub function_error: Option<String>,
    /// What it answered, or the error it ended with: JSON as a rule.
    pub payload: String,
    /// The last 4 KB of its log.
    pub log_tail: Option<String>,
    /// The version that ran.
    pub executed_version: Option<String>,
}

impl Account {
    /// Runs the function once with `event`, and waits for its answer. A call that got no answer is not repeated.
    ///
    /// # Errors
    /// What AWS refuses. A function that fails is no error here: see [`Invocation::function_error`].
    pub async fn invoke(
        &self,
        name: &FunctionName,
        qualifier: Option<&str>,
        event: &str,
    ) -> Result<Invocation, Error> {
        let asked = name.at(qualifier);
        let call = self.call("Invoke", asked.as_str());
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(LONGEST)
            .build();
        let answer = self
            .client
            .invoke()
            .function_name(name.as_str())
            .set_qualifier(qualifier.map(str::to_owned))
            .log_type(LogType::Tail)
            .payload(Blob::new(event))
            .customize()
            .config_override(
                Config::builder()
                    .timeout_config(timeouts)
                    .retry_classifier(OnlyWhenThrottled),
            )
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(Invocation {
            status_code: answer.status_code,
            function_error: answer.function_error.filter(|error| !error.is_empty()),
            payload: answer
                .payload
                .map(|payload| lossy(payload.into_inner()))
                .unwrap_or_default(),
            log_tail: answer
                .log_result
                .and_then(|log| base64::decode(log).ok())
                .map(lossy)
                .filter(|l| !l.is_empty()),
            executed_version: answer.executed_version,
        })
    }

    /// Asks AWS whether the function could be run by this server, without running it (`DryRun`).
    ///
    /// # Errors
    /// What AWS refuses; [`Error::Denied`] if it may not be run.
    pub async fn try_invoke(&self, name: &FunctionName, qualifier: Option<&str>) -> Result<(), Error> {
        let asked = name.at(qualifier);
        let call = self.call("Invoke", asked.as_str());
        self.client
            .invoke()
            .function_name(name.as_str())
            .set_qualifier(qualifier.map(str::to_owned))
            .invocation_type(InvocationType::DryRun)
            .send()
            .await
            .map(drop)
            .map_err(|error| call.refused(error))
    }
}

fn lossy(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}
