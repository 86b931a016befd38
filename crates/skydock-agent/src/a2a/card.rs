//! The agent card: what an agent says of itself, and where to ask it (specification 4.4.1 and 8).

use std::sync::Arc;

use ::a2a::{
    AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TRANSPORT_PROTOCOL_HTTP_JSON,
    TRANSPORT_PROTOCOL_JSONRPC,
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

/// Where the card is (specification 8.2).
const PATH: &str = "/.well-known/agent-card.json";
/// For how long a copy holds (specification 8.6).
const CACHE: &str = "public, max-age=300";

/// A card of an agent at `url`, where JSON-RPC and HTTP+JSON are served. It takes and gives text and JSON. What else there
/// is to say, as of security, is put into the fields; the capabilities are the [`Service`](super::Service)'s to say.
#[must_use]
pub fn card(name: &str, description: &str, url: &str, skills: Vec<AgentSkill>) -> AgentCard {
    let url = url.trim_end_matches('/');
    let modes = || ["text/plain", "application/json"].map(str::to_owned).into();
    AgentCard {
        name: name.to_owned(),
        description: description.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        supported_interfaces: vec![
            AgentInterface::new(format!("{url}/"), TRANSPORT_PROTOCOL_JSONRPC),
            AgentInterface::new(url, TRANSPORT_PROTOCOL_HTTP_JSON),
        ],
        capabilities: AgentCapabilities::default(),
        default_input_modes: modes(),
        default_output_modes: modes(),
        skills,
        provider: None,
        documentation_url: None,
        icon_url: None,
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    }
}

/// A document that everybody may read, with what it is known by.
#[derive(Debug, Clone)]
struct Published {
    body: Bytes,
    etag: HeaderValue,
}

/// Serves the card to everybody. Browsers may read it from any page, and never with credentials.
pub(super) fn routes(card: &AgentCard) -> Router {
    published(PATH, serde_json::to_vec(card).unwrap_or_default())
}

/// Serves a JSON document at `path`.
pub(super) fn published(path: &str, body: Vec<u8>) -> Router {
    let digest: String = Sha256::digest(&body)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let etag =
        HeaderValue::from_str(&format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"card\""));
    let published = Published {
        body: body.into(),
        etag,
    };
    Router::new()
        .route(path, get(answer))
        .with_state(Arc::new(published))
}

async fn answer(State(published): State<Arc<Published>>, headers: HeaderMap) -> Response {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| {
        known == published.etag
            || known == "*"
            || known.to_str().is_ok_and(|list| {
                let mut tags = list.split(',').map(str::trim);
                tags.any(|tag| tag.trim_start_matches("W/").as_bytes() == published.etag.as_bytes())
            })
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static(CACHE)),
        (header::ETAG, published.etag.clone()),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, published.body.clone()).into_response()
}
