//! The key of an API: read from where it is kept, and shown to nobody.

use std::{fmt, io, path::PathBuf};

use reqwest::header::HeaderValue;

/// A key. `Debug` hides it.
#[derive(Clone)]
pub struct Key {
    header: HeaderValue,
    text: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the key cannot be read from the file {}; for an environment variable write env:NAME", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no such file. What was written is not shown when it may be the key itself.
    #[error(
        "there is no such file as {0}; write the name of a file, or env:VARIABLE, and never the key itself"
    )]
    NoFile(String),
    /// The variable is not set, or no text.
    #[error("the environment variable {0:?} holds no key; set it, or name a file")]
    Variable(String),
    /// There is nothing, or something that no header can hold.
    #[error("what {0} holds is no key: it is empty, or has characters that no HTTP header can hold")]
    Unusable(String),
}

impl Key {
    /// The key that a reference leads to: `env:VARIABLE`, or a file. Space around it does not belong to it.
    ///
    /// # Errors
    /// [`KeyError`], without the key.
    pub fn read(reference: &str) -> Result<Self, KeyError> {
        let text = match reference.strip_prefix("env:") {
            Some(name) => std::env::var(name).map_err(|_unset| KeyError::Variable(name.to_owned()))?,
            None => std::fs::read_to_string(reference).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => KeyError::NoFile(shown(reference)),
                _ => KeyError::File {
                    file: PathBuf::from(reference),
                    source,
                },
            })?,
        };
        Self::new(&text).ok_or_else(|| KeyError::Unusable(reference.to_owned()))
    }

    /// A key; `None` when it is empty, or no header can hold it.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        let text = text.to_owned();
        Some(Self { header, text })
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// A text without the key.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.text, "…")
    }
}

/// A reference, unless it may be a key that was written in its place.
fn shown(reference: &str) -> String {
    if ["/", "./", "../", "~"]
        .iter()
        .any(|start| reference.starts_with(start))
    {
        format!("{reference:?}")
    } else {
        "what is written there (it is not shown, because it may be a key)".to_owned()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_to_nobody() {
        let key = Key::new(" sk-secret\n").unwrap();
        assert_eq!(format!("{key:?} {:?}", key.header()), "Key(…) Sensitive");
        assert_eq!(key.header().to_str().unwrap(), "Bearer sk-secret");
        assert_eq!(key.hidden_in("wrong key sk-secret."), "wrong key ….");
        assert!(Key::new(" ").is_none() && Key::new("a\nb").is_none());
    }

    #[test]
    fn where_there_is_no_key_is_said() {
        let of = |reference| Key::read(reference).unwrap_err().to_string();
        assert!(of("env:SKYDOCK_NO_SUCH_KEY").contains("SKYDOCK_NO_SUCH_KEY"));
        assert!(of("/no/such/file").contains("/no/such/file"));
        assert!(of("/dev/null").contains("/dev/null"));
        let written = of("sk-secret");
        assert!(
            written.contains("env:VARIABLE") && !written.contains("sk-secret"),
            "{written}"
        );
    }
}
