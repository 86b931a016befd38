//! The lines of an entry, and how they are read again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Story;
use crate::upgrade::{Outcome, Plan, Report, trail::Footprint};

/// The version of what is written here. Who finds a greater one leaves the entry alone.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<E> {
    at: Timestamp,
    #[serde(flatten)]
    event: E,
}

/// What is about to be done, and what was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(in crate::upgrade) enum Event {
    /// The first line of each entry.
    Begun(Box<Header>),
    /// $LATEST is about to be published as the version to go back to.
    Publishing { revision: Option<String> },
    /// It was.
    Published { version: String },
    /// The runtime is about to be set, if the function is still at the revision.
    Updating {
        runtime: String,
        revision: Option<String>,
        before: Footprint,
    },
    /// AWS took it, and this is what it left.
    Updated {
        revision: Option<String>,
        left: Footprint,
    },
    /// It is in force.
    Settled { revision: Option<String> },
    /// $LATEST is about to be published on its new runtime.
    PublishingNew,
    /// It was.
    PublishedNew { version: String },
    /// The function is about to be run.
    Testing,
    /// It was.
    Tested { passed: bool },
    /// The old runtime is about to be put back.
    Restoring,
    /// It is in force again.
    Restored {
        revision: Option<String>,
        /// The revisions that it has left behind.
        past: Vec<String>,
    },
    /// The last line of an entry.
    Closed { outcome: Outcome, report: Box<Report> },
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::upgrade) struct Header {
    format: u32,
    pub(in crate::upgrade) id: String,
    /// The client's own name for the change.
    pub(in crate::upgrade) client_token: Option<String>,
    /// The digest of what was asked for.
    pub(in crate::upgrade) arguments: String,
    /// What was agreed to. Of a test event it holds the digest only.
    pub(in crate::upgrade) plan: Plan,
}

impl Header {
    pub(in crate::upgrade) fn new(client_token: Option<String>, arguments: String, plan: Plan) -> Self {
        // so that the names of entries sort by time
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let id = format!("{time}-{:016x}.jsonl", rand::random::<u64>());
        Self {
            format: FORMAT,
            id,
            client_token,
            arguments,
            plan,
        }
    }
}

/// A line as it is written.
pub(super) fn written(event: &Event) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line {
        at: Timestamp::now(),
        event,
    })?;
    line.push(b'\n');
    Ok(line)
}

/// What an entry's lines say.
#[derive(Debug)]
pub(super) struct Read {
    /// None if there is no first line, or not one of ours.
    pub(super) header: Option<Box<Header>>,
    pub(super) story: Story,
    pub(super) report: Option<Box<Report>>,
    /// When the last line was written.
    pub(super) last: Timestamp,
    /// How many bytes are whole lines. What is behind was being written when its server was killed.
    pub(super) good: u64,
    /// True if a whole line cannot be read.
    pub(super) damaged: bool,
}

/// Reads an entry. A last line that was torn off is as if it had never been begun.
pub(super) fn read(text: &[u8]) -> Read {
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut read = Read {
        header: None,
        story: Story::default(),
        report: None,
        last: Timestamp::UNIX_EPOCH,
        good: u64::try_from(whole).unwrap_or(u64::MAX),
        damaged: false,
    };
    for line in text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let Ok(Line { at, event }) = serde_json::from_slice::<Line<Event>>(line) else {
            read.damaged = true;
            continue;
        };
        read.last = at;
        match event {
            Event::Begun(header) => {
                read.damaged |= header.format > FORMAT;
                read.header = Some(header);
            }
            Event::Closed { report, .. } => read.report = Some(report),
            event => read.story.hear(event, at),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(events: &[Event]) -> Vec<u8> {
        events
            .iter()
            .flat_map(|event| written(event).expect("JSON"))
            .collect()
    }

    #[test]
    fn a_torn_last_line_is_as_if_it_had_never_been_begun() {
        let updating = Event::Updating {
            runtime: "nodejs24.x".to_owned(),
            revision: None,
            before: Footprint::default(),
        };
        let whole = text(&[Event::Publishing { revision: None }, updating]);
        let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        for end in first..whole.len() {
            let torn = read(whole.get(..end).expect("a part"));
            assert!(torn.story.sent.is_none() && !torn.damaged, "torn at {end}");
            assert_eq!(torn.good, first as u64);
        }
        assert!(read(&whole).story.sent.is_some());
    }

    #[test]
    fn a_line_in_the_middle_that_cannot_be_read_is_damage() {
        let mut lines = b"{\"at\":\"2026-11-22T13:00:00Z\",\"event\":\"unheard-of\"}\n".to_vec();
        lines.extend(text(&[Event::Settled { revision: None }]));
        assert!(read(&lines).damaged);
    }
}
