//! Entries as they are found by whoever looks through the journal.

use std::fmt;

use jiff::Timestamp;

use super::{Header, Known, Story, line};
use crate::upgrade::Report;

/// What one look at an entry shows.
#[derive(Debug)]
pub(super) enum Look {
    Seen(Box<Seen>),
    /// Not even its first line was written, so nothing was done.
    Blank,
    /// It has ended, and its first line cannot be read.
    Ended,
    /// Nobody can tell which change it is about, for this reason.
    Unreadable(String),
}

/// An entry that says which change it is about.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) header: Box<Header>,
    /// Its end, if it has one.
    pub(super) report: Option<Box<Report>>,
    /// When its last line was written.
    pub(super) last: Timestamp,
    story: Story,
    /// True while somebody is at it.
    held: bool,
}

/// A change that has not ended.
#[derive(Debug)]
pub(in crate::upgrade) enum Open {
    /// Nobody is at it.
    Left {
        id: String,
        header: Box<Header>,
        story: Box<Story>,
    },
    /// Somebody is at it.
    Running { id: String, header: Box<Header> },
    /// Nobody can tell which change it is, for this reason.
    Unreadable { id: String, reason: String },
}

impl Look {
    pub(super) fn of(text: &[u8], held: bool) -> Self {
        let read = line::read(text);
        match (read.header, read.report) {
            (Some(header), report) => Self::Seen(Box::new(Seen {
                header,
                report,
                last: read.last,
                story: read.story,
                held,
            })),
            (None, Some(_)) => Self::Ended,
            (None, None) if read.good == 0 && !read.damaged => Self::Blank,
            (None, None) => Self::Unreadable("its first line is none that this server knows".to_owned()),
        }
    }

    /// The change, if it has not ended.
    pub(super) fn open(self, id: String) -> Option<Open> {
        match self {
            Self::Unreadable(reason) => Some(Open::Unreadable { id, reason }),
            Self::Seen(seen) if seen.report.is_none() => {
                let Seen {
                    header, story, held, ..
                } = *seen;
                Some(if held {
                    Open::Running { id, header }
                } else {
                    Open::Left {
                        id,
                        header,
                        story: Box::new(story),
                    }
                })
            }
            Self::Seen(_) | Self::Blank | Self::Ended => None,
        }
    }
}

impl Seen {
    pub(super) fn in_the_way(&self, id: &str) -> Known {
        let id = id.to_owned();
        match &self.report {
            Some(report) => Known::Recorded(report.clone()),
            None if self.held => Known::Running { id },
            None => Known::Left { id },
        }
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left { id, header, .. } => write!(f, "{id} ({})", header.plan.function_arn),
            Self::Running { id, header } => write!(f, "{id} ({}, running)", header.plan.function_arn),
            Self::Unreadable { id, .. } => write!(f, "{id} (which cannot be read)"),
        }
    }
}
