//! The line between one session's handler at this instance and its client, wherever the client's streams end.

use std::{
    convert::Infallible,
    sync::{Arc, Weak},
};

use futures::future::Either;
use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, GetExtensions, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
        ServerNotification,
    },
    service::OriginatingRequestId,
    transport::Transport,
};
use tokio::sync::mpsc;

use super::{Sessions, resident::Resident};

/// Where the service of a session sends and receives. Its messages go to the stream of the request that they belong to,
/// or to the session's standalone stream.
pub(crate) struct Line {
    pub(super) sessions: Weak<Sessions>,
    pub(super) resident: Arc<Resident>,
    pub(super) number: u64,
    pub(super) messages: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Line {
    /// Sends what belongs to a request into its stream; gives back what belongs to none.
    fn route(&self, mut message: ServerJsonRpcMessage) -> Option<ServerJsonRpcMessage> {
        let resident = &self.resident;
        match &mut message {
            JsonRpcMessage::Response(response) => {
                let id = response.id.clone();
                self.answer(&id, message);
                None
            }
            JsonRpcMessage::Error(error) => {
                let id = error.id.clone()?;
                self.answer(&id, message);
                None
            }
            JsonRpcMessage::Request(request) => {
                let origin = request.request.extensions().get::<OriginatingRequestId>();
                let origin = origin.map(|origin| origin.0.clone());
                let sessions = self.sessions.upgrade()?;
                request.id = resident.ask(&sessions.post, self.number, request.id.clone(), origin.clone());
                resident.send(origin.as_ref(), message)
            }
            JsonRpcMessage::Notification(notification) => match &mut notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    let flow = resident.flow_of_progress(&progress.params.progress_token)?;
                    flow.send(message);
                    None
                }
                ServerNotification::CancelledNotification(cancelled) => {
                    let sessions = self.sessions.upgrade()?;
                    let asked = cancelled.params.request_id.as_ref()?;
                    let (id, origin) = resident.unask(&sessions.post.instance, self.number, asked)?;
                    cancelled.params.request_id = Some(id);
                    resident.send(origin.as_ref(), message)
                }
                ServerNotification::LoggingMessageNotification(log) => {
                    #[expect(deprecated, reason = "what the protocol deprecates is still served")]
                    let level = log.params.level;
                    if resident.severity().is_some_and(|least| severity(level) < least) {
                        return None;
                    }
                    let flow = resident.flow_of_log();
                    let Some(flow) = flow else { return Some(message) };
                    flow.send(message);
                    None
                }
                _ => Some(message),
            },
        }
    }

    fn answer(&self, id: &RequestId, message: ServerJsonRpcMessage) {
        if self.resident.replayed(self.number, id) {
            return;
        }
        let Some(flow) = self.resident.finish(id) else {
            return;
        };
        flow.send(message);
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.flows(|flows| flows.ended(&flow));
        }
    }
}

/// How severe a level is: 0 is debug, 7 is emergency.
#[expect(deprecated, reason = "what the protocol deprecates is still served")]
pub(super) const fn severity(level: rmcp::model::LoggingLevel) -> u8 {
    level as u8
}

impl Transport<RoleServer> for Line {
    type Error = Infallible;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        // in the order of the calls, for what has a stream
        let Some(message) = self.route(message) else {
            return Either::Left(std::future::ready(Ok(())));
        };
        let (sessions, resident) = (self.sessions.upgrade(), Arc::clone(&self.resident));
        Either::Right(async move {
            if let Some(sessions) = sessions {
                sessions.say(&resident, &message).await;
            }
            Ok(())
        })
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        self.messages.recv().await
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.messages.close();
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // the service has ended; whatever it was working on gets no answer
        for flow in self.resident.hang_up(self.number) {
            flow.end();
            if let Some(sessions) = self.sessions.upgrade() {
                sessions.flows(|flows| flows.ended(&flow));
            }
        }
    }
}
