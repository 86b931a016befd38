//! The server that the referee and the hostile tests talk to: the fixtures, with the flags of every Skydock server.

use std::process::ExitCode;

use checks::fixtures::Fixtures;

#[tokio::main]
async fn main() -> ExitCode {
    skydock::serve(Fixtures::default).await
}
