//! The server as its clients see it, and the store that many of them meet in.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

mod booking;
mod client;
mod storing;
mod users;
