//! Where it runs. A runtime knows nothing of MCP: it carries bytes to a service, and ends when it is told to.
//! (`lambda/message.rs` is the exception, for events of Lambda that are messages and no HTTP.)

pub(crate) mod drain;
pub(crate) mod http;
pub(crate) mod lambda;
mod signal;
pub(crate) mod stdio;

pub(crate) use self::{drain::Drain, signal::Signals};
