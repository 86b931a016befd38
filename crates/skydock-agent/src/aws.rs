//! How services of AWS are reached: with the usual settings, and with an end to what is waited for.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

/// How long a service is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long one attempt may take; then it is made again.
    pub(crate) attempt: Duration,
    /// How many attempts there are.
    pub(crate) attempts: u32,
    /// How long all of them take at most.
    pub(crate) whole: Duration,
}

/// The usual settings of AWS, from the environment.
pub(crate) async fn usual() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// The same settings with this patience.
pub(crate) fn patient(config: &SdkConfig, patience: Patience) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(patience.attempt)
        .operation_timeout(patience.whole)
        .build();
    config
        .to_builder()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(patience.attempts))
        .build()
}
