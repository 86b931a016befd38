//! The line between one session's handler at this instance and its client, wherever the client's streams end.

use std::{
    convert::Infallible,
    sync::{Arc, Weak},
};

use futures::future::Either;
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ErrorCode, JsonRpcMessage,
        JsonRpcNotification, RequestId, ServerJsonRpcMessage, ServerNotification,
    },
    transport::Transport,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    Sessions,
    flow::Flow,
    post::Letter,
    record::severity,
    resident::{Resident, addressee},
};

/// Where the service of a session sends and receives. Its messages go to the stream of the request that they belong to,
/// or to the session's standalone stream.
pub(crate) struct Line {
    pub(super) sessions: Weak<Sessions>,
    pub(super) resident: Arc<Resident>,
    pub(super) number: u64,
    pub(super) messages: mpsc::Receiver<ClientJsonRpcMessage>,
}

/// What is left to do with a message.
enum Route {
    /// Nothing; it is in its stream.
    Sent,
    /// It belongs to no request, or to none that is at work.
    Say(ServerJsonRpcMessage),
    /// It is a question for a request that is not at work any more.
    Late(RequestId),
    /// It is an answer, and its session is to remember something first.
    Keep(Arc<Flow>, ServerJsonRpcMessage),
}

impl Line {
    /// Sends what belongs to a request into its stream.
    fn route(&self, message: ServerJsonRpcMessage) -> Route {
        match message {
            JsonRpcMessage::Response(response) => {
                let id = response.id.clone();
                self.answer(&id, JsonRpcMessage::Response(response), true)
            }
            JsonRpcMessage::Error(error) => match error.id.clone() {
                Some(id) => self.answer(&id, JsonRpcMessage::Error(error), false),
                None => Route::Sent,
            },
            JsonRpcMessage::Request(mut request) => {
                let Some(sessions) = self.sessions.upgrade() else {
                    return Route::Sent;
                };
                let Some(origin) = self.resident.ask(&sessions.post, self.number, &mut request) else {
                    return Route::Say(JsonRpcMessage::Request(request));
                };
                let Some(flow) = self.resident.flow(&origin) else {
                    return Route::Late(request.id);
                };
                flow.send(JsonRpcMessage::Request(request));
                Route::Sent
            }
            JsonRpcMessage::Notification(notification) => self.notify(notification),
        }
    }

    fn notify(&self, mut note: JsonRpcNotification<ServerNotification>) -> Route {
        let resident = &self.resident;
        let flow = match &mut note.notification {
            ServerNotification::ProgressNotification(progress) => {
                match resident.flow_of_progress(&progress.params.progress_token) {
                    Some(flow) => Some(flow),
                    None => return Route::Sent,
                }
            }
            ServerNotification::CancelledNotification(cancelled) => {
                let asked = cancelled.params.request_id.as_ref();
                let question = asked.and_then(|asked| {
                    let sessions = self.sessions.upgrade()?;
                    resident.unask(&sessions.post.instance, self.number, asked)
                });
                let Some((id, origin)) = question else {
                    return Route::Sent;
                };
                cancelled.params.request_id = Some(id);
                origin.and_then(|origin| resident.flow(&origin))
            }
            ServerNotification::LoggingMessageNotification(log) => {
                #[expect(deprecated, reason = "what the protocol deprecates is still served")]
                let level = log.params.level;
                if resident.severity().is_some_and(|least| severity(level) < least) {
                    return Route::Sent;
                }
                resident.flow_of_log()
            }
            _ => None,
        };
        let message = JsonRpcMessage::Notification(note);
        match flow {
            Some(flow) => {
                flow.send(message);
                Route::Sent
            }
            None => Route::Say(message),
        }
    }

    fn answer(&self, id: &RequestId, message: ServerJsonRpcMessage, agreed: bool) -> Route {
        if self.resident.replayed(self.number, id, agreed) {
            return Route::Sent;
        }
        let Some(flow) = self.resident.flow(id) else {
            return Route::Sent;
        };
        if agreed && flow.keeps.is_some() {
            return Route::Keep(flow, message);
        }
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.finish(&self.resident, &flow, message);
        }
        Route::Sent
    }
}

