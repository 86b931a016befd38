//! The way to what holds the data, be it one server or a cluster, and how long a caller waits at most.

use std::{io, sync::Arc, time::Duration};

use redis::{
    Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind,
    aio::PubSub,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::time::{sleep, timeout};

use super::{
    cluster::Cluster,
    server::{CONNECT, Server, is_broken},
};

/// What a caller waits at most: for a connection, an answer, and another try when the connection was found broken.
const WHOLE: Duration = Duration::from_secs(2);
/// Before the other try, in which a server may come back.
const PAUSE: Duration = Duration::from_millis(50);
/// An idle connection is asked for a sign of life, since what lies between may forget it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A server or a cluster.
pub(super) enum Link {
    Server(Arc<Server>),
    Cluster(Cluster),
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(url: &str, cluster: bool) -> RedisResult<Self> {
        // whoever links the program may have linked a second provider; rustls refuses to choose between two
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(CONNECT);
        let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        // what was sent and not even acknowledged: the other side is gone
        #[cfg(target_os = "linux")]
        let settings = settings.set_user_timeout(WHOLE);
        let info = url.into_connection_info()?.set_tcp_settings(settings);
        Ok(if cluster {
            Self::Cluster(Cluster::new(info)?)
        } else {
            Self::Server(Arc::new(Server::new(info)?))
        })
    }

    /// Sends a command about a key and gives the answer. A connection that is found broken is made anew, and the
    /// command sent again, so it must do no harm when it is done twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> RedisResult<T> {
        let ask = async {
            match self {
                Self::Cluster(cluster) => cluster.ask(key, command).await,
                Self::Server(server) => match server.ask(command).await {
                    Err(error) if is_broken(&error) && !error.is_timeout() => {
                        sleep(PAUSE).await;
                        server.ask(command).await
                    }
                    answer => answer,
                },
            }
        };
        match timeout(WHOLE, ask).await.unwrap_or_else(|_| Err(late())) {
            Ok(value) => Ok(T::from_redis_value(value)?),
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                Err(RedisError::from((
                    ErrorKind::Client,
                    "this is one server of a cluster; add ?cluster=true to its URL",
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// A connection of its own that hears what is published, wherever in a cluster.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        let listen = async {
            let server = match self {
                Self::Server(server) => Arc::clone(server),
                Self::Cluster(cluster) => cluster.any().await?,
            };
            server.listen().await
        };
        timeout(WHOLE, listen).await.unwrap_or_else(|_| Err(late()))
    }
}

fn late() -> RedisError {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer in {} s", WHOLE.as_secs()),
    )
    .into()
}
