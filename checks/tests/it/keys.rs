//! The agent's identity with a key of AWS KMS, which ministack has (moto signs digests as if they were messages):
//! what it signs, a server takes.

use std::sync::Arc;

use checks::{ministack, program::Program};
use serde_json::{Value, json};
use skydock::Auth;
use skydock_agent::identity::{Error, Identity, Keys, KmsKey};

use crate::conversations::{settings, signed};

/// Makes a key of this kind, and gives its ARN.
async fn make(kms: &Program, spec: &str, usage: &str) -> String {
    let answered = reqwest::Client::new()
        .post(kms.url("/"))
        .header("authorization", signed("kms"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "TrentService.CreateKey")
        .body(json!({"KeySpec": spec, "KeyUsage": usage}).to_string())
        .send()
        .await
        .unwrap();
    let answered: Value = serde_json::from_str(&answered.text().await.unwrap()).unwrap();
    answered["KeyMetadata"]["Arn"]
        .as_str()
        .unwrap_or_else(|| panic!("{answered}"))
        .to_owned()
}

#[tokio::test]
async fn a_key_of_kms_signs_what_a_server_takes() {
    let kms = ministack::start("ministack-keys").await.unwrap();
    let config = settings(&kms.url("")).await;
    let arn = make(&kms, "ECC_NIST_P256", "SIGN_VERIFY").await;
    let key = KmsKey::new(&arn, &config).await.unwrap();
    let identity = Identity::new("agent", Keys::new(Arc::new(key)));
    let keys = serde_json::to_string(&identity.keys().jwks()).unwrap();
    assert!(keys.contains("\"kid\"") && keys.contains("ES256"), "{keys}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let mut config_of_server = skydock::Config::default();
    config_of_server.auth = Some(Auth::from_keys("agent", vec![url.clone()], &keys).unwrap());
    let store = Arc::new(bookings::store::Sqlite::in_memory().unwrap());
    let bookings = bookings::Bookings::new(
        store,
        bookings::inventory::Inventory::default(),
        bookings::policy::Policies::default(),
    );
    let mut server = skydock::Host::new(bookings)
        .with(config_of_server)
        .listen(listener)
        .unwrap();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    // the numbers of a signature are shorter now and then, so one is not enough
    for user in 0..30 {
        let token = identity
            .token(&format!("user-{user}").into(), &url.parse().unwrap())
            .await
            .unwrap();
        let answered = reqwest::Client::new()
            .post(&url)
            .header("accept", "application/json, text/event-stream")
            .bearer_auth(token)
            .json(&message)
            .send()
            .await
            .unwrap();
        assert_eq!(answered.status(), 200, "{user}");
    }
    server.stop().await;

    let other = make(&kms, "ECC_NIST_P384", "SIGN_VERIFY").await;
    let error = KmsKey::new(&other, &config).await.unwrap_err();
    assert!(matches!(error, Error::Kind { .. }), "{error}");
    assert!(
        error.to_string().contains("make one with KeySpec ECC_NIST_P256"),
        "{error}"
    );
    let error = KmsKey::new(&format!("{arn}x"), &config).await.unwrap_err();
    assert!(error.to_string().contains("kms:GetPublicKey"), "{error}");
    kms.stop().await.unwrap();
}
