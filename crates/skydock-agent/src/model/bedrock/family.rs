//! What families of models take that others refuse.

use std::str::FromStr;

/// A family of models. What a model takes follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// Anthropic's Claude.
    Claude,
    /// Amazon's Nova.
    Nova,
    /// DeepSeek.
    DeepSeek,
    /// Any other.
    Other,
}

/// Claude models without prompt caching on Bedrock, by parts of their ids.
const UNCACHED: [&str; 6] = [
    "claude-v2",
    "claude-instant",
    "claude-3-haiku",
    "claude-3-sonnet",
    "claude-3-opus",
    "claude-3-5-sonnet",
];

impl Family {
    /// The family that a model id or an inference profile tells.
    #[must_use]
    pub fn of(id: &str) -> Self {
        if id.contains("anthropic.claude") {
            Self::Claude
        } else if id.contains("amazon.nova") {
            Self::Nova
        } else if id.contains("deepseek") {
            Self::DeepSeek
        } else {
            Self::Other
        }
    }

    /// Whether cache points are set for this model of the family: for Claude from 3.5 Haiku and 3.7 Sonnet on and for
    /// Nova, as the [user guide] lists them.
    ///
    /// [user guide]: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    #[must_use]
    pub fn caches(self, id: &str) -> bool {
        match self {
            Self::Claude => !UNCACHED.iter().any(|part| id.contains(part)),
            Self::Nova => true,
            Self::DeepSeek | Self::Other => false,
        }
    }

    /// Whether a cache point may stand behind the tools: with Nova it may not (same page).
    pub(super) const fn caches_tools(self) -> bool {
        !matches!(self, Self::Nova)
    }

    /// Whether a result may say that it is an error (`ToolResultBlock.status`).
    pub(super) const fn takes_status(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }

    /// Whether reasoning goes back. Claude wants its signature with it; DeepSeek takes none.
    pub(super) const fn takes_reasoning(self, is_signed: bool) -> bool {
        match self {
            Self::Claude => is_signed,
            Self::DeepSeek => false,
            Self::Nova | Self::Other => true,
        }
    }
}

/// A family that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no family of models; write claude, nova, deepseek or other")]
pub struct NoFamily(String);

impl FromStr for Family {
    type Err = NoFamily;

    fn from_str(text: &str) -> Result<Self, NoFamily> {
        match text {
            "claude" => Ok(Self::Claude),
            "nova" => Ok(Self::Nova),
            "deepseek" => Ok(Self::DeepSeek),
            "other" => Ok(Self::Other),
            _ => Err(NoFamily(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_families_and_caching() {
        for (id, family, caches) in [
            (
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                Family::Claude,
                true,
            ),
            ("anthropic.claude-3-5-haiku-20241022-v1:0", Family::Claude, true),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", Family::Claude, true),
            ("anthropic.claude-3-haiku-20240307-v1:0", Family::Claude, false),
            ("anthropic.claude-v2:1", Family::Claude, false),
            ("eu.amazon.nova-lite-v1:0", Family::Nova, true),
            ("us.deepseek.r1-v1:0", Family::DeepSeek, false),
            ("meta.llama3-1-70b-instruct-v1:0", Family::Other, false),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x",
                Family::Other,
                false,
            ),
        ] {
            assert_eq!(
                (Family::of(id), Family::of(id).caches(id)),
                (family, caches),
                "{id}"
            );
        }
    }
}
