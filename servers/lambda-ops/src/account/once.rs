//! Calls that must not be sent twice by themselves: the SDK may repeat them only when AWS refused them unprocessed.

use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction},
};

/// Forbids the SDK's retry of anything but throttling. After a timeout or a 500 nobody knows whether the function
/// ran or the update took effect; the caller has to look.
#[derive(Debug)]
pub(super) struct OnlyWhenThrottled;

const TOO_MANY_REQUESTS: u16 = 429;

impl ClassifyRetry for OnlyWhenThrottled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_none_or(|result| result.is_err());
        let throttled = context
            .response()
            .is_some_and(|response| response.status().as_u16() == TOO_MANY_REQUESTS);
        if failed && !throttled {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "only when throttled"
    }
}
