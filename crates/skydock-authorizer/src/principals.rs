//! Who there is: a file of principals, each with the digest of its bearer token. No token stands in it.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use skydock::{Error, Faults};

/// How a fault names the file.
const FLAG: &str = "--principals (SKYDOCK_PRINCIPALS)";

/// What the authorizer is told.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// A TOML file with a table for each principal: its token's SHA-256, and access = "deny" to shut it out
    #[arg(long, env = "SKYDOCK_PRINCIPALS", value_name = "FILE")]
    pub principals: Option<String>,
}

/// The principals, by the digest of their tokens.
#[derive(Debug)]
pub(crate) struct Principals(BTreeMap<String, (String, Principal)>);

/// One that may call, or may not.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Principal {
    /// 64 hexadecimal digits.
    sha256: String,
    #[serde(default)]
    access: Access,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    #[default]
    Allow,
    Deny,
}

impl Principal {
    pub(crate) fn is_denied(&self) -> bool {
        self.access == Access::Deny
    }
}

impl Principals {
    /// Reads the file that the flags name.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub(crate) fn read(flags: &Flags) -> Result<Self, Error> {
        let Some(path) = flags.principals.as_deref().filter(|path| !path.is_empty()) else {
            return Err(Faults::one(FLAG, "", "name the file with the principals that may call").into());
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Faults::one(
                FLAG,
                path,
                format!("cannot be read ({error}); name a file that is in the zip"),
            )
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let listed: BTreeMap<String, Principal> = toml::from_str(text).map_err(|error| {
            Faults::one(
                FLAG,
                path,
                format!("is no file of principals: {}", error.message()),
            )
        })?;
        let mut faults = Faults::default();
        if listed.is_empty() {
            faults.add(FLAG, path, "names nobody, so nobody could call");
        }
        let mut principals = BTreeMap::new();
        for (name, principal) in listed {
            let Some(digest) = read_digest(&principal.sha256) else {
                let wanted =
                    format!("the sha256 of {name:?} is not 64 hexadecimal digits; `sha256sum` prints them");
                faults.add(FLAG, path, wanted);
                continue;
            };
            if let Some((other, _)) = principals.insert(digest, (name.clone(), principal)) {
                faults.add(FLAG, path, format!("{other:?} and {name:?} have the same token"));
            }
        }
        if faults.is_empty() {
            Ok(Self(principals))
        } else {
            Err(faults.into())
        }
    }

    /// Whose token it is. How long the search takes tells of a digest only, from which no token can be found.
    pub(crate) fn find(&self, token: &str) -> Option<(&str, &Principal)> {
        let digest = Sha256::digest(token.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let (name, principal) = self.0.get(&digest)?;
        Some((name, principal))
    }
}

/// The digest as we write it: 64 hexadecimal digits, small ones.
fn read_digest(text: &str) -> Option<String> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s letmein | sha256sum`
    const LETMEIN: &str = "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032";

    #[test]
    fn a_token_is_found_by_its_digest() {
        let text = format!("[alice]\nsha256 = \"{LETMEIN}\"\n");
        let principals = Principals::parse("p.toml", &text).unwrap();
        assert_eq!(principals.find("letmein").unwrap().0, "alice");
        assert!(principals.find("letmeout").is_none());
        assert!(principals.find(LETMEIN).is_none());
    }

    #[test]
    fn every_fault_of_the_file_is_named() {
        let text = format!(
            "[alice]\nsha256 = \"{LETMEIN}\"\n[bob]\nsha256 = \"{LETMEIN}\"\n[eve]\nsha256 = \"secret\"\n"
        );
        let error = Principals::parse("p.toml", &text).unwrap_err().to_string();
        assert!(
            error.contains("\"alice\" and \"bob\"") && error.contains("\"eve\""),
            "{error}"
        );
        assert!(
            !error.contains("secret"),
            "what may be a token is not repeated: {error}"
        );
        for wrong in [
            "",
            "[alice]\ntoken = \"x\"\n",
            "[alice]\nsha256 = \"x\"\naccess = \"maybe\"\n",
        ] {
            assert!(Principals::parse("p.toml", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_its_remedy() {
        let error = Principals::read(&Flags {
            principals: Some("nowhere.toml".to_owned()),
        })
        .unwrap_err();
        assert!(error.to_string().contains("nowhere.toml"), "{error}");
        assert!(
            Principals::read(&Flags::default())
                .unwrap_err()
                .to_string()
                .contains("--principals")
        );
    }
}
