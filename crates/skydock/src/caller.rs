//! What is known of the caller beside what it says.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The name of the caller, which whoever has checked it puts into the extensions of the HTTP request: `--auth-issuer`
/// and its like, a layer around [`Host::router`](crate::Host::router), or the door of a platform that checks callers
/// itself. A session belongs to the principal that opened it, and is not there for any other.
///
/// Two are the same when their names are.
#[derive(Clone)]
pub struct Principal {
    name: Arc<str>,
    subject: Option<Arc<str>>,
}

impl Principal {
    /// A caller by a name that is unique among all callers, such as issuer and subject of a token together.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            subject: None,
        }
    }

    /// The caller that the token of an issuer is about: a subject is unique for its issuer only (RFC 7519 §4.1.2).
    #[must_use]
    pub fn of_token(issuer: &str, subject: &str) -> Self {
        Self::new(format!("token {issuer} {subject}")).with_subject(subject)
    }

    /// The same with what the caller is called where nobody can be taken for another.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<Arc<str>>) -> Self {
        Self {
            subject: Some(subject.into()),
            ..self
        }
    }

    /// The name, unique among all callers: what belongs to a caller is kept under it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// What the caller is called, to be shown and never to be kept by: the subject of its token, or else the name.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.name)
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Principal(…)")
    }
}

/// In the extensions of `initialize`, `notifications/initialized` and `resources/subscribe` when their client has not
/// sent them just now: the handler is told of a session that began at another instance, or has slept. It stands where
/// rmcp's own `SessionRestoreMarker` would, which only rmcp can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored;
