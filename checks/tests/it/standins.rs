//! `lambda-ops` against AWS as others imitate it: its contract test runs against ministack and moto.

use std::{net::SocketAddr, path::PathBuf, process::Output, time::SystemTime};

use checks::{
    ministack,
    program::{self, Program},
    tools,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::clients;

const CONTRACT: &str = "contract::contract_against_a_stand_in";

#[tokio::test]
async fn lambda_ops_keeps_its_contract_against_ministack() {
    let aws = start_ministack("ministack").await;
    keeps_its_contract(aws, "ministack").await;
}

/// ministack with a home of its own.
pub(crate) async fn start_ministack(home: &str) -> Program {
    ministack::start(home).await.unwrap()
}

/// Between the server and ministack every third call is throttled, reads are reset, and the answer to an update is
/// cut off in the middle, so that nobody can know from it whether the update took effect.
#[tokio::test]
async fn lambda_ops_keeps_its_contract_through_throttling_and_resets() {
    let ministack = start_ministack("ministack-faults").await;
    let proxy = tools::python("microburst").unwrap();
    let faults = tools::workspace().join("checks/tools/microburst.json");
    let start = |addr: SocketAddr| {
        let mut command = Command::new(&proxy);
        command
            .args(["--upstream", &ministack.url(""), "--host", &addr.ip().to_string()])
            .args(["--port", &addr.port().to_string(), "--config"])
            .arg(&faults);
        command
    };
    let faulty = Program::start(start, "/_microburst/health").await.unwrap();
    let ran = contract_at(&faulty.url(""), "ministack").await;
    if ran.status.success() {
        others_move_a_function(&faulty.url("")).await;
    }
    let stats = reqwest::get(faulty.url("/_microburst/stats")).await.unwrap();
    let stats: Value = serde_json::from_str(&stats.text().await.unwrap()).unwrap();
    faulty.stop().await.unwrap();
    ministack.stop().await.unwrap();
    passed(&ran);
    let fired: Vec<u64> = stats["by_rule"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["fired"].as_u64().unwrap())
        .collect();
    eprintln!(
        "{} of {} calls met a fault, by rule {fired:?}",
        stats["requests"]["faulted"], stats["requests"]["total"]
    );
    assert!(
        fired.len() == 3 && fired.iter().all(|fired| *fired > 0),
        "{stats}"
    );
}

/// MCP Inspector and the Python SDK move a function that the contract has left there, which really runs.
async fn others_move_a_function(aws: &str) {
    let home = tools::workspace().join("target/tools/lambda-ops");
    std::fs::create_dir_all(&home).unwrap();
    let start = |addr: SocketAddr| {
        let mut command = program::command(&tools::built("lambda-ops").unwrap());
        command
            .args(["--listen", &addr.to_string(), "--runtimes-page", "off"])
            .args([
                "--allow",
                "invoke",
                "--allow",
                "write",
                "--allow-function",
                "contract-*",
            ])
            .arg("--journal")
            .arg(home.join("journal"))
            .envs([("AWS_ENDPOINT_URL", aws), ("AWS_REGION", "eu-central-1")])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
        command
    };
    let server = Program::start(start, "/readyz").await.unwrap();
    let wanted = [
        "functionName=contract-echo",
        "runtime=python3.12",
        "testEvent=\"{}\"",
    ];
    let moved = clients::moved_by_inspector(&server.mcp(), &wanted).await;
    assert_eq!(moved["structuredContent"]["outcome"], "updated", "{moved}");
    let arguments = json!({"functionName": "contract-echo", "runtime": "python3.13", "testEvent": "{}"});
    let url = server.mcp();
    let said = clients::python(&[
        "legacy",
        "http",
        &url,
        "update-function-runtime",
        &arguments.to_string(),
    ])
    .await;
    assert_eq!(said["structured"]["outcome"], "updated", "{said}");
    assert_eq!(said["asked"].as_array().map(Vec::len), Some(1), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn lambda_ops_keeps_its_contract_against_moto() {
    let moto = tools::python("moto_server").unwrap();
    let home = tools::home("moto").unwrap();
    let start = |addr: SocketAddr| {
        let mut command = program::at_home(&moto, &home);
        command.args(["-H", &addr.ip().to_string(), "-p", &addr.port().to_string()]);
        command
    };
    let aws = Program::start(start, "/moto-api/").await.unwrap();
    keeps_its_contract(aws, "moto").await;
}

async fn keeps_its_contract(aws: Program, kind: &str) {
    let ran = contract_at(&aws.url(""), kind).await;
    // It ends before anything is asserted, so that the functions that it runs end with it.
    aws.stop().await.unwrap();
    passed(&ran);
}

/// Runs the contract against a stand-in of this kind.
async fn contract_at(url: &str, kind: &str) -> Output {
    Command::new(contract())
        .args([CONTRACT, "--exact", "--nocapture"])
        .current_dir(tools::workspace().join("servers/lambda-ops"))
        .env("LAMBDA_OPS_STAND_IN", url)
        .env("LAMBDA_OPS_STAND_IN_KIND", kind)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

fn passed(ran: &Output) {
    let said = text(ran);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("1 passed"), "the contract did run: {said}");
    eprintln!("{said}");
}

fn text(ran: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    )
}

/// The newest test program with the contract in it. It lies beside this one.
fn contract() -> PathBuf {
    let running = std::env::current_exe().unwrap();
    let entries = std::fs::read_dir(running.parent().unwrap()).unwrap();
    let mut programs: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_none() && path.file_name().unwrap().to_string_lossy().starts_with("it-")
        })
        .map(|path| (path.metadata().unwrap().modified().unwrap(), path))
        .collect();
    programs.sort();
    let found = programs.into_iter().rev().map(|(_, path)| path).find(|path| {
        let listed = std::process::Command::new(path).arg("--list").output();
        listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).contains(CONTRACT))
    });
    found.expect("the tests of lambda-ops are not built; run ./check once, it builds them")
}
