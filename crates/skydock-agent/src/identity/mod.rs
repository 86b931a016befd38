//! In whose name the agent comes to a server: a short-lived token for one user and one server, signed by the agent.

mod file;
mod keys;
mod kms;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header};
use moka::future::Cache;
use reqwest::Url;
use serde::Serialize;

pub use self::{
    file::FileKey,
    keys::{Keys, Signer},
    kms::KmsKey,
};
use crate::client::{NoToken, Tokens};

/// How long a token is good when nobody says otherwise.
const LIFE: Duration = Duration::from_secs(120);
/// No token is good for longer.
const LONGEST: Duration = Duration::from_secs(300);
/// How many tokens are kept.
const KEPT: u64 = 10_000;

/// Why there is no identity, or no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file with the key cannot be read.
    #[error("the key {file} cannot be read; name a file with a P-256 key as PKCS#8 PEM")]
    File {
        /// The file.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What was given is no key to sign with.
    #[error(
        "{name} is no key for ES256; make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
    )]
    Key {
        /// Where it came from.
        name: String,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// AWS KMS does not sign.
    #[error(
        "{doing} with the KMS key {key} failed; whoever runs this needs kms:GetPublicKey and kms:Sign on it"
    )]
    Kms {
        /// What was being done.
        doing: &'static str,
        /// The key's ARN.
        key: String,
        /// What AWS said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key in AWS KMS is of another kind.
    #[error("the KMS key {key} is {found}; make one with KeySpec ECC_NIST_P256 and KeyUsage SIGN_VERIFY")]
    Kind {
        /// The key's ARN.
        key: String,
        /// What it is.
        found: String,
    },
    /// Tokens would be good for too long, or not at all.
    #[error("a token cannot be good for {} s; choose 10 to 300", life.as_secs())]
    Life {
        /// For how long they would be.
        life: Duration,
    },
    /// The signature failed.
    #[error("a token could not be signed")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Signs tokens (JWT, ES256) in the name of users. Clones share keys and tokens.
///
/// A token says who signed it (`iss`), for which user (`sub`), for which server alone (`aud`: its URL without query), when
/// and until when (`iat`, `exp`), and has a name of its own (`jti`). It is used again until most of its time is over.
#[derive(Clone)]
pub struct Identity {
    issuer: Arc<str>,
    keys: Keys,
    life: Duration,
    tokens: Cache<(Arc<str>, String), Arc<Token>>,
}

/// A token that was signed.
struct Token {
    text: String,
    /// When the next one is signed.
    renew: Duration,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Tokens of `issuer`, which servers have to know by this name, signed with the first of `keys`.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>, keys: Keys) -> Self {
        Self {
            issuer: issuer.into(),
            keys,
            life: LIFE,
            tokens: Cache::builder().max_capacity(KEPT).time_to_live(LONGEST).build(),
        }
    }

    /// The same with tokens that are good for so long: from ten seconds to five minutes.
    ///
    /// # Errors
    /// [`Error::Life`] when that is too long or too short.
    pub fn with_life(self, life: Duration) -> Result<Self, Error> {
        if life < Duration::from_secs(10) || life > LONGEST {
            return Err(Error::Life { life });
        }
        // tokens of another life are not given out
        let tokens = Cache::builder().max_capacity(KEPT).time_to_live(LONGEST).build();
        Ok(Self { life, tokens, ..self })
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The tokens of one user, for whatever server is asked.
    pub fn of(&self, user: impl Into<Arc<str>>) -> Arc<dyn Tokens> {
        Arc::new(InTheNameOf {
            identity: self.clone(),
            user: user.into(),
        })
    }

    /// A token for `user` at `server`.
    ///
    /// # Errors
    /// When the key does not sign.
    pub async fn token(&self, user: &Arc<str>, server: &Url) -> Result<String, Arc<Error>> {
        let audience = audience(server);
        let key = (Arc::clone(user), audience);
        // the clock of the wall counts: an environment of Lambda may have been frozen meanwhile
        if let Some(token) = self.tokens.get(&key).await
            && token.renew <= now()
        {
            self.tokens.invalidate(&key).await;
        }
        let sign = self.sign(user, &key.1);
        let token = self.tokens.try_get_with(key.clone(), sign).await?;
        Ok(token.text.clone())
    }

    async fn sign(&self, user: &str, audience: &str) -> Result<Arc<Token>, Error> {
        let signer = self.keys.signer();
        let now = now();
        let header = Header {
            kid: signer.jwk().common.key_id.clone(),
            ..Header::new(Algorithm::ES256)
        };
        let claims = Claims {
            iss: &self.issuer,
            sub: user,
            aud: audience,
            iat: now.as_secs(),
            exp: now.saturating_add(self.life).as_secs(),
            jti: uuid::Uuid::new_v4().to_string(),
        };
        let mut text = part(&header)?;
        text.push('.');
        text.push_str(&part(&claims)?);
        let signature = signer.sign(text.as_bytes()).await?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(Arc::new(Token {
            text,
            renew: now.saturating_add(self.life * 3 / 4),
        }))
    }
}

fn part(value: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_vec(value).map_err(|error| Error::Signing(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What a server goes by: its origin and path.
fn audience(server: &Url) -> String {
    let mut server = server.clone();
    server.set_query(None);
    server.set_fragment(None);
    // neither can fail where there is a host
    let _ = server.set_username("");
    let _ = server.set_password(None);
    server.to_string()
}

/// The tokens of one user.
#[derive(Debug)]
struct InTheNameOf {
    identity: Identity,
    user: Arc<str>,
}

#[async_trait]
impl Tokens for InTheNameOf {
    async fn token(&self, server: &Url) -> Result<String, NoToken> {
        self.identity.token(&self.user, server).await.map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::Value;

    use super::*;

    fn identity() -> Identity {
        Identity::new("agent", Keys::new(Arc::new(FileKey::generate().unwrap())))
    }

    fn read(identity: &Identity, token: &str, audience: &str) -> Value {
        let set = identity.keys().jwks();
        let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&["agent"]);
        decode::<Value>(token, &key, &validation).unwrap().claims
    }

    #[tokio::test]
    async fn a_token_is_for_one_user_at_one_server_and_for_a_short_time() {
        let identity = identity();
        let server = Url::parse("https://user:word@mcp.example.com:443/mcp?key=1#x").unwrap();
        let token = identity.token(&"Max".into(), &server).await.unwrap();
        let claims = read(&identity, &token, "https://mcp.example.com/mcp");
        assert_eq!(claims["sub"], "Max");
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            120
        );
        assert!(claims["jti"].as_str().unwrap().len() > 20);

        assert_eq!(
            identity.token(&"Max".into(), &server).await.unwrap(),
            token,
            "it is used again"
        );
        let other = identity.token(&"Alice".into(), &server).await.unwrap();
        assert_eq!(
            read(&identity, &other, "https://mcp.example.com/mcp")["sub"],
            "Alice"
        );
        let elsewhere = Url::parse("https://other.example.com/mcp").unwrap();
        let other = identity.token(&"Max".into(), &elsewhere).await.unwrap();
        assert_eq!(
            read(&identity, &other, "https://other.example.com/mcp")["sub"],
            "Max"
        );
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends() {
        let identity = identity();
        let server = Url::parse("http://localhost/mcp").unwrap();
        let user: Arc<str> = "Max".into();
        let first = identity.token(&user, &server).await.unwrap();
        let old = Token {
            text: first.clone(),
            renew: now(),
        };
        let key = (Arc::clone(&user), audience(&server));
        identity.tokens.insert(key, Arc::new(old)).await;
        assert_ne!(identity.token(&user, &server).await.unwrap(), first);
    }

    #[test]
    fn no_token_is_good_for_long() {
        assert!(identity().with_life(Duration::from_secs(301)).is_err());
        assert!(identity().with_life(Duration::ZERO).is_err());
        assert!(identity().with_life(LONGEST).is_ok());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let key = FileKey::generate().unwrap();
        let pem = key.pem().unwrap();
        let secret: String = pem.lines().nth(1).unwrap().to_owned();
        let shown = format!("{:?}", Identity::new("agent", Keys::new(Arc::new(key))));
        assert!(shown.contains("agent") && !shown.contains(&secret), "{shown}");
    }
}
