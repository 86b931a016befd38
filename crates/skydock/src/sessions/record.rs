//! What is remembered of a session, and how it is written down.

use std::{collections::BTreeSet, io::Read};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use rmcp::model::{ClientRequest, InitializeRequestParams};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{Absent, store::Failure};

/// What is smaller is not worth compressing.
const WORTH: usize = 1_024;
/// What a packed value may unfold to; more is not ours.
const UNFOLDED: u64 = 64 << 20;
/// The most resources that one session subscribes to.
const SUBSCRIPTIONS: usize = 1_000;
/// What a session's record may come to, in bytes of JSON: every store takes it, and it is no burden on memory.
const LARGEST: usize = 256 << 10;

const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;

/// A session, as every instance knows it. A session that has ended is an empty value, which is no record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// What the client said of itself, with the version that was agreed on.
    pub(super) client: InitializeRequestParams,
    /// Whose session it is: a digest, so that the store holds no names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// From which severity on the client wants log messages: 0 is debug, 7 is emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) severity: Option<u8>,
    /// The resources whose changes the client wants to hear of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) subscriptions: BTreeSet<String>,
    /// What the ids of the standalone stream's events begin with: nobody can guess it.
    pub(super) events: String,
    /// The instance that has the standalone stream, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listener: Option<String>,
    /// Another one when the store has lost the record and it was put back: its versions begin anew.
    #[serde(default)]
    pub(super) generation: u64,
}

/// What a session's record is to remember of a request that has succeeded.
#[derive(Debug, Clone)]
pub(super) enum Keep {
    Severity(u8),
    Subscribe(String),
    Unsubscribe(String),
}

impl Keep {
    /// What is to be remembered of `request`.
    pub(super) fn of(request: &ClientRequest) -> Option<Self> {
        match request {
            ClientRequest::SetLevelRequest(request) => {
                #[expect(deprecated, reason = "what the protocol deprecates is still served")]
                let level = request.params.level;
                Some(Self::Severity(severity(level)))
            }
            ClientRequest::SubscribeRequest(request) => Some(Self::Subscribe(request.params.uri.clone())),
            ClientRequest::UnsubscribeRequest(request) => Some(Self::Unsubscribe(request.params.uri.clone())),
            _ => None,
        }
    }

    /// Whether `record` has a place for it.
    pub(super) fn fits(&self, record: &Record) -> bool {
        match self {
            Self::Subscribe(uri) => {
                record.subscriptions.len() < SUBSCRIPTIONS || record.subscriptions.contains(uri)
            }
            Self::Severity(_) | Self::Unsubscribe(_) => true,
        }
    }

    pub(super) fn write(&self, record: &mut Record) {
        match self {
            Self::Severity(severity) => record.severity = Some(*severity),
            Self::Subscribe(uri) => drop(record.subscriptions.insert(uri.clone())),
            Self::Unsubscribe(uri) => drop(record.subscriptions.remove(uri)),
        }
    }
}

/// How severe a level is: 0 is debug, 7 is emergency.
#[expect(deprecated, reason = "what the protocol deprecates is still served")]
pub(super) const fn severity(level: rmcp::model::LoggingLevel) -> u8 {
    level as u8
}

impl Record {
    /// As it is stored.
    ///
    /// # Errors
    /// When it is larger than a record may be.
    pub(super) fn pack(&self) -> Result<Bytes, Absent> {
        let json = serde_json::to_vec(self).map_err(|error| Absent::Broken(error.into()))?;
        let size = json.len();
        if size > LARGEST {
            let limit = LARGEST;
            return Err(Absent::TooLarge(Failure::TooLarge { size, limit }));
        }
        Ok(pack_json(&json))
    }

    /// Whether the session is `principal`'s.
    pub(super) fn belongs_to(&self, principal: Option<&str>) -> bool {
        self.owner == principal.map(owner)
    }
}

/// The digest under which a principal is kept.
pub(crate) fn owner(principal: &str) -> String {
    hex(Sha256::digest(principal.as_bytes()).into_iter().take(16))
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// A random text of 128 bits.
pub(super) fn unguessable() -> String {
    hex(rand::random::<[u8; 16]>().into_iter())
}

/// What was stored is not what this version writes.
#[derive(Debug, thiserror::Error)]
#[error("the store holds something that this version cannot read")]
pub(super) struct Unreadable(#[source] pub(super) Box<dyn std::error::Error + Send + Sync>);

/// As bytes, compressed when that is worth it.
///
/// # Errors
/// When the value cannot be JSON.
pub(super) fn pack<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    Ok(pack_json(&serde_json::to_vec(value)?))
}

fn pack_json(json: &[u8]) -> Bytes {
    if json.len() >= WORTH {
        let mut packed = DeflateEncoder::new(vec![DEFLATED], Compression::fast());
        let written = std::io::Write::write_all(&mut packed, json);
        if let (Ok(()), Ok(packed)) = (written, packed.finish())
            && packed.len() <= json.len()
        {
            return packed.into();
        }
    }
    let mut plain = BytesMut::with_capacity(json.len() + 1);
    plain.put_u8(PLAIN);
    plain.extend_from_slice(json);
    plain.freeze()
}

/// The value of [`pack`]ed bytes.
///
/// # Errors
/// When they are not that.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let json = match bytes.split_first() {
        Some((&PLAIN, json)) => serde_json::from_slice(json),
        Some((&DEFLATED, packed)) => serde_json::from_reader(std::io::BufReader::new(
            DeflateDecoder::new(packed).take(UNFOLDED),
        )),
        _ => return Err(Unreadable("neither plain nor deflated".into())),
    };
    json.map_err(|error| Unreadable(error.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_repetition_costs_little() {
        for value in [
            json!({}),
            json!({"text": "x".repeat(100_000)}),
            json!("ü".repeat(600)),
        ] {
            let packed = pack(&value).unwrap();
            assert_eq!(unpack::<Value>(&packed).unwrap(), value);
        }
        assert!(pack(&json!("x".repeat(100_000))).unwrap().len() < 1_000);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for wrong in [&b""[..], b"\x02{}", b"\x00{", b"\x01garbage"] {
            assert!(unpack::<Value>(wrong).is_err(), "{wrong:?}");
        }
    }
}
