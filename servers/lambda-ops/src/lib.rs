//! An MCP server that lists, inspects, invokes and upgrades AWS Lambda functions.
//!
//! [`LambdaOps`] is the server: five tools over one [`account::Account`]. Where the account is comes from [`Flags`];
//! [`LambdaOps::embedded`] needs none. The rooms, from the outside in: `tools` (what a model sees), [`upgrade`] (the
//! procedure that changes a runtime), [`account`] (every call to AWS), [`runtimes`] (which runtimes there are and when
//! they end), [`embedded`] (a Lambda API in this process).

pub mod account;
mod clock;
pub mod embedded;
mod flags;
pub mod runtimes;
mod tools;
pub mod upgrade;

use std::sync::Arc;

use rmcp::handler::server::tool::ToolRouter;
use skydock::Error;

use self::{
    account::Account,
    embedded::Embedded,
    flags::{Choice, Chosen},
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
    tool_router: Arc<ToolRouter<Self>>,
}

impl LambdaOps {
    /// The server that the flags describe.
    ///
    /// # Errors
    /// If a flag is wrong, or AWS is chosen and its region or credentials are not configured.
    pub async fn open(flags: &Flags) -> Result<Self, Error> {
        let Choice {
            account,
            runtimes_page,
        } = flags.read()?;
        let runtimes = match runtimes_page {
            Some(url) => Runtimes::page(url).map_err(Error::handler)?,
            None => Runtimes::snapshot(),
        };
        match account {
            Chosen::Aws => Ok(Self::new(
                Account::from_environment().await.map_err(Error::handler)?,
                runtimes,
            )),
            Chosen::Embedded { seed, functions } => {
                Ok(Self::on(&Embedded::of_size(seed, functions), runtimes))
            }
        }
    }

    /// The server on an embedded account of its own: needs nothing, reaches nothing.
    #[must_use]
    pub fn embedded(seed: u64) -> Self {
        Self::on(&Embedded::new(seed), Runtimes::snapshot())
    }

    /// The server on an embedded account that the caller keeps hold of. It lives on that account's day.
    #[must_use]
    pub fn on(embedded: &Embedded, runtimes: Runtimes) -> Self {
        Self::new(embedded.account(), runtimes).with_clock(Clock::Fixed(embedded.today()))
    }

    /// The server on any account.
    #[must_use]
    pub fn new(account: Account, runtimes: Runtimes) -> Self {
        Self {
            account,
            runtimes: Arc::new(runtimes),
            clock: Clock::default(),
            patience: Patience::default(),
            tool_router: Arc::new(Self::tool_router()),
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
}
