//! The program `skydock-authorizer`: the authorizer, run by AWS Lambda.

use std::process::ExitCode;

use clap::Parser;
use skydock_authorizer::Authorizer;

/// A Lambda authorizer for API Gateway: it checks a bearer token before a request reaches the server.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "It runs in AWS Lambda only. To try it here:\n  \
        skydock emulate apigw-v1 --authorizer \"skydock-authorizer --principals principals.toml\" -- pizza"
)]
struct Args {
    #[command(flatten)]
    function: skydock::FunctionFlags,
    #[command(flatten)]
    authorizer: skydock_authorizer::Flags,
}

impl AsRef<skydock::FunctionFlags> for Args {
    fn as_ref(&self) -> &skydock::FunctionFlags {
        &self.function
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    skydock::serve_function(async |args: &Args| Authorizer::open(&args.authorizer)).await
}
