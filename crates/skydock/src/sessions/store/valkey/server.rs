//! One server, and the one connection to it that everything shares: made when it is needed, given up when in doubt.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    Value,
    aio::{MultiplexedConnection, PubSub},
};

/// A server that does not take a connection in this time is dead.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// So is one that does not answer in this time.
const ANSWER: Duration = Duration::from_millis(1_500);
/// A connection that nobody has used for this long is not trusted: a function in Lambda stands still between requests,
/// and what lies between it and the server may have forgotten the connection, which it would learn after [`ANSWER`].
const IDLE: Duration = Duration::from_secs(60);
/// Commands that wait to be written; more than the 50 of the library, for many sessions use the one connection.
const QUEUE: usize = 512;

/// A connection that is being made or has been. It is made in a task of its own, so that nobody has to wait for a
/// caller that was the first to need it and then does something else.
type Connection = Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>;

/// A server.
///
/// The library's own `ConnectionManager` is not used: it keeps a connection whose server does not answer or is no
/// longer the primary, and never tries again once a new connection was refused for another reason than the network.
pub(super) struct Server {
    client: Client,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    used: Option<Instant>,
}

impl Server {
    /// Connects to nothing yet.
    pub(super) fn new(info: ConnectionInfo) -> RedisResult<Self> {
        Ok(Self {
            client: Client::open(info)?,
            current: Mutex::default(),
        })
    }

    /// Sends a command and gives the answer.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let connection = self.connection();
        let answer = match connection.clone().await {
            Ok(mut open) => command.query_async(&mut open).await,
            Err(error) => Err(error),
        };
        self.judged(&connection, answer)
    }

    /// The same for a key that is just being moved to this server.
    pub(super) async fn ask_newcomer(&self, command: &Cmd) -> RedisResult<Value> {
        let mut asking = redis::pipe();
        asking.cmd("ASKING").ignore().add_command(command.clone());
        let connection = self.connection();
        let answer = match connection.clone().await {
            Ok(mut open) => asking.query_async(&mut open).await.map(|(answer,)| answer),
            Err(error) => Err(error),
        };
        self.judged(&connection, answer)
    }

    /// A connection of its own that hears what is published.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        self.client.get_async_pubsub().await
    }

    fn connection(&self) -> Connection {
        let mut current = self.current();
        if current
            .used
            .replace(Instant::now())
            .is_some_and(|used| used.elapsed() > IDLE)
        {
            current.connection = None;
        }
        let connection = current
            .connection
            .get_or_insert_with(|| connect(self.client.clone()));
        connection.clone()
    }

    /// Gives the connection up when it is no good any more, unless that has been done.
    fn judged(&self, used: &Connection, answer: RedisResult<Value>) -> RedisResult<Value> {
        if answer.as_ref().is_err_and(is_broken) || !matches!(used.peek(), Some(Ok(_))) {
            let mut current = self.current();
            if current
                .connection
                .as_ref()
                .is_some_and(|connection| connection.ptr_eq(used))
            {
                current.connection = None;
            }
        }
        answer
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another connection may do better: this one is cut, silent, or leads to what is no longer the primary.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn connect(client: Client) -> Connection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_pipeline_buffer_size(QUEUE);
    let making =
        tokio::spawn(async move { client.get_multiplexed_async_connection_with_config(&config).await });
    let made = making.map(|made| made.unwrap_or_else(|failed| Err(std::io::Error::other(failed).into())));
    made.boxed().shared()
}
