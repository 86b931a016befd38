//! Records, logs and the roll in Valkey or Redis, on one server or a cluster.
//!
//! Each thing is one key, and each request one command or script on that key, so that it works on any cluster:
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `skydock:record:KEY` | hash | `version`, `value`, `mark` (of the last write) |
//! | `skydock:log:LOG` | stream | entries of `mark` and `value`; the id is the entry's number |
//! | `skydock:roll` | sorted set | instances, scored by when they drop off (ms) |
//!
//! Only the server's clock counts. Expiry is the server's own, and exact to the millisecond.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, cmd};

use self::{
    link::Link,
    news::News,
    scripts::{ANNOUNCE, APPEND, READ, ROLL, Script, TOUCH, WRITE},
};
use super::{Entry, Failure, Patience, Record, Store, Written, fits, looks::Looks};

mod cluster;
mod link;
mod news;
mod scripts;
mod server;

/// The server takes far more, but does nothing else while it copies a value.
pub(super) const LIMIT: usize = 4 << 20;
/// What `follow` gives at once, unless the first entry is larger.
const PAGE: usize = 1 << 20;
const ROLL_KEY: &str = "skydock:roll";
/// The bits of an entry's number that count the entries of one millisecond.
const SEQUENCE_BITS: u32 = 20;

/// Records, logs and the roll in one server or cluster.
pub(crate) struct Valkey {
    link: Arc<Link>,
    news: News,
}

impl fmt::Debug for Valkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // what it is connected to comes with a password
        f.debug_struct("Valkey").finish_non_exhaustive()
    }
}

impl Valkey {
    /// What is at `url`: `valkey://[user:password@]host[:port][/db]`, `valkeys://` for TLS, `redis://` and `rediss://`
    /// likewise. `?cluster=true` speaks to a cluster, as ElastiCache Serverless wants it. Connects when it has to.
    ///
    /// # Errors
    /// What is wrong with the URL, without its value.
    pub(crate) fn open(url: &str) -> Result<Self, String> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let cluster = match query {
            "" | "cluster=false" => false,
            "cluster=true" => true,
            _ => return Err("after `?` there may be `cluster=true`, and nothing else".to_owned()),
        };
        if address.contains('#') {
            return Err("there must be no `#`; in a user or password it is `%23`".to_owned());
        }
        let link = Link::new(address, cluster).map_err(|error| {
            format!(
                "wanted valkeys://USER:PASSWORD@HOST:PORT, what is special in it percent-encoded ({error})"
            )
        })?;
        let link = Arc::new(link);
        Ok(Self {
            news: News::new(Arc::clone(&link)),
            link,
        })
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &LazyLock<Script>,
        key: &str,
        arguments: &[&[u8]],
    ) -> Result<T, Failure> {
        let by_hash = self
            .link
            .ask(key, &call("EVALSHA", &script.hash, key, arguments))
            .await;
        let answer: RedisResult<T> = match by_hash {
            // the server has been restarted, or has never seen it
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.link
                    .ask(key, &call("EVAL", script.code, key, arguments))
                    .await
            }
            answer => answer,
        };
        answer.map_err(Failure::unavailable)
    }

    async fn entries(&self, log: &str, after: u64) -> Result<Vec<Entry>, Failure> {
        let (after, page) = (id(after), PAGE.to_string());
        let arguments = [after.as_bytes(), page.as_bytes()];
        let given: Vec<Vec<u8>> = self.run(&READ, &log_key(log), &arguments).await?;
        let mut given = given.into_iter();
        let mut entries = Vec::with_capacity(given.len() / 2);
        while let (Some(id), Some(value)) = (given.next(), given.next()) {
            entries.push(Entry {
                number: number(&id)?,
                value: value.into(),
            });
        }
        Ok(entries)
    }
}

#[async_trait]
impl Store for Valkey {
    fn limit(&self) -> usize {
        LIMIT
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        let mut command = cmd("HMGET");
        let key = record_key(key);
        command.arg(&key).arg("version").arg("value");
        let found: (Option<u64>, Option<Vec<u8>>) = self
            .link
            .ask(&key, &command)
            .await
            .map_err(Failure::unavailable)?;
        Ok(record(found))
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        replaces: Option<u64>,
        ttl: Duration,
    ) -> Result<Written, Failure> {
        fits(&value, LIMIT)?;
        let version = replaces.unwrap_or(0) + 1;
        let replaced = replaces.map(|version| version.to_string()).unwrap_or_default();
        let (next, mark, ttl) = (version.to_string(), mark(), millis(ttl));
        let arguments: [&[u8]; 5] = [
            replaced.as_bytes(),
            next.as_bytes(),
            &mark,
            ttl.as_bytes(),
            &value,
        ];
        let done: bool = self.run(&WRITE, &record_key(key), &arguments).await?;
        Ok(if done {
            Written::Done(version)
        } else {
            Written::Conflict
        })
    }

