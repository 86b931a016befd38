//! Where it runs. A runtime knows nothing of MCP: it carries bytes to a service, and ends when it is told to.

pub(crate) mod drain;
pub(crate) mod http;
mod signal;
pub(crate) mod stdio;

pub(crate) use self::{drain::Drain, signal::Signals};
