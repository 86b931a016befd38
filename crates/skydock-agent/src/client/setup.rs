//! How to connect to a server.

use std::{collections::HashMap, sync::Arc, time::Duration};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::{era::Era, login::Registration, tokens::Tokens};

/// How long a handshake may take when nobody says otherwise.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a request may take when nobody says otherwise.
const REQUEST_PATIENCE: Duration = Duration::from_secs(600);

/// How to connect.
#[derive(Clone)]
pub struct Setup {
    /// Which revisions to speak.
    pub era: Era,
    /// Headers for every HTTP request.
    pub headers: HashMap<HeaderName, HeaderValue>,
    /// A token to send; with one, a challenge is not answered by a login.
    pub bearer: Option<String>,
    /// Where the token of each HTTP request comes from; with one, a challenge is not answered by a login.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// How authorization servers know this client.
    pub registration: Registration,
    /// What `roots/list` answers, as `file://` URLs; with none, the capability is not declared.
    pub roots: Vec<Url>,
    /// How long the server may take to answer the handshake.
    pub patience: Duration,
    /// How long the server may take to answer a request, since it last told progress.
    pub request_patience: Duration,
    /// Whether to show what a started program writes to stderr.
    pub loud: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            era: Era::Auto,
            headers: HashMap::new(),
            bearer: None,
            tokens: None,
            registration: Registration::default(),
            roots: Vec::new(),
            patience: HANDSHAKE_PATIENCE,
            request_patience: REQUEST_PATIENCE,
            loud: false,
        }
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("era", &self.era)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("patience", &self.patience)
            .field("request_patience", &self.request_patience)
            .finish_non_exhaustive()
    }
}
