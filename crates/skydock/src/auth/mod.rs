//! Who is calling: with an issuer that is trusted, every request has to bring a token of it (OAuth 2.1, RFC 6750).

mod challenge;
mod keys;
mod token;

use std::{path::PathBuf, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use self::{
    challenge::Refusal,
    keys::Ring,
    token::{Rules, bearer},
};
use crate::error::Faults;

/// The names of the three settings, as users write them.
const ISSUER: &str = "--auth-issuer (SKYDOCK_AUTH_ISSUER)";
const AUDIENCE: &str = "--auth-audience (SKYDOCK_AUTH_AUDIENCE)";
const KEYS: &str = "--auth-keys (SKYDOCK_AUTH_KEYS)";

/// What is asked of callers: a token (JWT) that a trusted issuer has signed for this server. With it, a request without
/// one gets 401, and one with a good one has a [`Principal`](crate::Principal) of issuer and subject.
///
/// A token is good when one of the issuer's keys has signed it, by ES256, RS256 or EdDSA as the key says; when `iss` is
/// the issuer, `aud` has one of the audiences, `sub` says who; and `exp` and, where given, `nbf` hold, give or take 30 s.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    ring: Ring,
}

impl Auth {
    /// Tokens of `issuer` for one of `audiences`, which are the URLs that this server goes by; the issuer's public keys
    /// are a JWK set (RFC 7517) in a file, which is read again when it changes.
    ///
    /// # Errors
    /// When an audience is no URL, or the file holds no key to check tokens with.
    pub fn from_file(
        issuer: impl Into<String>,
        audiences: Vec<String>,
        keys: impl Into<PathBuf>,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let rules = faults.take(Rules::new(issuer.into(), audiences));
        let ring = faults.take(Ring::of_file(keys.into()));
        Self::of(rules, ring, faults)
    }

    /// The same with keys that do not change: `keys` is the text of the JWK set.
    ///
    /// # Errors
    /// As [`Auth::from_file`].
    pub fn from_keys(issuer: impl Into<String>, audiences: Vec<String>, keys: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let rules = faults.take(Rules::new(issuer.into(), audiences));
        let ring = faults.take(Ring::of_text(keys));
        Self::of(rules, ring, faults)
    }

    fn of(rules: Option<Rules>, ring: Option<Ring>, faults: Faults) -> Result<Self, Faults> {
        match (rules, ring) {
            (Some(rules), Some(ring)) => Ok(Self(Arc::new(Inner { rules, ring }))),
            _ => Err(faults),
        }
    }

    /// Reads the three flags: all of them, or none.
    pub(crate) fn read(
        issuer: Option<&str>,
        audiences: &[String],
        keys: Option<&str>,
    ) -> Result<Option<Self>, Faults> {
        if let (Some(issuer), [_, ..], Some(keys)) = (issuer, audiences, keys) {
            return Self::from_file(issuer, audiences.to_vec(), keys).map(Some);
        }
        if issuer.is_none() && audiences.is_empty() && keys.is_none() {
            return Ok(None);
        }
        let mut faults = Faults::default();
        if issuer.is_none() {
            faults.add(
                ISSUER,
                "",
                "is missing; name the issuer of the tokens, as `iss` has it",
            );
        }
        if audiences.is_empty() {
            let wanted =
                "is missing; give the URL of this server that `aud` has, such as https://mcp.example.com/mcp";
            faults.add(AUDIENCE, "", wanted);
        }
        if keys.is_none() {
            let wanted = "is missing; name a file with the issuer's public keys, a JWK set";
            faults.add(KEYS, "", wanted);
        }
        Err(faults)
    }
}

/// Lets a request in whose token is good, with the principal in its extensions; any other gets a challenge.
pub(crate) async fn admit(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    let checked = match bearer(request.headers()) {
        Ok(token) => auth.0.rules.check(token, &auth.0.ring).await,
        Err(refusal) => Err(refusal),
    };
    match checked {
        Ok(principal) => {
            // whoever it was for the platform, this server goes by the token
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(refusal) => {
            if let Refusal::Token(reason) = refusal {
                tracing::warn!(reason, "refused a token");
            }
            refusal.into_response()
        }
    }
}
