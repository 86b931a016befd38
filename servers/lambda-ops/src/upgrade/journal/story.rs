//! What an entry's lines add up to: how far the change had come.

use super::Event;

/// How far a change had come.
#[derive(Debug, Default)]
pub(in crate::upgrade) struct Story {
    /// The version to go back to.
    pub(in crate::upgrade) rollback_version: Option<String>,
    /// The last update that was about to be sent.
    pub(in crate::upgrade) sent: Option<Sent>,
}

/// An update that was about to be sent, and what came after it.
#[derive(Debug)]
pub(in crate::upgrade) struct Sent {
    pub(in crate::upgrade) runtime: String,
    /// The revision it was sent to.
    pub(in crate::upgrade) revision: Option<String>,
    /// True once AWS had taken it.
    pub(in crate::upgrade) taken: bool,
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
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Published { version } => self.rollback_version = Some(version),
            Event::Updating { runtime, revision } => {
                self.sent = Some(Sent {
                    runtime,
                    revision,
                    taken: false,
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
            Event::Updated { .. } | Event::Settled => self.taken = true,
            Event::PublishedNew { version } => self.new_version = Some(version),
            Event::Testing => self.trial = Trial::Begun,
            Event::Tested { passed: true } => self.trial = Trial::Passed,
            Event::Tested { passed: false } => self.trial = Trial::Failed,
            Event::Restoring => self.restoring = true,
            Event::Restored => self.restored = true,
            _ => {}
        }
    }
}
