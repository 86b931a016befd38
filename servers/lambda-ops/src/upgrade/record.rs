//! A report being written while its change goes on, with the journal that survives it.

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Outcome, Phase, Plan, Report, State, Step,
    journal::{self, Entry, Event},
    trail::{Footprint, Revisions, Trail},
};

/// A report being written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) plan: Plan,
    /// The runtime that is being tried: the one asked for, or an older one.
    pub(super) to: String,
    pub(super) rollback_version: Option<String>,
    pub(super) new_version: Option<String>,
    /// What the update and its undoing have left so far.
    pub(super) trail: Trail,
    entry: Entry,
    /// Between the first update and the end of the record.
    changing: bool,
    steps: Vec<Step>,
    progress: UnboundedSender<String>,
}

impl Record {
    pub(super) fn new(plan: Plan, entry: Entry, progress: UnboundedSender<String>) -> Self {
        Self {
            to: plan.to.clone(),
            trail: Trail::new(
                Revisions::default(),
                Footprint::default(),
                &plan.to,
                None,
                Timestamp::now(),
            ),
            plan,
            rollback_version: None,
            new_version: None,
            entry,
            changing: false,
            steps: Vec::new(),
            progress,
        }
    }

    /// The name of the entry in the journal.
    pub(super) fn id(&self) -> &str {
        self.entry.id()
    }

    /// The runtime to put back.
    pub(super) fn from(&self) -> &str {
        &self.plan.from
    }

    /// From here on it is about setting this runtime.
    pub(super) fn attempt(&mut self, runtime: &str) {
        runtime.clone_into(&mut self.to);
        self.new_version = None;
    }

    /// Writes into the journal what is about to be done, or was done.
    pub(super) async fn journal(&mut self, event: Event) -> Result<(), journal::Fault> {
        self.entry.write(&event).await
    }

    /// From here on the function may be changed, and the record must be closed.
    pub(super) fn begin(&mut self, trail: Trail) {
        self.trail = trail;
        if !self.changing {
            self.changing = true;
            let (function, from, to) = (&self.plan.function_name, self.from(), &self.to);
            tracing::info!(function, from, to, entry = self.id(), "a runtime update begins");
        }
    }

    /// Writes a step down, and tells it.
    pub(super) fn note(&mut self, phase: Phase, state: State, detail: impl Into<String>) {
        self.note_with(phase, state, detail, None);
    }

    /// The same with what the function answered.
    pub(super) fn note_with(
        &mut self,
        phase: Phase,
        state: State,
        detail: impl Into<String>,
        output: Option<String>,
    ) {
        let (runtime, detail) = (self.to.clone(), detail.into());
        self.tell(detail.clone());
        self.steps.push(Step {
            phase,
            state,
            runtime,
            detail,
            output,
        });
    }

    /// Tells what is going on without writing it down. Nobody has to listen.
    pub(super) fn tell(&self, message: impl Into<String>) {
        drop(self.progress.send(message.into()));
    }

    /// Ends the change for good.
    pub(super) async fn close(
        mut self,
        outcome: Outcome,
        runtime: Option<String>,
        revision_id: Option<String>,
    ) -> Report {
        let report = self.end(outcome, runtime, revision_id);
        let kept = Box::new(report.to_keep());
        if let Err(fault) = self
            .journal(Event::Closed {
                outcome,
                report: kept,
            })
            .await
        {
            let id = self.id();
            tracing::error!(
                id,
                cause = crate::account::chain(&fault),
                "the end of a change is not in the journal"
            );
        }
        report
    }

    /// Ends this server's part in it: the entry stays open, for whoever recovers.
    pub(super) fn leave_open(mut self, outcome: Outcome) -> Report {
        self.end(outcome, None, None)
    }

    fn end(&mut self, outcome: Outcome, runtime: Option<String>, revision_id: Option<String>) -> Report {
        self.changing = false;
        let (function, from, to) = (&self.plan.function_name, self.from(), &self.to);
        tracing::info!(function, from, to, ?outcome, "a runtime update ended");
        let mut report = Report::of(&self.plan, outcome, revision_id);
        report.runtime = runtime;
        report.steps = std::mem::take(&mut self.steps);
        report.rollback_version = self.rollback_version.take();
        report.new_version = self.new_version.take();
        report
    }
}

impl Drop for Record {
    /// A process that ends in the middle of a change leaves at least word of which function it was.
    fn drop(&mut self) {
        if self.changing {
            let (function, from, to) = (&self.plan.function_name, self.from(), &self.to);
            tracing::error!(
                function,
                from,
                to,
                entry = self.id(),
                "a runtime update was left in the middle; recover-updates, or the next start with this journal, finishes it"
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
    use crate::upgrade::{Journal, consent::tests::plan, journal::Header};

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

    /// What is logged while `work` goes on with a record.
    async fn logged(work: impl AsyncFnOnce(Record)) -> String {
        let told = Log::default();
        let writer = told.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let header = Header::new(None, String::new(), plan());
        let begun = Journal::in_memory().begin(header).await.expect("there is room");
        let (progress, _) = unbounded_channel();
        work(Record::new(
            plan(),
            begun.expect("nothing is in the way"),
            progress,
        ))
        .await;
        drop(guard);
        let bytes = told.0.lock().expect("nobody panicked").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[tokio::test]
    async fn a_record_that_is_dropped_in_the_middle_of_a_change_names_the_function() {
        let log = logged(async |mut record| {
            let trail = record.trail.clone();
            record.begin(trail);
            drop(record);
        })
        .await;
        assert!(log.contains("ERROR"), "{log}");
        for text in ["orders-api", "nodejs20.x", "nodejs24.x", "left in the middle"] {
            assert!(log.contains(text), "{log}");
        }
    }

    #[tokio::test]
    async fn a_record_that_was_closed_or_never_begun_is_no_error() {
        let log = logged(async |record| drop(record)).await;
        assert!(!log.contains("ERROR"), "{log}");
        let log = logged(async |mut record| {
            let trail = record.trail.clone();
            record.begin(trail);
            record.close(Outcome::Updated, None, None).await;
        })
        .await;
        assert!(!log.contains("ERROR"), "{log}");
        let (begun, ended) = (
            log.find("a runtime update begins"),
            log.find("a runtime update ended"),
        );
        assert!(begun.is_some() && begun < ended, "{log}");
    }
}
