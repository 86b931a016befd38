//! What no single crate can test: the referee, real clients, real stand-ins, hostile input, the shape of the house.

pub mod baseline;
pub mod emulator;
pub mod fixtures;
pub mod processes;
pub mod program;
pub mod suite;
pub mod tools;
