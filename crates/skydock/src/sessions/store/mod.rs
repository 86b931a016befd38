//! Where what must survive an instance is kept: records, logs, and who is alive. Nothing here knows MCP.
//!
//! A backend offers three things, each of them on one key at a time, so that it also works on a cluster:
//!
//! - **Records**: a value with a version and an expiry. A write names the version that it replaces, so that two writers
//!   never lose each other's change and nothing that has ended comes back.
//! - **Logs**: entries in one order, under numbers that only grow, also when a log has expired and begins anew. An
//!   entry never shows up before one that a reader has seen already, so whoever follows a log from the last number that
//!   it has seen gets each entry once, in order.
//! - **The roll**: which instances are alive. An instance that stops announcing itself drops off.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(test)]
mod contract;
#[cfg(any(feature = "dynamodb", feature = "valkey"))]
mod distant;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(any(feature = "dynamodb", feature = "valkey"))]
mod looks;
mod memory;
mod place;
#[cfg(test)]
mod standin;
#[cfg(feature = "valkey")]
mod valkey;

pub(crate) use self::{
    memory::Memory,
    place::{Place, Wrong},
};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was given is larger than the store takes, whatever is tried.
    #[error("{size} bytes are more than the {limit} that the store takes")]
    TooLarge {
        /// In bytes, as it would have been stored.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// As many records are kept as there may be.
    #[error("all places are taken")]
    Full,
    /// The store cannot be reached, does not answer in time, or refuses.
    #[cfg_attr(
        all(test, not(any(feature = "dynamodb", feature = "valkey"))),
        expect(dead_code, reason = "memory is always there")
    )]
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    #[cfg(any(feature = "dynamodb", feature = "valkey"))]
    fn unavailable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into())
    }
}

fn fits(value: &Bytes, limit: usize) -> Result<(), Failure> {
    let size = value.len();
    if size > limit {
        return Err(Failure::TooLarge { size, limit });
    }
    Ok(())
}

/// A record as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// 1 for the first write; one more with each.
    pub(crate) version: u64,
    pub(crate) value: Bytes,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was done; this is the record's version now.
    Done(u64),
    /// The record is not, or no longer, as the writer believes. Nothing was changed.
    Conflict,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number in the log.
    pub(crate) number: u64,
    pub(crate) value: Bytes,
}

/// How long to wait for entries that are not there yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The whole wait; zero looks once.
    pub(crate) whole: Duration,
    /// The longest pause between two looks, for a store that has to be asked again and again.
    pub(crate) pause: Duration,
}

impl Patience {
    /// One look.
    pub(crate) const NONE: Self = Self {
        whole: Duration::ZERO,
        pause: Duration::ZERO,
    };
}

/// A backend. Clones of the program on other machines that name the same store share what is in it.
///
/// Keys are of letters, digits and `-_.:`; each of the three kinds has keys of its own. An expiry is never early, and
/// what has expired is not there, even if the store has not removed it yet.
#[async_trait]
pub(crate) trait Store: Debug + Send + Sync + 'static {
    /// Whether other instances can be there too.
    fn is_shared(&self) -> bool {
        true
    }

    /// The largest value of a record or an entry, in bytes.
    fn limit(&self) -> usize;

    /// The record, if there is one.
    async fn read(&self, key: &str) -> Result<Option<Record>, Failure>;

    /// Writes a record that lives for `ttl`. `replaces` is the version that the writer has seen; `None` when there
    /// must be no such record.
    async fn write(
        &self,
        key: &str,
        value: Bytes,
        replaces: Option<u64>,
        ttl: Duration,
    ) -> Result<Written, Failure>;

    /// Lets the record live for `ttl` from now on and gives it, in one exchange; `None` when there is none, and none
    /// comes into being. The version stays.
    async fn touch(&self, key: &str, ttl: Duration) -> Result<Option<Record>, Failure>;

    /// Adds entries at the end of a log, together and in order, and gives the number of the last. They are kept for at
    /// least `ttl`.
    async fn append(&self, log: &str, entries: Vec<Bytes>, ttl: Duration) -> Result<u64, Failure>;

    /// The entries after number `after`, in order; waits for the first one as `patience` says. There may be more than
    /// it gives at once; nothing is what a log that does not exist gives.
    async fn follow(&self, log: &str, after: u64, patience: Patience) -> Result<Vec<Entry>, Failure>;

    /// Nobody will ask for the entries up to number `through` any more. A store that forgets by itself may ignore it.
    async fn trim(&self, log: &str, through: u64) -> Result<(), Failure>;

    /// Puts an instance on the roll for `ttl`, or off it with a `ttl` of zero.
    async fn announce(&self, instance: &str, ttl: Duration) -> Result<(), Failure>;

    /// The instances on the roll, in no order.
    async fn roll(&self) -> Result<Vec<String>, Failure>;
}
