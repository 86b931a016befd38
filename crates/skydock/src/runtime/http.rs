//! HTTP on an address: ECS, EKS, AgentCore, a laptop.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{Drain, opening::Opening};
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

/// Accepts connections until `drain` has finished, then closes those that are idle and waits for the others, at most
/// for `limits.grace`.
pub(crate) async fn serve(listener: TcpListener, router: Router, drain: Drain, limits: &Limits) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            () = drain.streams().cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            continue;
        };
        let service = TowerToHyperService::new(into_service(router.clone()));
        let connection = http
            .serve_connection_with_upgrades(TokioIo::new(Opening::new(stream, limits.head_timeout)), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // a peer that goes away in the middle is not an event
            if let Err(error) = connection.await {
                tracing::debug!(error, "connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the grace period");
    }
}

/// The next connection, when there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
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
) -> impl tower::Service<
    http::Request<hyper::body::Incoming>,
    Response = http::Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<http::Response<Body>, Infallible>> + Send,
> + Clone {
    tower::ServiceExt::map_request(router, |request: http::Request<hyper::body::Incoming>| {
        request.map(Body::new)
    })
}
