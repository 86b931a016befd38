//! Where a server is: at a URL, behind a command whose stdin and stdout speak MCP, or in this process.

use std::fmt;

use reqwest::Url;

use super::{error::Error, local::Local};

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A Streamable HTTP endpoint.
    Url(Url),
    /// A program to start, and what to start it with.
    Command {
        /// The program, looked up on `PATH`.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// A server in this process.
    Local(Local),
}

impl Target {
    /// Reads a target as a person types it: `http://…` and `https://…` are URLs, everything else is a command line.
    ///
    /// # Errors
    /// [`Error::Url`] or [`Error::CommandLine`] when the text is neither.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Url::parse(text).map(Self::Url).map_err(|source| Error::Url {
                url: text.to_owned(),
                source,
            });
        }
        Self::command(text)
    }

    /// Reads a command line, split into words as a POSIX shell does.
    ///
    /// # Errors
    /// [`Error::CommandLine`] when a quote is not closed or nothing is there.
    pub fn command(text: &str) -> Result<Self, Error> {
        let mut words = shlex::split(text).unwrap_or_default().into_iter();
        let program = words.next().ok_or_else(|| Error::CommandLine {
            text: text.to_owned(),
        })?;
        Ok(Self::Command {
            program,
            arguments: words.collect(),
        })
    }

    /// The endpoints to try, in order: a URL without a path means the usual `/mcp`, then the URL itself.
    pub(super) fn endpoints(url: &Url) -> Vec<Url> {
        if url.path() != "/" {
            return vec![url.clone()];
        }
        let mut usual = url.clone();
        usual.set_path("/mcp");
        vec![usual, url.clone()]
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                // a name and a password in it are for the server alone
                let mut url = url.clone();
                if url
                    .set_username("")
                    .and_then(|()| url.set_password(None))
                    .is_err()
                {
                    return f.write_str("a URL without a host");
                }
                write!(f, "{url}")
            }
            Self::Local(local) => write!(f, "{local}"),
            Self::Command { program, arguments } => {
                write!(f, "{program}")?;
                arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_as_a_shell_does() {
        let target = Target::parse("uvx 'my server' --root \"a b\"").unwrap();
        assert_eq!(
            target,
            Target::Command {
                program: "uvx".into(),
                arguments: vec!["my server".into(), "--root".into(), "a b".into()]
            }
        );
    }

    #[test]
    fn an_open_quote_and_nothing_at_all_are_faults() {
        assert!(matches!(Target::parse("run 'it"), Err(Error::CommandLine { .. })));
        assert!(matches!(Target::parse("   "), Err(Error::CommandLine { .. })));
        assert!(matches!(Target::parse("http://:80"), Err(Error::Url { .. })));
    }

    #[test]
    fn a_url_without_a_path_means_mcp_first() {
        let Target::Url(url) = Target::parse("http://127.0.0.1:8000").unwrap() else {
            panic!("not a URL")
        };
        let paths: Vec<_> = Target::endpoints(&url)
            .iter()
            .map(|u| u.path().to_owned())
            .collect();
        assert_eq!(paths, ["/mcp", "/"]);
        let Target::Url(url) = Target::parse("https://x.example/api/mcp").unwrap() else {
            panic!("not a URL")
        };
        assert_eq!(Target::endpoints(&url), [url]);
    }
}
