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
    /// How long a shutdown waits for the answers that are being worked on, and for handlers to wind up.
    pub grace: Duration,
    /// How long a handler that was told to stop may wind up while the server goes on: long enough to put back a change.
    pub wind_up: Duration,
    /// How long the address is still listened on at the least when a shutdown has begun, so that a load balancer that
    /// has not heard of it gets an answer.
    pub linger: Duration,
    /// The largest request body, in bytes.
    pub body: usize,
    /// How long a client may take to send its request body.
    pub body_timeout: Duration,
    /// How long a new connection may take to send its first request.
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests, and send the head of the next. Longer than the 60 s of an
    /// ALB, which would otherwise send a request into a connection that is being closed.
    pub idle_timeout: Duration,
    /// How long a client may take none of the bytes that it is sent.
    pub write_timeout: Duration,
    /// The number of requests that are worked on at once; [`body`](Self::body) bounds what each may hold.
    pub requests: usize,
    /// The number of open connections.
    pub connections: usize,
    /// The number of sessions that are kept in memory; where a store keeps them, the number that are awake at once.
    pub sessions: usize,
    /// How long a session without any request, running tool or open stream is kept. One that was opened and never
    /// used goes after a minute.
    pub session_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            question: Duration::from_secs(600),
            grace: Duration::from_secs(25),
            wind_up: Duration::from_secs(180),
            linger: Duration::ZERO,
            body: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            requests: 1_000,
            connections: 10_000,
            sessions: 1_000,
            session_ttl: Duration::from_secs(1_800),
        }
    }
}
