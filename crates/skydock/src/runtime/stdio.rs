//! A program that a client starts: requests on stdin, answers on stdout.

use std::time::Duration;

use rmcp::{
    RoleServer, ServerHandler,
    service::{ServerInitializeError, ServiceExt},
    transport::{IntoTransport, io::stdio_pipes},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Signals;
use crate::error::Error;

/// Serves until the client closes stdin or a signal comes. Handlers are told to stop and have `grace` to wind up.
///
/// # Errors
/// When the client does not open the connection as MCP asks.
pub(crate) async fn serve<H: ServerHandler>(
    handler: H,
    running: TaskTracker,
    grace: Duration,
    mut signals: Signals,
) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let signalled = async {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping");
        tokio::select! {
            () = wind_up(&stop, &running, grace) => {}
            _ = signals.next() => {}
        }
        // tokio reads stdin on a thread that nothing can interrupt unless stdin is a pipe; do not wait for it
        end_process()
    };
    let ended = tokio::select! {
        ended = converse(handler, stdio_pipes(), &stop) => ended,
        never = signalled => match never {},
    };
    wind_up(&stop, &running, grace).await;
    ended
}

/// Serves one client on any transport until it goes away, and lets its handlers wind up.
///
/// # Errors
/// When the client does not open the connection as MCP asks.
pub(crate) async fn serve_on<H, T, E, A>(
    handler: H,
    transport: T,
    running: TaskTracker,
    grace: Duration,
) -> Result<(), Error>
where
    H: ServerHandler,
    T: IntoTransport<RoleServer, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let stop = CancellationToken::new();
    let ended = converse(handler, transport, &stop).await;
    wind_up(&stop, &running, grace).await;
    ended
}

async fn converse<H, T, E, A>(handler: H, transport: T, stop: &CancellationToken) -> Result<(), Error>
where
    H: ServerHandler,
    T: IntoTransport<RoleServer, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let service = match handler.serve_with_ct(transport, stop.clone()).await {
        Ok(service) => service,
        // a client that goes away before it says anything has changed its mind
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(Error::Handshake(error.into())),
    };
    if let Err(error) = service.waiting().await {
        tracing::error!(%error, "the service loop ended early");
    }
    Ok(())
}

/// Tells handlers to stop, and waits until they have, at most for `grace`.
async fn wind_up(stop: &CancellationToken, running: &TaskTracker, grace: Duration) {
    stop.cancel();
    running.close();
    if tokio::time::timeout(grace, running.wait()).await.is_err() {
        tracing::warn!("handlers were still at work at the end of the grace period");
    }
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a blocked read of stdin would keep the process for ever"
)]
fn end_process() -> std::convert::Infallible {
    std::process::exit(0)
}
