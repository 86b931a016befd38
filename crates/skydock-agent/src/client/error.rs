//! Why a server could not be reached, or would not answer.

use std::{error::Error as StdError, io, time::Duration};

use rmcp::{
    ServiceError,
    model::{ErrorData, ProtocolVersion},
    service::ClientInitializeError,
    transport::{auth::AuthError, streamable_http_client::StreamableHttpError, worker::WorkerQuitReason},
};

use super::era::Era;

/// An error of another library, as the cause of one of ours.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a server could not be reached, or would not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target looks like a URL but is none.
    #[error("`{url}` is not a URL such as http://127.0.0.1:8000/mcp")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        #[source]
        source: <reqwest::Url as std::str::FromStr>::Err,
    },
    /// The target is an empty command line, or a quote in it is not closed.
    #[error("`{text}` is not a command line: give a program and its arguments, and close every quote")]
    CommandLine {
        /// What was given.
        text: String,
    },
    /// The program could not be started.
    #[error("cannot start `{program}`{}", start_hint(program, source))]
    Start {
        /// The program.
        program: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The HTTP client cannot be set up on this machine, for want of certificates for example.
    #[error("cannot set up HTTP")]
    Http(#[source] Cause),
    /// Nothing listens there.
    #[error("nothing answers at {target}: {reason}; is the server running, and is the address right?")]
    Unreachable {
        /// Where.
        target: String,
        /// What the network says.
        reason: String,
    },
    /// Something answered, but not as an MCP server does.
    #[error("{target} does not answer as an MCP server: {reason}{}", tail(stderr))]
    NotMcp {
        /// Where.
        target: String,
        /// What came instead.
        reason: String,
        /// The last lines a started program wrote to stderr.
        stderr: String,
    },
    /// The handshake was not answered in time.
    #[error("{target} did not answer the handshake within {} s; --timeout SECONDS gives it longer{}", patience.as_secs(), tail(stderr))]
    Silent {
        /// Where.
        target: String,
        /// How long was waited.
        patience: Duration,
        /// The last lines a started program wrote to stderr.
        stderr: String,
    },
    /// The server answered the handshake with an error.
    #[error("{target} refused the handshake: {} ({}){hint}", error.message, error.code.0)]
    Refused {
        /// Where.
        target: String,
        /// The server's error.
        error: ErrorData,
        /// What else to try, with a leading separator.
        hint: &'static str,
    },
    /// The two have no protocol revision in common.
    #[error("{target} speaks {}, not what was asked for; try --era auto", join(offered))]
    Version {
        /// Where.
        target: String,
        /// The revisions that the server offers.
        offered: Vec<ProtocolVersion>,
    },
    /// The server wants a token, and no login is possible or the one given is not accepted.
    #[error("{target} wants authorization ({challenge}); {remedy}")]
    Unauthorized {
        /// Where.
        target: String,
        /// The `WWW-Authenticate` header.
        challenge: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The OAuth login failed.
    #[error("cannot log in to {target}")]
    Login {
        /// Where.
        target: String,
        /// At which step.
        #[source]
        source: Box<AuthError>,
    },
    /// The person, or the authorization server, said no.
    #[error("the authorization server refused: {code}{description}")]
    LoginRefused {
        /// The OAuth error code.
        code: String,
        /// Its description, with a leading separator.
        description: String,
    },
    /// Nobody came back from the browser.
    #[error("nobody completed the login within {} s", patience.as_secs())]
    LoginAbandoned {
        /// How long was waited.
        patience: Duration,
    },
    /// The way to the authorization page failed.
    #[error("cannot follow the login to its end")]
    Browser(#[source] Cause),
    /// The server answered a request with an error.
    #[error("the server answered {}: {}{}", error.code.0, error.message, detail(error))]
    Answer {
        /// The server's error.
        error: ErrorData,
    },
    /// The server neither answered a request in time nor told any progress.
    #[error(
        "the server neither answered nor told any progress for {} s; --timeout SECONDS gives it longer",
        patience.as_secs()
    )]
    Overdue {
        /// How long was waited since its last sign of life.
        patience: Duration,
    },
    /// The connection broke, or the answer was none.
    #[error("the request was not answered")]
    Request(#[source] Cause),
}

impl Error {
    /// Whether the fault lies in what was asked for, rather than in what happened.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Url { .. }
                | Self::CommandLine { .. }
                | Self::Start { .. }
                | Self::Http(_)
                | Self::Version { .. }
        )
    }

    /// Names what a failed handshake means.
    pub(super) fn from_handshake(
        target: &str,
        stderr: String,
        era: &Era,
        source: ClientInitializeError,
    ) -> Self {
        let target = target.to_owned();
        match deepest(source) {
            ClientInitializeError::JsonRpcError(error) => {
                let hint = if *era == Era::Auto { "" } else { "; try --era auto" };
                Self::Refused { target, error, hint }
            }
            ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } => Self::Version {
                target,
                offered: server_supported,
            },
            ClientInitializeError::ConnectionClosed(_) => {
                let reason = "it closed the connection during the handshake".to_owned();
                Self::NotMcp {
                    target,
                    reason,
                    stderr,
                }
            }
            error => {
                let cause = handshake_cause(error);
                match chain(cause.as_ref()).last() {
                    Some(reason) if is_connect(cause.as_ref()) => Self::Unreachable {
                        target,
                        reason: reason.to_string(),
                    },
                    _ => Self::NotMcp {
                        target,
                        reason: tell(cause.as_ref()),
                        stderr,
                    },
                }
            }
        }
    }
}

