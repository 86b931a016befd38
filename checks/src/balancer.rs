//! `HAProxy` as an Application Load Balancer: routing by request, the AWSALB cookie, health checks, deregistration.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{Instant, sleep},
};

use crate::{
    program::{self, Program},
    scratch::Scratch,
    tools,
};

/// The header of an answer that says which target it is from.
const SERVED_BY: &str = "x-served-by";
/// As long as no test runs: a stream may be silent.
const NEVER: Duration = Duration::from_secs(3_600);
/// An ALB takes 5 s at least, and this is what a test waits for.
const CHECKS: Duration = Duration::from_millis(200);
/// How long a target may take to come into a state. Health checks take well under a second.
const SETTLE: Duration = Duration::from_secs(30);
/// How often its state is looked up. There is no event to wait for.
const AGAIN: Duration = Duration::from_millis(20);

/// Which target a request goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    /// To the next one, also when it comes on the same connection.
    #[default]
    None,
    /// To the one that the cookie AWSALB names, which each answer sets anew; to the next one without it, or when that
    /// one is not healthy.
    Cookie,
}

/// How the balancer does its work.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Which target a request goes to.
    pub affinity: Affinity,
    /// A request whose connection is refused goes to another target. An ALB answers 502, and that is the default. What
    /// has been sent to a target is never sent again.
    pub redispatch: bool,
    /// How often a target's health is looked at; the second failure in a row counts. None is every 200 ms.
    pub checks: Option<Duration>,
    /// How long a connection may be silent; an ALB's default is 60 s. None is an hour.
    pub idle: Option<Duration>,
}

/// What a target is told by its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It takes requests.
    Ready,
    /// It takes only requests whose cookie names it.
    Drain,
    /// It takes no request any more and finishes what it has: what an ALB does when a target is deregistered.
    Deregister,
}

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Healthy.
    Up,
    /// Its health checks fail.
    Down,
    /// Told to [`Order::Drain`].
    Draining,
    /// Told to [`Order::Deregister`].
    Deregistered,
}

/// What the balancer knows about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// How it is.
    pub state: State,
    /// The requests that it is answering now, open streams among them.
    pub open: u64,
    /// The requests that it has been given.
    pub served: u64,
}

/// A running balancer. Its targets have numbers, in the order in which they were given.
#[derive(Debug)]
pub struct Balancer {
    program: Program,
    home: Scratch,
}

impl Balancer {
    /// Starts it in front of these targets and waits until all are healthy.
    ///
    /// # Errors
    /// `HAProxy` is not installed or does not start, or a target is not healthy in time.
    pub async fn start(targets: &[SocketAddr], settings: &Settings) -> Result<Self> {
        let binary = tools::machine("haproxy")?;
        let home = Scratch::new("balancer")?;
        let admin = socket(&home);
        let file = home.path().join("haproxy.cfg");
        let start = |addr| {
            let text = configuration(addr, &admin, targets, settings);
            // without it HAProxy ends at once, and says so
            let _written = std::fs::write(&file, text);
            let mut command = program::command(&binary);
            command.args(["-db", "-f"]).arg(&file);
            command
        };
        let program = Program::start(start, "/_balancer").await?;
        let balancer = Self { program, home };
        for number in 0..targets.len() {
            balancer.until(number, State::Up).await?;
        }
        Ok(balancer)
    }

