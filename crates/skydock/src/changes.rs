//! Something has changed that clients may want to hear of: told once, heard in both eras and at every instance.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, Peer, RoleServer,
    handler::server::common::{AsRequestContext, FromContextPart},
    model::{
        PromptListChangedNotification, ResourceListChangedNotification, ResourceUpdatedNotification,
        ResourceUpdatedNotificationParam, ServerNotification, ToolListChangedNotification,
    },
    service::{NotificationContext, RequestContext, SubscriptionSink},
};
use serde::{Deserialize, Serialize};

/// How long one client may keep the news from the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells clients that something has changed.
///
/// Whoever subscribed hears of it: streams of `subscriptions/listen` (2026-07-28), the standalone streams of sessions
/// (up to 2025-11-25) and the client on stdio; with a store of sessions that instances share (`--sessions`) also those
/// that are connected to other instances. A client hears of a resource when it subscribed to it, and of a list always
/// where the protocol has no subscription for that. What the capabilities do not announce nobody is told.
///
/// It is an extractor in `#[tool]` and `#[prompt]` methods; elsewhere [`Changes::from`] takes it from a context, and
/// [`Host::changes`](crate::Host::changes) gives it to those who have none.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Hub>);

impl Changes {
    /// The list of tools is not what it was.
    pub async fn tools(&self) {
        self.0.tell(Change::Tools).await;
    }

    /// The list of prompts is not what it was.
    pub async fn prompts(&self) {
        self.0.tell(Change::Prompts).await;
    }

    /// The list of resources is not what it was.
    pub async fn resources(&self) {
        self.0.tell(Change::Resources).await;
    }

    /// The resource with this URI is not what it was.
    pub async fn resource(&self, uri: impl Into<String>) {
        self.0.tell(Change::Resource(uri.into())).await;
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0
    }
}

impl From<&RequestContext<RoleServer>> for Changes {
    /// The request's way to tell. Without a [`Host`](crate::Host) around the handler nobody is told.
    fn from(context: &RequestContext<RoleServer>) -> Self {
        context.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

impl From<&NotificationContext<RoleServer>> for Changes {
    /// The way to tell. Without a [`Host`](crate::Host) around the handler nobody is told.
    fn from(context: &NotificationContext<RoleServer>) -> Self {
        context.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

impl<C: AsRequestContext> FromContextPart<C> for Changes {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Ok(Self::from(context.as_request_context()))
    }
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Tools,
    Prompts,
    Resources,
    /// One resource, by its URI.
    Resource(String),
}

impl Change {
    /// As a client hears of it.
    pub(crate) fn notification(&self) -> ServerNotification {
        match self {
            Self::Tools => {
                ServerNotification::ToolListChangedNotification(ToolListChangedNotification::default())
            }
            Self::Prompts => {
                ServerNotification::PromptListChangedNotification(PromptListChangedNotification::default())
            }
            Self::Resources => {
                ServerNotification::ResourceListChangedNotification(ResourceListChangedNotification::default())
            }
            Self::Resource(uri) => {
                let params = ResourceUpdatedNotificationParam::new(uri.clone());
                ServerNotification::ResourceUpdatedNotification(ResourceUpdatedNotification::new(params))
            }
        }
    }

    /// Whether somebody with these subscriptions hears of it.
    pub(crate) fn concerns(&self, subscriptions: &BTreeSet<String>) -> bool {
        match self {
            Self::Tools | Self::Prompts | Self::Resources => true,
            Self::Resource(uri) => subscriptions.contains(uri),
        }
    }
}

/// Where a change goes that is told here: the sessions here, and other instances.
pub(crate) trait Beyond: Send + Sync {
    /// Passes a change on.
    fn pass_on(&self, change: Change) -> BoxFuture<'_, ()>;
}

/// Who listens at this instance.
#[derive(Default)]
pub(crate) struct Hub {
    numbers: AtomicU64,
    sinks: Mutex<HashMap<u64, SubscriptionSink>>,
    /// The client on stdio, and what it subscribed to.
    pipe: Mutex<Option<(Peer<RoleServer>, BTreeSet<String>)>>,
    beyond: OnceLock<Weak<dyn Beyond>>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Hub")
            .field("sinks", &sinks)
            .finish_non_exhaustive()
    }
}

/// A stream is told of changes as long as it lives.
pub(crate) struct Listening {
    hub: Arc<Hub>,
    number: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut sinks = self.hub.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.remove(&self.number);
    }
}

impl Hub {
    /// Tells a stream of 2026-07-28 of changes until the guard is dropped.
    pub(crate) fn listen(self: &Arc<Self>, sink: SubscriptionSink) -> Listening {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.sinks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, sink);
        Listening {
            hub: Arc::clone(self),
            number,
        }
    }

    /// The client on stdio is told of changes.
    pub(crate) fn attach(&self, peer: Peer<RoleServer>) {
        *self.pipe.lock().unwrap_or_else(PoisonError::into_inner) = Some((peer, BTreeSet::new()));
    }

    /// Changes what the client on stdio subscribed to.
    pub(crate) fn subscriptions(&self, with: impl FnOnce(&mut BTreeSet<String>)) {
        if let Some((_, subscriptions)) = &mut *self.pipe.lock().unwrap_or_else(PoisonError::into_inner) {
            with(subscriptions);
        }
    }

    /// Passes changes on to sessions and other instances.
    pub(crate) fn connect(&self, beyond: Weak<dyn Beyond>) {
        // a hub belongs to one host
        let _ = self.beyond.set(beyond);
    }

    async fn tell(&self, change: Change) {
        self.tell_here(&change).await;
        let beyond = self.beyond.get().and_then(Weak::upgrade);
        if let Some(beyond) = beyond {
            beyond.pass_on(change).await;
        }
    }

    /// Tells the streams of this instance that have no session.
    pub(crate) async fn tell_here(&self, change: &Change) {
        let sinks: Vec<_> = self
            .sinks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        let pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let pipe = pipe.filter(|(_, subscriptions)| change.concerns(subscriptions));
        let told = sinks.iter().map(|sink| async {
            // what the filter leaves out, and a stream that has just ended, is no error
            let _ = tokio::time::timeout(PATIENCE, sink.send(change.notification())).await;
        });
        futures::future::join_all(told).await;
        if let Some((peer, _)) = pipe {
            let _ = tokio::time::timeout(PATIENCE, peer.send_notification(change.notification())).await;
        }
    }
}
