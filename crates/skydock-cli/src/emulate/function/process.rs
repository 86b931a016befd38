//! The process of an environment: started, frozen, thawed, told to end, killed; with all that it has started.

use std::{
    os::fd::AsFd,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
};

/// A process with a group of its own.
pub(super) struct Process {
    group: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
    frozen: AtomicBool,
    /// Ends the group when we are killed ourselves: what is frozen would stay so for good.
    _mourner: Child,
    /// What waits for its end. It kills the process when it is dropped.
    _watching: JoinSet<()>,
}

impl Process {
    /// Starts `command`. What it prints goes to our stderr, whichever of the two it prints it on: stdout is ours.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(mut command: Command) -> std::io::Result<Self> {
        let ours = std::io::stderr().as_fd().try_clone_to_owned()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(ours))
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Pid::from_raw(id.ok_or_else(|| std::io::Error::other("it has ended already"))?);
        let mourner = mourner(group)?;
        let (ended, exit) = watch::channel(None);
        let mut watching = JoinSet::new();
        watching.spawn(async move {
            let status = child.wait().await.unwrap_or_default();
            // what it has started; the number is nobody else's as long as one of them lives
            let _none = killpg(group, Signal::SIGKILL);
            ended.send_replace(Some(status));
        });
        Ok(Self {
            group,
            exit,
            frozen: AtomicBool::new(false),
            _mourner: mourner,
            _watching: watching,
        })
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_gone) => ExitStatus::default(),
        }
    }

    /// Lets nothing in it run any more.
    pub(super) fn freeze(&self) {
        if !self.frozen.swap(true, Ordering::AcqRel) {
            self.send(Signal::SIGSTOP);
        }
    }

    /// Lets it run again.
    pub(super) fn thaw(&self) {
        if self.frozen.swap(false, Ordering::AcqRel) {
            self.send(Signal::SIGCONT);
        }
    }

    /// Tells it to end.
    pub(super) fn terminate(&self) {
        self.send(Signal::SIGTERM);
    }

    /// Ends it, and what it has started.
    pub(super) fn kill(&self) {
        self.send(Signal::SIGKILL);
    }

    fn send(&self, signal: Signal) {
        // a number that nobody has waited for yet is still ours
        if self.exit.borrow().is_none() {
            let _gone = killpg(self.group, signal);
        }
    }
}

/// A shell that waits for the end of its input, which is ours, and then kills the group.
fn mourner(group: Pid) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read _; kill -s KILL -- \"-$1\"", "sh", &group.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
