//! The embedded account: an AWS Lambda API inside this process, behind the SDK's own HTTP connector.
//!
//! Every call to it goes through the real SDK: serialisation, signing, retries, error parsing. It is the account of
//! the demo and of the tests. It keeps to the documented REST API of Lambda; what it leaves out it refuses by name.
//! Beside Lambda it answers what the tools ask of STS and of the Tagging API. It has all regions, some with functions.

mod answer;
mod behaviour;
mod connector;
mod dispatch;
mod faults;
mod fleet;
mod function;
mod known;
mod neighbours;
mod operation;
mod operations;
mod request;
mod revisions;
mod state;
mod surroundings;

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
pub use self::{
    faults::Faults,
    operation::{Operation, Service},
};
use crate::{account::Account, runtimes::Table};

/// The region that the embedded account's own clients call.
pub const REGION: &str = "eu-central-1";
/// How many functions that region has unless told otherwise.
pub const SIZE: usize = 120;
/// What the account of a seed has beside it. All other regions are empty.
const BRANCHES: [(&str, usize); 3] = [("us-east-1", 40), ("eu-west-1", 25), ("ap-southeast-2", 15)];
/// Its account number, the one of AWS's documentation.
pub const ACCOUNT_ID: &str = "123456789012";

/// An account of 120 functions in its own region and some in others. Clones share it.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The region its own clients call.
    home: String,
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
        Self::of_size(seed, SIZE)
    }

    /// The account that `seed` grows, with so many functions in its own region.
    #[must_use]
    pub fn of_size(seed: u64, functions: usize) -> Self {
        let [us, eu, ap] = BRANCHES;
        Self::grown(seed, &[(REGION, functions), us, eu, ap])
    }

    /// An account with so many functions in each of these regions and none elsewhere. The first region is the one that
    /// its own clients call; the known functions are there.
    #[must_use]
    pub fn sized(seed: u64, regions: &[&str], functions: usize) -> Self {
        let fleets: Vec<_> = regions.iter().map(|region| (*region, functions)).collect();
        Self::grown(seed, &fleets)
    }

    /// An account without functions.
    #[must_use]
    pub fn empty() -> Self {
        Self::sized(0, &[], 0)
    }

    fn grown(seed: u64, fleets: &[(&str, usize)]) -> Self {
        let home = fleets.first().map_or(REGION, |(region, _)| region);
        let grow = |(region, functions): &(&str, usize)| {
            let fleet = fleet::grow(seed, region, *functions, *region == home);
            ((*region).to_owned(), fleet)
        };
        let state = State::new(fleets.iter().map(grow), Pace::default());
        // AWS's dates move on, the compiled-in ones do not: in here it is always the day they were right.
        Self(Arc::new(Shared {
            home: home.to_owned(),
            state: Mutex::new(state),
            faults: Faults::default(),
            today: Table::snapshot().as_of,
        }))
    }

    /// Sets how long updates take from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.state().set_pace(pace);
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
        let state = self.state();
        state.calls.iter().map(|(operation, _)| *operation).collect()
    }

    /// The functions that were really run so far, as `name:version`, in order within each region.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        self.state().runs()
    }

    /// The calls made so far in one region, in order, retries included.
    #[must_use]
    pub fn calls_in(&self, region: &str) -> Vec<Operation> {
        let state = self.state();
        let here = state.calls.iter().filter(|(_, called)| called == region);
        here.map(|(operation, _)| *operation).collect()
    }

    /// All values of environment variables, to prove that none of them gets out.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.state()
            .functions()
            .flat_map(|function| function.environment.values().cloned())
            .collect()
    }

    /// The account as the tools see it.
    #[must_use]
    pub fn account(&self) -> Account {
        Account::new(self.config(), self.0.home.as_str())
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
            .region(Region::new(self.0.home.clone()))
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
