//! An MCP server that lists, inspects, invokes and upgrades AWS Lambda functions.
//!
//! [`LambdaOps`] is the server: its tools over one [`account::Account`]. Where the account is comes from [`Flags`];
//! [`LambdaOps::embedded`] needs none. The rooms, from the outside in: `tools` (what a model sees), `resources`,
//! `prompts` and `completion` (what people and clients pick from), [`upgrade`] (the
//! procedure that changes a runtime), `recovery` (what is left of one), [`allow`] (what may be changed), [`audit`] (what was), [`owner`] (whose template a
//! function is of), [`account`] (every call to AWS), [`runtimes`] (which runtimes there are and when they end),
//! [`embedded`] (a Lambda API in this process).

pub mod account;
pub mod allow;
pub mod audit;
mod clock;
mod completion;
pub mod embedded;
mod flags;
pub mod owner;
mod percent;
mod prompts;
mod recovery;
mod resources;
pub mod runtimes;
mod tasks;
mod tools;
pub mod upgrade;

use std::sync::Arc;

use rmcp::handler::server::tool::ToolRouter;
use skydock::{Error, Key};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use self::{
    account::Account,
    allow::Allow,
    audit::{Audit, Who},
    embedded::Embedded,
    flags::{Around, Choice, Chosen},
    recovery::Recoveries,
    runtimes::Runtimes,
    tasks::Tasks,
    upgrade::{Journal, Patience, Seal, Surroundings},
};
pub use self::{clock::Clock, flags::Flags, recovery::NotRecovered};

/// The server. Clones share everything, so one can be given to each session.
#[derive(Debug, Clone)]
pub struct LambdaOps {
    account: Account,
    runtimes: Arc<Runtimes>,
    clock: Clock,
    patience: Patience,
    allow: Arc<Allow>,
    audit: Audit,
    journal: Journal,
    seal: Seal,
    recoveries: Recoveries,
    /// Plans that are carried out apart from the call that began them.
    tasks: Tasks,
    tool_router: Arc<ToolRouter<Self>>,
}

impl LambdaOps {
    /// The server that the flags describe, hosted as `host` says.
    ///
    /// # Errors
    /// If a flag is wrong, AWS is chosen and its region or credentials are not configured, or the journal cannot be
    /// written.
    pub async fn open(flags: &Flags, host: &skydock::Flags) -> Result<Self, Error> {
        let Choice {
            account,
            runtimes_page,
            allow,
            audit,
            journal,
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
        let journal = match journal {
            Some(directory) if allow.may_write() => Journal::open(directory).map_err(Error::handler)?,
            // whoever changes nothing only looks what is there
            Some(directory) => Journal::existing(directory).unwrap_or_else(Journal::in_memory),
            None => Journal::in_memory(),
        };
        recovery::announce(&journal, allow.may_write()).await;
        let server = server.with_allow(allow).with_audit(audit).with_journal(journal);
        // a key that cannot be read is a fault of the host's flags, which the host names
        let server = match host.keys().as_deref() {
            Ok([key, ..]) => server.with_key(key),
            _ => server,
        };
        server.recover_in_background();
        Ok(server)
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
            journal: Journal::in_memory(),
            seal: Seal::new(&Key::random()),
            recoveries: Recoveries::default(),
            tasks: Tasks::default(),
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

    /// Where changes are written down before they are made. Without this they are kept in memory, and what a killed
    /// server was at is not known.
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

    fn surroundings(
        &self,
        who: Who,
        cancelled: CancellationToken,
        progress: UnboundedSender<String>,
    ) -> Surroundings {
        Surroundings {
            patience: self.patience,
            allow: Arc::clone(&self.allow),
            journal: self.journal.clone(),
            audit: self.audit.clone(),
            who,
            cancelled,
            progress,
        }
    }
}
