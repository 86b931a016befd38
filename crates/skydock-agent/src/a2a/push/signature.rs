//! Signs what webhooks are told, so that they can tell who says it, to whom, when, and what.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::identity::{self, FileKey};

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
    Key(#[source] identity::Error),
    /// No key can be made.
    #[error("no key for webhooks can be made: there are no random numbers")]
    Generated(#[source] identity::Error),
}

/// Signs with ES256 (RFC 7518 3.4).
pub struct Signer {
    key: FileKey,
    issuer: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("key", &self.key)
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
        let key = FileKey::from_pem("the key for webhooks", pem).map_err(Unusable::Key)?;
        let issuer = issuer.into();
        Ok(Self { key, issuer })
    }

    /// A signer with a new key, which ends with it: for one process, and webhooks that read its key set.
    ///
    /// # Errors
    /// [`Unusable::Generated`] when the operating system gives no random numbers.
    pub fn generate(issuer: impl Into<String>) -> Result<Self, Unusable> {
        let key = FileKey::generate().map_err(Unusable::Generated)?;
        let issuer = issuer.into();
        Ok(Self { key, issuer })
    }

    /// The public key, as the JSON of a key set (RFC 7517 5).
    pub(super) fn keys(&self) -> Vec<u8> {
        let keys = vec![identity::Signer::jwk(&self.key).clone()];
        serde_json::to_vec(&JwkSet { keys }).unwrap_or_default()
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
        self.key.token(&claims)
    }
}
