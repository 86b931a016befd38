//! What was done, step by step, and how it ended.

use tokio::sync::mpsc::UnboundedSender;

/// How a change of the runtime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The new runtime is in force.
    Updated,
    /// It did not work; the old one is in force again.
    RolledBack,
    /// It did not work, and the old one could not be put back: somebody has to look.
    RollbackFailed,
    /// Nothing was changed.
    Unchanged,
}

/// A part of the procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// May it be changed?
    Check,
    /// Ask AWS to change it.
    Update,
    /// Wait until the change is in force.
    Settle,
    /// Run the function with the test event.
    Test,
    /// Put the old runtime back.
    Rollback,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// As intended.
    Done,
    /// Not as intended.
    Failed,
    /// Left out.
    Skipped,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which part of the procedure.
    pub phase: Phase,
    /// How it ended.
    pub state: State,
    /// In words.
    pub detail: String,
}

/// What was done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The function's name.
    pub function: String,
    /// The runtime it had.
    pub from: String,
    /// The runtime asked for.
    pub to: String,
    /// How it ended.
    pub outcome: Outcome,
    /// In the order they were taken.
    pub steps: Vec<Step>,
    /// The function's revision at the end, as far as it is known.
    pub revision_id: Option<String>,
}

/// A report being written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) function: String,
    pub(super) from: String,
    pub(super) to: String,
    /// The revision the function was at before the update, once AWS has moved it: who still sees this sees the past.
    past: Option<String>,
    /// Between the update and the end of the record.
    changing: bool,
    steps: Vec<Step>,
    progress: UnboundedSender<String>,
}

impl Record {
    pub(super) fn new(function: &str, from: &str, to: &str, progress: UnboundedSender<String>) -> Self {
        let (function, from, to) = (function.to_owned(), from.to_owned(), to.to_owned());
        Self {
            function,
            from,
            to,
            past: None,
            changing: false,
            steps: Vec::new(),
            progress,
        }
    }

    /// From here on the function may be changed, and the record must be closed.
    pub(super) fn begin(&mut self) {
        self.changing = true;
        // a process that is killed can say nothing later: then this is the last word
        let Self {
            function, from, to, ..
        } = &*self;
        tracing::info!(function, from, to, "a runtime update begins");
    }

    /// The change was refused for certain.
    pub(super) fn nothing_happened(&mut self) {
        self.changing = false;
    }

    /// An update moved the function from the revision `before` to `after`. (Some stand-ins for AWS move nothing.)
    pub(super) fn left(&mut self, before: Option<&str>, after: Option<&str>) {
        self.past = before
            .filter(|_| after.is_some() && after != before)
            .map(str::to_owned);
    }

    /// True if what was read is older than the update.
    pub(super) fn is_past(&self, revision: Option<&str>) -> bool {
        self.past.is_some() && self.past.as_deref() == revision
    }

    /// True if AWS is known to have taken the update.
    pub(super) fn was_accepted(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.phase == Phase::Update && step.state == State::Done)
    }

    /// Writes a step down, and tells it.
    pub(super) fn note(&mut self, phase: Phase, state: State, detail: String) {
        self.tell(detail.clone());
        self.steps.push(Step { phase, state, detail });
    }

    /// Tells what is going on without writing it down. Nobody has to listen.
    pub(super) fn tell(&self, message: String) {
        drop(self.progress.send(message));
    }

    pub(super) fn close(mut self, outcome: Outcome, revision_id: Option<String>) -> Report {
        self.changing = false;
        let Self {
            function, from, to, ..
        } = &self;
        tracing::info!(function, from, to, ?outcome, "a runtime update ended");
        Report {
            function: std::mem::take(&mut self.function),
            from: std::mem::take(&mut self.from),
            to: std::mem::take(&mut self.to),
            outcome,
            steps: std::mem::take(&mut self.steps),
            revision_id,
        }
    }
}

impl Drop for Record {
    /// A process that ends in the middle of a change leaves at least word of which function it was.
    fn drop(&mut self) {
        let Self {
            function, from, to, ..
        } = &*self;
        if self.changing {
            tracing::error!(
                function,
                from,
                to,
                "a runtime update was left in the middle; look with get-function which runtime is in force"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `work` goes on.
    fn logged(work: impl FnOnce()) -> String {
        let told = Log::default();
        let writer = told.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = told.0.lock().expect("nobody panicked").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn record() -> Record {
        let (progress, _) = unbounded_channel();
        Record::new("orders-api", "nodejs20.x", "nodejs24.x", progress)
    }

    #[test]
    fn a_record_that_is_dropped_in_the_middle_of_a_change_names_the_function() {
        let log = logged(|| {
            let mut record = record();
            record.begin();
            drop(record);
        });
        assert!(log.contains("ERROR"), "{log}");
        for text in ["orders-api", "nodejs20.x", "nodejs24.x", "left in the middle"] {
            assert!(log.contains(text), "{log}");
        }
    }

    #[test]
    fn a_record_that_was_closed_or_never_begun_is_no_error() {
        let log = logged(|| {
            drop(record());
            let mut record = record();
            record.begin();
            record.close(Outcome::Updated, None);
        });
        assert!(!log.contains("ERROR"), "{log}");
        let (begun, ended) = (
            log.find("a runtime update begins"),
            log.find("a runtime update ended"),
        );
        assert!(begun.is_some() && begun < ended, "{log}");
    }
}
