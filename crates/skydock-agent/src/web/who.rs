//! Who is at the page: whom a platform let in, one fixed user on this machine, or one of some who sign in.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::json;
use skydock::Principal;
use uuid::Uuid;

use super::{Shared, api::Refusal};

/// How long somebody stays signed in.
const SIGNED_IN: Duration = Duration::from_secs(8 * 3_600);
/// How many are signed in at once.
const MOST: u64 = 10_000;
const COOKIE: &str = "skydock_session";

/// How the agent knows its user, where nobody in front of it has checked that: a [`Principal`] in the request's
/// extensions goes before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// Nobody gets in but whom the platform let in.
    Platform,
    /// Everybody is this user. For one person on their own machine.
    Fixed(String),
    /// One of these, by choosing a name and without a password. For demos on one machine.
    Choose(Vec<String>),
}

/// Who is signed in, by the secret in their cookie.
#[derive(Debug)]
pub(super) struct Sessions(Cache<String, Arc<str>>);

impl Sessions {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MOST)
                .time_to_live(SIGNED_IN)
                .build(),
        )
    }
}

/// The user of a request.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// Whom conversations belong to.
    pub(super) id: Arc<str>,
    /// What the user is called.
    pub(super) name: Arc<str>,
}

impl User {
    fn of(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self {
            id: Arc::clone(&name),
            name,
        }
    }
}

impl FromRequestParts<Shared> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refusal> {
        find(parts, shared).ok_or(Refusal::NotSignedIn)
    }
}

fn find(parts: &Parts, shared: &Shared) -> Option<User> {
    if let Some(principal) = parts.extensions.get::<Principal>() {
        return Some(User {
            id: principal.as_str().into(),
            name: principal.subject().into(),
        });
    }
    match &shared.0.sign_in {
        SignIn::Platform => None,
        SignIn::Fixed(user) => Some(User::of(user.as_str())),
        SignIn::Choose(_) => shared.0.sessions.0.get(cookie(parts)?).map(User::of),
    }
}

/// The secret in the cookie.
fn cookie(parts: &Parts) -> Option<&str> {
    let cookies = parts.headers.get_all(header::COOKIE).iter();
    let pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// What the page shows before anything is said.
pub(super) async fn me(State(shared): State<Shared>, parts: Parts) -> Response {
    let user = find(&parts, &shared);
    let choices = match &shared.0.sign_in {
        SignIn::Choose(users) => users.as_slice(),
        SignIn::Platform | SignIn::Fixed(_) => &[],
    };
    let model = shared.0.agent.model();
    let body = json!({
        "user": user.map(|user| user.name.to_string()),
        "choices": choices,
        "model": model.name(),
        "notice": model.notice(),
        "face": shared.0.face,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Who somebody says they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    user: String,
}

/// Signs somebody in who may choose.
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    Json(Chosen { user }): Json<Chosen>,
) -> Result<Response, Refusal> {
    match &shared.0.sign_in {
        SignIn::Choose(users) if users.contains(&user) => {}
        _ => return Err(Refusal::NotSignedIn),
    }
    let secret = Uuid::new_v4().to_string();
    shared.0.sessions.0.insert(secret.clone(), user.into());
    Ok(with_cookie(&format!("{secret}; Max-Age={}", SIGNED_IN.as_secs())))
}

/// Signs out.
pub(super) async fn sign_out(State(shared): State<Shared>, parts: Parts) -> Response {
    if let Some(secret) = cookie(&parts) {
        shared.0.sessions.0.invalidate(secret);
    }
    with_cookie("; Max-Age=0")
}

fn with_cookie(value: &str) -> Response {
    // nothing but this page may send it, and no script reads it
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
