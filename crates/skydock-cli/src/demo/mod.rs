//! The verb `demo`: what Skydock is for, on this machine, with no account.

mod lambda;
mod questions;
mod story;
mod travel;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Result;
use clap::Subcommand;

/// Watch an MCP server answer real questions about AWS Lambda functions, on an embedded account
///
/// Starts lambda-ops over HTTP on loopback, asks it as an MCP client does, upgrades two functions, and stays up.
/// Nothing outside this machine is reached, and no AWS credentials are needed. `skydock demo travel` shows an agent.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// End when the story is told, in place of staying up
    #[arg(long)]
    once: bool,
    /// Which embedded account: the same number gives the same functions
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    other: Option<Other>,
}

/// Another demo.
#[derive(Debug, Subcommand)]
enum Other {
    Travel(travel::Args),
}

/// Runs the demo until Ctrl-C or SIGTERM, or to the end of the story with `--once`.
///
/// # Errors
/// [`Usage`](crate::Usage) when the address cannot be used; else what happened on the way.
pub async fn run(args: Args) -> Result<ExitCode> {
    match &args.other {
        None => lambda::run(&args).await,
        Some(Other::Travel(args)) => travel::run(args).await,
    }
}
