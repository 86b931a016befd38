//! What is known of the caller beside what it says.

use std::sync::Arc;

/// The name of the caller, which whoever has checked it puts into the extensions of the HTTP request: a layer around
/// [`Host::router`](crate::Host::router), or the door of a platform that checks callers itself. A session belongs to
/// the principal that opened it, and is not there for any other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// A caller by a name that is unique among all callers, such as issuer and subject of a token together.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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