impl Sessions {
    /// A request has its answer.
    fn finish(&self, resident: &Resident, flow: &Arc<Flow>, answer: ServerJsonRpcMessage) {
        if !resident.finish(flow) {
            // it was cancelled, or the session has ended
            return;
        }
        for question in resident.drop_questions(&self.post.instance, flow.line, &flow.request) {
            let reason = "nobody waits for the answer any more".to_owned();
            let cancelled = CancelledNotificationParam::new(Some(question), Some(reason));
            flow.send(ServerJsonRpcMessage::notification(
                ServerNotification::CancelledNotification(CancelledNotification::new(cancelled)),
            ));
        }
        flow.send(answer);
        self.flows(|flows| flows.ended(flow));
    }

    /// Lets the session remember what a request has changed, and then gives its answer.
    async fn keep(&self, resident: &Resident, flow: &Arc<Flow>, answer: ServerJsonRpcMessage) {
        let kept = match &flow.keeps {
            Some(keep) => self.change(resident, |record| keep.write(record)).await.map(drop),
            None => Ok(()),
        };
        let answer = match kept {
            Ok(()) => answer,
            Err(error) => {
                tracing::warn!(%error, "a session does not remember what its client has asked for");
                let text = "the session could not be told to remember this; send it again";
                ServerJsonRpcMessage::error(unable(text), Some(flow.request.clone()))
            }
        };
        self.finish(resident, flow, answer);
        let session = resident.id.to_string();
        if let Err(error) = self.post.send_all(&Letter::Changed { session }).await {
            tracing::debug!(%error, "others were not told of a session's change; they will ask");
        }
    }

    /// Says what belongs to no request. A question that reaches nobody fails at once.
    async fn say_or_fail(&self, resident: &Arc<Resident>, message: &ServerJsonRpcMessage) {
        if self.say(resident, message).await {
            return;
        }
        if let JsonRpcMessage::Request(question) = message {
            fail(
                resident,
                &question.id,
                "the client has no stream on which it can be asked",
            )
            .await;
        }
    }
}

/// A question gets no answer, and whoever asked hears so at once.
async fn fail(resident: &Resident, question: &RequestId, why: &'static str) {
    let number = addressee(question).map(|(_, number)| number);
    let asked = number.and_then(|number| resident.answered(number));
    if let (Some(asked), Some((_, service))) = (asked, resident.service()) {
        let error = ErrorData::new(ErrorCode(-32000), why, None);
        // a service that has ended waits for nothing
        let _ = service
            .send(ClientJsonRpcMessage::error(error, Some(asked)))
            .await;
    }
}

impl Transport<RoleServer> for Line {
    type Error = Infallible;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        // in the order of the calls, for what has a stream
        let route = self.route(message);
        if matches!(route, Route::Sent) {
            return Either::Left(std::future::ready(Ok(())));
        }
        let (sessions, resident) = (self.sessions.upgrade(), Arc::clone(&self.resident));
        Either::Right(async move {
            match (sessions, route) {
                (Some(sessions), Route::Say(message)) => sessions.say_or_fail(&resident, &message).await,
                (Some(sessions), Route::Keep(flow, answer)) => sessions.keep(&resident, &flow, answer).await,
                (_, Route::Late(question)) => {
                    fail(
                        &resident,
                        &question,
                        "the request that this was asked for is not at work any more",
                    )
                    .await;
                }
                (None, _) | (_, Route::Sent) => {}
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
        // the service has ended; whatever it was working on gets no other answer
        for flow in self.resident.hang_up(self.number) {
            let text = "this request was not answered before the work on it had to end; it can be sent again";
            flow.send(ServerJsonRpcMessage::error(
                unable(text),
                Some(flow.request.clone()),
            ));
            if let Some(sessions) = self.sessions.upgrade() {
                sessions.flows(|flows| flows.ended(&flow));
            }
        }
    }
}

/// What could not be done, and can be tried again.
fn unable(text: &'static str) -> ErrorData {
    ErrorData::new(ErrorCode(-32000), text, Some(json!({"retryable": true})))
}
