//! What `skydock emulate` is asked for, and what is wrong with it.

use std::{ffi::OsString, net::SocketAddr};

use super::{
    authorizer::Kind,
    contract,
    door::{self, Door},
};

/// Run a server as AWS Lambda would, behind one of AWS's doors, on this machine
///
/// Starts COMMAND with a runtime API of Lambda on loopback, and listens as DOOR would. The URL to give to an MCP client is
/// printed on stdout; what happens on stderr. Nothing outside this machine is reached.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    skydock emulate url-stream -- target/release/pizza\n  \
    skydock emulate apigw-v1 --authorizer 'skydock-authorizer --principals principals.toml' -- pizza\n  \
    skydock emulate alb --environments 3 --recycle 10 -- my-server --mode stateless")]
pub struct Args {
    /// The door
    #[arg(value_enum)]
    pub(super) door: Door,
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub(super) listen: SocketAddr,
    /// How many environments there may be; they are started when they are needed
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(super) environments: usize,
    /// Start all environments, and use them in turn: what lives in one is not there in the next
    #[arg(long)]
    pub(super) in_turn: bool,
    /// How many invocations one environment works on at once, as on Lambda Managed Instances
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) concurrency: usize,
    /// Seconds that the function may take for an invocation
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(super) timeout: f64,
    /// End an environment after so many invocations
    #[arg(long, value_name = "N")]
    pub(super) recycle: Option<u64>,
    /// What the function is told of how to respond; by default what the door takes
    #[arg(long, value_name = "HOW", env = "SKYDOCK_LAMBDA_RESPONSE")]
    pub(super) lambda_response: Option<String>,
    /// The stage of an API [default: prod for apigw-v1, $default for apigw-v2]
    #[arg(long, value_name = "NAME")]
    pub(super) stage: Option<String>,
    /// The load balancer's target group has multi-value headers
    #[arg(long)]
    pub(super) multi_value: bool,
    /// The command of a Lambda authorizer in front of an API
    #[arg(long, value_name = "COMMAND")]
    pub(super) authorizer: Option<String>,
    /// What a REST API's authorizer is asked with
    #[arg(long, value_enum, default_value_t = Kind::Token)]
    pub(super) authorizer_type: Kind,
    /// Seconds that an authorizer's answer is kept
    #[arg(long, value_name = "SECONDS", default_value_t = contract::AUTHORIZER_TTL)]
    pub(super) authorizer_ttl: u32,
    /// The region in names and events; the function's own region and credentials are yours
    #[arg(long, value_name = "NAME", env = "AWS_REGION", default_value = "us-east-1")]
    pub(super) region: String,
    /// Say nothing but what goes wrong
    #[arg(long)]
    pub(super) quiet: bool,
    /// The server's program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// Everything that is wrong with what was asked for.
pub(super) fn faults(args: &Args) -> Vec<String> {
    let mut faults = Vec::new();
    for (flag, value) in [
        ("--environments", args.environments),
        ("--concurrency", args.concurrency),
    ] {
        if !(1..=1_000).contains(&value) {
            faults.push(format!("{flag} {value}: write a number from 1 to 1000"));
        }
    }
    if !(args.timeout > 0.0 && args.timeout <= contract::FUNCTION_RUNS.as_secs_f64()) {
        faults.push(format!(
            "--timeout {}: Lambda takes more than 0 and at most {} seconds",
            args.timeout,
            contract::FUNCTION_RUNS.as_secs()
        ));
    }
    if args.recycle == Some(0) {
        faults.push("--recycle 0: write 1 or more".to_owned());
    }
    if let Some(how) = args
        .lambda_response
        .as_deref()
        .filter(|how| !["buffered", "streamed"].contains(how))
    {
        faults.push(format!("--lambda-response {how:?}: write buffered or streamed"));
    }
    api_faults(args, &mut faults);
    faults
}

/// What is wrong with what only some doors have.
fn api_faults(args: &Args, faults: &mut Vec<String>) {
    let door = args.door;
    if let Some(stage) = &args.stage {
        if !door.is_api_gateway() {
            faults.push(format!(
                "--stage {stage}: {door} has no stages; only API Gateway has"
            ));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if stage != door::DEFAULT_STAGE && (stage.is_empty() || !stage.bytes().all(plain)) {
            faults.push(format!(
                "--stage {stage:?}: write letters, digits, - and _, or $default"
            ));
        }
    }
    if args.multi_value && door != Door::Alb {
        faults.push(format!("--multi-value: {door} is no load balancer"));
    }
    if let Some(command) = &args.authorizer {
        if !door.is_api_gateway() {
            faults.push(format!(
                "--authorizer: {door} has no Lambda authorizer; only API Gateway has"
            ));
        }
        if shlex::split(command).is_none_or(|words| words.is_empty()) {
            faults.push(format!("--authorizer {command:?} is no command line"));
        }
    }
    if args.authorizer_ttl > contract::AUTHORIZER_TTL_MAX {
        faults.push(format!(
            "--authorizer-ttl {}: API Gateway takes at most {}",
            args.authorizer_ttl,
            contract::AUTHORIZER_TTL_MAX
        ));
    }
}
