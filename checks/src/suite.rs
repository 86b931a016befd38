//! Runs the official conformance suite and grades it strictly.
//!
//! The suite's own tick is not a pass: it prints one for a scenario that checked nothing. Here a scenario counts
//! only with at least one success outside the wire-schema checks, and with no failure.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use crate::tools;

const PACKAGE: &str = "@modelcontextprotocol/conformance";

/// How long the suite waits for one scenario against a server.
pub const SCENARIO_LIMIT: Duration = Duration::from_secs(10);

/// Who is graded.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A server at this URL.
    Server(String),
    /// A client: a program that gets the URL of the suite's server as its last argument.
    Client(PathBuf),
}

impl Subject {
    fn leg(&self) -> &'static str {
        match self {
            Self::Server(_) => "server",
            Self::Client(_) => "client",
        }
    }
}

/// What came of one scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Checks that passed, the wire-schema ones left out.
    pub passed: usize,
    /// Checks that failed, of any kind.
    pub failed: usize,
    /// Checks that the suite would rather see pass.
    pub warned: usize,
    /// What the failed checks say.
    pub complaints: Vec<String>,
    /// From its start to its result; `None` when it left no result.
    pub took: Option<Duration>,
}

impl Outcome {
    /// Something was checked, and nothing failed.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

/// The grade of one run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenarios that the revision requires.
    pub scored: BTreeMap<String, Outcome>,
    /// Those that ran beside them.
    pub unscored: BTreeMap<String, Outcome>,
    /// The whole run.
    pub took: Duration,
}

impl Report {
    /// How many of the required scenarios passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.scored.values().filter(|outcome| outcome.is_pass()).count()
    }

    /// The required scenarios that did not pass.
    #[must_use]
    pub fn shortfall(&self) -> BTreeMap<&str, &Outcome> {
        let failed = self.scored.iter().filter(|(_, outcome)| !outcome.is_pass());
        failed.map(|(name, outcome)| (name.as_str(), outcome)).collect()
    }

    /// The slowest scenario, required or not.
    #[must_use]
    pub fn slowest(&self) -> Option<(&str, Duration)> {
        let all = self.scored.iter().chain(&self.unscored);
        all.filter_map(|(name, outcome)| Some((name.as_str(), outcome.took?)))
            .max_by_key(|(_, took)| *took)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, all) = (self.passed(), self.scored.len());
        let extra = self.unscored.values().filter(|outcome| outcome.is_pass()).count();
        writeln!(
            f,
            "{passed}/{all} scored, {extra}/{} not scored, {:.1?}",
            self.unscored.len(),
            self.took
        )?;
        for (name, outcome) in self.scored.iter().chain(&self.unscored) {
            let verdict = match outcome {
                outcome if outcome.is_pass() => "pass",
                outcome if outcome.failed == 0 => "none",
                _ => "FAIL",
            };
            let Outcome {
                passed,
                failed,
                warned,
                ..
            } = outcome;
            writeln!(
                f,
                "  {verdict} {name}: {passed} passed, {failed} failed, {warned} warned"
            )?;
            for complaint in &outcome.complaints {
                writeln!(f, "         {complaint}")?;
            }
        }
        Ok(())
    }
}

/// Runs the scenarios of one revision and grades them. The suite's own files land in `folder`, which is emptied first.
///
/// # Errors
/// The suite is not installed, does not run, or leaves something unreadable.
pub async fn run(subject: &Subject, revision: &str, folder: &Path) -> Result<Report> {
    let required = requirements(revision, subject.leg())?;
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let began = std::time::Instant::now();
    let mut command = Command::new(tools::node()?);
    command
        .arg(tools::script(&format!("{PACKAGE}/dist/index.js"))?)
        .arg(subject.leg());
    match subject {
        Subject::Server(url) => {
            command.args(["--url", url, "--timeout", &SCENARIO_LIMIT.as_millis().to_string()]);
        }
        Subject::Client(program) => {
            command.arg("--command").arg(program);
        }
    }
    command.args(["--requirements", revision]).arg("-o").arg(folder);
    let log = File::create(folder.join("suite.log"))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    // Its exit code says less than its files do: it is 0 for scenarios that checked nothing.
    command.status().await.context("the suite did not run")?;
    let mut found = results(folder)?;
    if found.is_empty() {
        bail!(
            "the suite left no results; see {}",
            folder.join("suite.log").display()
        );
    }
    let scored = required.into_iter().map(|name| {
        let outcome = found.remove(&name).unwrap_or_default();
        (name, outcome)
    });
    Ok(Report {
        scored: scored.collect(),
        unscored: found,
        took: began.elapsed(),
    })
}

