//! Where the next page of a list begins: our own token around AWS's, tied to the account, the region and the filters.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a marker is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "the marker is not one of list-functions; pass it back exactly as given, or leave it out to begin anew"
    )]
    Garbled,
    #[error(
        "the marker belongs to a list with other filters, in another region or of another account; repeat the filters it came with, or leave it out to begin anew"
    )]
    Foreign,
    #[error("the list changed since the marker was given; leave it out to begin anew")]
    Outdated,
}

/// A place in AWS's list: behind the function `last`, which stands at `skip - 1` on the page that `start` opens.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marker {
    /// AWS's marker of the page; none for the first.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<String>,
    /// How many functions of that page are done.
    #[serde(rename = "n", default)]
    pub(crate) skip: usize,
    /// The last of them.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<String>,
    /// The account's number, once a function has told it.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
}

const SEAL: usize = 12;

impl Marker {
    /// The token for callers. The seal finds mistakes, not attackers: AWS checks every call by itself.
    pub(crate) fn write(&self, list: &str) -> Result<String, serde_json::Error> {
        let body = serde_json::to_vec(self)?;
        let mut token = seal(list, &body).to_vec();
        token.extend_from_slice(&body);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Reads a token for the same `list` (its region and filters).
    pub(crate) fn read(token: &str, list: &str) -> Result<Self, Fault> {
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_not_base64| Fault::Garbled)?;
        let (given, body) = bytes.split_at_checked(SEAL).ok_or(Fault::Garbled)?;
        let marker = serde_json::from_slice(body).map_err(|_not_json| Fault::Garbled)?;
        if given == seal(list, body) {
            Ok(marker)
        } else {
            Err(Fault::Foreign)
        }
    }
}

fn seal(list: &str, body: &[u8]) -> [u8; SEAL] {
    let digest = Sha256::new()
        .chain_update(list)
        .chain_update([0])
        .chain_update(body)
        .finalize();
    std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_only_in_its_own_list() {
        let marker = Marker {
            start: Some("aws".into()),
            skip: 3,
            last: Some("orders-api".into()),
            account: Some("123456789012".into()),
        };
        let token = marker.write("eu-central-1 nodejs").expect("JSON");
        assert_eq!(Marker::read(&token, "eu-central-1 nodejs"), Ok(marker));
        assert_eq!(Marker::read(&token, "eu-central-1 python"), Err(Fault::Foreign));
        assert_eq!(Marker::read("50", "eu-central-1 nodejs"), Err(Fault::Garbled));
        assert_eq!(
            Marker::read("not base64!", "eu-central-1 nodejs"),
            Err(Fault::Garbled)
        );
    }
}
