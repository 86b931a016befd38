//! The flags of this server beside the host's, and what is wrong with them: all of it at once.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use reqwest::Url;
use skydock::Faults;

use crate::{
    allow::{ALLOW, Allow},
    audit::{Audit, Place},
    embedded,
};

/// AWS's page of runtimes in its markdown form.
const RUNTIMES_PAGE: &str = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.md";
/// Any number does; this one is the demo's.
const SEED: u64 = 1;

/// Flags as written. They are read when the server opens.
#[derive(Debug, Clone, Default, clap::Args)]
// clap would call the group `Flags`, as it calls the host's
#[group(skip)]
#[command(next_help_heading = "AWS account")]
#[non_exhaustive]
pub struct Flags {
    /// Whose functions to work on: `aws` (the standard chain of credentials and region) or `embedded` (a made-up
    /// account inside this process) [default: aws]
    #[arg(long, env = "SKYDOCK_ACCOUNT", value_name = "aws|embedded")]
    pub account: Option<String>,
    /// Which made-up account: the same number gives the same functions [default: 1]
    #[arg(long, env = "SKYDOCK_EMBEDDED_SEED", value_name = "N")]
    pub embedded_seed: Option<String>,
    /// How many functions the made-up account has in its own region, from 1 to 5000 [default: 120]
    #[arg(long, env = "SKYDOCK_EMBEDDED_FUNCTIONS", value_name = "N")]
    pub embedded_functions: Option<String>,
    /// Where to read the dates of runtimes (AWS's page in markdown), or `off` for those compiled in [default: AWS's
    /// page; `off` for the embedded account]
    #[arg(long, env = "SKYDOCK_RUNTIMES_PAGE", value_name = "URL|off")]
    pub runtimes_page: Option<String>,
    /// Permits running functions (`invoke`) or changing them (`write`); repeatable. Without it the server only reads
    #[arg(
        long,
        env = "SKYDOCK_ALLOW",
        value_name = "invoke|write",
        value_delimiter = ','
    )]
    pub allow: Vec<String>,
    /// Limits what is permitted to functions whose name fits (repeatable), such as `shop-*`
    #[arg(
        long,
        env = "SKYDOCK_ALLOW_FUNCTION",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub allow_function: Vec<String>,
    /// Limits what is permitted to functions that have this tag (repeatable), such as `lambda-ops=allow`
    #[arg(
        long,
        env = "SKYDOCK_ALLOW_TAG",
        value_name = "KEY[=VALUE]",
        value_delimiter = ','
    )]
    pub allow_tag: Vec<String>,
    /// Where a line is written for each run and each change: `stderr`, `stdout` (not on stdio) or a file [default:
    /// stderr]
    #[arg(long, env = "SKYDOCK_AUDIT", value_name = "stderr|stdout|PATH")]
    pub audit: Option<String>,
    /// The folder that remembers changes under way, so that one that is cut off is finished or undone [default:
    /// ~/.local/state/skydock/lambda-ops; none for the embedded account]
    // clap's own parser of paths refuses an empty one without naming the variable
    #[arg(
        long,
        env = "SKYDOCK_JOURNAL",
        value_name = "DIR",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub journal: Option<PathBuf>,
}

/// Flags as meant.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) account: Chosen,
    /// None: the dates compiled in.
    pub(crate) runtimes_page: Option<Url>,
    pub(crate) allow: Allow,
    pub(crate) audit: Audit,
    /// Where nothing may be changed, it is only looked into. None: in memory, as nothing outlives this process, or
    /// nothing is to be seen.
    pub(crate) journal: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    Aws,
    Embedded { seed: u64, functions: usize },
}

/// What is around the process, as far as flags depend on it.
pub(crate) struct Around<'a> {
    /// True if the protocol is spoken on standard output.
    pub(crate) stdio: bool,
    /// Reads a variable of the environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl<'a> Around<'a> {
    /// The process's own surroundings, hosted as `host` says.
    pub(crate) fn process(host: &skydock::Flags, variable: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        // empty is unset, as the host has it
        let lambda = variable("AWS_LAMBDA_RUNTIME_API").is_some_and(|address| !address.is_empty());
        Self {
            stdio: host.listen.is_none() && !lambda,
            variable,
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        // the XDG base directory specification: a path that is not absolute is to be ignored
        let path = PathBuf::from((self.variable)(name)?);
        path.is_absolute().then_some(path)
    }

    /// The folder for what outlives a process.
    fn state(&self) -> Option<PathBuf> {
        let state = self
            .path("XDG_STATE_HOME")
            .or_else(|| Some(self.path("HOME")?.join(".local/state")));
        Some(state?.join("skydock/lambda-ops"))
    }
}

