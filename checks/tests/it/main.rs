//! What no single crate can test, against the built programs and real peers.

mod conformance;
mod hostile;
mod negotiation;
mod wire;
