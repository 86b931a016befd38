//! An MCP server that lists, inspects, invokes and upgrades AWS Lambda functions.
//!
//! [`LambdaOps`] is the server: five tools over one [`account::Account`]. Where the account is comes from [`Flags`];
//! [`LambdaOps::embedded`] needs none. The rooms, from the outside in: `tools` (what a model sees), [`upgrade`] (the
//! procedure that changes a runtime), [`account`] (every call to AWS), [`runtimes`] (which runtimes there are and when
//! they end), [`embedded`] (a Lambda API in this process).

pub mod account;
pub mod allow;
mod clock;
pub mod embedded;
mod flags;
pub mod owner;
pub mod runtimes;
mod tools;
pub mod upgrade;

use std::sync::Arc;

use rmcp::handler::server::tool::ToolRouter;
use skydock::{Error, Key};
use tokio::sync::{
    Mutex,
    mpsc::{UnboundedSender, unbounded_channel},
};
use tokio_util::sync::CancellationToken;

use self::{
    account::Account,
    allow::Allow,
    embedded::Embedded,
    flags::{Choice, Chosen},
    runtimes::Runtimes,
    upgrade::{Journal, JournalFault, Patience, Recovered, Seal, Surroundings},
};
pub use self::{clock::Clock, flags::Flags};

/// The server. Clones share everything, so one can be given to each session.
#[derive(Debug, Clone)]
pub struct LambdaOps {
    account: Account,
    runtimes: Arc<Runtimes>,
    clock: Clock,
    patience: Patience,
    allow: Allow,
    journal: Journal,
    seal: Seal,
    /// Held while changes are recovered: what was recovered in the background and not told yet.
    recovered: Arc<Mutex<Vec<Recovered>>>,
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
            Chosen::Embedded { seed } => Ok(Self::on(&Embedded::new(seed), runtimes)),
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
            allow: Allow::nothing(),
            journal: Journal::in_memory(),
            seal: Seal::new(&Key::random()),
            recovered: Arc::default(),
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

    /// What the operator permits. Without this it is nothing but looking.
    #[must_use]
    pub fn with_allow(self, allow: Allow) -> Self {
        Self { allow, ..self }
    }

    /// Where changes are written down. Without this they are kept in memory, and a killed server's are lost.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal, ..self }
    }

    /// What signs the tokens of plans. Without this it is random, and a token is good for this process alone.
    #[must_use]
    pub fn with_key(self, key: &Key) -> Self {
        Self {
            seal: Seal::new(key),
            ..self
        }
    }

    /// Finishes or undoes every change that a server with the same journal left in the middle. One recovery goes on at
    /// a time; a second one waits. What [`LambdaOps::recover_in_background`] has recovered comes with the first.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn recover(&self) -> Result<Vec<Recovered>, JournalFault> {
        let mut held = self.recovered.lock().await;
        let recovered = self.recover_now().await?;
        Ok(std::mem::take(&mut *held).into_iter().chain(recovered).collect())
    }

    /// Begins [`LambdaOps::recover`] and leaves it to itself, if changing is permitted.
    pub fn recover_in_background(&self) {
        if !self.allow.may_write() {
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let mut held = server.recovered.lock().await;
            match server.recover_now().await {
                Ok(recovered) => held.extend(recovered),
                Err(fault) => tracing::error!(cause = account::chain(&fault), "changes cannot be recovered"),
            }
        });
    }

    async fn recover_now(&self) -> Result<Vec<Recovered>, JournalFault> {
        let (progress, _nobody) = unbounded_channel();
        upgrade::recover(
            &self.account,
            &self.surroundings(CancellationToken::new(), progress),
        )
        .await
    }

    fn surroundings(&self, cancelled: CancellationToken, progress: UnboundedSender<String>) -> Surroundings {
        Surroundings {
            patience: self.patience,
            allow: self.allow.clone(),
            journal: self.journal.clone(),
            cancelled,
            progress,
        }
    }
}
