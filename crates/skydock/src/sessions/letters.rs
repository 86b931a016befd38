//! What instances tell each other: letters that were fetched from the mailbox, and what is done about them; and what a
//! client sends that concerns a request which is at work, wherever that is.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, JsonRpcMessage, ProgressToken};

use super::{
    Absent, NEWS, Sessions,
    post::{Inbox, Letter},
    resident::{Resident, addressee},
};
use crate::changes::{Beyond, Change};

/// How long a letter waits for a service that takes no messages.
const DELIVERY: Duration = Duration::from_secs(5);

impl Sessions {
    /// Says that this instance lives, as long as somebody holds the sessions.
    pub(super) async fn announce(sessions: Weak<Self>) {
        let Some(post) = sessions.upgrade().map(|sessions| Arc::clone(&sessions.post)) else {
            return;
        };
        let mut announcing = std::pin::pin!(post.announce());
        while sessions.strong_count() > 0 {
            if tokio::time::timeout(NEWS, &mut announcing).await.is_ok() {
                return;
            }
        }
    }

    /// Looks into the mailbox as long as somebody holds the sessions, and does what the letters say.
    pub(super) async fn run(sessions: Weak<Self>) {
        let mut inbox = Inbox::default();
        let Some(post) = sessions.upgrade().map(|sessions| Arc::clone(&sessions.post)) else {
            return;
        };
        while sessions.strong_count() > 0 {
            for letter in post.look(&mut inbox).await {
                let Some(sessions) = sessions.upgrade() else {
                    return;
                };
                sessions.read(letter);
            }
        }
    }

    /// Does what a letter says. Whatever takes time holds up nobody else's letters.
    fn read(self: Arc<Self>, letter: Letter) {
        match letter {
            Letter::Deliver { session, message } => self.take_in(&session, *message),
            Letter::Ended { session } => self.forget(&session),
            Letter::Changed { session } => drop(tokio::spawn(async move {
                if let Some(resident) = self.resident(&session) {
                    // what became of it is in the record, or the session is gone
                    let _ = self.confirm(&resident, false).await;
                    resident.heard.notify_waiters();
                }
            })),
            Letter::Heard { session } => {
                if let Some(resident) = self.resident(&session) {
                    resident.heard.notify_waiters();
                }
            }
            Letter::Share { session, stream } => self.share(&session, &stream),
            Letter::Call { from, number, body } => self.answer_call(from, number, body),
            Letter::Reply { number, body } => self.calls.reply(number, body),
            Letter::Change(change) => drop(tokio::spawn(async move {
                self.look_for_changes();
                self.hub.tell_here(&change).await;
            })),
        }
    }

