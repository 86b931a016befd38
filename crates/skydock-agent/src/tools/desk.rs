//! Where the servers of a conversation ask its user, and tell what they do.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::BoxFuture;
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction, ProgressNotificationParam};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    client::{Sample, Sampled, User},
    event::{Event, Question},
    listener::Listener,
    message::{Block, Message, Role},
    model::{Model, Request, Stop, Usage, answer},
};

/// Whether servers may have the model answer something for them (MCP's sampling).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sampling {
    /// When the user agrees, each time.
    #[default]
    Ask,
    /// Always.
    Allow,
    /// Not at all; servers are not told of it.
    Never,
}

/// The longest answer that a server gets, in tokens.
const LONGEST_SAMPLE: u32 = 4_096;
/// How much of what a server wants to be answered the user is shown, in characters.
const SHOWN: usize = 2_000;

/// The questions of a conversation that are open, and who listens to it.
#[derive(Debug)]
pub(crate) struct Desk {
    model: Arc<dyn Model>,
    sampling: Sampling,
    /// Whether the user can be asked while a server works.
    asks: bool,
    /// What answers for servers have cost.
    spent: Mutex<Usage>,
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
    pub(crate) fn new(model: Arc<dyn Model>, sampling: Sampling, asks: bool) -> Self {
        Self {
            model,
            sampling,
            asks,
            spent: Mutex::default(),
            listener: Mutex::default(),
            open: Mutex::default(),
        }
    }

    /// What answers for servers have cost since this was asked for.
    pub(crate) fn take_spent(&self) -> Usage {
        std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this one is told, and asked.
    pub(crate) fn listen(&self, listener: Option<Listener>) {
        let ended = listener.is_none();
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
        if ended {
            // nobody is left who could answer
            self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Whether the user has a question before them.
    pub(crate) fn is_asking(&self) -> bool {
        !self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
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
        self.wait_for(question).await
    }

    /// Asks, and waits for the answer as long as somebody could give it.
    async fn wait_for(&self, question: Question) -> Reply {
        let Some(listener) = self.listener() else {
            return Reply::Cancel;
        };
        let (sender, receiver) = oneshot::channel();
        let _open = Open {
            desk: self,
            id: question.id.clone(),
        };
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(question.id.clone(), sender);
        if !listener.tell(Event::Question(question)).await {
            return Reply::Cancel;
        }
        receiver.await.unwrap_or(Reply::Cancel)
    }

    /// Has the model answer for a server, when the user agrees.
    async fn sample(&self, server: &str, sample: Sample) -> Result<Sampled, String> {
        if self.sampling == Sampling::Ask {
            let mut shown: String = sample.system.iter().map(|system| format!("{system}\n")).collect();
            for (user, text) in &sample.messages {
                shown.push_str(&format!("{}: {text}\n", if *user { "user" } else { "model" }));
            }
            if let Some((cut, _)) = shown.char_indices().nth(SHOWN) {
                shown.truncate(cut);
                shown.push('…');
            }
            let question = Question {
                id: Uuid::new_v4().to_string(),
                server: server.to_owned(),
                message: format!(
                    "May the model answer this for {server}, and may {server} read the answer? {shown:?}"
                ),
                schema: Some(json!({"type": "object", "properties": {}})),
                url: None,
            };
            if !matches!(self.wait_for(question).await, Reply::Accept { .. }) {
                return Err("the user does not want the model to answer".to_owned());
            }
        }
        let mut messages: Vec<Message> = Vec::new();
        for (user, text) in sample.messages {
            let role = if user { Role::User } else { Role::Assistant };
            match messages.last_mut() {
                Some(last) if last.role == role => last.blocks.push(Block::Text { text }),
                _ => messages.push(Message {
                    role,
                    blocks: vec![Block::Text { text }],
                }),
            }
        }
        let request = Request {
            system: sample.system.as_deref().unwrap_or_default(),
            messages: &messages,
            tools: &[],
            max_tokens: Some(sample.max_tokens.min(LONGEST_SAMPLE)),
            user: "a server",
        };
        let (message, stop, usage) = answer(&*self.model, request)
            .await
            .map_err(|failure| failure.to_string())?;
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += usage;
        Ok(Sampled {
            text: message.text(),
            model: self.model.name().to_owned(),
            cut: stop == Stop::MaxTokens,
        })
    }
}

/// A question that is asked, until this is dropped: whoever asked it may be gone.
struct Open<'a> {
    desk: &'a Desk,
    id: String,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut open = self.desk.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.id);
    }
}

/// A server's way to the desk.
#[derive(Debug)]
pub(super) struct Window {
    desk: Arc<Desk>,
    server: String,
    /// Whether the server said that it has other tools now.
    changed: AtomicBool,
}

impl Window {
    pub(super) fn new(desk: Arc<Desk>, server: String) -> Self {
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

    fn samples(&self) -> bool {
        match self.desk.sampling {
            Sampling::Ask => self.desk.asks,
            Sampling::Allow => true,
            Sampling::Never => false,
        }
    }

    fn asks(&self) -> bool {
        self.desk.asks
    }

    fn sample(&self, sample: Sample) -> BoxFuture<'_, Result<Sampled, String>> {
        Box::pin(self.desk.sample(&self.server, sample))
    }

    fn tools_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }
}
