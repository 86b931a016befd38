//! What is changed: a function's runtime, on the condition that nobody else changed it meanwhile.

use aws_sdk_lambda::{config::Config, types::Runtime};

use super::{Account, Error, FunctionName, once::OnlyWhenThrottled};

/// An update that AWS has accepted. It is in force only once the configuration says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revised {
    /// The revision that the update made.
    pub revision_id: Option<String>,
    /// When it was, as AWS writes it.
    pub last_modified: Option<String>,
}

impl Account {
    /// Sets the runtime if the function is still at `revision`.
    ///
    /// # Errors
    /// [`Error::Changed`] if it is not; [`Error::Conflict`] while another update is under way; else what AWS refuses.
    pub async fn set_runtime(
        &self,
        name: &FunctionName,
        runtime: &str,
        revision: Option<&str>,
    ) -> Result<Revised, Error> {
        let call = self.call("UpdateFunctionConfiguration", name.as_str());
        let answer = self
            .client
            .update_function_configuration()
            .function_name(name.as_str())
            .runtime(Runtime::from(runtime))
            .set_revision_id(revision.map(str::to_owned))
            .customize()
            .config_override(Config::builder().retry_classifier(OnlyWhenThrottled))
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(Revised {
            revision_id: answer.revision_id,
            last_modified: answer.last_modified,
        })
    }
}
