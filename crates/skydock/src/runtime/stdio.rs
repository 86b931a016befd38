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

/// What stdio shares with the handlers that it serves: how to tell them to stop, and whether they are still at work.
#[derive(Debug, Clone)]
pub(crate) struct Handlers {
    /// Tells them to stop.
    pub(crate) stop: CancellationToken,
    /// Those at work.
    pub(crate) running: TaskTracker,
    /// How long they may wind up.
    pub(crate) grace: Duration,
}

impl Handlers {
    /// Tells handlers to stop, and waits until they have, at most for the grace period.
    async fn wind_up(&self) {
        self.stop.cancel();
        self.running.close();
        if tokio::time::timeout(self.grace, self.running.wait())
            .await
            .is_err()
        {
            tracing::warn!("handlers were still at work at the end of the grace period");
        }
    }
}

/// How long the last answers may take on their way out.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Serves until the client closes stdin or a signal comes. Handlers are told to stop and may wind up; what they say is
/// still delivered. A second signal ends at once.
///
/// # Errors
/// When the client does not open the connection as MCP asks.
pub(crate) async fn serve<H: ServerHandler>(
    handler: H,
    handlers: Handlers,
    mut signals: Signals,
) -> Result<(), Error> {
    let close = CancellationToken::new();
    let mut conversation = std::pin::pin!(converse(handler, stdio_pipes(), &close));
    tokio::select! {
        ended = &mut conversation => {
            tokio::select! {
                () = handlers.wind_up() => {}
                _ = signals.next() => {}
            }
            return ended;
        }
        signal = signals.next() => tracing::info!(signal, "stopping; a second signal ends at once"),
    }
    let ending = async {
        // the conversation goes on meanwhile, so that the answers get out
        tokio::select! {
            _ = &mut conversation => return,
            () = handlers.wind_up() => {}
        }
        close.cancel();
        let _ = tokio::time::timeout(LAST_WORDS, conversation).await;
    };
    tokio::select! {
        () = ending => {}
        _ = signals.next() => {}
    }
    // tokio reads stdin on a thread that nothing can interrupt unless stdin is a pipe; do not wait for it
    match end_process() {}
}

/// Serves one client on any transport until it goes away, and lets its handlers wind up.
///
/// # Errors
/// When the client does not open the connection as MCP asks.
pub(crate) async fn serve_on<H, T, E, A>(handler: H, transport: T, handlers: Handlers) -> Result<(), Error>
where
    H: ServerHandler,
    T: IntoTransport<RoleServer, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let ended = converse(handler, transport, &CancellationToken::new()).await;
    handlers.wind_up().await;
    ended
}

async fn converse<H, T, E, A>(handler: H, transport: T, close: &CancellationToken) -> Result<(), Error>
where
    H: ServerHandler,
    T: IntoTransport<RoleServer, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let service = match handler.serve_with_ct(transport, close.clone()).await {
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

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a blocked read of stdin would keep the process for ever"
)]
fn end_process() -> std::convert::Infallible {
    std::process::exit(0)
}