    /// A message that another instance has taken in, for something that is at work here: in the order of the letters,
    /// unless the service does not take it at once.
    fn take_in(self: Arc<Self>, session: &str, message: ClientJsonRpcMessage) {
        let Some(resident) = self.resident(session) else {
            return;
        };
        let mut delivered = Box::pin(async move {
            let delivered = match &message {
                JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
                    self.answer(&resident, message).await
                }
                JsonRpcMessage::Notification(_) => self.notify(&resident, message).await.map(drop),
                JsonRpcMessage::Request(_) => Ok(()),
            };
            if let Err(error) = delivered {
                tracing::debug!(%error, "cannot deliver a message from another instance");
            }
        });
        if (&mut delivered).now_or_never().is_none() {
            tokio::spawn(tokio::time::timeout(DELIVERY, delivered));
        }
    }

    /// Gives an answer of the client to whoever asked, here or elsewhere.
    pub(super) async fn answer(
        &self,
        resident: &Arc<Resident>,
        mut message: ClientJsonRpcMessage,
    ) -> Result<(), Absent> {
        let id = match &mut message {
            JsonRpcMessage::Response(response) => Some(&mut response.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let Some(id) = id else { return Ok(()) };
        let Some((instance, number)) = addressee(id) else {
            tracing::debug!("an answer to a question that nobody has asked");
            return Ok(());
        };
        if *instance != *self.post.instance {
            let instance = instance.to_owned();
            return self.send_on(&instance, resident, message).await;
        }
        let asked = resident.answered(number);
        let service = resident.service();
        if let (Some(asked), Some((_, service))) = (asked, service) {
            *id = asked;
            if service.send(message).await.is_ok() {
                return Ok(());
            }
        }
        tracing::debug!("an answer came when nobody waited for it any more");
        Ok(())
    }

    /// Sends a message of the client to the instance that it is for.
    async fn send_on(
        &self,
        instance: &str,
        resident: &Resident,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Absent> {
        if !self.store.is_shared() {
            tracing::debug!("a message to an instance that is not there");
            return Ok(());
        }
        let letter = Letter::Deliver {
            session: resident.id.to_string(),
            message: Box::new(message),
        };
        Ok(self.post.send(instance, &letter).await?)
    }

    /// Takes in a notification of the client that is about a request of either side, which may be at work anywhere.
    pub(super) async fn pass_notice(
        &self,
        resident: &Arc<Resident>,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Absent> {
        if let Some(token) = progress_token(&message) {
            let Some((instance, _)) = addressee(&token.0) else {
                tracing::debug!("the progress of something that nobody has asked for");
                return Ok(());
            };
            if *instance != *self.post.instance {
                return self.send_on(instance, resident, message).await;
            }
        }
        if self.notify(resident, message.clone()).await? || !self.store.is_shared() {
            return Ok(());
        }
        let letter = Letter::Deliver {
            session: resident.id.to_string(),
            message: Box::new(message),
        };
        Ok(self.post.send_all(&letter).await?)
    }

    /// Gives a notification to the service here, if it concerns that one; says whether it did.
    async fn notify(
        &self,
        resident: &Arc<Resident>,
        mut message: ClientJsonRpcMessage,
    ) -> Result<bool, Absent> {
        let JsonRpcMessage::Notification(notification) = &mut message else {
            return Ok(false);
        };
        let cancelled = match &mut notification.notification {
            ClientNotification::CancelledNotification(cancelled) => {
                let id = cancelled.params.request_id.clone();
                let Some(flow) = id.and_then(|id| resident.flow(&id)) else {
                    return Ok(false);
                };
                Some(flow)
            }
            ClientNotification::ProgressNotification(progress) => {
                let token = &mut progress.params.progress_token;
                let own = addressee(&token.0).filter(|(instance, _)| **instance == *self.post.instance);
                let Some((_, number)) = own else {
                    return Ok(false);
                };
                let Some(asked) = resident.token_of(number) else {
                    // the question is not open any more, and it was asked here
                    return Ok(true);
                };
                *token = asked;
                None
            }
            _ => return Ok(false),
        };
        let Some((_, service)) = resident.service() else {
            return Ok(false);
        };
        let sent = service.send(message).await.is_ok();
        if let Some(flow) = cancelled.filter(|flow| resident.finish(flow)) {
            // rmcp answers nothing that was cancelled, and nobody waits for what was asked for it
            resident.drop_questions(&self.post.instance, flow.line, &flow.request);
            flow.end();
            self.flows(|flows| flows.ended(&flow));
        }
        Ok(sent)
    }
}

fn progress_token(message: &ClientJsonRpcMessage) -> Option<ProgressToken> {
    match message {
        JsonRpcMessage::Notification(notification) => match &notification.notification {
            ClientNotification::ProgressNotification(progress) => {
                Some(progress.params.progress_token.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

impl Beyond for Sessions {
    fn pass_on(&self, change: Change) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.keep_change(&change).await {
                self.look_for_changes();
            }
            if let Err(error) = self.post.send_all(&Letter::Change(change)).await {
                tracing::warn!(%error, "clients of other instances were not told of a change");
            }
        })
    }
}
