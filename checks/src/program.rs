//! A program under test: started on a free port of the loopback, ended when it is dropped.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::processes;

/// How long a program may take until it answers.
const START: Duration = Duration::from_secs(30);
/// How often a program that does not answer yet is asked again. There is no event to wait for: it is another process.
const AGAIN: Duration = Duration::from_millis(20);
/// Another process may take a free port between its choice and its use.
const ATTEMPTS: usize = 3;

/// A running server.
#[derive(Debug)]
pub struct Program {
    child: Child,
    addr: SocketAddr,
}

impl Program {
    /// Starts one of Skydock's servers with `--listen` on a free port and waits until `/readyz` says 200.
    ///
    /// # Errors
    /// It ends before it is ready, or is not ready in time.
    pub async fn serve(binary: &Path, flags: &[&str]) -> Result<Self> {
        let start = |addr: SocketAddr| {
            let mut command = command(binary);
            command.args(["--listen", &addr.to_string()]).args(flags);
            command
        };
        Self::start(start, "/readyz").await
    }

    /// Starts what `command` makes for a free port and waits until `path` answers with a success.
    ///
    /// # Errors
    /// It ends before it is ready, or is not ready in time.
    pub async fn start(command: impl Fn(SocketAddr) -> Command, path: &str) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            if let Some(program) = Self::attempt(free_port().await?, &command, path).await? {
                return Ok(program);
            }
        }
        Self::start_at(free_port().await?, command, path).await
    }

    /// As [`Program::start`], on a given address.
    ///
    /// # Errors
    /// It ends before it is ready, or is not ready in time.
    pub async fn start_at(
        addr: SocketAddr,
        command: impl Fn(SocketAddr) -> Command,
        path: &str,
    ) -> Result<Self> {
        let program = Self::attempt(addr, &command, path).await?;
        program.context("the program ended before it was ready; its log says why")
    }

    /// `None` when it ended before it was ready.
    async fn attempt(
        addr: SocketAddr,
        command: &impl Fn(SocketAddr) -> Command,
        path: &str,
    ) -> Result<Option<Self>> {
        let mut command = command(addr);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut program = Self { child, addr };
        Ok(program.is_ready(path).await?.then_some(program))
    }

    async fn is_ready(&mut self, path: &str) -> Result<bool> {
        let deadline = Instant::now() + START;
        let url = self.url(path);
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            let answered = reqwest::get(&url)
                .await
                .is_ok_and(|response| response.status().is_success());
            if answered {
                return Ok(true);
            }
            sleep(AGAIN).await;
        }
        bail!("{url} did not answer within {START:?}")
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of a path on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The address of its MCP endpoint.
    #[must_use]
    pub fn mcp(&self) -> String {
        self.url("/mcp")
    }

    /// A raw connection to it.
    ///
    /// # Errors
    /// It does not listen any more.
    pub async fn connect(&self) -> Result<TcpStream> {
        Ok(TcpStream::connect(self.addr).await?)
    }

    /// Its resident memory, in bytes.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn memory(&self) -> Result<u64> {
        let pid = self.child.id().context("the program has ended")?;
        processes::memory(pid)
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// It has ended already.
    pub fn terminate(&self) -> Result<()> {
        terminate(&self.child)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It is still running after `within`.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        ended(&mut self.child, within).await
    }

    /// Ends it in the ordinary way and says how that went.
    ///
    /// # Errors
    /// It has ended already, or does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.terminate()?;
        self.ended(Duration::from_secs(40)).await
    }
}

/// A command with an environment that holds no `SKYDOCK_*` of the caller's.
#[must_use]
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SKYDOCK_") {
            command.env_remove(name);
        }
    }
    command
}

/// Sends SIGTERM.
///
/// # Errors
/// The process has ended already.
pub fn terminate(child: &Child) -> Result<()> {
    let pid = child.id().context("the program has ended already")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
    Ok(())
}

/// Waits for the end of a process.
///
/// # Errors
/// It is still running after `within`.
pub async fn ended(child: &mut Child, within: Duration) -> Result<ExitStatus> {
    let status = timeout(within, child.wait()).await;
    Ok(status.with_context(|| format!("the program is still running after {within:?}"))??)
}

async fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?)
}
