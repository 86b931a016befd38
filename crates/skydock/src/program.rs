//! The `main` of a server program.

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{CommandFactory, Parser};
use rmcp::ServerHandler;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Flags},
    error::{Error, Faults},
    host::Host,
    runtime::{self, lambda::Function},
    telemetry,
};

/// A program with no flags but the host's.
#[derive(Debug, Parser)]
#[command(about = "An MCP server. Without --listen it speaks stdio, as MCP clients expect.")]
struct Plain {
    #[command(flatten)]
    host: Flags,
}

impl AsRef<Flags> for Plain {
    fn as_ref(&self) -> &Flags {
        &self.host
    }
}

/// Runs the handler that `factory` builds, as flags and environment say. The whole of a `main`.
///
/// The factory is called once: see [`Host`].
pub async fn serve<H: ServerHandler>(factory: impl FnOnce() -> H) -> ExitCode {
    serve_with(async |_: &Plain| Ok::<_, Error>(factory())).await
}

/// Runs the handler that `build` makes of the program's own flags, which are flattened beside [`Flags`].
///
/// Everything that is wrong with flags and environment is printed at once, the program's own faults
/// ([`Error::Faults`]) included, and the exit code is 2. A handler that fails later exits with 1.
pub async fn serve_with<A, H>(build: impl AsyncFnOnce(&A) -> Result<H, Error>) -> ExitCode
where
    A: Parser + AsRef<Flags>,
    H: ServerHandler,
{
    // clap prints its own help and usage errors, and exits with 0 or 2
    let args = A::parse();
    // in boxes: futures of this size do not belong on the stack of a `main`
    let ran = match Box::pin(prepare(&args, args.as_ref(), build)).await {
        Ok((config, handler)) => Box::pin(Host::new(handler).with(config).run()).await,
        Err(error) => Err(error),
    };
    end(ran, args.as_ref()).await
}

/// Says why it did not end well, and gives the exit code.
async fn end(ran: Result<(), Error>, flags: &Flags) -> ExitCode {
    let Err(error) = ran else {
        return ExitCode::SUCCESS;
    };
    // stderr may be closed; there is nobody left to tell
    let _ = writeln!(std::io::stderr(), "error: {}", error.report());
    if let Some(api) = flags
        .lambda_runtime_api
        .as_deref()
        .filter(|_| flags.listen.is_none())
        && error.exit_code() == USAGE
    {
        runtime::lambda::report_start(api).await;
    }
    ExitCode::from(error.exit_code())
}

/// What every Lambda function is told that is no MCP server.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct FunctionFlags {
    /// What is logged to stderr, as a tracing filter
    #[arg(long, env = "SKYDOCK_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Set by Lambda.
    #[arg(long, env = "AWS_LAMBDA_RUNTIME_API", hide = true)]
    pub lambda_runtime_api: Option<String>,
    /// Set by Lambda on managed instances.
    #[arg(long, env = "AWS_LAMBDA_MAX_CONCURRENCY", hide = true)]
    pub lambda_max_concurrency: Option<String>,
}

impl FunctionFlags {
    /// The same, as a server is told it.
    fn as_flags(&self) -> Flags {
        Flags {
            log: self.log.clone(),
            lambda_runtime_api: self.lambda_runtime_api.clone(),
            lambda_max_concurrency: self.lambda_max_concurrency.clone(),
            ..Flags::default()
        }
    }
}

/// Runs the function that `build` makes of the program's own flags, which are flattened beside [`FunctionFlags`], in
/// AWS Lambda. Faults and exit codes are those of [`serve_with`].
pub async fn serve_function<A, F>(build: impl AsyncFnOnce(&A) -> Result<F, Error>) -> ExitCode
where
    A: Parser + AsRef<FunctionFlags>,
    F: Function,
{
    let args = A::parse();
    let flags = args.as_ref().as_flags();
    let ran = match prepare(&args, &flags, build).await {
        Ok((config, function)) => run_function(config, function).await,
        Err(error) => Err(error),
    };
    end(ran, &flags).await
}

