//! What is expected to fail, with a reason each: a failure that is not listed fails the check, and so does a stale entry.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Scenario to the reason why it fails.
pub type Reasons = BTreeMap<String, String>;

/// The file `checks/baseline.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// By mode, then by revision.
    #[serde(default)]
    server: BTreeMap<String, BTreeMap<String, Reasons>>,
    /// What is not scored and may fail, by where the server runs.
    #[serde(default)]
    unscored: BTreeMap<String, Reasons>,
    /// By revision.
    #[serde(default)]
    client: BTreeMap<String, Reasons>,
}

impl Baseline {
    /// Reads the file.
    ///
    /// # Errors
    /// It is missing or is not of this form.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a baseline", path.display()))
    }

    /// What a server in this mode is expected to fail.
    #[must_use]
    pub fn server(&self, mode: &str, revision: &str) -> Reasons {
        self.server
            .get(mode)
            .and_then(|modes| modes.get(revision))
            .cloned()
            .unwrap_or_default()
    }

    /// What is not scored and may fail in these places.
    #[must_use]
    pub fn unscored(&self, places: &[&str]) -> Reasons {
        let reasons = places.iter().filter_map(|place| self.unscored.get(*place));
        reasons
            .flatten()
            .map(|(name, why)| (name.clone(), why.clone()))
            .collect()
    }

    /// What our client is expected to fail.
    #[must_use]
    pub fn client(&self, revision: &str) -> Reasons {
        self.client.get(revision).cloned().unwrap_or_default()
    }
}
