//! Flags and environment, read once, every fault named at once.

mod keys;
mod lambda;
mod state;

use std::{net::SocketAddr, time::Duration};

use clap::Args;

pub use self::keys::Key;
pub(crate) use self::lambda::no_sessions;
pub use self::lambda::{Lambda, LambdaResponse};
pub use self::state::state_file;
use crate::{
    auth::Auth,
    error::Faults,
    limits::Limits,
    sessions::store::{Place, Wrong},
    telemetry,
};

/// How long a server that the world can reach listens on when it shuts down.
const LINGER: Duration = Duration::from_secs(3);

/// The flags that every server program takes. A program adds its own beside them with `#[command(flatten)]`.
///
/// A flag beats its variable, which beats the default. With no flag at all the server speaks stdio.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Hosting")]
// a program's own flags are often called `Flags` too, and clap would take the two for one group
#[group(skip)]
pub struct Flags {
    /// Listen for HTTP on this address; without it the server speaks stdio
    #[arg(long, env = "SKYDOCK_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// How HTTP is spoken: stateful (sessions, SSE), stateless (SSE), json (stateless, JSON)
    #[arg(long, env = "SKYDOCK_MODE", value_name = "MODE")]
    pub mode: Option<String>,
    /// Where sessions are kept: memory, dynamodb://TABLE, valkey://HOST:PORT or valkeys://HOST:PORT (TLS)
    #[arg(long, env = "SKYDOCK_SESSIONS", value_name = "WHERE")]
    pub sessions: Option<String>,
    /// A public host name accepted in `Host` (repeatable); required when not listening on loopback
    #[arg(
        long = "host",
        env = "SKYDOCK_HOSTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub hosts: Vec<String>,
    /// How Lambda is answered: buffered (in one piece), streamed (as the function URL or API is set up to)
    #[arg(long, env = "SKYDOCK_LAMBDA_RESPONSE", value_name = "HOW")]
    pub lambda_response: Option<String>,
    /// Where Lambda's runtime API is; Lambda sets it, and with it the program runs in Lambda unless it listens
    #[arg(long, env = "AWS_LAMBDA_RUNTIME_API", value_name = "ADDR", hide = true)]
    pub lambda_runtime_api: Option<String>,
    /// The number of invocations that run at once in one environment; Lambda sets it on managed instances
    #[arg(long, env = "AWS_LAMBDA_MAX_CONCURRENCY", value_name = "NUMBER", hide = true)]
    pub lambda_max_concurrency: Option<String>,
    /// A browser origin that may call (repeatable), such as `https://app.example.com`
    #[arg(
        long = "origin",
        env = "SKYDOCK_ORIGINS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub origins: Vec<String>,
    /// The issuer whose tokens are trusted, as `iss` has it; with it, a request to MCP without a good token gets 401
    #[arg(long, env = "SKYDOCK_AUTH_ISSUER", value_name = "URL")]
    pub auth_issuer: Option<String>,
    /// A URL of this server that tokens have to be for, as `aud` has it (repeatable)
    #[arg(
        long = "auth-audience",
        env = "SKYDOCK_AUTH_AUDIENCE",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub auth_audiences: Vec<String>,
    /// A file with the issuer's public keys, a JWK set; it is read again when keys change
    #[arg(long, env = "SKYDOCK_AUTH_KEYS", value_name = "FILE")]
    pub auth_keys: Option<String>,
    /// Seconds after which a request that is still running gets a timeout error
    #[arg(long, env = "SKYDOCK_TIMEOUT", value_name = "SECONDS")]
    pub timeout: Option<String>,
    /// Seconds that a shutdown waits for running requests
    #[arg(long, env = "SKYDOCK_GRACE", value_name = "SECONDS")]
    pub grace: Option<String>,
    /// The largest request body in bytes
    #[arg(long, env = "SKYDOCK_MAX_BODY", value_name = "BYTES")]
    pub max_body: Option<String>,
    /// The number of sessions kept in memory; with a store, the number that are awake at once in one instance
    #[arg(long, env = "SKYDOCK_MAX_SESSIONS", value_name = "NUMBER")]
    pub max_sessions: Option<String>,
    /// Seconds that an unused session is kept
    #[arg(long, env = "SKYDOCK_SESSION_TTL", value_name = "SECONDS")]
    pub session_ttl: Option<String>,
    /// At least 32 bytes that sign the state of a question, the same on every instance: a file, env:VARIABLE, or the ARN of
    /// a secret in AWS Secrets Manager (repeatable: the first one signs, the others are known as well, while keys change)
    #[arg(
        long = "state-key",
        env = "SKYDOCK_STATE_KEY",
        value_name = "KEY",
        value_delimiter = ','
    )]
    pub state_keys: Vec<String>,
    /// What is logged to stderr, as a tracing filter
    #[arg(long, env = "SKYDOCK_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Flags {
    /// The keys that `--state-key` names, for a server that signs something itself: with the first one. None without
    /// the flag.
    ///
    /// # Errors
    /// When a key cannot be had or is too short; [`Config::read`] names that fault as well.
    pub fn keys(&self) -> Result<Vec<Key>, Faults> {
        let mut faults = Faults::default();
        let mut keys = Vec::new();
        for source in &self.state_keys {
            keys.extend(faults.take(keys::read(source)).into_iter().flatten());
        }
        if faults.is_empty() { Ok(keys) } else { Err(faults) }
    }
}

