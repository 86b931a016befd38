//! The embedded account: an AWS Lambda API inside this process, behind the SDK's own HTTP connector.
//!
//! Every call to it goes through the real SDK: serialisation, signing, retries, error parsing. It is the account of
//! the demo and of the tests. It keeps to the documented REST API of Lambda; what it leaves out it refuses by name.

mod answer;
mod behaviour;
mod connector;
mod faults;
mod fleet;
mod function;
mod operation;
mod operations;
mod revisions;
mod state;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_lambda::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
};
use jiff::civil::Date;

use self::state::State;
pub use self::{faults::Faults, operation::Operation};
use crate::{account::Account, runtimes::Table};

/// The region the embedded account says it is in.
pub const REGION: &str = "eu-central-1";
/// Its account number, the one of AWS's documentation.
pub const ACCOUNT_ID: &str = "123456789012";

/// An account of about 120 functions. Clones share it.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    faults: Faults,
    today: Date,
}

/// How long updates of the embedded account stay `InProgress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often the configuration is read before it can settle.
    pub reads: u32,
    /// How long it takes at least.
    pub time: Duration,
}

impl Default for Pace {
    /// Long enough to be seen, short enough for a demo.
    fn default() -> Self {
        Self {
            reads: 2,
            time: Duration::from_millis(1200),
        }
    }
}

impl Embedded {
    /// The account that `seed` grows; the same seed gives the same functions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(fleet::grow(seed), Pace::default()))
    }

    /// An account without functions.
    #[must_use]
    pub fn empty() -> Self {
        Self::with(State::new(Vec::new(), Pace::default()))
    }

    fn with(state: State) -> Self {
        let faults = Faults::default();
        // AWS's dates move on, the compiled-in ones do not: in here it is always the day they were right.
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            faults,
            today: Table::snapshot().as_of,
        }))
    }

    /// Sets how long updates take from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.state().pace = pace;
    }

    /// What shall go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The day it is in this account, which decides which runtimes it blocks.
    #[must_use]
    pub fn today(&self) -> Date {
        self.0.today
    }

    /// The calls made so far, in order, retries included.
    #[must_use]
    pub fn calls(&self) -> Vec<Operation> {
        self.state().calls.clone()
    }

    /// All values of environment variables, to prove that none of them gets out.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.state()
            .functions
            .values()
            .flat_map(|function| function.environment.values().cloned())
            .collect()
    }

    /// The account as the tools see it.
    #[must_use]
    pub fn account(&self) -> Account {
        Account::new(self.config(), REGION)
    }

    /// An SDK client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.config())
    }

    /// What any client of the SDK needs to reach it. Retries are the SDK's own with shorter pauses.
    #[must_use]
    pub fn config(&self) -> SdkConfig {
        let retries = RetryConfig::standard()
            .with_max_attempts(4)
            .with_initial_backoff(Duration::from_millis(20));
        let credentials = Credentials::new("embedded", "embedded", None, None, "embedded");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retries)
            .http_client(connector::Connector(self.clone()))
            .build()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock half-way through a change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
