//! Published versions of a function and the aliases that point to them.

use aws_sdk_lambda::config::Config;

use super::{Account, Error, FunctionName, once::OnlyWhenThrottled};

/// A published version: a function's code and configuration, frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// Its number, or `$LATEST`.
    pub version: String,
    /// The runtime it runs on; none for a container image.
    pub runtime: Option<String>,
    /// What its author wrote when it was published.
    pub description: Option<String>,
    /// When it was published, as AWS writes it.
    pub last_modified: Option<String>,
    /// `Active`, `Pending`, `Inactive`, `Failed`; none in a list, where AWS does not say.
    pub state: Option<String>,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// The version it points to.
    pub version: String,
    /// Other versions that get a part of its traffic: version and weight from 0 to 1.
    pub weights: Vec<(String, f64)>,
}

impl Account {
    /// All versions of a function, oldest first after `$LATEST`.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn versions(&self, name: &FunctionName) -> Result<Vec<Version>, Error> {
        let call = self.call("ListVersionsByFunction", name.as_str());
        let found = self
            .client
            .list_versions_by_function()
            .function_name(name.as_str())
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| call.refused(error))?;
        let version = |found: aws_sdk_lambda::types::FunctionConfiguration| Version {
            version: found.version.unwrap_or_default(),
            runtime: found.runtime.map(|runtime| runtime.as_str().to_owned()),
            description: found.description.filter(|text| !text.is_empty()),
            last_modified: found.last_modified,
            state: found.state.map(|state| state.as_str().to_owned()),
        };
        Ok(found.into_iter().map(version).collect())
    }

    /// All aliases of a function.
    ///
    /// # Errors
    /// What AWS refuses.
    pub async fn aliases(&self, name: &FunctionName) -> Result<Vec<Alias>, Error> {
        let call = self.call("ListAliases", name.as_str());
        let found = self
            .client
            .list_aliases()
            .function_name(name.as_str())
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| call.refused(error))?;
        let alias = |found: aws_sdk_lambda::types::AliasConfiguration| Alias {
            name: found.name.unwrap_or_default(),
            version: found.function_version.unwrap_or_default(),
            weights: found
                .routing_config
                .and_then(|routing| routing.additional_version_weights)
                .unwrap_or_default()
                .into_iter()
                .collect(),
        };
        Ok(found.into_iter().map(alias).collect())
    }

    /// Publishes `$LATEST` as a version if it is still at `revision`. Where nothing has changed since the last version,
    /// AWS answers with that one.
    ///
    /// # Errors
    /// [`Error::Changed`] if it is not; [`Error::Conflict`] while an update is under way; else what AWS refuses.
    pub async fn publish(
        &self,
        name: &FunctionName,
        description: &str,
        revision: Option<&str>,
    ) -> Result<Version, Error> {
        let call = self.call("PublishVersion", name.as_str());
        let answer = self
            .client
            .publish_version()
            .function_name(name.as_str())
            .description(description)
            .set_revision_id(revision.map(str::to_owned))
            .customize()
            .config_override(Config::builder().retry_classifier(OnlyWhenThrottled))
            .send()
            .await
            .map_err(|error| call.refused(error))?;
        Ok(Version {
            version: answer.version.unwrap_or_default(),
            runtime: answer.runtime.map(|runtime| runtime.as_str().to_owned()),
            description: answer.description.filter(|text| !text.is_empty()),
            last_modified: answer.last_modified,
            state: answer.state.map(|state| state.as_str().to_owned()),
        })
    }
}
