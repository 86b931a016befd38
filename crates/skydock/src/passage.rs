//! What a platform says of a request beside HTTP; it travels in the extensions of the request.

use tokio::time::Instant;

/// How a request came to us through a platform, and what the platform makes of the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passage {
    /// When the platform stops waiting, whatever is still at work.
    pub(crate) deadline: Option<Instant>,
    /// The name under which the platform itself received the request: it is one of ours.
    pub(crate) domain: Option<String>,
    /// Whether the answer is delivered in one piece, when it has ended.
    pub(crate) whole: bool,
}
