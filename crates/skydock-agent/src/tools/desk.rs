//! Where the servers of a conversation ask its user, and tell what they do.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::BoxFuture;
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction, ProgressNotificationParam};
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    client::User,
    event::{Event, Question},
    listener::Listener,
};

/// The questions of a conversation that are open, and who listens to it.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    listener: Mutex<Option<Listener>>,
    open: Mutex<HashMap<String, oneshot::Sender<Reply>>>,
}

/// What the user answers to a server's question.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Reply {
    /// Yes, with what the form asks for.
    Accept {
        /// The form's content.
        #[serde(default)]
        content: Option<Value>,
    },
    /// No.
    Decline,
    /// The user went away.
    Cancel,
}

impl From<Reply> for ElicitResult {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Accept { content } => {
                let mut result = Self::new(ElicitationAction::Accept);
                result.content = content;
                result
            }
            Reply::Decline => Self::new(ElicitationAction::Decline),
            Reply::Cancel => Self::new(ElicitationAction::Cancel),
        }
    }
}

impl Desk {
    /// From now on this one is told, and asked.
    pub(crate) fn listen(&self, listener: Option<Listener>) {
        let ended = listener.is_none();
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
        if ended {
            // nobody is left who could answer
            self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Answers a question; false when nobody asks it any more.
    pub(crate) fn reply(&self, id: &str, reply: Reply) -> bool {
        let waiting = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        waiting.is_some_and(|waiting| waiting.send(reply).is_ok())
    }

    fn listener(&self) -> Option<Listener> {
        self.listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn ask(&self, server: &str, asked: &ElicitRequestParams) -> Reply {
        let Some(listener) = self.listener() else {
            return Reply::Cancel;
        };
        let id = Uuid::new_v4().to_string();
        let question = match asked {
            ElicitRequestParams::FormElicitationParams {
                message,
                requested_schema,
                ..
            } => Question {
                id: id.clone(),
                server: server.to_owned(),
                message: message.clone(),
                schema: serde_json::to_value(requested_schema).ok(),
                url: None,
            },
            ElicitRequestParams::UrlElicitationParams { message, url, .. } => Question {
                id: id.clone(),
                server: server.to_owned(),
                message: message.clone(),
                schema: None,
                url: Some(url.clone()),
            },
            _ => return Reply::Decline,
        };
        let (sender, receiver) = oneshot::channel();
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        listener.tell(Event::Question(question)).await;
        receiver.await.unwrap_or(Reply::Cancel)
    }
}

/// A server's way to the desk.
#[derive(Debug)]
pub(super) struct Window {
    desk: std::sync::Arc<Desk>,
    server: String,
    /// Whether the server said that it has other tools now.
    changed: AtomicBool,
}

impl Window {
    pub(super) fn new(desk: std::sync::Arc<Desk>, server: String) -> Self {
        Self {
            desk,
            server,
            changed: AtomicBool::new(false),
        }
    }

    /// Whether the tools have changed since this was asked for.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}

impl User for Window {
    fn answer<'a>(&'a self, question: &'a ElicitRequestParams) -> BoxFuture<'a, ElicitResult> {
        Box::pin(async move { self.desk.ask(&self.server, question).await.into() })
    }

    fn progress(&self, progress: &ProgressNotificationParam) {
        if let (Some(listener), Some(text)) = (self.desk.listener(), &progress.message) {
            listener.mention(Event::Progress { text: text.clone() });
        }
    }

    fn tools_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }
}
