//! What no single crate can test, against the built programs and real peers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what is wrong by failing"
)]

mod a2a;
mod agent;
mod bookings;
mod clients;
mod conformance;
mod conversations;
mod docs;
mod elsewhere;
mod emulator;
mod hostile;
mod keys;
mod models;
mod negotiation;
mod secrets;
mod shape;
mod standins;
mod tasks;
mod topology;
mod wire;
