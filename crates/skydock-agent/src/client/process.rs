//! A server that is started as a program: its pipes, and its last words.

use std::{
    collections::VecDeque,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use rmcp::transport::TokioChildProcess;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{ChildStderr, Command},
};

use super::error::Error;

/// How many of a program's last lines on stderr are kept.
const KEPT: usize = 10;

/// How much of a line is repeated.
const WIDEST: usize = 240;

/// Variables that are the agent's alone: a server of this house refuses what it does not know.
const OWN: [&str; 2] = ["SKYDOCK_MODEL", "SKYDOCK_MODEL_KEY"];

/// The last lines that a program wrote to stderr.
#[derive(Debug, Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(|line| format!("  {}", line.chars().take(WIDEST).collect::<String>()))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Starts a program whose stdin and stdout are the connection.
///
/// A server logs to stderr. That is shown when `loud`, and else kept for the error message.
pub(super) fn start(
    program: &str,
    arguments: &[String],
    loud: bool,
) -> Result<(TokioChildProcess, LastWords), Error> {
    let mut command = Command::new(program);
    command.args(arguments);
    for name in OWN {
        command.env_remove(name);
    }
    let stderr = if loud { Stdio::inherit() } else { Stdio::piped() };
    let (process, stderr) = TokioChildProcess::builder(command)
        .stderr(stderr)
        .spawn()
        .map_err(|source| Error::Start {
            program: program.to_owned(),
            source,
        })?;
    let words = LastWords::default();
    if let Some(stderr) = stderr {
        tokio::spawn(listen(stderr, words.clone()));
    }
    Ok((process, words))
}

async fn listen(stderr: ChildStderr, words: LastWords) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        words.add(line);
    }
}