/// How the HTTP side speaks MCP. Clients of 2026-07-28 have no sessions and are served in every mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Sessions for clients up to 2025-11-25; answers as server-sent events. Several instances need a store of sessions.
    #[default]
    Stateful,
    /// No sessions; answers as server-sent events, so that progress reaches the client.
    Stateless,
    /// No sessions; answers as plain JSON unless something has to be sent before the answer.
    Json,
}

impl Mode {
    /// The word of the `--mode` flag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stateful => "stateful",
            Self::Stateless => "stateless",
            Self::Json => "json",
        }
    }
}

/// What a host is told. `Default` never looks outside; [`Config::read`] does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The address of the HTTP side; `None` means stdio.
    pub listen: Option<SocketAddr>,
    /// How HTTP is spoken.
    pub mode: Mode,
    /// How Lambda runs the program, when it does; an address to listen on goes first.
    pub lambda: Option<Lambda>,
    /// Where sessions are kept, and what instances share.
    pub(crate) sessions: Place,
    /// Names accepted in `Host`, beside loopback.
    pub hosts: Vec<String>,
    /// Browser origins that may call, as browsers write them (no slash at the end), beside pages of the server itself,
    /// and of this machine when the server goes by a loopback name.
    pub origins: Vec<String>,
    /// Whose tokens are asked for; `None` where nobody is asked, or somebody in front of this server asks.
    pub auth: Option<Auth>,
    /// The bounds.
    pub limits: Limits,
    /// What signs the state of a question between two requests: the first one signs, all are known. One of this process
    /// alone when there is none.
    pub state_keys: Vec<Key>,
    /// The log's filter; only [`serve`](crate::serve) and [`serve_with`](crate::serve_with) start a log.
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            mode: Mode::default(),
            lambda: None,
            sessions: Place::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            auth: None,
            limits: Limits::default(),
            state_keys: Vec::new(),
            log: telemetry::DEFAULT_FILTER.to_owned(),
        }
    }
}

impl Config {
    /// The same with sessions, and what instances share, at another place: what `--sessions` takes.
    ///
    /// # Errors
    /// When that is no place for sessions, or none that this build knows.
    pub fn with_sessions(mut self, place: &str) -> Result<Self, Faults> {
        self.sessions = read_sessions(Some(place))?;
        Ok(self)
    }

    /// Reads what the user wrote. A value that is wrong is never replaced by a default.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn read(flags: &Flags) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut config = Self::default();
        if let Some(listen) = faults.take(read_listen(flags)) {
            config.listen = listen;
        }
        config.lambda = faults.take(lambda::read(flags)).flatten();
        let in_lambda = flags.listen.is_none() && lambda::api(flags).is_some();
        config.sessions = faults
            .take(read_sessions(flags.sessions.as_deref()))
            .unwrap_or_default();
        config.mode = faults.take(read_mode(flags, in_lambda)).unwrap_or_default();
        if config.mode == Mode::Stateful && in_lambda && config.sessions.is_memory() {
            faults.extend(no_sessions());
        }
        config.hosts = faults.take(read_hosts(flags, config.listen)).unwrap_or_default();
        config.origins = faults.take(read_origins(flags)).unwrap_or_default();
        let auth = Auth::read(
            flags.auth_issuer.as_deref(),
            &flags.auth_audiences,
            flags.auth_keys.as_deref(),
        );
        config.auth = faults.take(auth).flatten();
        read_limits(flags, &mut config.limits, &mut faults);
        if config.listen.is_some_and(|address| !address.ip().is_loopback()) {
            // behind a load balancer, which goes on sending for a moment
            config.limits.linger = LINGER.min(config.limits.grace);
        }
        config.state_keys = faults.take(flags.keys()).unwrap_or_default();
        if let Some(log) = &flags.log {
            if telemetry::filter(log).is_err() {
                faults.add(
                    "--log (SKYDOCK_LOG)",
                    log,
                    "write a tracing filter such as info,rmcp=warn",
                );
            }
            config.log.clone_from(log);
        }
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(faults)
        }
    }
}

