//! The official suite, against each mode and both revisions that it has requirements for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use checks::{
    baseline::{Baseline, Reasons},
    emulator::Emulator,
    program::Program,
    suite::{self, Outcome, Report, SCENARIO_LIMIT, Subject},
    tools,
    valkey::Valkey,
};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_conformance-client");

/// What cannot work must say so at once, not at the end of some timer.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_stateful_server_passes_all_of_2025_11_25() {
    server("stateful", "2025-11-25", 30).await;
}

#[tokio::test]
async fn a_stateful_server_passes_all_of_2026_07_28() {
    server("stateful", "2026-07-28", 37).await;
}

#[tokio::test]
async fn a_stateless_server_passes_all_of_2025_11_25_that_needs_no_session() {
    server("stateless", "2025-11-25", 25).await;
}

#[tokio::test]
async fn a_stateless_server_passes_all_of_2026_07_28() {
    server("stateless", "2026-07-28", 37).await;
}

#[tokio::test]
async fn a_json_server_passes_all_of_2025_11_25_that_needs_no_session() {
    server("json", "2025-11-25", 25).await;
}

#[tokio::test]
async fn a_json_server_passes_all_of_2026_07_28() {
    server("json", "2026-07-28", 37).await;
}

#[tokio::test]
async fn our_client_passes_all_of_2025_11_25() {
    client("2025-11-25", 18).await;
}

#[tokio::test]
async fn our_client_passes_all_of_2026_07_28() {
    client("2026-07-28", 32).await;
}

async fn client(revision: &str, bar: usize) {
    let report = grade(Subject::Client(CLIENT.into()), "client", revision).await;
    hold(&report, &baseline().client(revision), bar);
}

async fn server(mode: &str, revision: &str, bar: usize) {
    let program = Program::serve(Path::new(SERVER), &["--mode", mode])
        .await
        .unwrap();
    let report = grade(
        Subject::Server(program.mcp()),
        &format!("server-{mode}"),
        revision,
    )
    .await;
    hold_server(&report, &baseline().server(mode, revision), &Reasons::new(), bar);
    assert!(program.stop().await.unwrap().success());
}

/// What a server has to hold beside its bar: nothing hangs, and nothing that is not scored is broken.
pub(crate) fn hold_server(report: &Report, expected: &Reasons, may_fail: &Reasons, bar: usize) {
    hold(report, expected, bar);
    let (slowest, took) = report.slowest().unwrap();
    assert!(
        took < SCENARIO_LIMIT * 8 / 10,
        "{slowest} took {took:?}, near the suite's limit: it hangs"
    );
    for name in expected.keys() {
        let took = report.scored[name].took.unwrap();
        assert!(
            took < AT_ONCE,
            "{name} cannot pass here, and took {took:?} to say so"
        );
    }
    // Nothing beyond the bar may break either; what a mode cannot do is not checked there.
    let broken: Vec<_> = report
        .unscored
        .iter()
        .filter(|(name, outcome)| outcome.failed > 0 && !may_fail.contains_key(*name))
        .collect();
    assert!(broken.is_empty(), "these are not scored, and broken: {broken:?}");
}

/// The server as a Lambda function, behind each door that is HTTP, and behind Invoke with a bridge.
mod doors {
    use super::*;

    async fn door(door: &str, flags: &[&str], revision: &str, bar: usize) {
        // as in any deployment: who answers a question may reach another environment
        let key = crate::elsewhere::state_key();
        let arguments = ["--state-key", key.to_str().unwrap()];
        let emulator = Emulator::start(door, flags, Path::new(SERVER), &arguments)
            .await
            .unwrap();
        let name = [&["door", door], flags].concat().join("-").replace("---", "-");
        let report = grade(Subject::Server(emulator.url().to_owned()), &name, revision).await;
        let (mode, places) = match door {
            "invoke" => (door, &["lambda", door][..]),
            _ => ("json", &["lambda"][..]),
        };
        let (expected, may_fail) = (baseline().server(mode, revision), baseline().unscored(places));
        hold_server(&report, &expected, &may_fail, bar);
        assert!(emulator.stop().await.unwrap().success());
    }

    macro_rules! doors {
        ($($name:ident: $door:literal $flags:expr, $old:literal, $new:literal;)*) => {$(
            mod $name {
                #[tokio::test]
                async fn passes_2025_11_25() {
                    super::door($door, &$flags, "2025-11-25", $old).await;
                }

                #[tokio::test]
                async fn passes_2026_07_28() {
                    super::door($door, &$flags, "2026-07-28", $new).await;
                }
            }
        )*};
    }

