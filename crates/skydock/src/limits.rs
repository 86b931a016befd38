//! How much one caller, and all of them, may ask for.

use std::time::Duration;

/// The bounds within which a host works. None of them is infinite.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long one request may take before its caller gets a timeout error. Time spent waiting for an answer of
    /// the user ([`Ask`](crate::Ask)) is not counted.
    pub timeout: Duration,
    /// How long the user may take to answer a question within a session.
    pub question: Duration,
    /// How long a shutdown waits for the answers that are being worked on.
    pub grace: Duration,
    /// The largest request body, in bytes.
    pub body: usize,
    /// How long a client may take to send its request body.
    pub body_timeout: Duration,
    /// How long a client may take to send its request's head.
    pub head_timeout: Duration,
    /// The number of open connections.
    pub connections: usize,
    /// The number of sessions that are kept in memory.
    pub sessions: usize,
    /// How long a session without any request, running tool or open stream is kept.
    pub session_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            question: Duration::from_secs(600),
            grace: Duration::from_secs(25),
            body: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            connections: 10_000,
            sessions: 1_000,
            session_ttl: Duration::from_secs(1_800),
        }
    }
}
