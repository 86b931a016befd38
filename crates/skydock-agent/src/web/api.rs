//! The API: conversations of the user who asks, and turns as streams.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::{Extension, FromRequest, FromRequestParts, Path, Request, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skydock::Deadline;

use super::{Shared, who::User};
use crate::{
    agent::{self, Input, Turn},
    approval::Reason,
    conversation::{Decision, Standing},
    event::Event,
    message::{Message, ToolCall},
    report::Report,
    store::{self, Key},
    tools::Reply,
};

/// The longest name of a conversation, in bytes.
const LONGEST_NAME: usize = 100;
/// How much time a turn leaves of what the platform gives, so that its end gets out.
const RESERVE: Duration = Duration::from_secs(2);
/// How often a stream says that it is still there.
const ALIVE: Duration = Duration::from_secs(15);

/// Why a request is not served: a text for the user.
#[derive(Debug)]
pub(super) enum Refusal {
    NotSignedIn,
    Wrong(String),
    /// The body is not what it has to be.
    Unread(JsonRejection),
    Agent(agent::Error),
    Gone(&'static str),
}

impl From<agent::Error> for Refusal {
    fn from(error: agent::Error) -> Self {
        Self::Agent(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotSignedIn => (StatusCode::UNAUTHORIZED, "sign in first".to_owned()),
            Self::Wrong(text) => (StatusCode::BAD_REQUEST, text),
            Self::Gone(text) => (StatusCode::NOT_FOUND, text.to_owned()),
            Self::Unread(rejection) => (rejection.status(), rejection.body_text()),
            Self::Agent(
                error @ (agent::Error::Busy | agent::Error::NotAsked(_) | agent::Error::NothingToResume),
            ) => (StatusCode::CONFLICT, error.to_string()),
            Self::Agent(error @ agent::Error::Collision(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            Self::Agent(agent::Error::Store(failure @ store::Failure::TooLong { .. })) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("{failure}; begin another conversation"),
            ),
            Self::Agent(agent::Error::Store(failure)) => {
                let reference = skydock::reference();
                let error: &dyn std::error::Error = &failure;
                tracing::error!(error, reference, "the store of conversations failed");
                let text = format!("conversations cannot be reached (reference {reference}); try again");
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Self::Agent(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        };
        (status, Json(json!({ "error": text }))).into_response()
    }
}

/// A body that is JSON, with a text for the user when it is not.
pub(super) struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(body)| Self(body)).map_err(Refusal::Unread)
    }
}

/// A conversation of the user who asks.
pub(super) struct At(Key);

impl FromRequestParts<Shared> for At {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refusal> {
        let user = User::from_request_parts(parts, shared).await?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match Path::<String>::from_request_parts(parts, shared).await {
            Ok(Path(session)) if (1..=LONGEST_NAME).contains(&session.len()) && session.chars().all(fits) => {
                Ok(Self(Key::new(user.id, session).called(user.name)))
            }
            _ => Err(Refusal::Wrong(format!(
                "a conversation's name is 1 to {LONGEST_NAME} letters, digits, - and _"
            ))),
        }
    }
}

/// A conversation in a list.
#[derive(Debug, Serialize)]
struct Listed {
    session: String,
    title: String,
    written: String,
}

pub(super) async fn list(State(shared): State<Shared>, user: User) -> Result<Response, Refusal> {
    let listed = shared.0.agent.list(&user.id).await?;
    let listed: Vec<_> = listed
        .into_iter()
        .map(|listed| Listed {
            session: listed.session,
            title: listed.title,
            written: listed.written.to_string(),
        })
        .collect();
    Ok(fresh(Json(listed)))
}

/// A conversation, as the page shows it.
#[derive(Debug, Serialize)]
struct View {
    standing: Standing,
    messages: Vec<Message>,
    asked: Vec<Asked>,
}

/// A call that waits for a decision.
#[derive(Debug, Serialize)]
struct Asked {
    #[serde(flatten)]
    call: ToolCall,
    server: String,
    reason: Reason,
}

pub(super) async fn view(State(shared): State<Shared>, At(key): At) -> Result<Response, Refusal> {
    let view = shared.0.agent.view(&key).await?;
    let asked = view.conversation.asked().map(|(pending, reason)| Asked {
        call: pending.call.clone(),
        server: pending.server.clone(),
        reason,
    });
    Ok(fresh(Json(View {
        standing: view.standing,
        asked: asked.collect(),
        messages: view.conversation.messages,
    })))
}

pub(super) async fn remove(State(shared): State<Shared>, At(key): At) -> Result<StatusCode, Refusal> {
    shared.0.agent.remove(&key).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn tools(State(shared): State<Shared>, At(key): At) -> Result<Response, Refusal> {
    let (tools, missing) = shared.0.agent.tools(&key).await?;
    let missing: Vec<_> = missing
        .into_iter()
        .map(|(server, why)| json!({ "server": server, "reason": why }))
        .collect();
    Ok(fresh(Json(json!({ "tools": tools, "missing": missing }))))
}

/// What the user does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Wish {
    Say(String),
    Decide(Vec<Decision>),
    Resume {},
}

pub(super) async fn turn(
    State(shared): State<Shared>,
    At(key): At,
    deadline: Option<Extension<Deadline>>,
    headers: HeaderMap,
    Body(wish): Body<Wish>,
) -> Result<Response, Refusal> {
    let input = match wish {
        Wish::Say(text) => Input::Say(text),
        Wish::Decide(decisions) => Input::Decide(decisions),
        Wish::Resume {} => Input::Resume,
    };
    let deadline = deadline.and_then(|Extension(Deadline(at))| at.checked_sub(RESERVE));
    let turn = shared.0.agent.turn(&key, input, deadline).await?;
    let stop = shared.0.stop.clone();
    let ending = turn.stopper();
    let whole = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/json"));
    // a turn that nobody listens to any more goes on, but not beyond the end of this process
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => ending.cancel(),
            () = ending.cancelled() => {}
        }
    });
    if whole {
        return Ok(report(&shared, &key, turn).await);
    }
    let events = turn.map(|event| {
        let event = serde_json::to_value(&event).unwrap_or_default();
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let event = sse::Event::default().event(name).json_data(&event);
        Ok::<_, Infallible>(event.unwrap_or_default())
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE));
    // a proxy that gathers a stream before it sends it on takes away what it is for
    let headers = [("cache-control", "no-store"), ("x-accel-buffering", "no")];
    Ok((headers, stream).into_response())
}

async fn report(shared: &Shared, key: &Key, mut turn: Turn) -> Response {
    let mut report = Report::default();
    while let Some(event) = turn.next().await {
        if let Event::Question(question) = &event {
            // nobody sees it before the end
            shared.0.agent.reply(key, &question.id, Reply::Decline).await;
        }
        report.hear(&event);
    }
    fresh(Json(report))
}

pub(super) async fn stop(State(shared): State<Shared>, At(key): At) -> Result<StatusCode, Refusal> {
    if shared.0.agent.stop(&key).await {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Refusal::Gone("nothing is being worked on here"))
    }
}

/// An answer to a server's question.
#[derive(Debug, Deserialize)]
pub(super) struct Replied {
    question: String,
    #[serde(flatten)]
    reply: Reply,
}

pub(super) async fn reply(
    State(shared): State<Shared>,
    At(key): At,
    Body(replied): Body<Replied>,
) -> Result<StatusCode, Refusal> {
    if shared.0.agent.reply(&key, &replied.question, replied.reply).await {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Refusal::Gone("this question is not asked any more"))
    }
}

/// An answer that nobody keeps.
fn fresh(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}
