//! The rooms of the program `skydock`: a client, and one verb in each of the others.

pub mod call;
pub mod client;
pub mod config;
pub mod demo;
pub mod emulate;
mod listen;
mod progress;
pub mod schema;
mod screen;
mod tame;
mod usage;

pub use usage::{Usage, report};
