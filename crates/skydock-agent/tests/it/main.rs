//! The agent as others meet it.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

mod a2a;
