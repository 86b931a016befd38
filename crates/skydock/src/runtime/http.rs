//! HTTP on an address: ECS, EKS, AgentCore, a laptop.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;

use super::Drain;
use crate::{error::Error, limits::Limits};

/// Binds the address.
///
/// # Errors
/// When it is taken, or not ours.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

/// Accepts connections until `drain` has finished, then closes those that are idle and waits for the others until the
/// drain's deadline. Connections end with this future.
pub(crate) async fn serve(listener: TcpListener, router: Router, drain: Drain, limits: Limits) {
    let http = protocol(&limits);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = drain.streams().cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            continue;
        };
        let spoken = Arc::new(AtomicBool::new(false));
        let service = TowerToHyperService::new(into_service(router.clone(), Arc::clone(&spoken)));
        let connection = http
            .serve_connection_with_upgrades(TokioIo::new(bounded(stream, &limits)), service)
            .into_owned();
        let connection = graceful.watch(connection);
        let opening = limits.head_timeout;
        connections.spawn(async move {
            let _place = permit;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                // a connection that has sent no whole request by now is not worth its place
                () = silence(opening, &spoken) => return,
            };
            // a peer that goes away in the middle is not an event
            if let Err(error) = ended {
                tracing::debug!(error, "connection ended early");
            }
        });
    }
    drop(listener);
    let deadline = drain.deadline();
    if tokio::time::timeout_at(deadline, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the grace period");
    }
}

fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // hyper's clock for a head runs while a connection is idle too, so this is the time that one may be
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.idle_timeout)
        .max_concurrent_streams(32);
    http
}

/// Ends after `time` if no request has come by then, and never if one has.
async fn silence(time: Duration, spoken: &AtomicBool) {
    tokio::time::sleep(time).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// A connection whose peer must go on reading what it is sent.
fn bounded(stream: TcpStream, limits: &Limits) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    Box::pin(stream)
}

/// The next connection, when there is room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _peer)) => {
            // without it each streamed answer waits 44 ms for the client's delayed ACK
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            // out of file descriptors: the next try would fail at once, and the one after
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn into_service(
    router: Router,
    spoken: Arc<AtomicBool>,
) -> impl tower::Service<
    http::Request<hyper::body::Incoming>,
    Response = http::Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<http::Response<Body>, Infallible>> + Send,
> + Clone {
    tower::ServiceExt::map_request(router, move |request: http::Request<hyper::body::Incoming>| {
        spoken.store(true, Ordering::Relaxed);
        request.map(Body::new)
    })
}