    /// With a store a function keeps sessions, and asks the user through a door that streams.
    #[tokio::test]
    async fn a_function_with_a_store_passes_both_revisions_though_each_request_may_meet_another_environment()
    {
        let valkey = Valkey::start().await.unwrap();
        let key = crate::elsewhere::state_key();
        let url = valkey.url();
        let arguments = [
            "--mode",
            "stateful",
            "--sessions",
            &url,
            "--state-key",
            key.to_str().unwrap(),
        ];
        // one more than the streams that a scenario has open at once: Lambda refuses what it has no environment for
        let flags = ["--environments", "4", "--in-turn"];
        let emulator = Emulator::start("url-stream", &flags, Path::new(SERVER), &arguments)
            .await
            .unwrap();
        for (revision, bar) in [("2025-11-25", 30), ("2026-07-28", 37)] {
            let report = grade(
                Subject::Server(emulator.url().to_owned()),
                "door-url-stream-sessions",
                revision,
            )
            .await;
            let expected = baseline().server("stateful", revision);
            hold_server(&report, &expected, &baseline().unscored(&["lambda"]), bar);
        }
        assert!(emulator.stop().await.unwrap().success());
    }

    doors! {
        rest_api: "apigw-v1" [], 25, 37;
        rest_api_streamed: "apigw-v1-stream" [], 25, 37;
        http_api: "apigw-v2" [], 25, 37;
        function_url: "url" [], 25, 37;
        function_url_streamed: "url-stream" [], 25, 37;
        load_balancer: "alb" [], 25, 37;
        load_balancer_multi_value: "alb" ["--multi-value"], 25, 37;
        invoke: "invoke" [], 23, 35;
    }
}

pub(crate) async fn grade(subject: Subject, name: &str, revision: &str) -> Report {
    let folder = tools::workspace()
        .join("target/conformance")
        .join(format!("{name}-{revision}"));
    let report = suite::run(&subject, revision, &folder).await.unwrap();
    // Kept for docs/reference/conformance.md, and shown when the test fails.
    std::fs::write(folder.join("report.txt"), report.to_string()).unwrap();
    eprintln!("{name} at {revision}: {report}");
    report
}

fn hold(report: &Report, expected: &Reasons, bar: usize) {
    let faults = faults(report, expected);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(
        report.passed(),
        bar,
        "the bar is {bar} of {}",
        report.scored.len()
    );
}

/// Where the report and the baseline differ, in either direction.
fn faults(report: &Report, expected: &Reasons) -> Vec<String> {
    let failed: BTreeSet<&str> = report.shortfall().into_keys().collect();
    let listed: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
    let unlisted = failed
        .difference(&listed)
        .map(|name| format!("{name} failed and is not in checks/baseline.toml"));
    let stale = listed
        .difference(&failed)
        .map(|name| format!("{name} passed; take it out of checks/baseline.toml"));
    unlisted.chain(stale).collect()
}

pub(crate) fn baseline() -> Baseline {
    Baseline::read(&tools::workspace().join("checks/baseline.toml")).unwrap()
}

#[test]
fn the_baseline_is_strict_both_ways() {
    let pass = Outcome {
        passed: 1,
        ..Outcome::default()
    };
    let scored =
        [("good", pass), ("bad", Outcome::default())].map(|(name, outcome)| (name.to_owned(), outcome));
    let report = Report {
        scored: scored.into(),
        unscored: BTreeMap::new(),
        took: Duration::ZERO,
    };
    let reasons = |names: &[&str]| -> Reasons {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "why".to_owned()))
            .collect()
    };
    assert!(faults(&report, &reasons(&["bad"])).is_empty());
    assert_eq!(faults(&report, &reasons(&[])).len(), 1, "an unlisted failure");
    assert_eq!(
        faults(&report, &reasons(&["bad", "good"])).len(),
        1,
        "a stale entry"
    );
    assert_eq!(faults(&report, &reasons(&["good"])).len(), 2);
}

#[tokio::test]
async fn a_client_that_does_nothing_passes_nothing() {
    // The suite itself gives it ticks.
    let report = grade(Subject::Client("/bin/true".into()), "nobody", "2025-11-25").await;
    assert_eq!(report.passed(), 0);
}

#[tokio::test]
async fn a_server_that_knows_nothing_passes_nothing() {
    // `/livez` answers GET, and nothing else.
    let program = Program::serve(Path::new(SERVER), &[]).await.unwrap();
    let report = grade(Subject::Server(program.url("/livez")), "nothing", "2025-11-25").await;
    assert_eq!(report.passed(), 0);
}
