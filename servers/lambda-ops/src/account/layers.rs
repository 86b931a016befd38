//! What a layer says that it is made for.

use super::{Account, Error};

/// A version of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// Its ARN, with the version.
    pub arn: String,
    /// The runtimes its author made it for; empty if they did not say.
    pub runtimes: Vec<String>,
    /// The architectures its author made it for; empty if they did not say.
    pub architectures: Vec<String>,
}

impl Account {
    /// What the layer version with this ARN is made for (`GetLayerVersionByArn`). Its content is not asked for.
    ///
    /// # Errors
    /// What AWS refuses: layers of other accounts are often not readable.
    pub async fn layer(&self, arn: &str) -> Result<Layer, Error> {
        let call = self.call("GetLayerVersion", arn);
        let answer = self
            .client
            .get_layer_version_by_arn()
            .arn(arn)
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(Layer {
            arn: arn.to_owned(),
            runtimes: answer
                .compatible_runtimes
                .unwrap_or_default()
                .iter()
                .map(|runtime| runtime.as_str().to_owned())
                .collect(),
            architectures: answer
                .compatible_architectures
                .unwrap_or_default()
                .iter()
                .map(|architecture| architecture.as_str().to_owned())
                .collect(),
        })
    }
}
