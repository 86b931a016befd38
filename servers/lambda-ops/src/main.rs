//! The program `lambda-ops`: the server, hosted by skydock.

use std::process::ExitCode;

use clap::Parser;
use lambda_ops::LambdaOps;

/// An MCP server that lists, inspects, invokes and upgrades AWS Lambda functions.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    host: skydock::Flags,
    #[command(flatten)]
    account: lambda_ops::Flags,
}

impl AsRef<skydock::Flags> for Args {
    fn as_ref(&self) -> &skydock::Flags {
        &self.host
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    skydock::serve_with(async |args: &Args| LambdaOps::open(&args.account, &args.host).await).await
}
