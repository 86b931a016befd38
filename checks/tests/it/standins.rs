//! `lambda-ops` against AWS as others imitate it: its contract test runs against ministack and moto.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    time::SystemTime,
};

use checks::{program::Program, tools};
use tokio::process::Command;

const CONTRACT: &str = "contract::contract_against_a_stand_in";

#[tokio::test]
async fn lambda_ops_keeps_its_contract_against_ministack() {
    let program = tools::python("ministack").unwrap();
    let home = tools::workspace().join("target/tools/ministack");
    let start = |addr: SocketAddr| {
        let mut command = standin(&program, &home);
        command
            .env("BIND_HOST", addr.ip().to_string())
            .env("GATEWAY_PORT", addr.port().to_string())
            // These two would listen on every address of the machine.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0");
        command
    };
    let aws = Program::start(start, "/_ministack/health").await.unwrap();
    keeps_its_contract(aws, "ministack").await;
}

#[tokio::test]
async fn lambda_ops_keeps_its_contract_against_moto() {
    let program = tools::python("moto_server").unwrap();
    let home = tools::workspace().join("target/tools/moto");
    let start = |addr: SocketAddr| {
        let mut command = standin(&program, &home);
        command.args(["-H", &addr.ip().to_string(), "-p", &addr.port().to_string()]);
        command
    };
    let aws = Program::start(start, "/moto-api/").await.unwrap();
    keeps_its_contract(aws, "moto").await;
}

/// A stand-in with a home of its own, where it may leave things behind.
fn standin(program: &Path, home: &Path) -> Command {
    std::fs::create_dir_all(home).unwrap();
    let mut command = Command::new(program);
    command.current_dir(home).env("TMPDIR", home).env("HOME", home);
    command
}

async fn keeps_its_contract(aws: Program, kind: &str) {
    let ran = Command::new(contract())
        .args([CONTRACT, "--exact", "--nocapture"])
        .current_dir(tools::workspace().join("servers/lambda-ops"))
        .env("LAMBDA_OPS_STAND_IN", aws.url(""))
        .env("LAMBDA_OPS_STAND_IN_KIND", kind)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    // It ends before anything is asserted, so that the functions that it runs end with it.
    aws.stop().await.unwrap();
    let said = text(&ran);
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
