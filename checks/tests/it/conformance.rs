//! The official suite, against each mode and both revisions that it has requirements for.

use std::{collections::BTreeSet, path::Path, time::Duration};

use checks::{
    baseline::{Baseline, Reasons},
    program::Program,
    suite::{self, Report, SCENARIO_LIMIT, Subject},
    tools,
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
    let expected = baseline().server(mode, revision);
    hold(&report, &expected, bar);
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
    assert!(program.stop().await.unwrap().success());
}

async fn grade(subject: Subject, name: &str, revision: &str) -> Report {
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
    let failed: BTreeSet<&str> = report.shortfall().into_keys().collect();
    let listed: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
    let unlisted: Vec<_> = failed.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&failed).collect();
    assert!(
        unlisted.is_empty(),
        "these failed and are not in checks/baseline.toml: {unlisted:?}"
    );
    assert!(
        stale.is_empty(),
        "these passed; take them out of checks/baseline.toml: {stale:?}"
    );
    assert_eq!(
        report.passed(),
        bar,
        "the bar is {bar} of {}",
        report.scored.len()
    );
}

fn baseline() -> Baseline {
    Baseline::read(&tools::workspace().join("checks/baseline.toml")).unwrap()
}
