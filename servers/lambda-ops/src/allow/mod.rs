//! What this server may change: nothing, unless its operator says so.

mod refusal;
mod rule;

use globset::{ErrorKind, GlobBuilder, GlobSet, GlobSetBuilder};
use skydock::Faults;

pub use self::refusal::Refusal;
use self::rule::TagRule;
use crate::account::{FunctionName, Identity, Tags};

/// The name of the flag that permits.
pub(crate) const ALLOW: &str = "--allow (SKYDOCK_ALLOW)";
/// The name of the flag that limits by name.
const FUNCTION: &str = "--allow-function (SKYDOCK_ALLOW_FUNCTION)";
/// The name of the flag that limits by tag.
const TAG: &str = "--allow-tag (SKYDOCK_ALLOW_TAG)";

/// What is permitted, and on which functions. Without limits it holds for every function.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    invoke: bool,
    write: bool,
    names: Names,
    tags: Vec<TagRule>,
}

/// What is done to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// It is run.
    Invoke,
    /// Its configuration is changed, or a version of it is published.
    Write,
}

/// Patterns of names. None at all: every name.
#[derive(Debug, Clone, Default)]
struct Names {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Allow {
    /// Reading only.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Running and changing, on every function: for an account where nothing can break.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            invoke: true,
            write: true,
            ..Self::default()
        }
    }

    /// Reads the values of `--allow`, `--allow-function` and `--allow-tag`.
    ///
    /// # Errors
    /// All that is wrong with them, at once. A limit of what is not permitted at all is a fault too: its author believes
    /// that it permits something.
    pub fn read(deeds: &[String], functions: &[String], tags: &[String]) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut allow = Self::default();
        for deed in deeds {
            match deed.as_str() {
                "invoke" => allow.invoke = true,
                "write" => allow.write = true,
                "" => faults.add(ALLOW, "", "it is empty; write invoke or write, or unset it"),
                other => faults.add(ALLOW, other, "write invoke or write; reading needs no permission"),
            }
        }
        allow.names = faults.take(Names::read(functions)).unwrap_or_default();
        allow.tags = faults.take(rule::read(tags)).unwrap_or_default();
        if deeds.is_empty() {
            let idle = "it limits what --allow permits, and without --allow nothing is; give --allow too, or leave it out";
            for (flag, values) in [(FUNCTION, functions), (TAG, tags)] {
                if let Some(value) = values.first() {
                    faults.add(flag, value, idle);
                }
            }
        }
        if faults.is_empty() { Ok(allow) } else { Err(faults) }
    }

    /// True if functions may be run, at least some.
    #[must_use]
    pub const fn may_invoke(&self) -> bool {
        self.invoke
    }

    /// True if functions may be changed, at least some.
    #[must_use]
    pub const fn may_write(&self) -> bool {
        self.write
    }

    /// True if the answer depends on a function's tags. Where it does not, they need not be read.
    #[must_use]
    pub const fn needs_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Whether `function`, which has `tags`, may be run by a server that is `identity`.
    ///
    /// # Errors
    /// [`Refusal`] with the rule that forbids it.
    pub fn invoke(&self, function: &FunctionName, tags: &Tags, identity: &Identity) -> Result<(), Refusal> {
        self.permit(Deed::Invoke, function, tags, identity)
    }

    /// Whether `function`, which has `tags`, may be changed by a server that is `identity`.
    ///
    /// # Errors
    /// [`Refusal`] with the rule that forbids it.
    pub fn write(&self, function: &FunctionName, tags: &Tags, identity: &Identity) -> Result<(), Refusal> {
        self.permit(Deed::Write, function, tags, identity)
    }

    /// In words, for the instructions that a model reads.
    pub(crate) fn describe(&self) -> String {
        let permitted = match (self.invoke, self.write) {
            (false, false) => {
                return "Permitted here: reading only. Runs and changes are off; update-function-runtime plans with \
                        dryRun: true. The operator can switch them on (--allow invoke, --allow write)."
                    .to_owned();
            }
            (true, false) => "reading and running functions; changes are off (--allow write)",
            (false, true) => "reading and changing functions; runs are off (--allow invoke)",
            (true, true) => "reading, running and changing functions",
        };
        let mut limits = Vec::new();
        if !self.names.patterns.is_empty() {
            limits.push(format!("their name fits {}", self.names.patterns.join(" or ")));
        }
        if self.needs_tags() {
            limits.push(format!("they have the tag {}", rule::list(&self.tags)));
        }
        let limits = match limits.is_empty() {
            true => String::new(),
            false => format!(", if {}", limits.join(" and ")),
        };
        format!("Permitted here: {permitted}{limits}.")
    }

    fn permit(
        &self,
        deed: Deed,
        function: &FunctionName,
        tags: &Tags,
        identity: &Identity,
    ) -> Result<(), Refusal> {
        let permitted = match deed {
            Deed::Invoke => self.invoke,
            Deed::Write => self.write,
        };
        if !permitted {
            return Err(Refusal::Off(deed));
        }
        let elsewhere = |given: Option<&str>, own: &str| given.is_some_and(|given| given != own);
        if elsewhere(function.account(), &identity.account) || elsewhere(function.region(), &identity.region)
        {
            return Err(Refusal::Elsewhere {
                name: function.to_string(),
                account: identity.account.clone(),
                region: identity.region.clone(),
            });
        }
        let name = function.name().to_owned();
        if !self.names.fit(&name) {
            let patterns = self.names.patterns.join(", ");
            return Err(Refusal::Name { deed, name, patterns });
        }
        if self.needs_tags() && !self.tags.iter().any(|rule| rule.fits(tags)) {
            let rules = rule::list(&self.tags);
            return Err(Refusal::Tag { deed, name, rules });
        }
        Ok(())
    }
}

impl Names {
    fn read(patterns: &[String]) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let remedy = match GlobBuilder::new(pattern).build() {
                // it would fit nothing, and its author believes that it does
                _ if pattern.is_empty() || pattern.contains([':', '/', ' ']) => {
                    "write a pattern of names such as shop-*, not an ARN".to_owned()
                }
                Ok(glob) => {
                    set.add(glob);
                    continue;
                }
                Err(error) => match error.kind() {
                    ErrorKind::UnclosedAlternates | ErrorKind::UnopenedAlternates => {
                        "a comma ends a pattern; in place of shop-{a,b} write shop-a,shop-b".to_owned()
                    }
                    kind => format!("{kind}; write a pattern of names such as shop-*"),
                },
            };
            faults.add(FUNCTION, pattern, remedy);
        }
        let set = set.build().map_err(|error| {
            Faults::one(
                FUNCTION,
                patterns.join(","),
                format!("{}; give fewer", error.kind()),
            )
        });
        match faults.take(set) {
            Some(set) if faults.is_empty() => Ok(Self {
                patterns: patterns.to_vec(),
                set,
            }),
            _ => Err(faults),
        }
    }

    fn fit(&self, name: &str) -> bool {
        self.patterns.is_empty() || self.set.is_match(name)
    }
}

#[cfg(test)]
mod tests;
