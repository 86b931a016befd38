//! The verb `demo`.
use std::process::ExitCode;
/// demo
#[derive(Debug, clap::Args)]
pub struct Args {}
/// # Errors
pub async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
