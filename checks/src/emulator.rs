//! A server behind a door of AWS: `skydock emulate` with a program of ours, ended when it is dropped.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Child,
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

use crate::{
    processes::{self, Process},
    program, tools,
};

/// How long it may take until it tells its URL.
const START: Duration = Duration::from_secs(30);
/// How long something may take to appear in its log.
const SAY: Duration = Duration::from_secs(10);

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    url: String,
    log: Arc<Log>,
    _reading: JoinSet<()>,
}

/// What it has said on stderr, with what its functions have said.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Notify,
}

impl Log {
    async fn read(self: Arc<Self>, stderr: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            self.grown.notify_waiters();
        }
    }
}

impl Emulator {
    /// Runs `binary` behind `door` and waits until the emulator tells its URL.
    ///
    /// # Errors
    /// It ends before that, with what it said, or takes too long.
    pub async fn start(door: &str, flags: &[&str], binary: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_with(&[], door, flags, binary, arguments).await
    }

    /// As [`Emulator::start`], with these variables in the environment.
    ///
    /// # Errors
    /// As [`Emulator::start`].
    pub async fn start_with(
        variables: &[(&str, &str)],
        door: &str,
        flags: &[&str],
        binary: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = program::command(&tools::built("skydock")?);
        command.args(["emulate", door, "--listen", "127.0.0.1:0"]);
        command.args(flags).arg("--").arg(binary).args(arguments);
        command
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let out = child.stdout.take().context("it has no stdout")?;
        let stderr = child.stderr.take().context("it has no stderr")?;
        let log = Arc::new(Log::default());
        let mut reading = JoinSet::new();
        reading.spawn(Arc::clone(&log).read(stderr));
        let mut url = String::new();
        let mut out = BufReader::new(out);
        timeout(START, out.read_line(&mut url))
            .await
            .with_context(|| format!("the emulator told no URL within {START:?}"))??;
        let url = url.trim_end().to_owned();
        if url.is_empty() {
            // all that it has to say
            let _late = timeout(SAY, reading.join_next()).await;
        }
        let emulator = Self {
            child,
            url,
            log,
            _reading: reading,
        };
        ensure!(
            emulator.url.starts_with("http://"),
            "the emulator ended before it told its URL: {}",
            emulator.log()
        );
        Ok(emulator)
    }

    /// Where MCP is spoken.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another path at the door.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        let origin = self.url.split('/').take(3).collect::<Vec<_>>().join("/");
        format!("{origin}{path}")
    }

    /// What it and its functions have said so far.
    #[must_use]
    pub fn log(&self) -> String {
        let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.join("\n")
    }

    /// Waits until it has said something.
    ///
    /// # Errors
    /// It does not say it in time.
    pub async fn says(&self, what: &str) -> Result<()> {
        let said = async {
            loop {
                let mut grown = std::pin::pin!(self.log.grown.notified());
                grown.as_mut().enable();
                if self.log().contains(what) {
                    return;
                }
                grown.await;
            }
        };
        let said = timeout(SAY, said).await;
        said.with_context(|| format!("it did not say {what:?}, but:\n{}", self.log()))
    }

    /// The processes of its functions.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn functions(&self) -> Result<Vec<Process>> {
        let mut found = processes::children(self.child.id().context("the emulator has ended")?)?;
        // a shell watches over each
        found.retain(|process| process.name != "sh");
        Ok(found)
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
