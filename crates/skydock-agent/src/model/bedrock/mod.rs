//! Models on Amazon Bedrock, by `ConverseStream` of the official SDK.

mod answer;
mod canonical;
mod failure;
mod family;
mod request;

use async_trait::async_trait;
use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_sdk_bedrockruntime::{
    Client,
    config::Builder,
    types::{
        GuardrailConfiguration, GuardrailStreamConfiguration, GuardrailStreamProcessingMode, GuardrailTrace,
    },
};
use futures::{StreamExt as _, stream};

pub use self::family::Family;
use self::{canonical::Canonical, failure::Asked, request::Body};
use super::{Failure, Model, Patience, Pieces, Request};

/// A model on Amazon Bedrock: a model id, the id of an inference profile, or the ARN of either.
#[derive(Debug, Clone)]
pub struct Bedrock {
    id: String,
    client: Client,
    region: Region,
    family: Family,
    caches: bool,
    streams: bool,
    guardrail: Option<Guardrail>,
    patience: Patience,
}

/// A guardrail of Amazon Bedrock that reads what goes to the model and what comes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// Its id or ARN.
    pub id: String,
    /// Its version: a number or `DRAFT`.
    pub version: String,
}

/// Neither the AWS settings nor the model's name say where it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no region to ask Amazon Bedrock in; set AWS_REGION, or a region in the profile of ~/.aws/config"
)]
pub struct NoRegion;

impl Bedrock {
    /// A model, with account, region and endpoint from the usual AWS settings: the environment, `~/.aws`, or the role
    /// of the machine. An ARN says its region itself.
    ///
    /// # Errors
    /// [`NoRegion`]. Credentials are looked for when the model is asked.
    pub async fn from_settings(id: impl Into<String>) -> Result<Self, NoRegion> {
        let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
        Self::new(id, &config)
    }

    /// A model, asked with these AWS settings. What they say of retries counts for nothing: the agent asks again.
    ///
    /// # Errors
    /// [`NoRegion`].
    pub fn new(id: impl Into<String>, config: &SdkConfig) -> Result<Self, NoRegion> {
        let id = id.into();
        let region = region(&id).or_else(|| config.region().cloned()).ok_or(NoRegion)?;
        let config = Builder::from(config)
            .region(region.clone())
            .interceptor(Canonical)
            .retry_config(RetryConfig::disabled())
            // a model that thinks sends nothing for longer than the SDK waits
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let family = Family::of(&id);
        Ok(Self {
            caches: family.caches(&id),
            client: Client::from_conf(config),
            region,
            family,
            streams: true,
            guardrail: None,
            patience: Patience::default(),
            id,
        })
    }

    /// Asks by `Converse`: for models that cannot stream. The answer comes in one piece.
    #[must_use]
    pub const fn without_streaming(mut self) -> Self {
        self.streams = false;
        self
    }

    /// The family, where the id does not tell it: that of an application inference profile does not. Whether cache
    /// points are set follows from it.
    #[must_use]
    pub fn with_family(mut self, family: Family) -> Self {
        self.family = family;
        self.caches = family.caches(&self.id);
        self
    }

    /// Whether cache points are set, against the rule of [`Family::caches`].
    #[must_use]
    pub const fn with_caching(mut self, caches: bool) -> Self {
        self.caches = caches;
        self
    }

    /// A guardrail that reads along.
    #[must_use]
    pub fn with_guardrail(mut self, guardrail: Guardrail) -> Self {
        self.guardrail = Some(guardrail);
        self
    }

    /// How long the model may say nothing, in place of 300 s at first and 120 s then.
    #[must_use]
    pub const fn with_patience(mut self, patience: std::time::Duration) -> Self {
        self.patience = Patience::same(patience);
        self
    }

    fn asked(&self) -> Asked {
        Asked {
            id: self.id.clone(),
            region: self.region.to_string(),
        }
    }

    async fn stream(&self, body: Body) -> Result<Pieces, Failure> {
        let asking = self
            .client
            .converse_stream()
            .model_id(&self.id)
            .set_messages(Some(body.messages))
            .set_system(Some(body.system))
            .set_tool_config(body.tools)
            .set_inference_config(body.inference)
            .set_guardrail_config(self.guardrail.as_ref().map(Guardrail::of_stream))
            .send();
        let output = failure::patiently(self.patience.first, asking)
            .await?
            .map_err(|error| failure::of_answer(error, &self.asked()))?;
        Ok(answer::pieces(output.stream, self.patience, self.asked()))
    }

    async fn whole(&self, body: Body) -> Result<Pieces, Failure> {
        let asking = self
            .client
            .converse()
            .model_id(&self.id)
            .set_messages(Some(body.messages))
            .set_system(Some(body.system))
            .set_tool_config(body.tools)
            .set_inference_config(body.inference)
            .set_guardrail_config(self.guardrail.as_ref().map(Guardrail::of_whole))
            .send();
        let output = failure::patiently(self.patience.first, asking)
            .await?
            .map_err(|error| failure::of_answer(error, &self.asked()))?;
        Ok(stream::iter(answer::whole(output).into_iter().map(Ok)).boxed())
    }
}

#[async_trait]
impl Model for Bedrock {
    fn name(&self) -> &str {
        &self.id
    }

    fn provider(&self) -> &'static str {
        "aws.bedrock"
    }

    async fn ask(&self, request: Request<'_>) -> Result<Pieces, Failure> {
        let body = Body::new(self.name(), &request, self.family, self.caches)
            .map_err(|error| failure::own(&error))?;
        if self.streams {
            self.stream(body).await
        } else {
            self.whole(body).await
        }
    }
}

impl Guardrail {
    fn of_stream(&self) -> GuardrailStreamConfiguration {
        GuardrailStreamConfiguration::builder()
            .guardrail_identifier(&self.id)
            .guardrail_version(&self.version)
            .trace(GuardrailTrace::Disabled)
            // nothing is shown before the guardrail has read it
            .stream_processing_mode(GuardrailStreamProcessingMode::Sync)
            .build()
    }

    fn of_whole(&self) -> GuardrailConfiguration {
        GuardrailConfiguration::builder()
            .guardrail_identifier(&self.id)
            .guardrail_version(&self.version)
            .trace(GuardrailTrace::Disabled)
            .build()
    }
}

/// The region that an ARN names: `arn:aws:bedrock:REGION:…`.
fn region(id: &str) -> Option<Region> {
    let region = id.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then(|| Region::new(region.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_its_region() {
        let mut none = SdkConfig::builder();
        none.set_behavior_version(Some(BehaviorVersion::latest()));
        let none = none.build();
        let profile =
            "arn:aws:bedrock:eu-west-3:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-6";
        let model = Bedrock::new(profile, &none).unwrap();
        assert_eq!(model.region.as_ref(), "eu-west-3");
        assert!(model.caches);
        assert_eq!(Bedrock::new("amazon.nova-pro-v1:0", &none).unwrap_err(), NoRegion);
    }
}
