//! What no single crate can test, against the built programs and real peers.

mod clients;
mod conformance;
mod docs;
mod hostile;
mod negotiation;
mod shape;
mod standins;
mod wire;