impl From<ServiceError> for Error {
    fn from(source: ServiceError) -> Self {
        match source {
            ServiceError::McpError(error) => Self::Answer { error },
            ServiceError::TransportSend(broken) => Self::Request(broken.error),
            source => Self::Request(Box::new(source)),
        }
    }
}

/// What the transport says; rmcp wraps it in the names of its types.
fn handshake_cause(error: ClientInitializeError) -> Cause {
    match error {
        ClientInitializeError::TransportError { error, .. } => error.error,
        error => Box::new(error),
    }
}

/// When both eras failed, the older one's error says what the server is.
fn deepest(error: ClientInitializeError) -> ClientInitializeError {
    match error {
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => deepest(*fallback),
        error => error,
    }
}

fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| {
        cause
            .downcast_ref::<reqwest::Error>()
            .is_some_and(reqwest::Error::is_connect)
    })
}

/// An error and its causes, from the outside in.
pub(super) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause| next(*cause))
}

/// The cause of an error, also where rmcp's HTTP transport does not link it.
fn next<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    type Http = StreamableHttpError<reqwest::Error>;
    if let Some(WorkerQuitReason::Fatal { error, .. }) = error.downcast_ref::<WorkerQuitReason<Http>>() {
        return Some(error);
    }
    if let Some(StreamableHttpError::Client(error)) = error.downcast_ref::<Http>() {
        return Some(error);
    }
    error.source()
}

/// An error and its causes in one sentence; one that the text already tells (as rmcp's errors do) is not told twice.
#[must_use]
pub fn tell(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error) {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn start_hint(program: &str, source: &io::Error) -> String {
    if source.kind() != io::ErrorKind::NotFound {
        return String::new();
    }
    let address = program
        .split_once(':')
        .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    if address {
        return format!("; if it is an address, write http://{program}");
    }
    "; is it installed and on PATH?".to_owned()
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() {
        return String::new();
    }
    format!("; its last words on stderr were:\n{stderr}")
}

/// What the server adds to its error.
fn detail(error: &ErrorData) -> String {
    error
        .data
        .as_ref()
        .filter(|data| !data.is_null())
        .map(|data| format!(" ({data})"))
        .unwrap_or_default()
}

fn join(versions: &[ProtocolVersion]) -> String {
    versions
        .iter()
        .map(ProtocolVersion::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
