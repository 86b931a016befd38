//! A server behind a door of AWS: `skydock emulate` with a program of ours, ended when it is dropped.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
    time::timeout,
};

use crate::{program, tools};

/// How long it may take until it tells its URL.
const START: Duration = Duration::from_secs(30);

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    url: String,
    /// Kept open: what it prints has to go somewhere.
    _out: BufReader<ChildStdout>,
}

impl Emulator {
    /// Runs `binary` behind `door` and waits until the emulator tells its URL.
    ///
    /// # Errors
    /// It ends before that, or takes too long; why is on stderr.
    pub async fn start(door: &str, flags: &[&str], binary: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = program::command(&tools::built("skydock")?);
        command.args(["emulate", door, "--listen", "127.0.0.1:0", "--quiet"]);
        command.args(flags).arg("--").arg(binary).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let out = child.stdout.take().context("it has no stdout")?;
        let mut out = BufReader::new(out);
        let mut url = String::new();
        timeout(START, out.read_line(&mut url))
            .await
            .with_context(|| format!("the emulator told no URL within {START:?}"))??;
        let url = url.trim_end().to_owned();
        anyhow::ensure!(
            url.starts_with("http://"),
            "the emulator ended before it told its URL"
        );
        Ok(Self {
            child,
            url,
            _out: out,
        })
    }

    /// Where MCP is spoken.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it in the ordinary way and says how that went.
    ///
    /// # Errors
    /// It has ended already, or does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        program::terminate(&self.child)?;
        program::ended(&mut self.child, Duration::from_secs(10)).await
    }
}
