//! A server of a conversation: its connection, which is made again when it breaks.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures::future::BoxFuture;
use reqwest::Url;
use rmcp::model::{CallToolRequestParams, CallToolResult, Tool};
use tokio::time::Instant;

use super::desk::{Desk, Window};
use crate::client::{Browser, Client, Error, Setup, Target, tell};

/// How many different offers are looked through for one that is alike.
const OFFERS: usize = 64;
/// How long after a failed attempt the next one is made.
const RETRY: Duration = Duration::from_secs(5);

/// A server that the agent is to use.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// What its tools' names begin with for the model, when it is given.
    pub prefix: Option<String>,
    /// Where it is.
    pub target: Target,
    /// How to connect.
    pub setup: Setup,
}

impl Upstream {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        self.prefix.clone().unwrap_or_else(|| self.target.to_string())
    }
}

/// What a server has, and how it wants to be used.
#[derive(Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) tools: Vec<Tool>,
    pub(super) instructions: Option<String>,
}

impl Offer {
    /// The same offer as another conversation's, when that is alike: most conversations have the same servers, and schemas
    /// are the largest part of what is kept of one.
    fn shared(self) -> Arc<Self> {
        static KNOWN: Mutex<Vec<Weak<Offer>>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|offer| offer.strong_count() > 0);
        let alike = known
            .iter()
            .filter_map(Weak::upgrade)
            .find(|offer| **offer == self);
        alike.unwrap_or_else(|| {
            let offer = Arc::new(self);
            if known.len() < OFFERS {
                known.push(Arc::downgrade(&offer));
            }
            offer
        })
    }
}

/// A server, connected or not. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Upstream,
    window: Arc<Window>,
    state: Mutex<State>,
    /// One attempt to connect at a time.
    attempt: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    client: Option<Arc<Client>>,
    offer: Option<Arc<Offer>>,
    /// When it was last tried in vain, and what came of it.
    failed: Option<(Instant, String)>,
}

/// Why a call came to nothing.
pub(super) enum Broken {
    /// It was not made.
    Unreachable(String),
    /// It was made, and nobody knows what came of it.
    Unknown(String),
    /// The server said that it cannot be made.
    Answer(String),
}

impl Server {
    pub(super) fn new(upstream: Upstream, desk: &Arc<Desk>) -> Self {
        let window = Window::new(Arc::clone(desk), upstream.name());
        Self(Arc::new(Inner {
            upstream,
            window: Arc::new(window),
            state: Mutex::default(),
            attempt: tokio::sync::Mutex::default(),
        }))
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has. Nobody waits a second time for a server that was not there the first time: it is tried again beside.
    pub(super) async fn offer(&self) -> Result<Arc<Offer>, String> {
        if self.0.window.take_changed() {
            self.state().offer = None;
        }
        let failed = {
            let state = self.state();
            if let (Some(_), Some(offer)) = (&state.client, &state.offer) {
                return Ok(Arc::clone(offer));
            }
            state.failed.clone()
        };
        let Some((when, why)) = failed else {
            return self.ask().await;
        };
        if when.elapsed() >= RETRY && self.0.attempt.try_lock().is_ok() {
            let server = self.clone();
            tokio::spawn(async move { server.ask().await });
        }
        Err(why)
    }

    async fn ask(&self) -> Result<Arc<Offer>, String> {
        let client = self.client().await?;
        let server = client.server();
        let instructions = server.as_ref().and_then(|server| server.instructions.clone());
        let none = server.is_some_and(|server| server.capabilities.tools.is_none());
        // as long as for the handshake: a conversation waits for it
        let patience = self.0.upstream.setup.patience;
        let tools = async {
            if none {
                Ok(Vec::new())
            } else {
                client.tools().await
            }
        };
        let tools = match tokio::time::timeout(patience, tools).await {
            Ok(tools) => tools,
            Err(_elapsed) => Err(Error::Overdue { patience }),
        };
        match tools {
            Ok(tools) => {
                let offer = Offer { tools, instructions }.shared();
                self.state().offer = Some(Arc::clone(&offer));
                Ok(offer)
            }
            Err(error) => {
                let why = tell(&error);
                self.lost(&client);
                self.state().failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// Calls a tool. When the connection turns out to be broken, a new one is made; the call is made again on it when
    /// that can do no harm.
    pub(super) async fn call(
        &self,
        params: CallToolRequestParams,
        repeatable: bool,
    ) -> Result<CallToolResult, Broken> {
        let mut again = repeatable;
        loop {
            let client = self.client().await.map_err(Broken::Unreachable)?;
            let error = match client.call_tool(params.clone()).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            match error {
                Error::Answer { .. } => return Err(Broken::Answer(tell(&error))),
                // the connection is sound, and a second wait would not be shorter
                Error::Overdue { .. } => return Err(Broken::Unknown(tell(&error))),
                error => {
                    self.lost(&client);
                    if !std::mem::replace(&mut again, false) {
                        return Err(Broken::Unknown(tell(&error)));
                    }
                }
            }
        }
    }

    /// Ends the connection in order.
    pub(super) async fn close(&self) {
        let client = self.state().client.take();
        if let Some(client) = client.and_then(Arc::into_inner) {
            client.close().await;
        }
    }

    /// The connection, which is made when there is none.
    async fn client(&self) -> Result<Arc<Client>, String> {
        let _one = self.0.attempt.lock().await;
        if let Some(client) = &self.state().client {
            return Ok(Arc::clone(client));
        }
        let user = Arc::<Window>::clone(&self.0.window);
        let Upstream { target, setup, .. } = &self.0.upstream;
        let connected = Client::connect(target, setup, user, Arc::new(NoBrowser)).await;
        let mut state = self.state();
        match connected {
            Ok(client) => {
                let client = Arc::new(client);
                *state = State {
                    client: Some(Arc::clone(&client)),
                    ..State::default()
                };
                Ok(client)
            }
            Err(error) => {
                let why = tell(&error);
                state.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// Forgets a connection that did not hold.
    fn lost(&self, broken: &Arc<Client>) {
        let mut state = self.state();
        if state
            .client
            .as_ref()
            .is_some_and(|client| Arc::ptr_eq(client, broken))
        {
            *state = State::default();
        }
    }
}

/// An agent cannot go to a login page: it needs a token beforehand.
struct NoBrowser;

impl Browser for NoBrowser {
    fn redirect_uri(&self) -> String {
        "http://127.0.0.1/callback".to_owned()
    }

    fn visit<'a>(&'a self, page: &'a Url) -> BoxFuture<'a, Result<Url, Error>> {
        let host = page.host_str().unwrap_or_default().to_owned();
        Box::pin(async move {
            Err(Error::LoginRefused {
                code: "login_required".to_owned(),
                description: format!(": an agent cannot log in at {host}; give it a token"),
            })
        })
    }
}
