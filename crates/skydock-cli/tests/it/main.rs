//! The built program as a user types it, against real peers.
#![cfg(test)]

mod agent;
mod call;
mod config;
mod demo;
mod emulate;
mod hostile;
mod login;
mod program;
mod refusal;
mod server;
mod terminal;
