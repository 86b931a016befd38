//! The agent as its users see it: turns over real MCP servers.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

mod a2a;
mod approving;
mod asking;
mod bounds;
mod contract;
mod crashing;
mod crowd;
mod folder;
mod identity;
mod knowledge;
mod models;
mod puppet;
mod servers;
mod stores;
mod tracing_spans;
mod web;
mod workshop;
