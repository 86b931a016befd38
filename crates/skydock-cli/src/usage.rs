//! How the program ends: its exit code, and what it says about a fault.

use std::{fmt, io, process::ExitCode};

use skydock_agent::client;

use crate::screen;

/// What was asked for cannot be done as it was asked: every fault, with its remedy.
#[derive(Debug)]
pub struct Usage(Vec<String>);

impl Usage {
    /// One fault.
    pub fn new(fault: impl Into<String>) -> Self {
        Self(vec![fault.into()])
    }

    /// All faults at once, or none.
    ///
    /// # Errors
    /// The faults, when there are any.
    pub fn check(faults: Vec<String>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self(faults))
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Usage {}

/// Says on stderr what went wrong and gives the exit code: 1 failed while running, 2 usage or environment wrong.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_closed_output) {
        return ExitCode::SUCCESS;
    }
    screen::fault(&client::tell(error.as_ref()));
    let usage = error.is::<Usage>()
        || error
            .downcast_ref::<client::Error>()
            .is_some_and(client::Error::is_usage);
    if usage {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// The reader of our output had enough (`skydock call … | head`): that is no fault.
fn is_closed_output(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .is_some_and(|inner| inner.is::<screen::ClosedOutput>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_already_told_is_not_told_twice() {
        let error = anyhow::anyhow!("port taken")
            .context("cannot start: port taken")
            .context("no demo");
        assert_eq!(client::tell(error.as_ref()), "no demo: cannot start: port taken");
    }
}
