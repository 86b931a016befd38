//! A webhook that checks what it is told as its owner should, and answers as a test wants.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::instance::within;

/// What it was told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) answered: StatusCode,
}

#[derive(Debug, Clone)]
struct Answers {
    status: watch::Receiver<StatusCode>,
    told: mpsc::UnboundedSender<Told>,
}

pub(super) struct Webhook {
    pub(super) origin: String,
    status: watch::Sender<StatusCode>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Webhook {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let status = watch::Sender::new(StatusCode::OK);
        let (sender, told) = mpsc::unbounded_channel();
        let answers = Answers {
            status: status.subscribe(),
            told: sender,
        };
        let app = Router::new()
            .route("/hook", post(take))
            .with_state(Arc::new(answers));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { origin, status, told }
    }

    pub(super) fn url(&self) -> String {
        format!("{}/hook", self.origin)
    }

    pub(super) fn answers(&self, status: StatusCode) {
        self.status.send_replace(status);
    }

    pub(super) async fn next(&mut self) -> Told {
        within(self.told.recv()).await.unwrap()
    }

    pub(super) fn is_quiet(&mut self) -> bool {
        self.told.try_recv().is_err()
    }
}

async fn take(
    State(answers): State<Arc<Answers>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let answered = *answers.status.borrow();
    answers
        .told
        .send(Told {
            headers,
            body,
            answered,
        })
        .unwrap();
    // where nobody should follow
    (answered, [("location", "/elsewhere")])
}

impl Told {
    pub(super) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn bearer(&self) -> &str {
        let header = self.headers["authorization"].to_str().unwrap();
        header.strip_prefix("Bearer ").unwrap()
    }

    /// The claims of a signature by one of these keys, for this body and this webhook.
    pub(super) fn claims(&self, keys: &Value, origin: &str) -> Value {
        claims(self.bearer(), &self.body, keys, origin)
    }
}

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// Without the crate that signs, so that both cannot be wrong in the same way.
pub(super) fn claims(token: &str, body: &[u8], keys: &Value, origin: &str) -> Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let part =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (header, claims) = (part(header), part(claims));
    assert_eq!(header["alg"], "ES256");
    let mut found = keys["keys"].as_array().unwrap().iter();
    let key = found.find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&"EC".into(), &"P-256".into()));
    assert!(key.get("d").is_none(), "a private key is published: {key}");
    let point = [vec![4], decoded(&key["x"]), decoded(&key["y"])].concat();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    assert_eq!(claims["aud"], origin);
    assert_eq!(decoded(&claims["body_sha256"]), Sha256::digest(body).to_vec());
    let (now, issued, expires) = (
        jiff::Timestamp::now().as_second(),
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert!((now - 60..=now + 1).contains(&issued) && expires > now && expires - issued <= 300);
    claims
}
