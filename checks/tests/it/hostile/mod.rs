//! Hostile input, over real sockets: whatever one client does, it gets a proper answer and the others get theirs.

mod bodies;
mod ending;
mod sessions;
mod sockets;
mod tools;

use std::path::Path;

use checks::program::Program;

use crate::wire::Http;

const SERVER: &str = env!("CARGO_BIN_EXE_conformance-server");
const MODES: [&str; 3] = ["stateful", "stateless", "json"];
const VERSION: &str = "2025-11-25";

/// A server in one mode, which ends when it is dropped, and a client that has shaken hands with it.
async fn serve(mode: &str) -> (Program, Http) {
    let program = Program::serve(Path::new(SERVER), &["--mode", mode])
        .await
        .unwrap();
    let client = Http::initialized(program.mcp(), VERSION).await;
    (program, client)
}
