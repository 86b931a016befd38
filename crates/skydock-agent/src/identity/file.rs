//! A key in a file, or made anew in memory.

use std::path::Path;

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};

use serde::Serialize;

use super::{Error, Signer};

/// The labels of PKCS#8 as PEM (RFC 7468 §10).
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A P-256 key that this process holds.
pub struct FileKey {
    key: EncodingKey,
    jwk: Jwk,
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileKey")
            .field("kid", &self.jwk.common.key_id)
            .finish_non_exhaustive()
    }
}

impl FileKey {
    /// The key in a file: PKCS#8 as PEM.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let pem = std::fs::read(file).map_err(|source| Error::File {
            file: file.display().to_string(),
            source,
        })?;
        Self::from_pem(&file.display().to_string(), &pem)
    }

    /// The same from the file's text; `name` says where it came from.
    ///
    /// # Errors
    /// When it is no P-256 key.
    pub fn from_pem(name: &str, pem: &[u8]) -> Result<Self, Error> {
        let key = EncodingKey::from_ec_pem(pem).map_err(|error| wrong(name, error))?;
        Self::of(name, key)
    }

    /// A new key, for demos and tests: it ends with this process unless it is written down.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn generate() -> Result<Self, Error> {
        let name = "a new key";
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| wrong(name, error))?;
        Self::of(name, EncodingKey::from_ec_der(document.as_ref()))
    }

    fn of(name: &str, key: EncodingKey) -> Result<Self, Error> {
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|error| wrong(name, error))?;
        name_key(&mut jwk).map_err(|error| wrong(name, error))?;
        Ok(Self { key, jwk })
    }

    /// A token (JWT) with these claims.
    pub(crate) fn token(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid.clone_from(&self.jwk.common.key_id);
        jsonwebtoken::encode(&header, claims, &self.key)
    }

    /// The private key as PEM, to be written to a file that only its owner can read.
    ///
    /// # Errors
    /// When the key does not let itself be written.
    pub fn pem(&self) -> Result<String, Error> {
        let text = STANDARD.encode(self.key.as_bytes());
        let mut pem = format!("{BEGIN}\n");
        for (at, letter) in text.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str(&format!("\n{END}\n"));
        Ok(pem)
    }
}

/// Gives a public key the names that servers look for; `kid` is its thumbprint (RFC 7638).
pub(super) fn name_key(jwk: &mut Jwk) -> Result<(), jsonwebtoken::errors::Error> {
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(())
}

fn wrong(name: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Key {
        name: name.to_owned(),
        source: source.into(),
    }
}

#[async_trait]
impl Signer for FileKey {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = jsonwebtoken::crypto::sign(message, &self.key, Algorithm::ES256)
            .map_err(|error| Error::Signing(error.into()))?;
        URL_SAFE_NO_PAD
            .decode(signed)
            .map_err(|error| Error::Signing(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = FileKey::generate().unwrap();
        let again = FileKey::from_pem("it", key.pem().unwrap().as_bytes()).unwrap();
        assert_eq!(again.jwk(), key.jwk());
        assert!(
            again
                .jwk()
                .common
                .key_id
                .as_ref()
                .is_some_and(|id| id.len() == 43)
        );
    }

    #[test]
    fn what_is_no_key_is_named() {
        let error = FileKey::open(Path::new("/no/such/key.pem")).unwrap_err();
        assert!(error.to_string().contains("/no/such/key.pem"), "{error}");
        let error = FileKey::from_pem("key.pem", b"hello").unwrap_err();
        assert!(
            error.to_string().contains("key.pem is no key for ES256"),
            "{error}"
        );
    }
}
