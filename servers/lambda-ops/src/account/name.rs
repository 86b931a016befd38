//! The name of a function as callers write it.

use std::fmt;

/// A function's name, or its ARN, optionally with a version or alias: what the Lambda API takes as `FunctionName`
/// (API reference, `GetFunctionConfiguration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName(String);

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
        if (1..=170).contains(&text.len()) && text.chars().all(lawful) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName(text.chars().take(80).collect()))
        }
    }

    /// True if it names a version or an alias, `$LATEST` included.
    #[must_use]
    pub fn is_qualified(&self) -> bool {
        let name = self
            .0
            .rsplit_once(":function:")
            .map_or(&*self.0, |(_, name)| name);
        name.contains(':')
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_or_alias_is_told_from_the_colons_of_an_arn() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:orders-api";
        let is_qualified = |text: &str| FunctionName::parse(text).expect("a name").is_qualified();
        for plain in ["orders-api", "123456789012:function:orders-api", arn] {
            assert!(!is_qualified(plain), "{plain}");
            assert!(is_qualified(&format!("{plain}:7")), "{plain}:7");
            assert!(is_qualified(&format!("{plain}:$LATEST")), "{plain}:$LATEST");
        }
    }
}
