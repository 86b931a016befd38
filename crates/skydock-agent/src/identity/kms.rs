//! A key in AWS KMS: it never leaves there, and each signature is asked for.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::{
    Client,
    error::DisplayErrorContext,
    primitives::Blob,
    types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec},
};
use jsonwebtoken::{Algorithm, DecodingKey, jwk::Jwk};
use sha2::{Digest as _, Sha256};

use super::{Error, Signer, file::name_key};
use crate::aws::{Patience, patient};

/// How long it is waited for.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(2),
    attempts: 3,
    whole: Duration::from_secs(5),
};
/// What stands before the point of a P-256 key in its public key (RFC 5480 §2): the kind of key, and its curve.
const BEFORE_POINT: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The bytes of r, and of s.
const HALF: usize = 32;

/// A P-256 key in AWS KMS (`ECC_NIST_P256`, `SIGN_VERIFY`).
#[derive(Debug)]
pub struct KmsKey {
    client: Client,
    arn: String,
    jwk: Jwk,
}

impl KmsKey {
    /// The key with this ARN, with the usual settings of AWS and the region that the ARN names. Its public part is asked
    /// for.
    ///
    /// # Errors
    /// When it cannot be had, or is of another kind.
    pub async fn open(arn: &str) -> Result<Self, Error> {
        let mut settings = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = arn.split(':').nth(3).filter(|region| !region.is_empty()) {
            settings = settings.region(Region::new(region.to_owned()));
        }
        Self::new(arn, &settings.load().await).await
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`KmsKey::open`].
    pub async fn new(arn: &str, config: &SdkConfig) -> Result<Self, Error> {
        let client = Client::new(&patient(config, PATIENCE));
        let found = client.get_public_key().key_id(arn).send().await;
        let found = found.map_err(|error| failed("asking for the public part", arn, &error))?;
        let kind = |found: String| Error::Kind {
            key: arn.to_owned(),
            found,
        };
        match (&found.key_spec, &found.key_usage) {
            (Some(spec), _) if *spec != KeySpec::EccNistP256 => return Err(kind(spec.as_str().to_owned())),
            (_, Some(usage)) if *usage != KeyUsageType::SignVerify => {
                return Err(kind(format!("for {}", usage.as_str())));
            }
            // what it is shows in the key itself, too
            _ => {}
        }
        let public = found.public_key.map(Blob::into_inner).unwrap_or_default();
        let jwk = public_jwk(&public).ok_or_else(|| kind("no key of the curve P-256".to_owned()))?;
        Ok(Self {
            client,
            arn: arn.to_owned(),
            jwk,
        })
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(doing: &'static str, arn: &str, error: &E) -> Error {
    Error::Kms {
        doing,
        key: arn.to_owned(),
        source: DisplayErrorContext(error).to_string().into(),
    }
}

/// The public key, when it is one of P-256.
fn public_jwk(der: &[u8]) -> Option<Jwk> {
    let point = der
        .strip_prefix(&BEFORE_POINT)
        .filter(|point| point.len() == 1 + 2 * HALF && point.first() == Some(&4))?;
    let mut jwk = Jwk::from_decoding_key(&DecodingKey::from_ec_der(point), Some(Algorithm::ES256)).ok()?;
    name_key(&mut jwk).ok()?;
    Some(jwk)
}

/// A signature as KMS writes it (RFC 3279 §2.2.3: a sequence of two integers) as JWS has it.
fn raw(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, length, rest @ ..] = der else {
        return None;
    };
    if usize::from(*length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

/// The first integer, in 32 bytes, and what comes after it.
fn integer(der: &[u8]) -> Option<([u8; HALF], &[u8])> {
    let [0x02, length, rest @ ..] = der else {
        return None;
    };
    let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
    // a zero stands before what would be negative else
    let bytes = match bytes {
        [0, bytes @ ..] => bytes,
        bytes => bytes,
    };
    let mut padded = [0; HALF];
    let place = padded.get_mut(HALF.checked_sub(bytes.len())?..)?;
    place.copy_from_slice(bytes);
    Some((padded, rest))
}

#[async_trait]
impl Signer for KmsKey {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = self
            .client
            .sign()
            .key_id(&self.arn)
            .message(Blob::new(Sha256::digest(message).to_vec()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await;
        let signed = signed.map_err(|error| failed("signing", &self.arn, &error))?;
        let signature = signed.signature.map(Blob::into_inner).unwrap_or_default();
        raw(&signature).ok_or_else(|| Error::Signing("KMS gave a signature that is none of P-256".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut der = vec![0x30, u8::try_from(4 + r.len() + s.len()).unwrap()];
        for half in [r, s] {
            der.extend([0x02, u8::try_from(half.len()).unwrap()]);
            der.extend(half);
        }
        der
    }

    #[test]
    fn a_signature_is_two_times_32_bytes_however_short_its_numbers_are() {
        let long = [&[0][..], &[0xff; 32]].concat();
        let signature = raw(&der(&long, &[0x7f])).unwrap();
        assert_eq!(signature.len(), 64);
        assert_eq!(signature[..32], [0xff; 32]);
        assert_eq!((signature[62], signature[63]), (0, 0x7f));
        let whole = der(&[1; 32], &[2; 32]);
        assert!(raw(&whole).is_some());
        assert!(raw(&whole[..whole.len() - 1]).is_none());
        assert!(
            raw(&der(&[1; 33], &[2; 32])).is_none(),
            "33 bytes that begin with no zero"
        );
        assert!(raw(&[]).is_none());
        assert!(raw(&[whole.as_slice(), &[0]].concat()).is_none());
    }
}
