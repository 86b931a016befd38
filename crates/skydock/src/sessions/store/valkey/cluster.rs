//! A cluster: which of its servers has a key, and how to learn that anew when it changes.
//!
//! The library has a client for clusters too, `redis::cluster_async`. It is not used, because all requests go through
//! one task that does nothing else while it looks for the servers anew, and waits for ever when a request is in the
//! way of that: of 25 runs in which one of three servers was killed under load, 2 left no request answered any more
//! (redis 1.8.1; see also <https://github.com/redis-rs/redis-rs/issues/2092>). Here, requests to one server know
//! nothing of those to another.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{self, BoxFuture, Shared, select_ok},
};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind,
    Value, cmd,
};
use tokio::time::{Instant, sleep};

use super::server::{Server, is_broken};

const SLOTS: u16 = 16_384;
/// How often a request is sent on, or again, before its last error is told.
const TRIES: usize = 5;
/// Before a request is sent again, so that the cluster may come to terms with what has happened.
const PAUSE: Duration = Duration::from_millis(50);
/// What was learned just now need not be asked again.
const FRESH: Duration = Duration::from_millis(100);
/// How many servers are asked at once who has what.
const ASKED: usize = 4;

type Host = (String, u16);
type Learning = Shared<BoxFuture<'static, RedisResult<()>>>;

/// A cluster.
pub(super) struct Cluster(Arc<State>);

struct State {
    /// How to reach the server that was named, and with another address every other.
    info: ConnectionInfo,
    named: Arc<Server>,
    map: Mutex<Arc<Map>>,
    learning: Mutex<Option<Learning>>,
}

/// Who has what, as it was last heard.
#[derive(Default)]
struct Map {
    heard: Option<Instant>,
    /// The first slot, the last, and who has them.
    ranges: Vec<(u16, u16, Host)>,
    servers: HashMap<Host, Arc<Server>>,
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Arc<Server>> {
        let (_, _, host) = self
            .ranges
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        self.servers.get(host).cloned()
    }
}

impl Cluster {
    /// Connects to nothing yet.
    pub(super) fn new(info: ConnectionInfo) -> RedisResult<Self> {
        Ok(Self(Arc::new(State {
            named: Arc::new(Server::new(info.clone())?),
            info,
            map: Mutex::default(),
            learning: Mutex::default(),
        })))
    }

    /// Sends a command to the server that has the key; goes where that server says, or does it again when the server
    /// is lost, as often as makes sense.
    pub(super) async fn ask(&self, key: &str, command: &Cmd) -> RedisResult<Value> {
        let slot = slot(key);
        let mut moved = None;
        for _ in 1..TRIES {
            let server = match moved.take() {
                Some(server) => server,
                None => self.owner(slot).await?,
            };
            let error = match server.ask(command).await {
                Err(error) => error,
                answer => return answer,
            };
            match error.kind() {
                ErrorKind::Server(ServerErrorKind::Moved) => {
                    let learning = self.learn();
                    moved = self.0.redirected(&error);
                    if moved.is_none() {
                        drop(learning.await);
                    }
                }
                ErrorKind::Server(ServerErrorKind::Ask) => match self.0.redirected(&error) {
                    Some(newcomer) => return newcomer.ask_newcomer(command).await,
                    None => self.relearn().await,
                },
                // another one will have its keys before long, but who waited as long as this waits no longer
                _ if error.is_timeout() => {
                    drop(self.learn());
                    return Err(error);
                }
                ErrorKind::Server(ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown) => {
                    self.relearn().await;
                }
                _ if is_broken(&error) => self.relearn().await,
                _ => return Err(error),
            }
        }
        self.owner(slot).await?.ask(command).await
    }

    /// A server that can be reached.
    pub(super) async fn any(&self) -> RedisResult<Arc<Server>> {
        self.learn().await?;
        let servers = self.0.servers();
        let greet = |server: Arc<Server>| async move { server.ask(&cmd("PING")).await.map(|_| server) };
        let (server, _) = select_ok(servers.into_iter().map(|server| greet(server).boxed())).await?;
        Ok(server)
    }

    async fn owner(&self, slot: u16) -> RedisResult<Arc<Server>> {
        if let Some(owner) = self.0.map().owner(slot) {
            return Ok(owner);
        }
        self.learn().await?;
        let owner = self.0.map().owner(slot);
        owner.ok_or_else(|| {
            RedisError::from((
                ErrorKind::Client,
                "the cluster has no server for some of the keys",
            ))
        })
    }

    async fn relearn(&self) {
        sleep(PAUSE).await;
        // what is known will have to do
        drop(self.learn().await);
    }

