//! What may be called without asking the user: by a tool's annotations, and by what the owner of the agent says.

use std::fmt;

use globset::{Glob, GlobMatcher};
use rmcp::model::ToolAnnotations;
use serde::{Deserialize, Serialize};

/// Why the user is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The tool says that it changes things that cannot be changed back, or does not say that it does not.
    Destructive,
    /// The owner of the agent wants it.
    Policy,
}

/// What is to happen with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is called.
    Allow,
    /// The user decides.
    Ask(Reason),
    /// It is not called, and the model is told so.
    Deny,
}

impl Verdict {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask(_) => "ask",
            Self::Deny => "deny",
        }
    }
}

/// Which calls need the user's decision. A rule that names a tool goes before its annotations; to deny goes before to
/// ask, to ask before to allow.
#[derive(Debug, Clone, Default)]
pub struct Approvals {
    deny: Vec<GlobMatcher>,
    ask: Vec<GlobMatcher>,
    allow: Vec<GlobMatcher>,
}

/// The text is no pattern for names of tools.
#[derive(Debug, thiserror::Error)]
#[error("{pattern:?} is no pattern for tools such as book-* ({reason})")]
pub struct Pattern {
    pattern: String,
    reason: String,
}

impl Approvals {
    /// The rules, as patterns of tools' names (`book-*`).
    ///
    /// # Errors
    /// When one is no pattern.
    pub fn new(allow: &[String], ask: &[String], deny: &[String]) -> Result<Self, Pattern> {
        Ok(Self {
            deny: patterns(deny)?,
            ask: patterns(ask)?,
            allow: patterns(allow)?,
        })
    }

    /// What is to happen with a call of this tool. Without annotations a tool counts as destructive, as MCP has it.
    #[must_use]
    pub fn judge(&self, name: &str, annotations: Option<&ToolAnnotations>) -> Verdict {
        let names = |patterns: &[GlobMatcher]| patterns.iter().any(|pattern| pattern.is_match(name));
        if names(&self.deny) {
            return Verdict::Deny;
        }
        if names(&self.ask) {
            return Verdict::Ask(Reason::Policy);
        }
        if names(&self.allow) || is_read_only(annotations) {
            return Verdict::Allow;
        }
        match annotations.and_then(|annotations| annotations.destructive_hint) {
            Some(false) => Verdict::Allow,
            Some(true) | None => Verdict::Ask(Reason::Destructive),
        }
    }
}

/// Whether the tool says that it changes nothing.
pub(crate) fn is_read_only(annotations: Option<&ToolAnnotations>) -> bool {
    annotations.and_then(|annotations| annotations.read_only_hint) == Some(true)
}

/// Whether a call can be made again without doing more than the first one did.
pub(crate) fn is_repeatable(annotations: Option<&ToolAnnotations>) -> bool {
    is_read_only(annotations) || annotations.and_then(|annotations| annotations.idempotent_hint) == Some(true)
}

fn patterns(texts: &[String]) -> Result<Vec<GlobMatcher>, Pattern> {
    let pattern = |text: &String| {
        let glob = Glob::new(text).map_err(|error| Pattern {
            pattern: text.clone(),
            reason: error.kind().to_string(),
        })?;
        Ok(glob.compile_matcher())
    };
    texts.iter().map(pattern).collect()
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destructive => "it changes something",
            Self::Policy => "the owner of this agent wants you to be asked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(read_only: Option<bool>, destructive: Option<bool>) -> ToolAnnotations {
        ToolAnnotations::from_raw(None, read_only, destructive, None, None)
    }

    #[test]
    fn a_tool_that_does_not_say_that_it_is_harmless_asks() {
        let approvals = Approvals::default();
        let judge = |annotations: Option<&ToolAnnotations>| approvals.judge("x", annotations);
        assert_eq!(judge(None), Verdict::Ask(Reason::Destructive));
        assert_eq!(judge(Some(&annotated(Some(true), None))), Verdict::Allow);
        assert_eq!(judge(Some(&annotated(None, Some(false)))), Verdict::Allow);
        assert_eq!(
            judge(Some(&annotated(Some(false), None))),
            Verdict::Ask(Reason::Destructive)
        );
    }

    #[test]
    fn rules_go_before_annotations_and_the_strictest_rule_first() {
        let words = |text: &str| vec![text.to_owned()];
        let approvals = Approvals::new(&words("book-*"), &words("get-*"), &words("book-hotel")).unwrap();
        let harmless = annotated(Some(true), None);
        assert_eq!(approvals.judge("book-car", None), Verdict::Allow);
        assert_eq!(approvals.judge("book-hotel", Some(&harmless)), Verdict::Deny);
        assert_eq!(
            approvals.judge("get-cars", Some(&harmless)),
            Verdict::Ask(Reason::Policy)
        );
        assert!(Approvals::new(&words("["), &[], &[]).is_err());
    }
}
