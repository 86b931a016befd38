//! The rooms of the program `skydock`: one verb in each.

pub mod agent;
pub mod call;
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
