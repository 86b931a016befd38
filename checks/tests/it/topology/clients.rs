//! Real clients, whose one session outlives every instance that it began on.

use std::{path::Path, process::Stdio, time::Duration};

use checks::{
    fleet::{Fleet, Plan},
    tools,
    valkey::Valkey,
};
use rmcp::{
    ServiceExt as _,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::Instant,
};

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const TOOL: &str = "test_simple_text";
/// For how long the clients are at work.
const TIME: Duration = Duration::from_secs(6);

async fn fleet(valkey: &Valkey) -> Fleet {
    let flags = ["--sessions", &valkey.url()];
    Plan::of(3, Path::new(SERVER))
        .flags(&flags)
        .start()
        .await
        .unwrap()
}

/// Kills and replaces each instance once.
async fn kill_all(fleet: &mut Fleet) {
    for number in 0..3 {
        tokio::time::sleep(TIME / 20).await;
        fleet.kill(number).await.unwrap();
        fleet.replace(number).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_of_the_rust_sdk_outlives_every_instance() {
    let valkey = Valkey::start().await.unwrap();
    let mut fleet = fleet(&valkey).await;
    let mut config = StreamableHttpClientTransportConfig::with_uri(fleet.mcp());
    // another session would hide that this one is lost
    config.reinit_on_expired_session = false;
    let transport = StreamableHttpClientTransport::from_config(config);
    let info = ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("survivor", "1"),
    );
    let client = info.serve(transport).await.unwrap();
    let peer = client.peer().clone();
    let calls = tokio::spawn(async move {
        let (mut answered, mut failed) = (0, 0);
        let until = Instant::now() + TIME;
        while Instant::now() < until {
            let call = peer.call_tool(CallToolRequestParams::new(TOOL));
            match tokio::time::timeout(Duration::from_secs(15), call).await {
                Ok(Ok(_)) => answered += 1,
                Ok(Err(error)) => {
                    eprintln!("{error}");
                    failed += 1;
                }
                Err(_late) => failed += 1,
            }
            assert!(failed < 100, "the session does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // the last word is an answer
        peer.call_tool(CallToolRequestParams::new(TOOL)).await.unwrap();
        (answered, failed)
    });
    kill_all(&mut fleet).await;
    let (answered, failed) = calls.await.unwrap();
    eprintln!("the Rust SDK: {answered} calls answered, {failed} failed, in one session");
    assert!(answered > 50, "{answered}");
    client.cancel().await.unwrap();
    fleet.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_of_the_python_sdk_outlives_every_instance() {
    let valkey = Valkey::start().await.unwrap();
    let mut fleet = fleet(&valkey).await;
    let python = tools::python("python").unwrap();
    let mut client = Command::new(python)
        .arg(tools::workspace().join("checks/tools/survive.py"))
        .args([&fleet.mcp(), TOOL, &TIME.as_secs().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("connected"));
    kill_all(&mut fleet).await;
    let told = lines.next_line().await.unwrap().expect("it gave up");
    assert!(client.wait().await.unwrap().success());
    let told: Value = serde_json::from_str(&told).unwrap();
    eprintln!("the Python SDK: {told}, in one session");
    assert!(told["answered"].as_u64().unwrap() > 50, "{told}");
    fleet.stop().await.unwrap();
}
