//! Which revisions of the protocol to speak: the one without a handshake, or those with `initialize`.

use std::{fmt, str::FromStr};

use rmcp::{model::ProtocolVersion, service::ClientLifecycleMode};

/// Which revision to speak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Era {
    /// `server/discover` first, `initialize` when the server is older.
    #[default]
    Auto,
    /// Exactly this revision; its era decides between `server/discover` and `initialize`.
    Only(ProtocolVersion),
}

impl Era {
    /// The version to name in `initialize`.
    pub(super) fn handshake_version(&self) -> ProtocolVersion {
        match self {
            Self::Only(version) if version.has_initialize() => version.clone(),
            Self::Auto | Self::Only(_) => ProtocolVersion::LATEST_WITH_INITIALIZE,
        }
    }

    /// How rmcp is to open the connection.
    pub(super) fn lifecycle(&self) -> ClientLifecycleMode {
        match self {
            Self::Auto => ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::LATEST],
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
            Self::Only(version) if version.has_initialize() => ClientLifecycleMode::Initialize,
            Self::Only(version) => ClientLifecycleMode::Discover {
                preferred_versions: vec![version.clone()],
            },
        }
    }
}

/// The text is not a revision that this client speaks.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a protocol revision; use auto or one of {}", known().join(", "))]
pub struct UnknownEra {
    text: String,
}

fn known() -> Vec<&'static str> {
    ProtocolVersion::KNOWN_VERSIONS
        .iter()
        .map(ProtocolVersion::as_str)
        .collect()
}

impl FromStr for Era {
    type Err = UnknownEra;

    fn from_str(text: &str) -> Result<Self, UnknownEra> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        ProtocolVersion::KNOWN_VERSIONS
            .iter()
            .find(|version| version.as_str() == text)
            .map(|version| Self::Only(version.clone()))
            .ok_or_else(|| UnknownEra {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(version) => write!(f, "{version}"),
        }
    }
}
