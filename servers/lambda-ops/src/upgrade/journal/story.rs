//! What an entry's lines add up to: how far the change had come.

use jiff::Timestamp;

use super::Event;
use crate::upgrade::trail::{Revisions, Trail};

/// How far a change had come.
#[derive(Debug, Default)]
pub(in crate::upgrade) struct Story {
    /// The version to go back to.
    pub(in crate::upgrade) rollback_version: Option<String>,
    revisions: Revisions,
    /// The last update that was about to be sent.
    pub(in crate::upgrade) sent: Option<Sent>,
}

/// An update that was about to be sent, and what came after it.
#[derive(Debug)]
pub(in crate::upgrade) struct Sent {
    pub(in crate::upgrade) runtime: String,
    /// What it left, as far as it had come.
    pub(in crate::upgrade) trail: Trail,
    /// The version that holds the new runtime.
    pub(in crate::upgrade) new_version: Option<String>,
    pub(in crate::upgrade) trial: Trial,
    /// True once the old runtime was about to be put back.
    pub(in crate::upgrade) restoring: bool,
    /// True once it was in force again.
    pub(in crate::upgrade) restored: bool,
}

/// How far the real run of the function had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) enum Trial {
    NotBegun,
    /// Begun, and nobody knows how it ended.
    Begun,
    Passed,
    Failed,
}

impl Story {
    pub(super) fn hear(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::Publishing { revision } => self.revisions.saw(revision.as_deref()),
            Event::Published { version } => self.rollback_version = Some(version),
            Event::Updating {
                runtime,
                revision,
                before,
            } => {
                let revisions = match self.sent.take() {
                    Some(earlier) => earlier.trail.revisions,
                    None => std::mem::take(&mut self.revisions),
                };
                let trail = Trail::new(revisions, before, &runtime, revision, at);
                self.sent = Some(Sent {
                    runtime,
                    trail,
                    new_version: None,
                    trial: Trial::NotBegun,
                    restoring: false,
                    restored: false,
                });
            }
            event => {
                if let Some(sent) = &mut self.sent {
                    sent.hear(event);
                }
            }
        }
    }
}

impl Sent {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Updated { revision, left } => self.trail.took(revision.as_deref(), left.last_modified),
            Event::Settled { revision } => self.trail.revisions.saw(revision.as_deref()),
            Event::PublishedNew { version } => self.new_version = Some(version),
            Event::Testing => self.trial = Trial::Begun,
            Event::Tested { passed: true } => self.trial = Trial::Passed,
            Event::Tested { passed: false } => self.trial = Trial::Failed,
            Event::Restoring => {
                self.restoring = true;
                self.trail.may_be_back();
            }
            Event::Restored { revision, past } => {
                self.restored = true;
                for past in &past {
                    self.trail.revisions.saw(Some(past));
                }
                self.trail.revisions.moved(None, revision.as_deref());
            }
            _ => {}
        }
    }
}
