//! The same request as the same bytes: the SDK writes the keys of a JSON document in random order, and what a provider
//! has in its cache is found by its bytes.

use aws_sdk_bedrockruntime::config::{
    ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::{box_error::BoxError, client::interceptors::dyn_dispatch_hint};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

/// Sorts the keys of each body before it is signed.
#[derive(Debug)]
pub(super) struct Canonical;

#[dyn_dispatch_hint]
impl Intercept for Canonical {
    fn name(&self) -> &'static str {
        "Canonical"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let Some(bytes) = request.body().bytes() else {
            return Ok(());
        };
        let mut body: Value = serde_json::from_slice(bytes)?;
        body.sort_all_objects();
        let bytes = serde_json::to_vec(&body)?;
        let length = bytes.len();
        *request.body_mut() = SdkBody::from(bytes);
        if request.headers().get("content-length").is_some() {
            request.headers_mut().insert("content-length", length.to_string());
        }
        Ok(())
    }
}
