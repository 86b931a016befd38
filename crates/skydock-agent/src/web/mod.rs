//! The agent over HTTP: an API whose turns are streams of server-sent events, and a web chat that uses it.

mod api;
mod page;
mod who;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use serde::Serialize;
use skydock::Principal;
use tokio_util::sync::CancellationToken;

pub use self::who::SignIn;
use crate::{a2a, agent::Agent};

/// What the web chat says about itself.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Face {
    /// Its heading.
    pub title: String,
    /// What it says first; `{user}` is the user's name.
    pub greeting: String,
    /// What the user may want to ask.
    pub suggestions: Vec<String>,
}

impl Default for Face {
    fn default() -> Self {
        Self {
            title: "Skydock agent".to_owned(),
            greeting: "Hi {user}, what can I do for you?".to_owned(),
            suggestions: Vec::new(),
        }
    }
}

/// What the requests share.
#[derive(Debug, Clone)]
struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agent: Agent,
    face: Face,
    sign_in: SignIn,
    sessions: who::Sessions,
    stop: CancellationToken,
}

/// Where other agents ask this one, by Agent2Agent, for callers that are known as the users of the page are. What is for
/// everybody is in [`a2a::published`].
pub fn for_agents(service: a2a::Service, sign_in: &SignIn) -> Router {
    let router = a2a::operations(service);
    match sign_in {
        SignIn::Fixed(_) => router,
        SignIn::Platform | SignIn::Choose(_) => router.layer(middleware::from_fn(known)),
    }
}

/// Lets nobody through whom nobody names.
async fn known(request: Request, next: Next) -> Response {
    if request.extensions().get::<Principal>().is_some() {
        return next.run(request).await;
    }
    api::Refusal::NotSignedIn.into_response()
}

/// The page at `/`, and the API under `/api`. Turns end when `stop` is cancelled. To be hosted by a
/// [`skydock::Site`], which lets nobody in who comes from another page.
pub fn router(agent: Agent, face: Face, sign_in: SignIn, stop: CancellationToken) -> Router {
    let shared = Shared(Arc::new(Inner {
        agent,
        face,
        sign_in,
        sessions: who::Sessions::new(),
        stop,
    }));
    Router::new()
        .route("/", get(page::page))
        .route("/api/me", get(who::me))
        .route("/api/sign-in", post(who::sign_in))
        .route("/api/sign-out", post(who::sign_out))
        .route("/api/conversations", get(api::list))
        .route("/api/conversations/{session}", get(api::view))
        .route("/api/conversations/{session}", delete(api::remove))
        .route("/api/conversations/{session}/tools", get(api::tools))
        .route("/api/conversations/{session}/turns", post(api::turn))
        .route("/api/conversations/{session}/stop", post(api::stop))
        .route("/api/conversations/{session}/replies", post(api::reply))
        .with_state(shared)
}
