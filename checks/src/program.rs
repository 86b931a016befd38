//! A program under test: started on a free port of the loopback, ended when it is dropped.

use std::{
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Client;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{ports, processes};

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
        let client = Client::new();
        Self::start_when(command, |addr| succeeds(client.clone(), addr, path)).await
    }

    /// As [`Program::start`], for what does not speak HTTP or wants to be asked in its own way.
    ///
    /// # Errors
    /// It ends before it is ready, or is not ready in time.
    pub async fn start_when<F: Future<Output = bool>>(
        command: impl Fn(SocketAddr) -> Command,
        ready: impl Fn(SocketAddr) -> F,
    ) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            if let Some(program) = Self::attempt(ports::free()?, &command, &ready).await? {
                return Ok(program);
            }
        }
        Self::start_at_when(ports::free()?, command, ready).await
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
        let client = Client::new();
        Self::start_at_when(addr, command, |addr| succeeds(client.clone(), addr, path)).await
    }

    /// As [`Program::start_when`], on a given address.
    ///
    /// # Errors
    /// It ends before it is ready, or is not ready in time.
    pub async fn start_at_when<F: Future<Output = bool>>(
        addr: SocketAddr,
        command: impl Fn(SocketAddr) -> Command,
        ready: impl Fn(SocketAddr) -> F,
    ) -> Result<Self> {
        let program = Self::attempt(addr, &command, &ready).await?;
        program.context("the program ended before it was ready; its log says why")
    }

    /// `None` when it ended before it was ready.
    async fn attempt<F: Future<Output = bool>>(
        addr: SocketAddr,
        command: &impl Fn(SocketAddr) -> Command,
        ready: &impl Fn(SocketAddr) -> F,
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
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if program.child.try_wait()?.is_some() {
                return Ok(None);
            }
            if ready(addr).await {
                return Ok(Some(program));
            }
            sleep(AGAIN).await;
        }
        bail!("{command:?} was not ready within {START:?}")
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
        processes::memory(self.id()?)
    }

    /// The number of files, sockets and the like that it holds open.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn descriptors(&self) -> Result<usize> {
        processes::descriptors(self.id()?)
    }

    /// How long processors have worked for it. The kernel counts in hundredths of a second.
    ///
    /// # Errors
    /// It has ended, or this is not Linux.
    pub fn work(&self) -> Result<Duration> {
        processes::work(self.id()?)
    }

    fn id(&self) -> Result<u32> {
        self.child.id().context("the program has ended")
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// It has ended already.
    pub fn terminate(&self) -> Result<()> {
        terminate(&self.child)
    }

    /// Ends it at once, without a word (SIGKILL), and waits until it has gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops it in the middle of what it does (SIGSTOP): it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<()> {
        signal(&self.child, Signal::SIGSTOP)
    }

    /// Lets it go on after [`Program::pause`] (SIGCONT).
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<()> {
        signal(&self.child, Signal::SIGCONT)
    }

    /// Whether it runs no more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
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

/// As [`command`], in a folder that is the program's home.
#[must_use]
pub fn at_home(binary: &Path, home: &Path) -> Command {
    let mut command = command(binary);
    command.current_dir(home).env("TMPDIR", home).env("HOME", home);
    command
}

/// Sends SIGTERM.
///
/// # Errors
/// The process has ended already.
pub fn terminate(child: &Child) -> Result<()> {
    signal(child, Signal::SIGTERM)
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = child.id().context("the program has ended already")?;
    kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
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

async fn succeeds(client: Client, addr: SocketAddr, path: &str) -> bool {
    let answered = client.get(format!("http://{addr}{path}")).send().await;
    answered.is_ok_and(|response| response.status().is_success())
}