fn read_listen(flags: &Flags) -> Result<Option<SocketAddr>, Faults> {
    let Some(text) = &flags.listen else {
        return Ok(None);
    };
    let wanted = "write an address and a port such as 127.0.0.1:8000";
    text.parse()
        .map(Some)
        .map_err(|_error: std::net::AddrParseError| Faults::one("--listen (SKYDOCK_LISTEN)", text, wanted))
}

fn read_mode(flags: &Flags, in_lambda: bool) -> Result<Mode, Faults> {
    match flags.mode.as_deref() {
        // an environment answers one request at a time, and whoever comes next may meet another one
        None if in_lambda => Ok(Mode::Json),
        None => Ok(Mode::default()),
        Some("stateful") => Ok(Mode::Stateful),
        Some("stateless") => Ok(Mode::Stateless),
        Some("json") => Ok(Mode::Json),
        Some(other) => Err(Faults::one(
            "--mode (SKYDOCK_MODE)",
            other,
            "write stateful, stateless or json",
        )),
    }
}

fn read_sessions(text: Option<&str>) -> Result<Place, Faults> {
    let Some(text) = text else {
        return Ok(Place::default());
    };
    text.parse()
        .map_err(|wrong: Wrong| Faults::one("--sessions (SKYDOCK_SESSIONS)", &wrong.value, &wrong.wanted))
}

fn read_hosts(flags: &Flags, listen: Option<SocketAddr>) -> Result<Vec<String>, Faults> {
    let name = "--host (SKYDOCK_HOSTS)";
    let mut faults = Faults::default();
    for host in &flags.hosts {
        if host.parse::<http::uri::Authority>().is_err() || host.contains('@') {
            faults.add(
                name,
                host,
                "write a host name such as mcp.example.com, without scheme or path",
            );
        }
    }
    if flags.hosts.is_empty() && listen.is_some_and(|address| !address.ip().is_loopback()) {
        let wanted = "give the public names that clients use (--host mcp.example.com), because --listen is not loopback";
        faults.add(name, "", wanted);
    }
    if faults.is_empty() {
        Ok(flags.hosts.clone())
    } else {
        Err(faults)
    }
}

fn read_origins(flags: &Flags) -> Result<Vec<String>, Faults> {
    let mut faults = Faults::default();
    let mut origins = Vec::new();
    for origin in &flags.origins {
        match read_origin(origin) {
            Some(read) => origins.push(read),
            None => faults.add(
                "--origin (SKYDOCK_ORIGINS)",
                origin,
                "write scheme, host and, if it is not the usual one, port: https://app.example.com",
            ),
        }
    }
    if faults.is_empty() {
        Ok(origins)
    } else {
        Err(faults)
    }
}

/// An origin as a browser serialises it (RFC 6454 §6.2): lower case, no default port, no path.
fn read_origin(text: &str) -> Option<String> {
    let uri: http::Uri = text.to_ascii_lowercase().parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'))?;
    if !matches!(
        uri.path_and_query().map(http::uri::PathAndQuery::as_str),
        None | Some("/" | "")
    ) || text.ends_with('/')
    {
        return None;
    }
    let default = if scheme == "http" { 80 } else { 443 };
    Some(match authority.port_u16() {
        Some(port) if port != default => format!("{scheme}://{}:{port}", authority.host()),
        _ => format!("{scheme}://{}", authority.host()),
    })
}

