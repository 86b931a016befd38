//! The public keys of an issuer: a JWK set (RFC 7517), which is read again when keys change.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::KEYS;
use crate::error::Faults;

/// How often a file is looked at, and how often a `kid` that is not known leads to a look.
const AGAIN: Duration = Duration::from_secs(30);
/// More bytes are no set of keys.
const LARGEST: u64 = 1 << 20;

/// A key, and the one algorithm that it is used with.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

type Keys = Vec<Arc<Key>>;

/// The keys there are, and where new ones come from.
#[derive(Debug)]
pub(super) struct Ring {
    source: Source,
    keys: RwLock<Arc<Keys>>,
    looked: Mutex<Looked>,
}

/// Where keys come from.
#[derive(Debug)]
enum Source {
    /// They do not change.
    Fixed,
    File(PathBuf),
}

/// When it was last looked for new keys.
#[derive(Debug)]
struct Looked {
    /// Because it was time.
    regularly: Instant,
    /// Because a key was not known.
    asked: Option<Instant>,
    /// What the file was like then.
    seen: Option<(SystemTime, u64)>,
}

impl Ring {
    pub(super) fn of_text(text: &str) -> Result<Self, Faults> {
        let keys = parse(text).map_err(|wanted| Faults::one("the JWK set", "", wanted))?;
        Ok(Self::with(Source::Fixed, keys, None))
    }

    pub(super) fn of_file(file: PathBuf) -> Result<Self, Faults> {
        let seen = look(&file);
        let keys = read(&file).map_err(|wanted| Faults::one(KEYS, file.display().to_string(), wanted))?;
        Ok(Self::with(Source::File(file), keys, seen))
    }

    fn with(source: Source, keys: Keys, seen: Option<(SystemTime, u64)>) -> Self {
        Self {
            source,
            keys: RwLock::new(Arc::new(keys)),
            looked: Mutex::new(Looked {
                regularly: Instant::now(),
                asked: None,
                seen,
            }),
        }
    }

    /// The key of a token with this `kid`; without one, the key, when there is only one.
    pub(super) async fn find(&self, id: Option<&str>) -> Option<Arc<Key>> {
        let Source::File(file) = &self.source else {
            return self.known(id);
        };
        if self.is_time() {
            self.renew(file, false).await;
        }
        if let Some(key) = self.known(id) {
            return Some(key);
        }
        if !self.may_ask() {
            return None;
        }
        self.renew(file, true).await;
        self.known(id)
    }

    fn known(&self, id: Option<&str>) -> Option<Arc<Key>> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        match (id, keys.as_slice()) {
            (None, [only]) => Some(Arc::clone(only)),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)).cloned(),
        }
    }

    fn is_time(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.regularly.elapsed() >= AGAIN;
        if due {
            looked.regularly = Instant::now();
        }
        due
    }

    fn may_ask(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.asked.is_none_or(|asked| asked.elapsed() >= AGAIN);
        if may {
            looked.asked = Some(Instant::now());
        }
        may
    }

    /// Reads the file again, when it has changed or `surely`. What cannot be read leaves the keys as they are.
    async fn renew(&self, file: &Path, surely: bool) {
        let before = self.looked.lock().unwrap_or_else(PoisonError::into_inner).seen;
        let path = file.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let seen = look(&path);
            (surely || seen != before).then(|| (seen, read(&path)))
        });
        let Ok(Some((seen, read))) = read.await else {
            return;
        };
        match read {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), file = %file.display(), "read the keys of tokens again");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                self.looked.lock().unwrap_or_else(PoisonError::into_inner).seen = seen;
            }
            Err(reason) => {
                tracing::error!(reason, file = %file.display(), "the keys of tokens cannot be read again; those before stay");
            }
        }
    }
}

/// What tells one state of a file from another.
fn look(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(file: &Path) -> Result<Keys, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read ({error}); name a file with a JWK set");
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(format!(
            "is no file of up to {LARGEST} bytes; name a file with a JWK set"
        ));
    }
    parse(&std::fs::read_to_string(file).map_err(unreadable)?)
}

/// The keys of a set that tokens can be checked with; those of other kinds are none of ours (RFC 7517 §5).
fn parse(text: &str) -> Result<Keys, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let wanted = r#"holds no JWK set; it begins with {"keys": [ (RFC 7517)"#;
    let set: Set = serde_json::from_str(text).map_err(|_shape| wanted.to_owned())?;
    let mut keys = Keys::new();
    for value in set.keys {
        if value.get("kty").is_some_and(|kind| kind == "oct") {
            return Err(
                "holds a secret key (kty is oct); only public keys belong there, which cannot sign"
                    .to_owned(),
            );
        }
        if value.get("d").is_some() {
            return Err("holds a private key (it has d); write the public part only".to_owned());
        }
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
            continue;
        };
        if let Some(key) = usable(&jwk) {
            let twice = |other: &Arc<Key>| key.id.is_some() && other.id == key.id;
            if keys.iter().any(twice) {
                return Err("has two keys of one kid; give each key a kid of its own".to_owned());
            }
            keys.push(Arc::new(key));
        }
    }
    if keys.is_empty() {
        return Err("has no key for signatures by ES256, RS256 or EdDSA; add one".to_owned());
    }
    Ok(keys)
}

/// A key for signatures, with the algorithm of its kind.
fn usable(jwk: &Jwk) -> Option<Key> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return None,
    };
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    if !signs || jwk.common.key_algorithm.is_some_and(|other| other != named) {
        return None;
    }
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        decoding: DecodingKey::from_jwk(jwk).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    fn set(keys: &[&str]) -> String {
        format!(r#"{{"keys": [{}]}}"#, keys.join(","))
    }

    #[test]
    fn keys_of_other_kinds_are_left_out_and_secret_ones_refused() {
        let other = [
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#,
            r#"{"kty":"new","z":1}"#,
            r#"{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","alg":"PS256","n":"AQAB","e":"AQAB"}"#,
        ];
        for other in other {
            assert_eq!(parse(&set(&[other, EC])).unwrap().len(), 1, "{other}");
            assert!(
                parse(&set(&[other])).unwrap_err().contains("has no key"),
                "{other}"
            );
        }
        let secret = r#"{"kty":"oct","kid":"a","k":"AAAA"}"#;
        assert!(parse(&set(&[EC, secret])).unwrap_err().contains("secret key"));
        let private = EC.replace(r#""kid""#, r#""d":"AAAA","kid""#);
        assert!(parse(&set(&[&private])).unwrap_err().contains("private key"));
        assert!(
            parse(&set(&[EC, EC]))
                .unwrap_err()
                .contains("two keys of one kid")
        );
        for wrong in ["", "[]", "{}", r#"{"keys": 1}"#, EC] {
            assert!(parse(wrong).unwrap_err().contains("no JWK set"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_token_without_kid_is_of_the_only_key() {
        let one = Ring::of_text(&set(&[EC])).unwrap();
        assert!(one.find(None).await.is_some());
        assert!(one.find(Some("a")).await.is_some());
        assert!(one.find(Some("b")).await.is_none());
        let two = Ring::of_text(&set(&[EC, &EC.replace(r#""a""#, r#""b""#)])).unwrap();
        assert!(two.find(None).await.is_none());
        assert!(two.find(Some("b")).await.is_some());
    }
}
