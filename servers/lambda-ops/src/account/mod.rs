//! The AWS account the tools work on: every call to AWS Lambda is made here, through the official SDK.

mod cause;
mod change;
mod error;
mod invocation;
mod name;
mod once;
mod reading;

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::{Client, config::ProvideCredentials};

pub(crate) use self::cause::chain;
pub use self::{
    cause::Cause,
    change::Revised,
    error::Error,
    invocation::{Invocation, PAYLOAD_LIMIT},
    name::{FunctionName, NotAName},
    reading::{Configuration, Listed, Page, UpdateState},
};

/// A request that reads or changes the configuration is answered within milliseconds, or not at all.
const ATTEMPT: Duration = Duration::from_secs(15);

/// One account in one region.
#[derive(Debug, Clone)]
pub struct Account {
    client: Client,
    region: String,
}

/// Why the account could not be reached when the server started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unconfigured {
    /// No region in the environment, the profile or the instance.
    #[error(
        "no AWS region is configured; set AWS_REGION, or `region` in the profile of ~/.aws/config (AWS_PROFILE)"
    )]
    Region,
    /// No credentials by any way of the standard chain.
    #[error(
        "no AWS credentials are found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         or run where a role is attached; `--account embedded` needs none"
    )]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Account {
    /// The account that the SDK's standard chain finds (environment, profile, role of the machine).
    ///
    /// # Errors
    /// [`Unconfigured`] if the chain finds no region or no credentials; there is no default region.
    pub async fn from_environment() -> Result<Self, Unconfigured> {
        let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
        Self::from_config(&config).await
    }

    /// The account that `config` describes; with an `endpoint_url` it may be a stand-in for AWS.
    ///
    /// # Errors
    /// [`Unconfigured`] if `config` names no region or has no usable credentials.
    pub async fn from_config(config: &SdkConfig) -> Result<Self, Unconfigured> {
        let region = config.region().ok_or(Unconfigured::Region)?.to_string();
        let provider = config
            .credentials_provider()
            .ok_or_else(|| Unconfigured::Credentials("none set".into()))?;
        provider
            .provide_credentials()
            .await
            .map_err(|cause| Unconfigured::Credentials(cause.into()))?;
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let config = aws_sdk_lambda::config::Builder::from(config)
            .timeout_config(timeouts)
            .build();
        Ok(Self::new(Client::from_conf(config), region))
    }

    /// An account reached through a client that is already configured.
    #[must_use]
    pub fn new(client: Client, region: impl Into<String>) -> Self {
        Self {
            client,
            region: region.into(),
        }
    }

    /// The region, such as `eu-central-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}
