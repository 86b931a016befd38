//! The AWS account the tools work on: every call to AWS Lambda is made here, through the official SDK.

mod cause;
mod change;
mod error;
mod identity;
mod invocation;
mod layers;
mod name;
mod once;
mod overview;
mod reading;
mod surroundings;
mod tags;
mod versions;

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, profile::load, timeout::TimeoutConfig};
use aws_sdk_lambda::{Client, config::ProvideCredentials};
use aws_types::os_shim_internal::{Env, Fs};
use tokio::sync::OnceCell;

use self::overview::Overviews;

pub(crate) use self::cause::chain;
pub use self::{
    cause::Cause,
    change::Revised,
    error::Error,
    identity::Identity,
    invocation::{Invocation, PAYLOAD_LIMIT},
    layers::Layer,
    name::{FunctionName, NotAName},
    reading::{Configuration, Listed, Page, UpdateState},
    surroundings::{Concurrency, EventSource},
    tags::Tags,
    versions::{Alias, Version},
};

/// A request that reads or changes the configuration is answered within milliseconds, or not at all.
const ATTEMPT: Duration = Duration::from_secs(15);

/// One account in one region. Clones share its connections and what is known of its identity.
#[derive(Debug, Clone)]
pub struct Account {
    client: Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
    sts: aws_sdk_sts::Client,
    config: SdkConfig,
    region: String,
    identity: Arc<OnceCell<Identity>>,
    overviews: Arc<Overviews>,
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
    /// The profile that the environment names does not exist.
    #[error(
        "AWS_PROFILE is {0:?}, but there is no such profile in ~/.aws/config or ~/.aws/credentials; correct it or \
         unset it"
    )]
    Profile(String),
    /// More than one of these.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Self>),
}

impl Unconfigured {
    fn and(self, other: Self) -> Self {
        match other {
            Self::Several(others) => Self::Several(std::iter::once(self).chain(others).collect()),
            other => Self::Several(vec![self, other]),
        }
    }
}

async fn usable_credentials(config: &SdkConfig) -> Result<(), Unconfigured> {
    let provider = config
        .credentials_provider()
        .ok_or_else(|| Unconfigured::Credentials("none set".into()))?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(cause) => Err(Unconfigured::Credentials(cause.into())),
    }
}

/// The profile of the environment, if there is none of that name.
async fn missing_profile() -> Option<Unconfigured> {
    let (fs, env) = (Fs::real(), Env::real());
    let wanted = env.get("AWS_PROFILE").ok().filter(|name| !name.is_empty())?;
    let profiles = load(&fs, &env, &Default::default(), None).await.ok()?;
    let missing = profiles.get_profile(&wanted).is_none();
    missing.then_some(Unconfigured::Profile(wanted))
}

impl Account {
    /// The account that the SDK's standard chain finds (environment, profile, role of the machine).
    ///
    /// # Errors
    /// [`Unconfigured`] if the chain finds no region or no credentials; there is no default region.
    pub async fn from_environment() -> Result<Self, Unconfigured> {
        let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
        match Self::from_config(&config).await {
            Ok(account) => Ok(account),
            Err(fault) => Err(match missing_profile().await {
                Some(profile) => profile.and(fault),
                None => fault,
            }),
        }
    }

    /// The account that `config` describes; with an `endpoint_url` it may be a stand-in for AWS.
    ///
    /// # Errors
    /// [`Unconfigured`] if `config` names no region or has no usable credentials.
    pub async fn from_config(config: &SdkConfig) -> Result<Self, Unconfigured> {
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or(Unconfigured::Region);
        let region = match (region, usable_credentials(config).await) {
            (Ok(region), Ok(())) => region,
            (Err(fault), Ok(())) | (Ok(_), Err(fault)) => return Err(fault),
            (Err(region), Err(credentials)) => return Err(region.and(credentials)),
        };
        Ok(Self::new(config.clone(), region))
    }

    /// An account reached by a configuration that is known to be usable.
    #[must_use]
    pub fn new(config: SdkConfig, region: impl Into<String>) -> Self {
        let region = region.into();
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let config = config
            .into_builder()
            .region(Region::new(region.clone()))
            .timeout_config(timeouts)
            .build();
        Self {
            client: Client::new(&config),
            tagging: aws_sdk_resourcegroupstagging::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            config,
            region,
            identity: Arc::default(),
            overviews: Arc::default(),
        }
    }

    /// The same account in another region, with the same credentials.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        if region == self.region {
            return self.clone();
        }
        Self {
            overviews: Arc::clone(&self.overviews),
            ..Self::new(self.config.clone(), region)
        }
    }

    /// What is asked, for the text of its error. A call that concerns no function has no name.
    fn call<'a>(&'a self, operation: &'static str, name: &'a str) -> error::Call<'a> {
        error::Call {
            operation,
            name,
            region: &self.region,
        }
    }

    /// The region, such as `eu-central-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}