/// The scenarios that a revision requires, from the suite's own list.
fn requirements(revision: &str, leg: &str) -> Result<Vec<String>> {
    let path = tools::script(&format!("{PACKAGE}/requirements/{revision}.yaml"))?;
    let text = std::fs::read_to_string(path)?;
    let header = format!("{leg}:");
    let section = text.lines().skip_while(|line| *line != header).skip(1);
    let names: Vec<String> = section
        .map_while(|line| line.strip_prefix("  - "))
        .map(|name| name.trim().to_owned())
        .collect();
    if names.is_empty() {
        bail!("the suite requires nothing of a {leg} at {revision}; has its list changed its form?");
    }
    Ok(names)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    id: String,
    status: String,
    error_message: Option<String>,
}

/// Every `checks.json` below `folder`, by scenario.
fn results(folder: &Path) -> Result<BTreeMap<String, Outcome>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "checks.json") {
                let Some((scenario, began)) = scenario(folder, &next) else {
                    bail!("{} is not a scenario's folder", next.display());
                };
                found.insert(scenario, outcome(&path, &began)?);
            }
        }
    }
    Ok(found)
}

/// `server-ping-2026-11-22T10-11-12-345Z` is the scenario `ping`, with the time at which it began.
fn scenario(root: &Path, folder: &Path) -> Option<(String, String)> {
    const STAMP: usize = "2026-11-22T10-11-12-345Z".len();
    let name = folder.strip_prefix(root).ok()?.to_str()?;
    let (scenario, began) = name.split_at_checked(name.len().checked_sub(STAMP)?)?;
    let scenario = scenario.strip_suffix('-')?;
    // Only the server side puts its name in front; `server-stateless` is then `server-server-stateless`.
    let scenario = scenario.strip_prefix("server-").unwrap_or(scenario);
    Some((scenario.to_owned(), began.to_owned()))
}

fn outcome(path: &Path, began: &str) -> Result<Outcome> {
    let text = std::fs::read_to_string(path)?;
    let checks: Vec<Check> =
        serde_json::from_str(&text).with_context(|| format!("{} is not a list of checks", path.display()))?;
    let ended = std::fs::metadata(path)?.modified()?;
    let mut outcome = Outcome {
        // a file's time is that of the last tick, which may lie before the start of a fast scenario
        took: began_at(began).map(|began| ended.duration_since(began).unwrap_or_default()),
        ..Outcome::default()
    };
    for check in checks {
        match check.status.as_str() {
            "SUCCESS" if !check.id.starts_with("wire-schema-") => outcome.passed += 1,
            "FAILURE" => {
                outcome.failed += 1;
                outcome.complaints.push(format!(
                    "{}: {}",
                    check.id,
                    check.error_message.unwrap_or_default()
                ));
            }
            "WARNING" => outcome.warned += 1,
            _ => {}
        }
    }
    Ok(outcome)
}

/// `2026-11-22T10-11-12-345Z`, the suite's file-name form of a UTC time.
fn began_at(stamp: &str) -> Option<SystemTime> {
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let parts: Vec<i64> = date
        .split('-')
        .chain(time.split('-'))
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [year, month, day, hour, minute, second, millis] = parts.try_into().ok()?;
    // Days since 1970 in the proleptic Gregorian calendar, counting years from March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469;
    let seconds = u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()?;
    let since = Duration::from_secs(seconds) + Duration::from_millis(u64::try_from(millis).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_its_scenario_and_when_it_began() {
        let root = Path::new("/out");
        let of = |name: &str| scenario(root, &root.join(name)).unwrap();
        assert_eq!(of("server-ping-2026-11-22T10-11-12-345Z").0, "ping");
        assert_eq!(
            of("server-server-stateless-2026-11-22T10-11-12-345Z").0,
            "server-stateless"
        );
        assert_eq!(
            of("auth/scope-step-up-2026-11-22T10-11-12-345Z").0,
            "auth/scope-step-up"
        );
        let began = began_at("2026-11-22T10-11-12-345Z").unwrap();
        assert_eq!(
            began.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis(),
            1_795_342_272_345
        );
        assert_eq!(began_at("1970-01-01T00-00-00-000Z"), Some(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn a_scenario_that_checked_nothing_is_no_pass() {
        let mut outcome = Outcome::default();
        assert!(!outcome.is_pass());
        outcome.passed = 1;
        assert!(outcome.is_pass());
        outcome.failed = 1;
        assert!(!outcome.is_pass());
    }
}
