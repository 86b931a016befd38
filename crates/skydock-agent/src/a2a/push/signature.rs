//! Signs what webhooks are told, so that they can tell who says it, to whom, when, and what.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How long a signature holds. Each attempt has its own.
const HOLDS: Duration = Duration::from_secs(300);

/// Why there is no signer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The key cannot be used.
    #[error(
        "the key for webhooks cannot be used; it has to be a P-256 key as PEM in PKCS#8, as `openssl genpkey -algorithm \
         EC -pkeyopt ec_paramgen_curve:P-256` makes one"
    )]
    Key(#[source] jsonwebtoken::errors::Error),
    /// No key can be made.
    #[error("no key for webhooks can be made: there are no random numbers")]
    Generated,
}

/// Signs with ES256 (RFC 7518 3.4).
pub struct Signer {
    key: EncodingKey,
    jwk: Jwk,
    id: String,
    issuer: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("id", &self.id)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// What a signature says. A webhook checks all of it, and that it has not seen `jti` before.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    /// The agent: the issuer that was given.
    iss: &'a str,
    /// The origin of the webhook.
    aud: &'a str,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
    jti: String,
    /// The task, and the number of the event: what was seen of a task up to a number does not count again.
    task: &'a str,
    sequence: u64,
    /// SHA-256 of the body, in base64url.
    body_sha256: String,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) audience: &'a str,
    pub(super) task: &'a str,
    pub(super) sequence: u64,
    pub(super) body: &'a [u8],
}

impl Signer {
    /// A signer with a P-256 key as PEM in PKCS#8, in the name of `issuer`: the agent's public URL.
    ///
    /// # Errors
    /// [`Unusable::Key`] when it is no such key.
    pub fn from_pem(pem: &[u8], issuer: impl Into<String>) -> Result<Self, Unusable> {
        let key = EncodingKey::from_ec_pem(pem).map_err(Unusable::Key)?;
        Self::new(key, issuer.into())
    }

    /// The same with the key as DER.
    ///
    /// # Errors
    /// [`Unusable::Key`] when it is no such key.
    pub fn from_der(der: &[u8], issuer: impl Into<String>) -> Result<Self, Unusable> {
        Self::new(EncodingKey::from_ec_der(der), issuer.into())
    }

    /// A signer with a new key, which ends with it: for one process, and webhooks that read its key set.
    ///
    /// # Errors
    /// [`Unusable::Generated`] when the operating system gives no random numbers.
    pub fn generate(issuer: impl Into<String>) -> Result<Self, Unusable> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let key = key.map_err(|_unspecified| Unusable::Generated)?;
        Self::from_der(key.as_ref(), issuer)
    }

    fn new(key: EncodingKey, issuer: String) -> Result<Self, Unusable> {
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(Unusable::Key)?;
        let public = serde_json::to_vec(&jwk).unwrap_or_default();
        let id: String = URL_SAFE_NO_PAD
            .encode(Sha256::digest(&public))
            .chars()
            .take(16)
            .collect();
        jwk.common.key_id = Some(id.clone());
        Ok(Self { key, jwk, id, issuer })
    }

    /// The public key, as the JSON of a key set (RFC 7517 5).
    pub(super) fn keys(&self) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({ "keys": [self.jwk] })).unwrap_or_default()
    }

    /// A token for one request.
    pub(super) fn sign(&self, signed: Signed<'_>) -> Result<String, jsonwebtoken::errors::Error> {
        let now = Timestamp::now().as_second();
        let claims = Claims {
            iss: &self.issuer,
            aud: signed.audience,
            iat: now,
            exp: now.saturating_add(i64::try_from(HOLDS.as_secs()).unwrap_or(300)),
            jti: Uuid::new_v4().to_string(),
            task: signed.task,
            sequence: signed.sequence,
            body_sha256: URL_SAFE_NO_PAD.encode(Sha256::digest(signed.body)),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}
