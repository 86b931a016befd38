//! What happened: the log, on stderr, because stdout belongs to the protocol.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// What is logged unless `--log` says otherwise: rmcp writes three lines of `info` a request, and its `service` warns of
/// errors with their whole text, in which there may be what the caller sent. The AWS SDK warns at length where there is
/// no instance metadata, which is everywhere but on EC2.
pub(crate) const DEFAULT_FILTER: &str = "info,rmcp=warn,rmcp::service=error,aws_config::imds=error";

/// Reads a filter as `tracing` writes it, such as `info,rmcp=warn`.
///
/// # Errors
/// When a directive is not understood.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(text)
}

/// Starts the log: lines for people on a terminal, JSON elsewhere. A program that has a subscriber keeps its own.
pub(crate) fn start(filter: EnvFilter) {
    let registry = tracing_subscriber::registry().with(filter);
    let stderr = std::io::stderr;
    // an error means that the program set a subscriber of its own before
    let _ = if stderr().is_terminal() {
        registry
            .with(fmt::layer().with_writer(stderr).with_target(false))
            .try_init()
    } else {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(stderr))
            .try_init()
    };
}

/// An id that stands in a public error text and in the log, so that an operator finds the cause of what a caller saw.
///
/// Eight hexadecimal digits. A handler that tells a caller of a fault of its own uses it as the host does: the text names
/// it, and the log has it in the field `reference`.
#[must_use]
pub fn reference() -> String {
    format!("{:08x}", rand::random::<u32>())
}