async fn run_function<F: Function>(config: Config, function: F) -> Result<(), Error> {
    let Some(lambda) = config.lambda else {
        let wanted = "this program runs in AWS Lambda only; to try it here, use `skydock emulate`";
        return Err(Faults::one("AWS_LAMBDA_RUNTIME_API", "", wanted).into());
    };
    let mut signals = runtime::Signals::new()?;
    let stop = CancellationToken::new();
    let api = runtime::lambda::Api::read(&lambda.api)?;
    let mut serving = std::pin::pin!(runtime::lambda::serve_values(
        api,
        lambda.concurrency,
        function,
        stop.clone()
    ));
    let signal = tokio::select! {
        ended = &mut serving => return ended,
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "the environment is shut down");
    stop.cancel();
    let ended = tokio::time::timeout(runtime::lambda::SHUTDOWN, serving).await;
    ended.unwrap_or(Ok(()))
}

/// Reads flags and environment, starts the log, and builds what is to be run; all faults at once.
async fn prepare<A: CommandFactory, T>(
    args: &A,
    flags: &Flags,
    build: impl AsyncFnOnce(&A) -> Result<T, Error>,
) -> Result<(Config, T), Error> {
    let mut faults = unknown_variables(&A::command(), std::env::vars_os().map(|(name, _)| name));
    let config = faults.take(Config::read(flags));
    if let Some(config) = &config
        && let Ok(filter) = telemetry::filter(&config.log)
    {
        telemetry::start(filter);
    }
    let built = match build(args).await {
        Ok(built) => Some(built),
        Err(Error::Faults(more)) => {
            faults.extend(more);
            None
        }
        Err(error) if faults.is_empty() => return Err(error),
        Err(error) => {
            faults.add("and then", "", error.report());
            None
        }
    };
    match (config, built) {
        (Some(config), Some(built)) if faults.is_empty() => Ok((config, built)),
        _ => Err(faults.into()),
    }
}

/// The exit code of a program that never started to serve.
const USAGE: u8 = 2;
/// What the name of each of our variables begins with.
const PREFIX: &str = "SKYDOCK_";
/// How alike two names must be to be a likely slip of the finger.
const ALIKE: f64 = 0.8;

/// A variable that nobody reads is a typing error, and its author believes that it works.
fn unknown_variables(command: &clap::Command, names: impl Iterator<Item = OsString>) -> Faults {
    let known: Vec<_> = command
        .get_arguments()
        .filter_map(clap::Arg::get_env)
        .map(|name| name.to_string_lossy())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let mut unknown: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !known.iter().any(|known| known == name))
        .collect();
    unknown.sort_unstable();
    let mut faults = Faults::default();
    for name in unknown {
        // all begin alike; what differs is behind
        let word = name.strip_prefix(PREFIX).unwrap_or(&name);
        let likeness = |known: &str| strsim::jaro_winkler(word, known.strip_prefix(PREFIX).unwrap_or(known));
        let near = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let remedy = match near {
            Some(near) if likeness(near) >= ALIKE => format!("; did you mean {near}?"),
            _ => format!("; there are {}", known.join(", ")),
        };
        faults.add(name, "", format!("no such variable{remedy}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nobody_reads_is_a_fault() {
        let names = ["SKYDOCK_LISTEN", "SKYDOCK_LISTN", "HOME"].map(OsString::from);
        let faults = unknown_variables(&Plain::command(), names.into_iter());
        assert_eq!(faults.iter().count(), 1);
        assert!(
            faults
                .to_string()
                .contains("SKYDOCK_LISTN: no such variable; did you mean SKYDOCK_LISTEN?")
        );
    }

    #[test]
    fn every_flag_has_a_variable() {
        for argument in Plain::command().get_arguments() {
            if matches!(argument.get_id().as_str(), "help" | "version") {
                continue;
            }
            let variable = argument.get_env().map(std::ffi::OsStr::to_string_lossy);
            assert!(
                variable.is_some_and(|name| name.starts_with("SKYDOCK_") || argument.is_hide_set()),
                "{}",
                argument.get_id()
            );
        }
    }
}
