//! A limit by tag, as an operator writes it: `KEY` or `KEY=VALUE`.

use std::fmt;

use skydock::Faults;

use super::TAG;
use crate::account::Tags;

/// A tag that a function must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagRule {
    key: String,
    /// None: any.
    value: Option<String>,
}

impl TagRule {
    pub(super) fn fits(&self, tags: &Tags) -> bool {
        tags.get(&self.key)
            .is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

impl fmt::Display for TagRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

/// Reads rules; the first `=` ends the key.
pub(super) fn read(texts: &[String]) -> Result<Vec<TagRule>, Faults> {
    /// Tags on Lambda functions: a key has at most 128 characters, a value 256.
    const LONGEST: (usize, usize) = (128, 256);
    let mut faults = Faults::default();
    let mut rules = Vec::new();
    for text in texts {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text.as_str(), None),
        };
        let fits = (1..=LONGEST.0).contains(&key.chars().count())
            && value.is_none_or(|value| value.chars().count() <= LONGEST.1);
        if fits {
            rules.push(TagRule {
                key: key.to_owned(),
                value: value.map(str::to_owned),
            });
        } else {
            faults.add(
                TAG,
                text,
                "write a tag as KEY or KEY=VALUE, such as lambda-ops=allow",
            );
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

pub(super) fn list(rules: &[TagRule]) -> String {
    rules
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}
