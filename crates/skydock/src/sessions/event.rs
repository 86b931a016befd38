//! The ids of events: what a client hands back as `Last-Event-ID` when it wants the rest of a stream.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rmcp::model::RequestId;

/// A request's id is part of its events' ids up to this length of its JSON, so that a client can be told which request
/// is lost when the instance that worked on it is.
const LONGEST: usize = 64;

/// Where a client is in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EventId {
    /// In the stream of one request.
    Answer(Position),
    /// In the standalone stream of a session.
    Standalone {
        /// What the session's record calls its events.
        key: String,
        place: Place,
    },
}

/// A place in a standalone stream: after these entries of the two logs that it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// In the session's own log.
    pub(super) said: u64,
    /// In the log of changes.
    pub(super) changes: u64,
}

/// A place in the stream of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// Who works on the request.
    pub(super) instance: String,
    /// The stream; nobody can guess it.
    pub(super) stream: String,
    /// The number of messages that the client has.
    pub(super) seen: usize,
    /// The request, unless its id is very long.
    pub(super) request: Option<RequestId>,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standalone { key, place } => write!(f, "s.{key}.{}.{}", place.said, place.changes),
            Self::Answer(Position {
                instance,
                stream,
                seen,
                request,
            }) => {
                write!(f, "a.{instance}.{stream}.{seen}")?;
                let request = request.as_ref().and_then(|id| serde_json::to_vec(id).ok());
                match request.filter(|id| id.len() <= LONGEST) {
                    Some(id) => write!(f, ".{}", URL_SAFE_NO_PAD.encode(id)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A `Last-Event-ID` that is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("this is no event of ours")]
pub(crate) struct NoEvent;

impl FromStr for EventId {
    type Err = NoEvent;

    fn from_str(text: &str) -> Result<Self, NoEvent> {
        let mut parts = text.split('.');
        let mut word = || parts.next().filter(|part| !part.is_empty()).ok_or(NoEvent);
        let id = match word()? {
            "s" => Self::Standalone {
                key: word()?.to_owned(),
                place: Place {
                    said: word()?.parse().map_err(|_number| NoEvent)?,
                    changes: word()?.parse().map_err(|_number| NoEvent)?,
                },
            },
            "a" => Self::Answer(Position {
                instance: word()?.to_owned(),
                stream: word()?.to_owned(),
                seen: word()?.parse().map_err(|_number| NoEvent)?,
                request: match word() {
                    Ok(request) => {
                        let json = URL_SAFE_NO_PAD.decode(request).map_err(|_text| NoEvent)?;
                        Some(serde_json::from_slice(&json).map_err(|_json| NoEvent)?)
                    }
                    Err(NoEvent) => None,
                },
            }),
            _ => return Err(NoEvent),
        };
        // what names a key in the store is made of our own letters
        let plain = match &id {
            Self::Standalone { key, .. } => is_plain(key),
            Self::Answer(position) => is_plain(&position.instance) && is_plain(&position.stream),
        };
        if plain { Ok(id) } else { Err(NoEvent) }
    }
}

/// Whether a text that came from outside can be one of our random names.
pub(super) fn is_plain(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let answer = |request| {
            EventId::Answer(Position {
                instance: "a1".to_owned(),
                stream: "b2".to_owned(),
                seen: 7,
                request,
            })
        };
        for id in [
            answer(Some(RequestId::Number(-3))),
            answer(Some(RequestId::String("x.y/ü".into()))),
            answer(None),
            EventId::Standalone {
                key: "c3".to_owned(),
                place: Place {
                    said: u64::MAX,
                    changes: 0,
                },
            },
        ] {
            let text = id.to_string();
            assert!(text.is_ascii() && !text.contains(['\n', '\0']), "{text}");
            assert_eq!(text.parse::<EventId>().unwrap(), id);
        }
        let long = answer(Some(RequestId::String("x".repeat(100).into())));
        assert_eq!(long.to_string().parse::<EventId>().unwrap(), answer(None));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for wrong in [
            "",
            "0",
            "1/2",
            "s..1.1",
            "s.k.x.1",
            "s.k.1",
            "a.i.s",
            "a.i.s.1.!!",
            "a.i/../.s.1",
            "s.k:1.2.3",
            "z.1.2",
        ] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }
}
