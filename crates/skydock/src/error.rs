//! Why a program did not start, or did not end well.

use std::{fmt, net::SocketAddr};

/// Something in the environment or on the command line that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    name: String,
    value: String,
    wanted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, wanted } = self;
        if value.is_empty() {
            write!(f, "{name}: {wanted}")
        } else {
            write!(f, "{name} is {value:?}: {wanted}")
        }
    }
}

/// Every fault that was found; they are all reported at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// One fault: the setting's `name` as the user wrote it (`--listen (SKYDOCK_LISTEN)`), the `value` it has
    /// (empty when there is none), and what was `wanted` instead.
    #[must_use]
    pub fn one(name: impl Into<String>, value: impl Into<String>, wanted: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.add(name, value, wanted);
        faults
    }

    /// Adds a fault; the arguments are those of [`Faults::one`].
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>, wanted: impl Into<String>) {
        self.0.push(Fault {
            name: name.into(),
            value: value.into(),
            wanted: wanted.into(),
        });
    }

    /// Takes over all faults of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The value when there is one; its faults are kept otherwise.
    pub fn take<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(faults) => {
                self.extend(faults);
                None
            }
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Why a program did not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Flags or variables are wrong; nothing was started.
    #[error("the flags or the environment are wrong:\n{0}")]
    Faults(#[from] Faults),
    /// The address could not be listened on.
    #[error("cannot listen on {address}; choose another with --listen")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The server itself could not be built.
    #[error("the server could not be built")]
    Handler(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client on stdio did not open the connection as MCP asks.
    #[error("the client on stdin did not open an MCP connection")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Lambda's runtime API could not be used any more.
    #[error("the runtime API of Lambda cannot be used")]
    RuntimeApi(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system refused what the runtime needs.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The server could not be built, because of `source`.
    pub fn handler(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Handler(source.into())
    }

    /// The process's exit code: 2 when the environment or the usage is wrong, 1 otherwise.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Faults(_) | Self::Handler(_) => 2,
            Self::Listen { .. } | Self::Handshake(_) | Self::RuntimeApi(_) | Self::System { .. } => 1,
        }
    }

    /// The error and all its causes, one line.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        // `Faults` is transparent: its text stands in the message already
        if matches!(self, Self::Faults(_)) {
            cause = None;
        }
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_thing_its_value_and_the_remedy() {
        let mut faults = Faults::one(
            "--listen (SKYDOCK_LISTEN)",
            "8000",
            "write an address such as 127.0.0.1:8000",
        );
        faults.add(
            "SKYDOCK_LISTN",
            "",
            "no such variable; did you mean SKYDOCK_LISTEN?",
        );
        assert_eq!(
            Error::from(faults).report(),
            "the flags or the environment are wrong:\n  \
             --listen (SKYDOCK_LISTEN) is \"8000\": write an address such as 127.0.0.1:8000\n  \
             SKYDOCK_LISTN: no such variable; did you mean SKYDOCK_LISTEN?"
        );
    }

    #[test]
    fn causes_are_printed_once_each() {
        let error = Error::Listen {
            address: ([127, 0, 0, 1], 80).into(),
            source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
        };
        assert_eq!(
            error.report(),
            "cannot listen on 127.0.0.1:80; choose another with --listen: permission denied"
        );
    }
}
