//! Waking: a session that sleeps, or began elsewhere, gets a service that runs the handler, which is told of the
//! handshake that it did not see.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, InitializeRequest, InitializeRequestParams,
    InitializedNotification, JsonRpcMessage, RequestId, SubscribeRequestParams,
};
use tokio::sync::mpsc;

use super::{Absent, Line, Sessions, resident::Resident};
use crate::caller::Restored;

impl Sessions {
    /// The way to the session's service, which is woken if it sleeps. `parts` are of the request that needs it.
    pub(super) async fn service(
        &self,
        resident: &Arc<Resident>,
        parts: Option<&http::request::Parts>,
        handshakes: bool,
    ) -> Result<(u64, mpsc::Sender<ClientJsonRpcMessage>), Absent> {
        if let Some(service) = resident.service() {
            return Ok(service);
        }
        let _one = resident.waking.lock().await;
        if let Some(service) = resident.service() {
            return Ok(service);
        }
        self.make_room()?;
        let sessions = Weak::clone(&self.own);
        let woken = resident.wake().ok_or(Absent::Unknown)?;
        let record = resident.record();
        let line = Line {
            sessions,
            resident: Arc::clone(resident),
            number: woken.number,
            messages: woken.messages,
        };
        (self.serve)(
            line,
            record.client.clone(),
            self.terms.drain.streams().child_token(),
        );
        let gone = |_gone| resident.why("the service of a session has ended");
        let replay = |message: ClientJsonRpcMessage| mark(message, parts);
        woken
            .sender
            .send(replay(initialize(record.client, woken.replay.clone())))
            .await
            .map_err(gone)?;
        let agreed = woken.replayed.await;
        if !agreed.map_err(|_ended| resident.why("the handshake was not answered"))? {
            tracing::info!(
                "the handler does not take a session back that it has not begun; its client is to begin anew"
            );
            resident.let_go(woken.number);
            return Err(Absent::Unknown);
        }
        if !handshakes {
            woken.sender.send(replay(initialized())).await.map_err(gone)?;
        }
        for uri in record.subscriptions {
            woken
                .sender
                .send(replay(subscribe(uri, woken.replay.clone())))
                .await
                .map_err(gone)?;
        }
        resident.ready(woken.number);
        Ok((woken.number, woken.sender))
    }

    /// Lets the service of the idlest session go when there are as many as there may be.
    fn make_room(&self) -> Result<(), Absent> {
        if self.residents(|residents| residents.len()) < self.terms.awake {
            return Ok(());
        }
        let awake: Vec<_> = self.residents(|residents| {
            residents
                .values()
                .filter(|resident| resident.is_awake())
                .cloned()
                .collect()
        });
        if awake.len() < self.terms.awake {
            return Ok(());
        }
        let idle = awake.iter().filter(|resident| !resident.in_use());
        let idlest = idle.min_by_key(|resident| resident.last_used());
        match idlest {
            Some(idlest) if idlest.hibernate(Duration::ZERO) => Ok(()),
            _ => Err(Absent::Full),
        }
    }

    /// Gives a message of the client to the handler.
    pub(super) async fn pass(
        &self,
        resident: &Arc<Resident>,
        message: ClientJsonRpcMessage,
        parts: Option<&http::request::Parts>,
    ) -> Result<(), Absent> {
        let handshakes = matches!(
            &message,
            JsonRpcMessage::Notification(notification)
                if matches!(notification.notification, ClientNotification::InitializedNotification(_))
        );
        let (_, service) = self.service(resident, parts, handshakes).await?;
        let sent = service.send(message).await;
        sent.map_err(|_gone| resident.why("the service of a session has ended"))
    }
}

fn initialize(client: InitializeRequestParams, id: RequestId) -> ClientJsonRpcMessage {
    let request = InitializeRequest::new(client);
    ClientJsonRpcMessage::request(ClientRequest::InitializeRequest(request), id)
}

fn initialized() -> ClientJsonRpcMessage {
    ClientJsonRpcMessage::notification(ClientNotification::InitializedNotification(
        InitializedNotification::default(),
    ))
}

fn subscribe(uri: String, id: RequestId) -> ClientJsonRpcMessage {
    #[expect(deprecated, reason = "what the protocol deprecates is still served")]
    let request = rmcp::model::SubscribeRequest::new(SubscribeRequestParams::new(uri));
    ClientJsonRpcMessage::request(ClientRequest::SubscribeRequest(request), id)
}

/// Marks a message as replayed: the handler sees what woke the session.
fn mark(mut message: ClientJsonRpcMessage, parts: Option<&http::request::Parts>) -> ClientJsonRpcMessage {
    if let Some(parts) = parts {
        message.insert_extension(parts.clone());
    }
    message.insert_extension(Restored);
    message
}
