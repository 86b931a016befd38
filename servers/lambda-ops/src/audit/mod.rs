//! The audit: one JSON line for each attempt to run or change a function, and one for what became of it.
//!
//! A line is written when the attempt begins (outcome `begun`), before AWS is asked for anything that has an effect,
//! and again with the same id when it has ended. What cannot be written does not begin.

mod line;
mod sink;

use std::{
    collections::VecDeque,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;

pub use self::line::{Event, Line, Plan, Run, Seen, Who};
use self::sink::Sink;

/// Where the lines go. Clones write to the same place.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Mutex<Sink>>);

/// A line that could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing was begun, because the audit cannot be written; the operator of this server has to mend that"
)]
pub struct Unwritable(#[source] io::Error);

/// Where the audit goes, as an operator writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Stderr,
    Stdout,
    File(PathBuf),
}

impl Audit {
    /// Lines on standard error, whole and alone on their line, between those of the log.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(Sink::Stderr)
    }

    /// Lines on standard output. Not while the server speaks stdio: there it belongs to the protocol.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(Sink::Stdout)
    }

    /// Lines at the end of a file, each brought to the disk before it counts as written. A file that does not exist is
    /// made, readable by its owner alone.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn file(path: &Path) -> io::Result<Self> {
        sink::open(path).map(Self::new)
    }

    /// Lines kept in this process, the last thousand: see [`Audit::lines`].
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(Sink::Memory(VecDeque::new()))
    }

    /// Writes a line. On return it is where it belongs. A disk is waited for apart from other work.
    ///
    /// # Errors
    /// [`Unwritable`], which is in the log. What has not begun must not begin then; what has ended has ended.
    pub async fn write(&self, line: &Line) -> Result<(), Unwritable> {
        #[derive(Serialize)]
        struct Stamped<'a> {
            time: Timestamp,
            #[serde(flatten)]
            line: &'a Line,
        }
        let stamped = Stamped {
            time: Timestamp::now(),
            line,
        };
        let written = match serde_json::to_vec(&stamped) {
            Ok(text) => self.append(text).await,
            Err(cause) => Err(cause.into()),
        };
        written.map_err(|cause| {
            tracing::error!(%cause, audit = line.id, function = line.function, "the audit cannot be written");
            Unwritable(cause)
        })
    }

    async fn append(&self, text: Vec<u8>) -> io::Result<()> {
        let audit = self.clone();
        let written = spawn_blocking(move || audit.sink().write(text)).await;
        written.map_err(io::Error::other)?
    }

    /// The lines written to [`Audit::in_memory`]; none of any other.
    #[must_use]
    pub fn lines(&self) -> Vec<serde_json::Value> {
        match &*self.sink() {
            Sink::Memory(lines) => lines
                .iter()
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect(),
            Sink::Stderr | Sink::Stdout | Sink::File { .. } => Vec::new(),
        }
    }

    fn new(sink: Sink) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        // nothing panics while it holds the lock, and a line that broke off is known to the sink
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Opens it.
    ///
    /// # Errors
    /// If it is a file that cannot be opened.
    pub(crate) fn open(&self) -> io::Result<Audit> {
        match self {
            Self::Stderr => Ok(Audit::stderr()),
            Self::Stdout => Ok(Audit::stdout()),
            Self::File(path) => Audit::file(path),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
