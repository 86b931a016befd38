//! What no single crate can test: the referee, real clients, real stand-ins, hostile input, the shape of the house.

pub mod balancer;
pub mod baseline;
pub mod connection;
pub mod dynamodb;
pub mod emulator;
pub mod figures;
pub mod fixtures;
pub mod fleet;
pub mod llama;
pub mod load;
pub mod ministack;
pub mod ports;
pub mod processes;
pub mod program;
pub mod scratch;
pub mod suite;
pub mod tools;
pub mod valkey;
