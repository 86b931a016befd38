//! The flags of this server beside the host's, and what is wrong with them: all of it at once.

use reqwest::Url;
use skydock::Faults;

use crate::embedded;

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
}

/// Flags as meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) account: Chosen,
    /// None: the dates compiled in.
    pub(crate) runtimes_page: Option<Url>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    Aws,
    Embedded { seed: u64, functions: usize },
}

impl Flags {
    /// What the flags mean, or everything that is wrong with them.
    pub(crate) fn read(&self) -> Result<Choice, Faults> {
        let mut faults = Faults::default();
        let account = self.account.as_deref().unwrap_or("aws");
        if !["aws", "embedded"].contains(&account) {
            faults.add("--account (SKYDOCK_ACCOUNT)", account, "choose aws or embedded");
        }
        let seed = match self.embedded_seed.as_deref().map(str::parse::<u64>) {
            None => SEED,
            Some(Ok(seed)) => {
                if account == "aws" {
                    faults.add(
                        "--embedded-seed (SKYDOCK_EMBEDDED_SEED)",
                        seed.to_string(),
                        "leave it out, or give --account embedded too: without that it is an account of AWS",
                    );
                }
                seed
            }
            Some(Err(_)) => {
                let given = self.embedded_seed.as_deref().unwrap_or_default();
                faults.add(
                    "--embedded-seed (SKYDOCK_EMBEDDED_SEED)",
                    given,
                    "write a whole number from 0 on",
                );
                SEED
            }
        };
        let functions = embedded_functions(self.embedded_functions.as_deref(), account, &mut faults);
        let default_page = if account == "embedded" {
            "off"
        } else {
            RUNTIMES_PAGE
        };
        let runtimes_page = match self.runtimes_page.as_deref().unwrap_or(default_page) {
            "off" => None,
            url => match Url::parse(url) {
                Ok(url) if matches!(url.scheme(), "https" | "http") => Some(url),
                _ => {
                    let wanted = "write an http(s) URL of AWS's page in markdown, or off";
                    faults.add("--runtimes-page (SKYDOCK_RUNTIMES_PAGE)", url, wanted);
                    None
                }
            },
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let account = if account == "embedded" {
            Chosen::Embedded { seed, functions }
        } else {
            Chosen::Aws
        };
        Ok(Choice {
            account,
            runtimes_page,
        })
    }
}

fn embedded_functions(given: Option<&str>, account: &str, faults: &mut Faults) -> usize {
    const FLAG: &str = "--embedded-functions (SKYDOCK_EMBEDDED_FUNCTIONS)";
    let Some(given) = given else { return embedded::SIZE };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_it_is_aws_and_its_page() {
        let choice = Flags::default().read().expect("nothing is wrong");
        assert_eq!(choice.account, Chosen::Aws);
        assert_eq!(
            choice.runtimes_page.map(String::from).as_deref(),
            Some(RUNTIMES_PAGE)
        );
    }

    #[test]
    fn the_embedded_account_reads_no_page_unless_told_to() {
        let flags = Flags {
            account: Some("embedded".into()),
            embedded_seed: Some("7".into()),
            embedded_functions: Some("1000".into()),
            runtimes_page: None,
        };
        let choice = flags.read().expect("nothing is wrong");
        assert_eq!(
            choice,
            Choice {
                account: Chosen::Embedded {
                    seed: 7,
                    functions: 1000
                },
                runtimes_page: None
            }
        );
    }

    #[test]
    fn a_seed_without_the_embedded_account_is_a_fault() {
        let flags = Flags {
            embedded_seed: Some("7".into()),
            ..Flags::default()
        };
        let faults = flags
            .read()
            .expect_err("nobody wants AWS with a seed")
            .to_string();
        assert!(faults.contains("give --account embedded too"), "{faults}");
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let flags = Flags {
            account: Some("azure".into()),
            embedded_seed: Some("-1".into()),
            embedded_functions: Some("5001".into()),
            runtimes_page: Some("ftp://example.com".into()),
        };
        let faults = flags.read().expect_err("all four are wrong").to_string();
        for text in [
            "--account (SKYDOCK_ACCOUNT) is \"azure\"",
            "is \"-1\"",
            "is \"5001\"",
            "is \"ftp://example.com\"",
        ] {
            assert!(faults.contains(text), "{faults}");
        }
    }
}
