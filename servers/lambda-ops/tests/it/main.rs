//! The server as its clients see it: an rmcp client, the tools, the real SDK, and an account.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

mod account;
mod allowing;
mod auditing;
mod batching;
mod bench;
mod consenting;
mod contract;
mod embedded;
mod invoking;
mod journalling;
mod killing;
mod listing;
mod looking;
mod permissions;
mod planning;
mod program;
mod prompts;
mod putting_back;
mod recovering;
mod reporting;
mod resources;
mod runtimes;
mod sharing;
mod tasks;
mod tools;
mod updating;
mod withstanding;
