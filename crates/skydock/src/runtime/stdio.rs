//! A program that a client starts: requests on stdin, answers on stdout.

use std::time::Duration;

use rmcp::{ServerHandler, service::ServiceExt, transport::io::stdio_pipes};
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
    let serving = async {
        let service = match handler.serve_with_ct(stdio_pipes(), stop.clone()).await {
            Ok(service) => service,
            // a client that goes away before it says anything has changed its mind
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(Error::Handshake(error.into())),
        };
        if let Err(error) = service.waiting().await {
            tracing::error!(%error, "the service loop ended early");
        }
        Ok(())
    };
    let signalled = async {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping");
        stop.cancel();
        running.close();
        tokio::select! {
            () = running.wait() => {}
            () = tokio::time::sleep(grace) => tracing::warn!("handlers were still at work at the end of the grace period"),
            _ = signals.next() => {}
        }
        // tokio reads stdin on a thread that nothing can interrupt unless stdin is a pipe; do not wait for it
        end_process()
    };
    let ended = tokio::select! {
        ended = serving => ended,
        never = signalled => match never {},
    };
    stop.cancel();
    running.close();
    if tokio::time::timeout(grace, running.wait()).await.is_err() {
        tracing::warn!("handlers were still at work at the end of the grace period");
    }
    ended
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a blocked read of stdin would keep the process for ever"
)]
fn end_process() -> std::convert::Infallible {
    std::process::exit(0)
}
