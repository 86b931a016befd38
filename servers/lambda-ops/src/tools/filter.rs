//! What a listed function must be: the filters that the tools over many functions share.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    account::{Listed, Tags},
    owner::{Owner, Tool},
    runtimes::{self, Table},
};

/// Why a filter is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("tag is {0:?}, but must be key or key=value, such as team or team=shop")]
    Tag(String),
    #[error("deprecatedBefore is {0:?}, but must be a day, such as 2027-01-31")]
    Day(String),
    #[error("runtimeFamily is {0:?}, but must be one of {names}", names = Family::NAMES.join(", "))]
    Family(String),
}

/// Reads a day that a caller wrote.
pub(super) fn day(text: &str) -> Result<Date, Fault> {
    text.parse()
        .map_err(|_not_a_day| Fault::Day(text.chars().take(80).collect()))
}

/// The day to give as `deprecatedBefore` for what is deprecated by the end of `day`.
pub(super) fn after(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

/// A language, as AWS's runtimes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    Nodejs,
    Python,
    Java,
    Dotnet,
    Ruby,
    Go,
    Provided,
}

impl Family {
    /// All of them, as callers write them.
    pub(crate) const NAMES: [&str; 7] = ["nodejs", "python", "java", "dotnet", "ruby", "go", "provided"];

    /// Refuses what a tool would not take either.
    pub(crate) fn check(text: &str) -> Result<(), Fault> {
        match Self::NAMES.contains(&text) {
            true => Ok(()),
            false => Err(Fault::Family(text.chars().take(80).collect())),
        }
    }

    pub(super) fn has(self, runtime: &str) -> bool {
        let languages: &[&str] = match self {
            Self::Nodejs => &["nodejs"],
            Self::Python => &["python"],
            Self::Java => &["java"],
            Self::Dotnet => &["dotnet", "dotnetcore"],
            Self::Ruby => &["ruby"],
            Self::Go => &["go"],
            Self::Provided => &["provided"],
        };
        languages.contains(&runtimes::language(runtime))
    }
}

/// A tag that a function must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Tag {
    key: String,
    /// None: any.
    value: Option<String>,
}

impl Tag {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err(Fault::Tag(text.chars().take(80).collect()));
        }
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }

    pub(super) fn is_on(&self, tags: &Tags) -> bool {
        let held = tags.get(&self.key);
        held.is_some_and(|held| self.value.as_ref().is_none_or(|wanted| wanted == held))
    }
}

/// What a listed function must be. Markers are bound to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Filter {
    pub(super) runtime: Option<String>,
    pub(super) family: Option<Family>,
    pub(super) prefix: Option<String>,
    pub(super) tag: Option<Tag>,
    pub(super) deprecated_before: Option<Date>,
    pub(super) owned: Option<bool>,
}

impl Filter {
    /// True if it lets everything through.
    pub(super) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// True if it can be answered only by who knows the tags.
    pub(super) fn needs_tags(&self) -> bool {
        self.tag.is_some() || self.owned.is_some()
    }

    pub(super) fn lets_through(&self, function: &Listed, tags: &Tags, table: &Table) -> bool {
        let runtime = function.runtime.as_deref();
        self.runtime
            .as_deref()
            .is_none_or(|wanted| runtime == Some(wanted))
            && self
                .family
                .is_none_or(|wanted| runtime.is_some_and(|runtime| wanted.has(runtime)))
            && self
                .prefix
                .as_deref()
                .is_none_or(|prefix| function.name.starts_with(prefix))
            && self.tag.as_ref().is_none_or(|tag| tag.is_on(tags))
            && self
                .owned
                .is_none_or(|wanted| Owner::of(tags).is_some() == wanted)
            && self
                .deprecated_before
                .is_none_or(|day| deprecation(table, runtime).is_some_and(|end| end < day))
    }
}

/// When the runtime is deprecated, if it has one and its end is scheduled.
pub(super) fn deprecation(table: &Table, runtime: Option<&str>) -> Option<Date> {
    table.find(runtime?)?.deprecation_date
}

/// The owner in few words: the tool, and the stack if there is one.
pub(super) fn brief(owner: &Owner) -> String {
    let tool = match owner.tool {
        Tool::CloudFormation => "CloudFormation",
        Tool::Sam => "SAM",
        Tool::Cdk => "CDK",
        Tool::ServerlessFramework => "Serverless Framework",
        Tool::Terraform => "Terraform",
        Tool::Pulumi => "Pulumi",
    };
    match &owner.stack {
        Some(stack) => format!("{tool} {stack}"),
        None => tool.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_name() {
        let schema = serde_json::to_value(schemars::schema_for!(Family)).expect("JSON");
        assert_eq!(schema["enum"], serde_json::json!(Family::NAMES));
        let refused = Family::check("perl")
            .expect_err("no runtime is of it")
            .to_string();
        assert!(
            refused.contains("\"perl\"") && refused.ends_with("go, provided"),
            "{refused}"
        );
    }

    #[test]
    fn a_tag_is_wanted_with_or_without_its_value() {
        let tags: Tags = [("team".to_owned(), "shop".to_owned())].into();
        for (wanted, is_on) in [
            ("team", true),
            ("team=shop", true),
            ("team=", false),
            ("team=payments", false),
            ("stage", false),
        ] {
            assert_eq!(Tag::parse(wanted).expect("a tag").is_on(&tags), is_on, "{wanted}");
        }
        assert!(Tag::parse("=shop").is_err() && Tag::parse("").is_err());
        let nested = Tag::parse("expr=a=b").expect("the value goes on to the end");
        assert_eq!(nested.value.as_deref(), Some("a=b"));
    }
}
