//! The program `skydock`: a table of contents of its verbs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use skydock_cli::{agent, call, config, demo, emulate, report};

/// Dock MCP servers anywhere, and talk to them.
#[derive(Debug, Parser)]
#[command(
    name = "skydock",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 failed while running; 2 the usage or the environment is wrong."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(Box<demo::Args>),
    Agent(Box<agent::Args>),
    Call(Box<call::Args>),
    Config(config::Args),
    Emulate(Box<emulate::Args>),
}

// one thread: rmcp handles each notification in a task of its own, and progress is to be told in its order
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Demo(args) => demo::run(*args).await,
        Verb::Agent(args) => agent::run(*args).await,
        Verb::Call(args) => call::run(*args).await,
        Verb::Config(args) => config::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Emulate(args) => emulate::run(*args).await,
    };
    outcome.unwrap_or_else(|error| report(&error))
}
