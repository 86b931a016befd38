//! The name of a function as callers write it, taken apart as AWS takes it apart.

use std::fmt;

/// A function's name, or its ARN or a part of it, optionally with a version or alias: what the Lambda API takes as
/// `FunctionName` (API reference, `GetFunctionConfiguration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    text: String,
    region: Option<String>,
    account: Option<String>,
    name: String,
    qualifier: Option<String>,
}

/// The text cannot name a function.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not the name or ARN of a function (1 to 170 letters, digits, `-`, `_`, `:`, `.`, `$`); \
     list-functions has the names"
)]
pub struct NotAName(String);

impl FunctionName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NotAName`] if AWS could not take it.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | '$');
        let read = (1..=170).contains(&text.len()) && text.chars().all(lawful);
        read.then(|| Self::take_apart(text))
            .flatten()
            .ok_or_else(|| NotAName(text.chars().take(80).collect()))
    }

    /// By the API's pattern: `arn:…:lambda:`, the region, the account and `function:` may each be left out.
    fn take_apart(text: &str) -> Option<Self> {
        let mut parts: Vec<&str> = text.split(':').collect();
        if let ["arn", partition, "lambda", ..] = *parts {
            if !partition.starts_with("aws") {
                return None;
            }
            parts.drain(..3);
        }
        let mut rest = parts.into_iter().peekable();
        let mut leading = |fits: fn(&str) -> bool| {
            // the last part is the function, whatever it looks like
            let more = rest.len() > 1;
            rest.next_if(|part| more && fits(part)).map(str::to_owned)
        };
        let region = leading(is_region);
        let account = leading(is_account);
        leading(|part| part == "function");
        let name = rest.next().filter(|name| !name.is_empty())?.to_owned();
        let qualifier = rest.next().map(str::to_owned);
        let whole = rest.next().is_none() && qualifier.as_deref() != Some("") && !name.contains('$');
        whole.then(|| Self {
            text: text.to_owned(),
            region,
            account,
            name,
            qualifier,
        })
    }

    /// True if it names a version or an alias, `$LATEST` included.
    #[must_use]
    pub const fn is_qualified(&self) -> bool {
        self.qualifier.is_some()
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The function's name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same function without a version or alias, written as it was given otherwise.
    #[must_use]
    pub fn whole(&self) -> Self {
        let text = match &self.qualifier {
            Some(qualifier) => self
                .text
                .strip_suffix(qualifier.as_str())
                .and_then(|text| text.strip_suffix(':')),
            None => None,
        };
        Self {
            text: text.unwrap_or(&self.text).to_owned(),
            qualifier: None,
            ..self.clone()
        }
    }

    /// The same function at a version or alias given apart, if there is one.
    #[must_use]
    pub fn at(&self, qualifier: Option<&str>) -> Self {
        match qualifier {
            Some(qualifier) if !self.is_qualified() => Self {
                text: format!("{}:{qualifier}", self.text),
                qualifier: Some(qualifier.to_owned()),
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    /// The version or alias, if it names one.
    #[must_use]
    pub fn qualifier(&self) -> Option<&str> {
        self.qualifier.as_deref()
    }

    /// The region, if it names one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The account's number, if it names one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

/// `eu-central-1`, `us-gov-west-1`, `us-isob-east-1`.
fn is_region(part: &str) -> bool {
    let words: Vec<&str> = part.split('-').collect();
    let lower = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    match words.as_slice() {
        [land, between @ .., number] => {
            land.len() == 2
                && lower(land)
                && (1..=2).contains(&between.len())
                && between.iter().all(lower)
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

fn is_account(part: &str) -> bool {
    part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-central-1:123456789012:function:orders-api";

    #[test]
    fn the_whole_function_is_written_as_it_was_given() {
        for plain in ["orders-api", "123456789012:function:orders-api", ARN] {
            let whole = FunctionName::parse(plain).expect("a name");
            for qualifier in ["7", "$LATEST"] {
                let one = FunctionName::parse(&format!("{plain}:{qualifier}")).expect("a name");
                assert_eq!(one.whole(), whole);
                assert_eq!(whole.at(Some(qualifier)), one);
                assert_eq!(one.at(Some("other")), one, "it names one already");
            }
            assert_eq!(whole.whole(), whole);
        }
    }

    #[test]
    fn a_version_or_alias_is_told_from_the_colons_of_an_arn() {
        let is_qualified = |text: &str| FunctionName::parse(text).expect("a name").is_qualified();
        for plain in ["orders-api", "123456789012:function:orders-api", ARN] {
            assert!(!is_qualified(plain), "{plain}");
            assert!(is_qualified(&format!("{plain}:7")), "{plain}:7");
            assert!(is_qualified(&format!("{plain}:$LATEST")), "{plain}:$LATEST");
        }
    }

    #[test]
    fn every_form_that_aws_takes_comes_down_to_the_name() {
        let (region, account) = (Some("eu-central-1"), Some("123456789012"));
        for (text, wanted) in [
            ("orders-api", (None, None)),
            ("function:orders-api", (None, None)),
            ("123456789012:orders-api", (None, account)),
            ("123456789012:function:orders-api", (None, account)),
            ("eu-central-1:123456789012:function:orders-api", (region, account)),
            (ARN, (region, account)),
        ] {
            let name = FunctionName::parse(text).expect(text);
            assert_eq!((name.region(), name.account()), wanted, "{text}");
            assert_eq!((name.name(), name.qualifier()), ("orders-api", None), "{text}");
            let live = FunctionName::parse(&format!("{text}:live")).expect(text);
            assert_eq!(
                (live.name(), live.qualifier()),
                ("orders-api", Some("live")),
                "{text}"
            );
        }
        let digits = FunctionName::parse("123456789012").expect("a name of digits");
        assert_eq!((digits.name(), digits.account()), ("123456789012", None));
        let gov = FunctionName::parse("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f")
            .expect("an ARN");
        assert_eq!(gov.region(), Some("us-gov-west-1"));
    }

    #[test]
    fn what_aws_would_refuse_is_refused() {
        for wrong in [
            "",
            "a b",
            "orders-api:",
            ":orders-api",
            "orders-api:1:2",
            "$LATEST",
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:eu-central-1:123456789012:layer:shop:3",
            "arn:evil:lambda:eu-central-1:123456789012:function:f",
        ] {
            assert!(FunctionName::parse(wrong).is_err(), "{wrong}");
        }
    }
}
