//! Runs the program, and the peers that it talks to.

use std::{path::PathBuf, process::Stdio, sync::Arc};

use axum::Router;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command};

use crate::server::Peer;

/// What the program wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The output, of a run that must have ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skydock"));
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn skydock(words: &[&str]) -> Ran {
    skydock_with(words, "").await
}

/// Runs the program with something on its stdin.
pub(crate) async fn skydock_with(words: &[&str], stdin: &str) -> Ran {
    let mut child = command(words).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(stdin.as_bytes()).await.unwrap();
    drop(pipe);
    let output = child.wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The MCP service of the tests' server, as routes.
pub(crate) fn mcp() -> Router {
    let peer = Arc::new(Peer::default());
    let service = StreamableHttpService::new(
        move || Ok(Arc::clone(&peer)),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    Router::new().route_service("/mcp", service)
}

/// Serves routes on a free port and gives their address.
pub(crate) async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_on(listener, routes)
}

pub(crate) fn serve_on(listener: TcpListener, routes: Router) -> String {
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// The tests' server over HTTP.
pub(crate) async fn http() -> String {
    format!("{}/mcp", serve(mcp()).await)
}

/// The tests' server as a command line: cargo puts examples beside the folder of the test programs.
pub(crate) fn stdio() -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let path = path.join(format!("stdio-peer{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is not built", path.display());
    path.display().to_string()
}