    /// The address of a path on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.program.url(path)
    }

    /// The address of the MCP endpoint behind it.
    #[must_use]
    pub fn mcp(&self) -> String {
        self.program.mcp()
    }

    /// Tells a target what to do from now on.
    ///
    /// # Errors
    /// There is no such target, or `HAProxy` does not answer.
    pub async fn order(&self, target: usize, order: Order) -> Result<()> {
        let state = match order {
            Order::Ready => "ready",
            Order::Drain => "drain",
            Order::Deregister => "maint",
        };
        let said = self
            .admin(&format!("set server targets/{target} state {state}"))
            .await?;
        ensure!(said.trim().is_empty(), "HAProxy: {said}");
        Ok(())
    }

    /// How a target is.
    ///
    /// # Errors
    /// There is no such target, or `HAProxy` does not answer.
    pub async fn target(&self, target: usize) -> Result<Target> {
        let table = self.admin("show stat").await?;
        let mut lines = table.lines().map(|line| line.split(','));
        let head: Vec<&str> = lines.next().context("an empty table")?.collect();
        let of = |row: &[&str], column: &str| {
            let index = head.iter().position(|name| *name == column)?;
            Some((*row.get(index)?).to_owned())
        };
        let name = target.to_string();
        let row = lines
            .map(Iterator::collect::<Vec<_>>)
            .find(|row| row.starts_with(&["targets", &name]))
            .with_context(|| format!("there is no target {target}"))?;
        let status = of(&row, "status").unwrap_or_default();
        let state = match status.split(' ').next() {
            Some("UP") => State::Up,
            Some("DRAIN") => State::Draining,
            Some("MAINT") => State::Deregistered,
            _ => State::Down,
        };
        let number = |column| of(&row, column).and_then(|number| number.parse().ok());
        Ok(Target {
            state,
            open: number("scur").context("no scur")?,
            served: number("stot").context("no stot")?,
        })
    }

    /// Waits until a target is in this state.
    ///
    /// # Errors
    /// It is not in time, or `HAProxy` does not answer.
    pub async fn until(&self, target: usize, state: State) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let is = self.target(target).await?;
            if is.state == state {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "target {target} is {is:?} and not {state:?}"
            );
            sleep(AGAIN).await;
        }
    }

    async fn admin(&self, command: &str) -> Result<String> {
        let mut connection = UnixStream::connect(socket(&self.home)).await?;
        connection.write_all(format!("{command}\n").as_bytes()).await?;
        let mut said = String::new();
        connection.read_to_string(&mut said).await?;
        Ok(said)
    }
}

/// The target that an answer is from, or that a 502 is about. None when the balancer has answered by itself.
#[must_use]
pub fn served_by(headers: &HeaderMap) -> Option<usize> {
    headers.get(SERVED_BY)?.to_str().ok()?.parse().ok()
}

fn socket(home: &Scratch) -> PathBuf {
    home.path().join("admin")
}

fn configuration(addr: SocketAddr, admin: &Path, targets: &[SocketAddr], settings: &Settings) -> String {
    let idle = settings.idle.unwrap_or(NEVER).as_millis();
    let (admin, port) = (admin.display(), addr.port());
    let refused = if settings.redispatch {
        "retries 3\n  option redispatch 1"
    } else {
        "retries 0"
    };
    // a request of a kept connection is routed like any other, and a connection to a target is for one request
    let mut text = format!(
        "global
  stats socket {admin} mode 600 level admin
defaults
  mode http
  timeout connect 10s
  timeout check 1s
  timeout client {idle}
  timeout server {idle}
  {refused}
  option http-server-close
  option http-no-delay
  option abortonclose
frontend alb
  bind {addr}
  monitor-uri /_balancer
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port {port}
  http-request set-header X-Amzn-Trace-Id Root=1-%[date,hex]-%[uuid()]
  # refused connections are 503 to HAProxy and 502 to an ALB; what a target says stays as it is
  http-response set-var(txn.answered) bool(true)
  http-after-response set-status 502 reason \"Bad Gateway\" if {{ status 503 }} {{ srv_id gt 0 }} !{{ var(txn.answered) -m found }}
  http-after-response set-header {SERVED_BY} %s
  default_backend targets
backend targets
  balance roundrobin
  option httpchk
  http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host {addr}
  http-check expect status 200
"
    );
    if settings.affinity == Affinity::Cookie {
        text += "  cookie AWSALB
  http-response add-header Set-Cookie \"AWSALB=%s; Max-Age=86400; Path=/\"
  http-response add-header Set-Cookie \"AWSALBCORS=%s; Max-Age=86400; Path=/; SameSite=None\"
";
    }
    let checks = settings.checks.unwrap_or(CHECKS).as_millis();
    // writing to a String cannot fail
    let _written = writeln!(text, "  default-server check inter {checks} fall 2 rise 1");
    for (number, target) in targets.iter().enumerate() {
        let _written = writeln!(text, "  server {number} {target} cookie {number}");
    }
    text
}
