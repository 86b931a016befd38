//! The server as its clients see it. What holds of its stores is tested in `checks`, which can start a DynamoDB.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

mod booking;
mod client;
mod users;
