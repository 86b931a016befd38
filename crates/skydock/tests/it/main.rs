//! The host library as its users see it: a handler goes in, a service comes out.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod asking;
mod delegation;
mod drain;
mod guarding;
mod http;
mod issuer;
mod lambda;
mod peer;
mod tokens;
mod workshop;
