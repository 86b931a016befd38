//! The store in this process's memory: the default, and what the others are measured against.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{Entry, Failure, Patience, Record, Store, Written, fits};

/// A value is never larger than what a client may send or be sent; nothing more is asked of memory.
const LIMIT: usize = 64 << 20;
/// What has expired is thrown out when this many changes have been made since the last time.
const SWEEP: usize = 1_024;
/// What all logs may come to, in bytes; beyond it a log that grows forgets its oldest entries.
const LOGS: usize = 256 << 20;

/// Records, logs and the roll in memory. Hosts in one process can share one.
#[derive(Debug)]
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    grown: Notify,
    places: usize,
}

#[derive(Debug, Default)]
struct Kept {
    records: HashMap<String, Expiring<Record>>,
    logs: HashMap<String, VecDeque<Expiring<Entry>>>,
    roll: HashMap<String, Instant>,
    changes: usize,
    /// Records that hold something; those that expired since the last sweep included.
    taken: usize,
    /// What the entries of all logs come to, those that expired since the last sweep included, and may come to.
    bytes: usize,
    room: usize,
    /// The highest number that an entry of any log has had.
    last: u64,
}

#[derive(Debug)]
struct Expiring<T> {
    until: Instant,
    kept: T,
}

impl<T> Expiring<T> {
    fn live(&self) -> Option<&T> {
        (self.until > Instant::now()).then_some(&self.kept)
    }
}

impl Expiring<Entry> {
    const fn bytes(&self) -> usize {
        self.kept.value.len()
    }
}

impl Kept {
    fn sweep(&mut self) {
        self.changes += 1;
        if self.changes < SWEEP {
            return;
        }
        self.clean();
    }

    /// Throws out what has expired.
    fn clean(&mut self) {
        self.changes = 0;
        let now = Instant::now();
        self.records.retain(|_, record| record.until > now);
        self.taken = self
            .records
            .values()
            .filter(|record| record.kept.is_taken())
            .count();
        self.logs
            .retain(|_, log| log.back().is_some_and(|entry| entry.until > now));
        self.bytes = self.logs.values().flatten().map(Expiring::bytes).sum();
        self.roll.retain(|_, until| *until > now);
    }

    fn write(&mut self, key: &str, record: Expiring<Record>, places: usize) -> Result<(), Failure> {
        let is = record.kept.is_taken();
        let replaced = self.records.get(key);
        let grows = is && !replaced.is_some_and(|record| record.kept.is_taken());
        if grows && self.taken >= places {
            self.clean();
            if self.taken >= places {
                return Err(Failure::Full);
            }
        }
        // what was there may have expired and been counted until now
        let was = self
            .records
            .insert(key.to_owned(), record)
            .is_some_and(|record| record.kept.is_taken());
        self.taken = (self.taken + usize::from(is)).saturating_sub(usize::from(was));
        Ok(())
    }

    fn entries(&self, log: &str, after: u64) -> Vec<Entry> {
        let Some(log) = self.logs.get(log) else {
            return Vec::new();
        };
        let seen = log.partition_point(|entry| entry.kept.number <= after);
        log.range(seen..).filter_map(Expiring::live).cloned().collect()
    }

    fn append(&mut self, log: &str, entries: Vec<Bytes>, until: Instant) -> u64 {
        let more: usize = entries.iter().map(Bytes::len).sum();
        if self.bytes + more > self.room {
            // what has expired makes room first
            self.clean();
        }
        let log = self.logs.entry(log.to_owned()).or_default();
        self.bytes += more;
        while let Some(entry) = log.pop_front_if(|entry| entry.live().is_none() || self.bytes > self.room) {
            self.bytes -= entry.bytes();
        }
        for value in entries {
            self.last += 1;
            log.push_back(Expiring {
                until,
                kept: Entry {
                    number: self.last,
                    value,
                },
            });
        }
        self.last
    }
}

impl Record {
    /// An empty value says that something is over; it needs no place.
    fn is_taken(&self) -> bool {
        !self.value.is_empty()
    }
}

impl Memory {
    /// Room for so many records that hold something.
    pub(crate) fn new(places: usize) -> Self {
        let kept = Kept {
            room: LOGS,
            ..Kept::default()
        };
        Self {
            kept: Mutex::new(kept),
            grown: Notify::new(),
            places,
        }
    }

    fn kept<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for Memory {
    fn is_shared(&self) -> bool {
        false
    }

    fn limit(&self) -> usize {
        LIMIT
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        Ok(self.kept(|kept| kept.records.get(key).and_then(Expiring::live).cloned()))
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        replaces: Option<u64>,
        ttl: Duration,
    ) -> Result<Written, Failure> {
        fits(&value, LIMIT)?;
        self.kept(|kept| {
            kept.sweep();
            let found = kept.records.get(key).and_then(Expiring::live);
            if found.map(|record| record.version) != replaces {
                return Ok(Written::Conflict);
            }
            let version = replaces.unwrap_or(0) + 1;
            let record = Expiring {
                until: Instant::now() + ttl,
                kept: Record { version, value },
            };
            kept.write(key, record, self.places)?;
            Ok(Written::Done(version))
        })
    }

    async fn touch(&self, key: &str, ttl: Duration) -> Result<Option<Record>, Failure> {
        Ok(self.kept(|kept| {
            let record = kept.records.get_mut(key)?;
            record.live()?;
            record.until = Instant::now() + ttl;
            Some(record.kept.clone())
        }))
    }

    async fn append(&self, log: &str, entries: Vec<Bytes>, ttl: Duration) -> Result<u64, Failure> {
        entries.iter().try_for_each(|value| fits(value, LIMIT))?;
        let last = self.kept(|kept| {
            kept.sweep();
            kept.append(log, entries, Instant::now() + ttl)
        });
        self.grown.notify_waiters();
        Ok(last)
    }

    async fn follow(&self, log: &str, after: u64, patience: Patience) -> Result<Vec<Entry>, Failure> {
        let until = Instant::now() + patience.whole;
        loop {
            // listening begins before the look, so that nothing falls between
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            let entries = self.kept(|kept| kept.entries(log, after));
            if !entries.is_empty() || Instant::now() >= until {
                return Ok(entries);
            }
            drop(tokio::time::timeout_at(until, grown).await);
        }
    }

    async fn trim(&self, log: &str, through: u64) -> Result<(), Failure> {
        self.kept(|kept| {
            if let Some(log) = kept.logs.get_mut(log) {
                let seen = log.partition_point(|entry| entry.kept.number <= through);
                kept.bytes -= log.drain(..seen).map(|entry| entry.bytes()).sum::<usize>();
            }
        });
        Ok(())
    }

    async fn announce(&self, instance: &str, ttl: Duration) -> Result<(), Failure> {
        self.kept(|kept| {
            kept.roll.insert(instance.to_owned(), Instant::now() + ttl);
        });
        Ok(())
    }

    async fn roll(&self) -> Result<Vec<String>, Failure> {
        let now = Instant::now();
        Ok(self.kept(|kept| {
            let live = kept.roll.iter().filter(|(_, until)| **until > now);
            live.map(|(instance, _)| instance.clone()).collect()
        }))
    }
}
