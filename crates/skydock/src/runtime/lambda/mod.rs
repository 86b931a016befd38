//! AWS Lambda: invocations are fetched one by one, translated to HTTP, and answered as the door they came by wants it.
//!
//! Our own client of the runtime API: see `docs/decisions/0006-our-own-lambda-runtime.md`.

mod answer;
mod client;
mod contract;
mod events;
#[cfg(test)]
mod golden;
mod invocation;
mod message;
mod path;
mod poller;
mod requests;
mod response;
mod values;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    client::Api,
    values::{Values, serve as serve_values},
};
use self::{
    client::{Client, Report},
    poller::{Poller, Work},
    requests::Requests,
};
pub use self::{
    invocation::Invocation,
    values::{Failed, Function},
};
use crate::error::Error;

/// How long the process may take to end after SIGTERM.
pub(crate) const SHUTDOWN: std::time::Duration = contract::SHUTDOWN;
/// The name of the internal extension.
const EXTENSION: &str = "skydock";

/// What a runtime of Lambda is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the runtime API is.
    pub(crate) api: Api,
    /// Whether doors that can take a stream get one.
    pub(crate) streams: bool,
    /// How many invocations are worked on at once.
    pub(crate) concurrency: usize,
    /// Handlers at work, those that wind up included.
    pub(crate) running: TaskTracker,
    /// What answers events that are no request.
    pub(crate) function: Option<Values>,
}

/// Answers invocations until `stop` is cancelled, and then those that are being worked on.
///
/// # Errors
/// When the runtime API cannot be used any more.
pub(crate) async fn serve(router: Router, settings: Settings, stop: CancellationToken) -> Result<(), Error> {
    let (api, concurrency) = (settings.api.clone(), settings.concurrency);
    work(api, concurrency, &Requests::new(router, settings), stop).await
}

/// Polls in so many lines at once, until `stop` is cancelled.
async fn work<W: Work + Clone + 'static>(
    api: Api,
    lines: usize,
    work: &W,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut first = Poller::new(api.clone(), work.clone());
    // Lambda sends SIGTERM to those only who have an extension, and takes registrations until the first poll
    let (_extension, ()) = tokio::join!(register(api.clone()), first.connect());
    let mut pollers = JoinSet::new();
    pollers.spawn(first.run(stop.clone()));
    for _ in 1..lines {
        pollers.spawn(Poller::new(api.clone(), work.clone()).run(stop.clone()));
    }
    while let Some(ended) = pollers.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return Err(Error::RuntimeApi(failure.into())),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => {}
        }
    }
    Ok(())
}

/// Tells Lambda that the function cannot start. What is wrong stands in the log, not in what callers read.
pub(crate) async fn report_start(api: &str) {
    let Ok(api) = api.parse() else { return };
    let report = Report {
        kind: "Skydock.Start",
        message: "the function could not start; its log says why".to_owned(),
    };
    if let Err(error) = Client::new(api).fail_to_start(&report).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "cannot report that the start failed"
        );
    }
}

/// Registers an extension within this process, which lives as long as what is returned.
async fn register(api: Api) -> Option<JoinSet<()>> {
    let mut client = Client::new(api);
    let registered = client.register(EXTENSION).await;
    let id = registered.inspect_err(|error| {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "no extension could be registered, so there will be no time to shut down in order"
        );
    });
    let id = id.ok()?;
    let mut extension = JoinSet::new();
    extension.spawn(async move {
        if let Err(error) = client.next_event(id).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the extension has ended"
            );
        }
    });
    Some(extension)
}
