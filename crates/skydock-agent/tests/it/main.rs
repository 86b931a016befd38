//! The agent as those see it who use the crate.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

mod contract;
mod folder;
mod identity;
mod knowledge;
mod stores;