fn read_limits(flags: &Flags, limits: &mut Limits, faults: &mut Faults) {
    let seconds = |name: &str, text: &Option<String>, faults: &mut Faults| {
        let text = text.as_deref()?;
        let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // beyond a year a timer is a mistake, and arithmetic on instants may overflow
        let duration = duration.filter(|duration| *duration <= Duration::from_secs(31_536_000));
        if duration.is_none() {
            faults.add(name, text, "write a number of seconds greater than 0, such as 60");
        }
        duration
    };
    let number = |name: &str, text: &Option<String>, faults: &mut Faults| {
        let text = text.as_deref()?;
        let number = text.parse::<usize>().ok().filter(|number| *number > 0);
        if number.is_none() {
            faults.add(name, text, "write a whole number greater than 0");
        }
        number.map(|number| number.min(tokio::sync::Semaphore::MAX_PERMITS))
    };
    if let Some(timeout) = seconds("--timeout (SKYDOCK_TIMEOUT)", &flags.timeout, faults) {
        limits.timeout = timeout;
    }
    if let Some(grace) = seconds("--grace (SKYDOCK_GRACE)", &flags.grace, faults) {
        limits.grace = grace;
    }
    if let Some(ttl) = seconds("--session-ttl (SKYDOCK_SESSION_TTL)", &flags.session_ttl, faults) {
        limits.session_ttl = ttl;
    }
    if let Some(body) = number("--max-body (SKYDOCK_MAX_BODY)", &flags.max_body, faults) {
        limits.body = body;
    }
    if let Some(sessions) = number(
        "--max-sessions (SKYDOCK_MAX_SESSIONS)",
        &flags.max_sessions,
        faults,
    ) {
        limits.sessions = sessions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let flags = Flags {
            listen: Some("8000".to_owned()),
            mode: Some("statefull".to_owned()),
            sessions: Some("valkeyy://cache".to_owned()),
            origins: vec!["app.example.com".to_owned()],
            timeout: Some("soon".to_owned()),
            max_body: Some("1MB".to_owned()),
            log: Some("skydock=loud".to_owned()),
            ..Flags::default()
        };
        let faults = Config::read(&flags).unwrap_err();
        let text = faults.to_string();
        for named in [
            "\"8000\"",
            "\"statefull\"",
            "\"valkeyy://cache\"",
            "\"app.example.com\"",
            "\"soon\"",
            "\"1MB\"",
            "loud",
        ] {
            assert!(text.contains(named), "{named} is missing in:\n{text}");
        }
        assert_eq!(faults.iter().count(), 7);
    }

    #[test]
    fn tokens_are_asked_for_with_all_that_it_takes_or_not_at_all() {
        let flags = Flags {
            auth_issuer: Some("https://issuer.example".to_owned()),
            ..Flags::default()
        };
        let text = Config::read(&flags).unwrap_err().to_string();
        assert!(
            text.contains("--auth-audience (SKYDOCK_AUTH_AUDIENCE): is missing"),
            "{text}"
        );
        assert!(
            text.contains("--auth-keys (SKYDOCK_AUTH_KEYS): is missing"),
            "{text}"
        );
        assert!(!text.contains("--auth-issuer"), "{text}");
        let flags = Flags {
            auth_issuer: Some("an issuer".to_owned()),
            auth_audiences: vec!["mcp.example.com".to_owned()],
            auth_keys: Some("/no/such/file".to_owned()),
            ..Flags::default()
        };
        let faults = Config::read(&flags).unwrap_err();
        for named in ["\"an issuer\"", "\"mcp.example.com\"", "\"/no/such/file\""] {
            assert!(faults.to_string().contains(named), "{faults}");
        }
        assert!(Config::read(&Flags::default()).unwrap().auth.is_none());
    }

    #[test]
    fn a_public_address_needs_its_host_names() {
        let mut flags = Flags {
            listen: Some("0.0.0.0:8000".to_owned()),
            ..Flags::default()
        };
        assert!(Config::read(&flags).unwrap_err().to_string().contains("--host"));
        flags.hosts = vec!["mcp.example.com".to_owned()];
        assert_eq!(Config::read(&flags).unwrap().hosts, ["mcp.example.com"]);
    }

    #[test]
    fn an_origin_is_kept_as_a_browser_writes_it() {
        assert_eq!(
            read_origin("HTTPS://App.Example.com:443").as_deref(),
            Some("https://app.example.com")
        );
        assert_eq!(
            read_origin("http://localhost:5173").as_deref(),
            Some("http://localhost:5173")
        );
        for wrong in [
            "app.example.com",
            "ftp://a.example",
            "https://a.example/path",
            "https://a.example/",
            "*",
            "",
        ] {
            assert_eq!(read_origin(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn limits_refuse_what_is_not_a_positive_number() {
        for wrong in ["0", "-1", "NaN", "inf", "", "1e300"] {
            let flags = Flags {
                timeout: Some(wrong.to_owned()),
                ..Flags::default()
            };
            assert!(Config::read(&flags).is_err(), "{wrong}");
        }
        let flags = Flags {
            timeout: Some("0.5".to_owned()),
            ..Flags::default()
        };
        assert_eq!(
            Config::read(&flags).unwrap().limits.timeout,
            Duration::from_millis(500)
        );
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", Key::random()), "Key(…)");
    }
}
