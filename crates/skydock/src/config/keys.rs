//! The keys that sign what clients bring back, and where they come from: a file, a variable, or a secret of AWS.

use sha2::{Digest, Sha256};

use crate::error::Faults;

const FLAG: &str = "--state-key (SKYDOCK_STATE_KEY)";
/// What names a variable that holds a key.
const VARIABLE: &str = "env:";
/// What names a secret: `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME`.
const SECRET: &str = "arn:";

/// Key material that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The least number of bytes that make a key.
    pub const MIN_BYTES: usize = 32;

    /// A key of this process alone, from the operating system's random numbers.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<[u8; Self::MIN_BYTES]>().to_vec())
    }

    /// A name that tells keys apart and nothing about them.
    pub(crate) fn id(&self) -> String {
        let digest = Sha256::digest(&self.0);
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The bytes, for what signs with them. They belong in no log and no message.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Key {
    type Error = Faults;

    /// A key from a store of secrets.
    fn try_from(bytes: Vec<u8>) -> Result<Self, Faults> {
        if bytes.len() < Self::MIN_BYTES {
            let wanted = format!(
                "holds {} bytes; at least {} are needed",
                bytes.len(),
                Self::MIN_BYTES
            );
            return Err(Faults::one("the key", "", wanted));
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The keys that one value of `--state-key` names: the first one is to sign.
pub(super) fn read(source: &str) -> Result<Vec<Key>, Faults> {
    let found = if source.starts_with(SECRET) {
        secret::read(source)
    } else if let Some(variable) = source.strip_prefix(VARIABLE) {
        std::env::var_os(variable)
            .map(|value| vec![value.into_encoded_bytes()])
            .ok_or_else(|| "is not set; name a variable that holds a key".to_owned())
    } else {
        std::fs::read(source).map(|bytes| vec![bytes]).map_err(|error| {
            format!("cannot be read ({error}); name a file with a key, env:VARIABLE, or the ARN of a secret")
        })
    };
    let found = found.map_err(|wanted| Faults::one(FLAG, shown(source), wanted))?;
    let mut keys = Vec::new();
    for bytes in found {
        let length = bytes.len();
        match Key::try_from(bytes) {
            Ok(key) => keys.push(key),
            // the one that is to sign
            Err(_short) if keys.is_empty() => {
                let wanted = format!("holds {length} bytes; at least {} are needed", Key::MIN_BYTES);
                return Err(Faults::one(FLAG, shown(source), wanted));
            }
            Err(_short) => tracing::warn!(length, "a value of the secret beside the current one is no key"),
        }
    }
    Ok(keys)
}

/// What may be shown of a value: somebody may have written the key itself.
fn shown(source: &str) -> &str {
    let is_named = source.contains(['/', '.', ':']) || source.len() < Key::MIN_BYTES;
    if is_named { source } else { "…" }
}

#[cfg(not(feature = "secretsmanager"))]
mod secret {
    pub(super) fn read(_arn: &str) -> Result<Vec<Vec<u8>>, String> {
        Err(
            "this build cannot ask AWS Secrets Manager; take the feature secretsmanager of the crate skydock"
                .to_owned(),
        )
    }
}

#[cfg(feature = "secretsmanager")]
mod secret {
    use std::time::Duration;

    use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
    use aws_sdk_secretsmanager::{
        Client, error::DisplayErrorContext, operation::get_secret_value::GetSecretValueError,
    };

    /// The value that signs.
    const CURRENT: &str = "AWSCURRENT";
    /// Those that are known beside it, while a secret is rotated: the next one and the last one.
    const OTHERS: [&str; 2] = ["AWSPENDING", "AWSPREVIOUS"];
    /// For how long the start of a program waits, all tries together.
    const WHOLE: Duration = Duration::from_secs(5);
    const ATTEMPT: Duration = Duration::from_secs(2);
    const ATTEMPTS: u32 = 3;

    /// The values of a secret: the current one, and those that are known beside it.
    pub(super) fn read(arn: &str) -> Result<Vec<Vec<u8>>, String> {
        let mut parts = arn.splitn(7, ':').skip(2);
        let (Some("secretsmanager"), Some(region), Some(_account), Some("secret"), Some(_name)) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            let wanted = "write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";
            return Err(format!("is no ARN of a secret; {wanted}"));
        };
        // settings are read before there is a runtime, or within one that must not be blocked upon
        let asked = std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| error.to_string())?;
                runtime.block_on(fetch(arn, region))
            });
            asked.join()
        });
        asked.unwrap_or_else(|_panic| Err("cannot be asked for".to_owned()))
    }

    async fn fetch(arn: &str, region: &str) -> Result<Vec<Vec<u8>>, String> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(WHOLE)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        let client = Client::new(&config.load().await);
        let current = value(&client, arn, CURRENT).await?;
        let mut values = vec![current.ok_or("has no current value")?];
        for stage in OTHERS {
            values.extend(value(&client, arn, stage).await?);
        }
        values.dedup();
        Ok(values)
    }

    /// `None` when the secret has no such value; only the current one must be there.
    async fn value(client: &Client, arn: &str, stage: &str) -> Result<Option<Vec<u8>>, String> {
        let asked = client
            .get_secret_value()
            .secret_id(arn)
            .version_stage(stage)
            .send();
        match asked.await {
            Ok(found) => {
                let text = found.secret_string.map(String::into_bytes);
                Ok(text.or_else(|| {
                    found
                        .secret_binary
                        .map(aws_sdk_secretsmanager::primitives::Blob::into_inner)
                }))
            }
            Err(error)
                if stage != CURRENT
                    && matches!(
                        error.as_service_error(),
                        Some(
                            GetSecretValueError::ResourceNotFoundException(_)
                                | GetSecretValueError::InvalidRequestException(_)
                        )
                    ) =>
            {
                Ok(None)
            }
            Err(error) => Err(format!(
                "cannot be had from AWS Secrets Manager ({}); whoever runs this needs secretsmanager:GetSecretValue",
                DisplayErrorContext(error)
            )),
        }
    }
}
