//! ministack, which imitates many services of AWS at once.

use std::net::SocketAddr;

use anyhow::Result;

use crate::{
    program::{self, Program},
    tools,
};

/// Starts it with a home of its own under `target/tools`.
///
/// # Errors
/// It is not installed, or does not start.
pub async fn start(home: &str) -> Result<Program> {
    start_with(home, &[]).await
}

/// As [`start`], with these variables in its environment.
///
/// # Errors
/// As [`start`].
pub async fn start_with(home: &str, variables: &[(&str, &str)]) -> Result<Program> {
    let binary = tools::python("ministack")?;
    let home = tools::home(home)?;
    let start = |addr: SocketAddr| {
        let mut command = program::at_home(&binary, &home);
        command
            .env("BIND_HOST", addr.ip().to_string())
            .env("GATEWAY_PORT", addr.port().to_string())
            // These two would listen on every address of the machine.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .envs(variables.iter().copied());
        command
    };
    Program::start(start, "/_ministack/health").await
}
