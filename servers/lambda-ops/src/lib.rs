//! An MCP server that lists, inspects, invokes and upgrades AWS Lambda functions.
//!
//! [`LambdaOps`] is the server: its tools over one [`account::Account`]. Where the account is comes from [`Flags`];
//! [`LambdaOps::embedded`] needs none. The rooms, from the outside in: `tools` (what a model sees), [`upgrade`] (the
//! procedure that changes a runtime), [`allow`] (what may be changed), [`audit`] (what was), [`owner`] (whose template a
//! function is of), [`account`] (every call to AWS), [`runtimes`] (which runtimes there are and when they end),
//! [`embedded`] (a Lambda API in this process).

pub mod account;
pub mod allow;
pub mod audit;
mod clock;
pub mod embedded;
mod flags;
pub mod owner;
pub mod runtimes;
mod tools;
pub mod upgrade;

use std::sync::Arc;

use rmcp::handler::server::tool::ToolRouter;
use skydock::Error;

use self::{
    account::Account,
    allow::Allow,
    audit::Audit,
    embedded::Embedded,
    flags::{Around, Choice, Chosen},
    runtimes::Runtimes,
    upgrade::Patience,
};
pub use self::{clock::Clock, flags::Flags};

/// The server. Clones share everything, so one can be given to each session.
#[derive(Debug, Clone)]
pub struct LambdaOps {
    account: Account,
    runtimes: Arc<Runtimes>,
    clock: Clock,
    patience: Patience,
    allow: Arc<Allow>,
    audit: Audit,
    tool_router: Arc<ToolRouter<Self>>,
}

impl LambdaOps {
    /// The server that the flags describe, hosted as `host` says.
    ///
    /// # Errors
    /// If a flag is wrong, or AWS is chosen and its region or credentials are not configured.
    pub async fn open(flags: &Flags, host: &skydock::Flags) -> Result<Self, Error> {
        let Choice {
            account,
            runtimes_page,
            allow,
            audit,
            journal: _,
        } = flags.read(&Around::process(host, &|name| std::env::var_os(name)))?;
        let runtimes = match runtimes_page {
            Some(url) => Runtimes::page(url).map_err(Error::handler)?,
            None => Runtimes::snapshot(),
        };
        let server = match account {
            Chosen::Aws => Self::new(
                Account::from_environment().await.map_err(Error::handler)?,
                runtimes,
            ),
            Chosen::Embedded { seed, functions } => Self::on(&Embedded::of_size(seed, functions), runtimes),
        };
        Ok(server.with_allow(allow).with_audit(audit))
    }

    /// The server on an embedded account of its own: needs nothing, reaches nothing. It only reads: see
    /// [`LambdaOps::with_allow`].
    #[must_use]
    pub fn embedded(seed: u64) -> Self {
        Self::on(&Embedded::new(seed), Runtimes::snapshot())
    }

    /// The server on an embedded account that the caller keeps hold of. It lives on that account's day, and its audit
    /// stays in memory.
    #[must_use]
    pub fn on(embedded: &Embedded, runtimes: Runtimes) -> Self {
        Self::new(embedded.account(), runtimes)
            .with_clock(Clock::Fixed(embedded.today()))
            .with_audit(Audit::in_memory())
    }

    /// The server on any account. It only reads, and its audit goes to standard error.
    #[must_use]
    pub fn new(account: Account, runtimes: Runtimes) -> Self {
        Self {
            account,
            runtimes: Arc::new(runtimes),
            clock: Clock::default(),
            patience: Patience::default(),
            allow: Arc::default(),
            audit: Audit::stderr(),
            tool_router: Arc::new(tools::router(&Allow::nothing())),
        }
    }

    /// Which day it is, for the dates of runtimes.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// How long a change of runtime may take.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// What may be run and changed. It decides which tools are listed.
    #[must_use]
    pub fn with_allow(self, allow: Allow) -> Self {
        Self {
            tool_router: Arc::new(tools::router(&allow)),
            allow: Arc::new(allow),
            ..self
        }
    }

    /// Where runs and changes are written down.
    #[must_use]
    pub fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }
}
