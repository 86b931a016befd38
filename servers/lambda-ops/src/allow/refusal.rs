//! Why a function may not be run or changed, in words that name the rule and who can change it.

use std::fmt;

use super::Deed;

/// What forbids it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not permitted for any function.
    #[error(
        "this server may not {0} functions: it was started without --allow {flag} (SKYDOCK_ALLOW); only its operator \
         can start it with that",
        flag = .0.word()
    )]
    Off(Deed),
    /// The name fits no pattern.
    #[error(
        "this server may not {deed} {name:?}: the name fits none of --allow-function {patterns}; only its operator can \
         add one"
    )]
    Name {
        /// What was to be done.
        deed: Deed,
        /// The function.
        name: String,
        /// The patterns.
        patterns: String,
    },
    /// No tag fits.
    #[error(
        "this server may not {deed} {name:?}: it has not the tag {rules} (--allow-tag); its owner can tag it, or the \
         operator of this server can change the rule"
    )]
    Tag {
        /// What was to be done.
        deed: Deed,
        /// The function.
        name: String,
        /// The rules.
        rules: String,
    },
    /// The ARN is of another place.
    #[error(
        "{name:?} is not in account {account} and region {region}, where this server works; it runs and changes \
         functions nowhere else"
    )]
    Elsewhere {
        /// As the caller wrote it.
        name: String,
        /// The server's account.
        account: String,
        /// The server's region.
        region: String,
    },
}

impl Deed {
    /// The value of `--allow` that permits it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invoke => "invoke",
            Self::Write => "change",
        })
    }
}