impl Flags {
    /// What the flags mean, or everything that is wrong with them.
    pub(crate) fn read(&self, around: &Around<'_>) -> Result<Choice, Faults> {
        let mut faults = Faults::default();
        let account = self.read_account(&mut faults);
        let runtimes_page = self.read_runtimes_page(account, &mut faults);
        let allow = faults
            .take(Allow::read(&self.allow, &self.allow_function, &self.allow_tag))
            .unwrap_or_default();
        let audit = faults.take(self.read_audit(around));
        let journal = faults.take(self.read_journal(account, &allow, around));
        match (audit, journal) {
            (Some(audit), Some(journal)) if faults.is_empty() => Ok(Choice {
                account,
                runtimes_page,
                allow,
                audit,
                journal,
            }),
            _ => Err(faults),
        }
    }

    fn read_account(&self, faults: &mut Faults) -> Chosen {
        let account = self.account.as_deref().unwrap_or("aws");
        if !["aws", "embedded"].contains(&account) {
            faults.add("--account (SKYDOCK_ACCOUNT)", account, "choose aws or embedded");
        }
        let name = "--embedded-seed (SKYDOCK_EMBEDDED_SEED)";
        let seed = match self.embedded_seed.as_deref().map(str::parse::<u64>) {
            None => SEED,
            Some(Ok(seed)) => {
                if account == "aws" {
                    let wanted =
                        "leave it out, or give --account embedded too: without that it is an account of AWS";
                    faults.add(name, seed.to_string(), wanted);
                }
                seed
            }
            Some(Err(_)) => {
                let given = self.embedded_seed.as_deref().unwrap_or_default();
                faults.add(name, given, "write a whole number from 0 on");
                SEED
            }
        };
        let functions = self.read_functions(account, faults);
        if account == "embedded" {
            Chosen::Embedded { seed, functions }
        } else {
            Chosen::Aws
        }
    }

    fn read_functions(&self, account: &str, faults: &mut Faults) -> usize {
        const FLAG: &str = "--embedded-functions (SKYDOCK_EMBEDDED_FUNCTIONS)";
        let Some(given) = self.embedded_functions.as_deref() else {
            return embedded::SIZE;
        };
        match given.parse() {
            Ok(functions @ 1..=5000) => {
                if account == "aws" {
                    let remedy = "leave it out, or give --account embedded too: AWS has the functions it has";
                    faults.add(FLAG, given, remedy);
                }
                functions
            }
            _ => {
                faults.add(FLAG, given, "write a whole number from 1 to 5000");
                embedded::SIZE
            }
        }
    }

    fn read_runtimes_page(&self, account: Chosen, faults: &mut Faults) -> Option<Url> {
        let default = match account {
            Chosen::Aws => RUNTIMES_PAGE,
            Chosen::Embedded { .. } => "off",
        };
        match self.runtimes_page.as_deref().unwrap_or(default) {
            "off" => None,
            url => match Url::parse(url) {
                Ok(url) if matches!(url.scheme(), "https" | "http") => Some(url),
                _ => {
                    let wanted = "write an http(s) URL of AWS's page in markdown, or off";
                    faults.add("--runtimes-page (SKYDOCK_RUNTIMES_PAGE)", url, wanted);
                    None
                }
            },
        }
    }

    fn read_audit(&self, around: &Around<'_>) -> Result<Audit, Faults> {
        let name = "--audit (SKYDOCK_AUDIT)";
        let place = match self.audit.as_deref() {
            None | Some("stderr") => Place::Stderr,
            Some("stdout") if around.stdio => {
                let wanted = "on stdio it belongs to the protocol; write stderr or a path, or give --listen";
                return Err(Faults::one(name, "stdout", wanted));
            }
            Some("stdout") => Place::Stdout,
            Some("") => return Err(Faults::one(name, "", "write stderr, stdout or a path")),
            Some(path) => Place::File(path.into()),
        };
        place.open().map_err(|error| {
            let wanted = format!("cannot be opened for writing ({error}); name a file that can, or stderr");
            Faults::one(name, place.to_string(), wanted)
        })
    }

    fn read_journal(
        &self,
        account: Chosen,
        allow: &Allow,
        around: &Around<'_>,
    ) -> Result<Option<PathBuf>, Faults> {
        let name = "--journal (SKYDOCK_JOURNAL)";
        match &self.journal {
            Some(path) if path == Path::new("") => {
                let wanted = "it is empty; write the path of a folder, or unset it";
                Err(Faults::one(name, "", wanted))
            }
            Some(path) => Ok(Some(path.clone())),
            None if account != Chosen::Aws => Ok(None),
            // only looked into, if it is there
            None if !allow.may_write() => Ok(around.state()),
            None => around.state().map(Some).ok_or_else(|| {
                let wanted = format!(
                    "name a folder that outlives this process: {ALLOW} is given, and there is no HOME to keep the \
                     journal of changes in"
                );
                Faults::one(name, "", wanted)
            }),
        }
    }
}

#[cfg(test)]
mod tests;