    /// Learns who has what, unless that is being done or has just been. Goes on when nobody waits for it.
    fn learn(&self) -> Learning {
        let mut learning = self.0.learning();
        if let Some(learning) = learning.as_ref().filter(|learning| learning.peek().is_none()) {
            return learning.clone();
        }
        if self.0.map().heard.is_some_and(|heard| heard.elapsed() < FRESH) {
            return future::ready(Ok(())).boxed().shared();
        }
        let state = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let done = state.learn().await;
            *state.learning() = None;
            done
        });
        let task = task.map(|done| done.unwrap_or_else(|failed| Err(io::Error::other(failed).into())));
        learning.insert(task.boxed().shared()).clone()
    }
}

impl State {
    fn learning(&self) -> MutexGuard<'_, Option<Learning>> {
        self.learning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those to ask about the cluster: the one that was named, and some of the others.
    fn servers(&self) -> Vec<Arc<Server>> {
        let map = self.map();
        let others = map.servers.values().take(ASKED - 1);
        std::iter::once(&self.named)
            .chain(others)
            .map(Arc::clone)
            .collect()
    }

    /// The server to which an answer sends us, if it is a known one.
    fn redirected(&self, error: &RedisError) -> Option<Arc<Server>> {
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        let host = if host.is_empty() { self.host() } else { host };
        self.map()
            .servers
            .get(&(host.to_owned(), port.parse().ok()?))
            .cloned()
    }

    /// The host of the server that was named, which is also meant when a server names none.
    fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "",
        }
    }

    async fn learn(&self) -> RedisResult<()> {
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let ask = |server: Arc<Server>| {
            let slots = slots.clone();
            async move { server.ask(&slots).await }.boxed()
        };
        let (told, _) = select_ok(self.servers().into_iter().map(ask)).await?;
        let ranges = ranges(told, self.host())?;
        let known = self.map();
        let mut servers = HashMap::new();
        for (_, _, host) in &ranges {
            let server = match known.servers.get(host) {
                Some(server) => Arc::clone(server),
                None => Arc::new(Server::new(at(&self.info, host))?),
            };
            servers.insert(host.clone(), server);
        }
        *self.map.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Map {
            heard: Some(Instant::now()),
            ranges,
            servers,
        });
        Ok(())
    }
}

fn at(info: &ConnectionInfo, (host, port): &Host) -> ConnectionInfo {
    let (host, port) = (host.clone(), *port);
    let address = match info.addr() {
        ConnectionAddr::TcpTls {
            insecure, tls_params, ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

/// Reads the answer to `CLUSTER SLOTS`: for each range its first slot, its last, the primary, and its replicas.
/// <https://valkey.io/commands/cluster-slots/>
fn ranges(told: Value, named: &str) -> RedisResult<Vec<(u16, u16, Host)>> {
    let mut ranges = Vec::new();
    for range in Vec::<Value>::from_redis_value(told)? {
        let mut range = Vec::<Value>::from_redis_value(range)?.into_iter();
        let (Some(first), Some(last), Some(primary)) = (range.next(), range.next(), range.next()) else {
            continue;
        };
        let mut primary = Vec::<Value>::from_redis_value(primary)?.into_iter();
        let (Some(host), Some(port)) = (primary.next(), primary.next()) else {
            continue;
        };
        let host = match Option::<String>::from_redis_value(host)?.as_deref() {
            None | Some("") => named.to_owned(),
            // it does not know its own name yet
            Some("?") => continue,
            Some(host) => host.to_owned(),
        };
        let (first, last) = (u16::from_redis_value(first)?, u16::from_redis_value(last)?);
        ranges.push((first, last, (host, u16::from_redis_value(port)?)));
    }
    Ok(ranges)
}

/// The slot of a key that has no `{}`: CRC-16/XMODEM. <https://valkey.io/topics/cluster-spec/>
fn slot(key: &str) -> u16 {
    let crc = key.bytes().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc >> 15 == 1 { shifted ^ 0x1021 } else { shifted }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_key_has_the_slot_that_the_server_gives_it() {
        // from CLUSTER KEYSLOT, and the specification's own example
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot(""), 0);
    }

    #[test]
    fn the_map_is_read_with_and_without_names() {
        let range = |first, last, host| {
            let primary = Value::Array(vec![host, Value::Int(7_000), bulk("id"), Value::Array(vec![])]);
            let replica = Value::Array(vec![bulk("other"), Value::Int(7_001), bulk("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
        };
        let told = Value::Array(vec![
            range(0, 99, bulk("one")),
            range(100, 199, Value::Nil),
            range(200, 299, bulk("")),
            range(300, 399, bulk("?")),
        ]);
        let at = |host: &str| (host.to_owned(), 7_000);
        let wanted = [
            (0, 99, at("one")),
            (100, 199, at("named")),
            (200, 299, at("named")),
        ];
        assert_eq!(ranges(told, "named").unwrap(), wanted);
    }
}
