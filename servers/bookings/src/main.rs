//! The program `bookings`: the server, hosted by skydock.

use std::process::ExitCode;

use bookings::Bookings;
use clap::Parser;

/// An MCP server that books cars and hotels, within the travel policies of a company.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    host: skydock::Flags,
    #[command(flatten)]
    bookings: bookings::Flags,
}

impl AsRef<skydock::Flags> for Args {
    fn as_ref(&self) -> &skydock::Flags {
        &self.host
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    skydock::serve_with(async |args: &Args| Bookings::open(&args.bookings).await).await
}
