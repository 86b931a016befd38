//! The tests' server as a program, for the tests that start one.

#[path = "../tests/it/server.rs"]
mod server;

use rmcp::{ServiceExt, transport::stdio};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    server::Peer::default().serve(stdio()).await?.waiting().await?;
    Ok(())
}
