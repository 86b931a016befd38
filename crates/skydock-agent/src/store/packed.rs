//! What stores in AWS keep: bodies compressed, and names that fit into keys.

use std::io::{Read as _, Write as _};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use sha2::{Digest as _, Sha256};

use super::Failure;

/// No conversation is longer than this, unpacked: what claims to be is broken.
const LONGEST: u64 = 64 << 20;

/// Compresses a body. The `mark` is in it, so that no two writes are the same.
pub(super) fn pack(body: &[u8], mark: &str) -> Result<Vec<u8>, Failure> {
    // what could not be read again is not written
    let most = usize::try_from(LONGEST).unwrap_or(usize::MAX);
    if body.len() > most {
        return Err(Failure::TooLong {
            length: body.len(),
            most,
        });
    }
    let mut packer = GzBuilder::new()
        .comment(mark.as_bytes())
        .write(Vec::new(), Compression::default());
    packer.write_all(body).map_err(broken)?;
    packer.finish().map_err(broken)
}

pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = GzDecoder::new(packed)
        .take(LONGEST.saturating_add(1))
        .read_to_end(&mut body);
    read.map_err(broken)?;
    if u64::try_from(body.len()).is_ok_and(|length| length > LONGEST) {
        return Err(broken("a conversation is longer than any can be"));
    }
    Ok(body)
}

/// A hash in place of a name that is too long for a key.
pub(super) fn short(name: &str) -> String {
    Sha256::digest(name)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(super) fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::Broken(cause.into())
}
