//! The keys of an identity: the first one signs, and servers are told of all.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::Error;

/// A private key that signs by ES256, wherever it is.
#[async_trait]
pub trait Signer: Debug + Send + Sync {
    /// Its public part, with `kid`, `alg` and `use`.
    fn jwk(&self) -> &Jwk;

    /// The signature of a message as JWS has it: 32 bytes each of r and s (RFC 7518 §3.4).
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}

/// Keys, of which there are several while they change.
#[derive(Debug, Clone)]
pub struct Keys {
    signer: Arc<dyn Signer>,
    others: Vec<Arc<dyn Signer>>,
}

impl Keys {
    /// One key, which signs.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>) -> Self {
        Self {
            signer,
            others: Vec::new(),
        }
    }

    /// The same, and servers are told of another key as well: of the next one beforehand, of the last one for as long as
    /// its tokens are good.
    #[must_use]
    pub fn with_known(mut self, other: Arc<dyn Signer>) -> Self {
        self.others.push(other);
        self
    }

    /// The key that signs.
    #[must_use]
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// The public keys, for those who check tokens: `--auth-keys` of servers takes them as JSON.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        let all = std::iter::once(&self.signer).chain(&self.others);
        JwkSet {
            keys: all.map(|signer| signer.jwk().clone()).collect(),
        }
    }
}