    async fn touch(&self, key: &str, ttl: Duration) -> Result<Option<Record>, Failure> {
        let found: Option<(Option<u64>, Option<Vec<u8>>)> = self
            .run(&TOUCH, &record_key(key), &[millis(ttl).as_bytes()])
            .await?;
        Ok(found.and_then(record))
    }

    async fn append(&self, log: &str, entries: Vec<Bytes>, ttl: Duration) -> Result<u64, Failure> {
        entries.iter().try_for_each(|value| fits(value, LIMIT))?;
        if entries.is_empty() {
            return Ok(0);
        }
        let (ttl, mark) = (millis(ttl), mark());
        let mut arguments: Vec<&[u8]> = vec![ttl.as_bytes(), &mark, news::CHANNEL.as_bytes(), log.as_bytes()];
        arguments.extend(entries.iter().map(Bytes::as_ref));
        let last: Vec<u8> = self.run(&APPEND, &log_key(log), &arguments).await?;
        number(&last)
    }

    async fn follow(&self, log: &str, after: u64, patience: Patience) -> Result<Vec<Entry>, Failure> {
        let looks = Looks::new(patience);
        if patience.whole.is_zero() {
            return self.entries(log, after).await;
        }
        // A blocking XREAD would take a connection for each log, since a cluster reads those of one slot only and a
        // connection that waits does nothing else. So a log is looked at now and then, and at once on news of it.
        let news = self.news.of(log);
        loop {
            let mut told = std::pin::pin!(news.told());
            told.as_mut().enable();
            let entries = self.entries(log, after).await?;
            let next = looks.next();
            let Some(next) = next.filter(|_| entries.is_empty()) else {
                return Ok(entries);
            };
            drop(tokio::time::timeout_at(next, told).await);
        }
    }

    async fn trim(&self, log: &str, through: u64) -> Result<(), Failure> {
        let mut command = cmd("XTRIM");
        let (key, first) = (log_key(log), id(through.saturating_add(1)));
        command.arg(&key).arg("MINID").arg("=").arg(first);
        self.link
            .ask::<()>(&key, &command)
            .await
            .map_err(Failure::unavailable)
    }

    async fn announce(&self, instance: &str, ttl: Duration) -> Result<(), Failure> {
        let ttl = millis(ttl);
        let arguments = [instance.as_bytes(), ttl.as_bytes()];
        self.run(&ANNOUNCE, ROLL_KEY, &arguments).await
    }

    async fn roll(&self) -> Result<Vec<String>, Failure> {
        self.run(&ROLL, ROLL_KEY, &[]).await
    }
}

fn call(command: &str, script: &str, key: &str, arguments: &[&[u8]]) -> Cmd {
    let mut call = cmd(command);
    call.arg(script).arg(1).arg(key).arg(arguments);
    call
}

fn record((version, value): (Option<u64>, Option<Vec<u8>>)) -> Option<Record> {
    let (version, value) = (version?, value?.into());
    Some(Record { version, value })
}

fn record_key(key: &str) -> String {
    format!("skydock:record:{key}")
}

fn log_key(log: &str) -> String {
    format!("skydock:log:{log}")
}

/// What no other write has.
fn mark() -> [u8; 8] {
    rand::random()
}

/// A time in milliseconds, never shorter than it is.
fn millis(time: Duration) -> String {
    time.as_nanos().div_ceil(1_000_000).to_string()
}

/// The id of the entry with this number: the milliseconds since 1970, and a count.
fn id(number: u64) -> String {
    format!(
        "{}-{}",
        number >> SEQUENCE_BITS,
        number & ((1 << SEQUENCE_BITS) - 1)
    )
}

fn number(id: &[u8]) -> Result<u64, Failure> {
    let parse = || {
        let (millis, count) = std::str::from_utf8(id).ok()?.split_once('-')?;
        let (millis, count): (u64, u64) = (millis.parse().ok()?, count.parse().ok()?);
        let fits = millis >> (u64::BITS - SEQUENCE_BITS) == 0 && count >> SEQUENCE_BITS == 0;
        fits.then_some(millis << SEQUENCE_BITS | count)
    };
    parse().ok_or_else(|| {
        let id = String::from_utf8_lossy(id);
        Failure::unavailable(format!("{id:?} is not the id of an entry of this program"))
    })
}
