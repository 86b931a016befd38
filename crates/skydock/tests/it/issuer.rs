//! An issuer of tokens, honest or not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::{AsBigEndian as _, EcPublicKeyUncompressedBin},
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

/// What tokens are for.
pub(crate) const AUDIENCE: &str = "https://mcp.example.com/mcp";
/// Who signs them.
pub(crate) const ISSUER: &str = "https://issuer.example";

/// A private key.
pub(crate) enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    pub(crate) fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// The public part, as a JWK.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..])})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA", "x": BASE64.encode(key.public_key().as_ref())})
            }
            Self::Rsa(key) => {
                let key = key.public_key();
                let bytes = |bytes: &[u8]| BASE64.encode(bytes);
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256",
                    "n": bytes(key.modulus().big_endian_without_leading_zero()),
                    "e": bytes(key.exponent().big_endian_without_leading_zero())})
            }
        }
    }

    /// The bytes of the public part, which are no secret.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Ec(key) => {
                let point: EcPublicKeyUncompressedBin<'_> = key.public_key().as_be_bytes().unwrap();
                point.as_ref().to_vec()
            }
            _ => panic!("only asked of EC keys"),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ec(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A token of these claims with a good signature.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm(), "kid": id});
        written(&header, claims, |message| self.sign(message))
    }
}

/// A token of whatever is given.
pub(crate) fn written(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    );
    let signature = BASE64.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// What HMAC makes of a message with a key that everybody knows.
pub(crate) fn hs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

pub(crate) fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Seconds from now, or before it.
pub(crate) fn from_now(seconds: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now - by } else { now + by }.as_secs()
}

/// The claims of a good token.
pub(crate) fn claims(subject: &str) -> Value {
    json!({"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": from_now(0), "exp": from_now(60), "jti": "1"})
}
