//! Agent2Agent 1.0: what the specification demands, on both bindings, and that tasks outlive the instance that began them.

mod assistant;
mod card;
mod contract;
mod durable;
mod errors;
mod fickle;
mod instance;
mod lists;
mod messages;
mod peers;
mod push;
mod store;
mod streams;
mod webhook;
