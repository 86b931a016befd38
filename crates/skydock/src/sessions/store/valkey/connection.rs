//! The one connection to Valkey that everything shares: made when it is needed, given up when it is in doubt.

use std::{io, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

/// A server that does not take a connection in this time is dead.
const CONNECT: Duration = Duration::from_secs(1);
/// So is one that does not answer in this time.
const ANSWER: Duration = Duration::from_millis(1_500);
/// What a caller waits at most: for a connection, an answer, and a second try when the connection was found broken.
const WHOLE: Duration = Duration::from_secs(2);
/// Before the second try, in which a server may come back or a cluster find its new primary.
const PAUSE: Duration = Duration::from_millis(50);
/// An idle connection is asked for a sign of life, since what lies between may forget it.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Commands that wait to be written; more than the 50 of the library, for many sessions use the one connection.
const QUEUE: usize = 512;
/// The library's own tries on a cluster: redirections, and nodes that have just failed.
const CLUSTER_RETRIES: u32 = 6;
const CLUSTER_RETRY_WAIT: (u64, u64) = (10, 200);

/// How to reach the server or the cluster.
enum Way {
    Server(Client),
    /// The client beside it is for what goes to any node.
    Cluster(Box<ClusterClient>, Client),
}

/// A connection, which all requests share; answers come in the order of the requests.
#[derive(Clone)]
enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// The connection, if there is one, and its number, so that the same one is not given up twice.
#[derive(Default)]
struct Current {
    number: u64,
    connection: Option<Connection>,
}

/// A connection that makes itself anew.
///
/// The library's own `ConnectionManager` is not used: it keeps a connection whose server does not answer or is no
/// longer the primary, and never tries again once a new connection was refused for another reason than the network.
pub(super) struct Link {
    way: Way,
    current: Mutex<Current>,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(url: &str, cluster: bool) -> RedisResult<Self> {
        // whoever links the program may have linked a second provider; rustls refuses to choose between two
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let settings = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE).with_interval(CONNECT));
        // what was sent and not even acknowledged: the other side is gone
        #[cfg(target_os = "linux")]
        let settings = settings.set_user_timeout(WHOLE);
        let info = url.into_connection_info()?.set_tcp_settings(settings.clone());
        let client = Client::open(info.clone())?;
        let way = if cluster {
            Way::Cluster(Box::new(cluster_client(info, settings)?), client)
        } else {
            Way::Server(client)
        };
        Ok(Self {
            way,
            current: Mutex::default(),
        })
    }

    /// Sends a command and gives the answer; does so a second time when the connection was found broken or the server
    /// is no longer the primary. So a command must do no harm when it is done twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let both = async {
            match self.attempt(command).await {
                Err(error) if broken(&error) && !error.is_timeout() => {
                    sleep(PAUSE).await;
                    self.attempt(command).await
                }
                answer => answer,
            }
        };
        let value = timeout(WHOLE, both).await.unwrap_or_else(|_| Err(late()))?;
        Ok(T::from_redis_value(value)?)
    }

    /// A connection of its own that hears what is published.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        let (Way::Server(client) | Way::Cluster(_, client)) = &self.way;
        timeout(WHOLE, client.get_async_pubsub())
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn attempt(&self, command: &Cmd) -> RedisResult<Value> {
        let (number, mut connection) = self.connection().await?;
        let answer = connection.req_packed_command(command).await;
        let answer = answer.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(|error| connection.is_lost(error)) {
            self.give_up(number).await;
        }
        answer
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        let connection = self.connect().await?;
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    async fn connect(&self) -> RedisResult<Connection> {
        match &self.way {
            Way::Server(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(ANSWER))
                    .set_pipeline_buffer_size(QUEUE);
                let connection = client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?;
                Ok(Connection::Server(connection))
            }
            Way::Cluster(client, _) => Ok(Connection::Cluster(client.get_async_connection().await?)),
        }
    }

    async fn give_up(&self, number: u64) {
        let mut current = self.current.lock().await;
        if number == current.number {
            current.connection = None;
        }
    }
}

impl Connection {
    /// Whether the connection is no good any more. One to a cluster mends itself, as long as it knows a living node.
    fn is_lost(&self, error: &RedisError) -> bool {
        match self {
            Self::Server(_) => broken(error),
            Self::Cluster(_) => error.kind() == ErrorKind::ClusterConnectionNotFound,
        }
    }
}

/// Whether another connection may do better: this one is cut, silent, or leads to what is no longer the primary.
fn broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn late() -> RedisError {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer in {} s", WHOLE.as_secs()),
    )
    .into()
}

fn cluster_client(info: ConnectionInfo, settings: TcpSettings) -> RedisResult<ClusterClient> {
    let (shortest, longest) = CLUSTER_RETRY_WAIT;
    ClusterClient::builder([info])
        .tcp_settings(settings)
        .connection_timeout(CONNECT)
        .response_timeout(ANSWER)
        .overall_response_timeout(Some(WHOLE))
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(shortest)
        .max_retry_wait(longest)
        .build()
}
