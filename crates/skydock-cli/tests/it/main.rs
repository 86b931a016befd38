//! The built program as a user types it, against real peers.
#![cfg(test)]

mod call;
mod config;
mod demo;
mod login;
mod program;
mod server;
mod terminal;
