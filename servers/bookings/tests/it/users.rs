//! Over HTTP, where somebody says who is calling: nobody sees or cancels what another one has booked.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use bookings::Consent;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use skydock::{Auth, Config, Host, Principal};
use tower::ServiceExt as _;

use crate::client::{sedan, server};

/// Takes a header for the caller's name, as a layer that checks tokens would put it in.
async fn name(mut request: Request, next: Next) -> Response {
    if let Some(name) = request.headers().get("x-name").cloned() {
        let name = name.to_str().unwrap().to_owned();
        request.extensions_mut().insert(Principal::new(name));
    }
    next.run(request).await
}

/// A call of a tool, as a client of 2026-07-28 sends it with a header that says who calls.
async fn call_as(router: &Router, who: (&str, &str), tool: &str, arguments: Value) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool)
        .header(who.0, who.1);
    let request = request.body(Body::from(message.to_string())).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    let last = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .next_back();
    serde_json::from_str::<Value>(last.unwrap_or(text)).unwrap()
}

async fn call(router: &Router, user: &str, tool: &str, arguments: Value) -> Value {
    call_as(router, ("x-name", user), tool, arguments).await["result"].clone()
}

#[tokio::test]
async fn each_user_has_bookings_of_their_own() {
    let server = server().with_consent(Consent::Host);
    let router = Host::new(server).router().layer(from_fn(name));
    let booked = call(&router, "ada", "book-car", sedan()).await;
    let booking = &booked["structuredContent"]["booking"];
    assert_eq!(booking["status"], "booked", "{booked}");

    let listed = call(&router, "eve", "list-bookings", json!({})).await;
    assert_eq!(
        listed["structuredContent"],
        json!({"user": "eve", "bookings": []})
    );
    let cancelled = call(&router, "eve", "cancel-booking", json!({"id": booking["id"]})).await;
    assert_eq!(cancelled["isError"], true, "{cancelled}");
    // the same order of somebody else is another booking
    let other = call(&router, "eve", "book-car", sedan()).await;
    assert_eq!(other["structuredContent"]["bookedBefore"], false, "{other}");

    let listed = call(&router, "ada", "list-bookings", json!({})).await;
    assert_eq!(listed["structuredContent"]["bookings"], json!([booking]));
}

#[tokio::test]
async fn whose_bookings_they_are_is_what_a_signed_token_says() {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let key = EncodingKey::from_ec_der(document.unwrap().as_ref());
    let keys = json!({"keys": [Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()]}).to_string();
    let audience = "https://bookings.example/mcp".to_owned();
    let mut config = Config::default();
    config.auth = Some(Auth::from_keys("agent", vec![audience.clone()], &keys).unwrap());
    let router = Host::new(server().with_consent(Consent::Host))
        .with(config)
        .router();
    let token = |user: &str| {
        let exp = jiff::Timestamp::now().as_second() + 60;
        let claims = json!({"iss": "agent", "sub": user, "aud": audience, "exp": exp});
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap();
        format!("Bearer {signed}")
    };
    let (max, eve) = (token("Max"), token("Eve"));
    let call = async |token: &str, tool: &str, arguments: Value| {
        call_as(&router, ("authorization", token), tool, arguments).await["result"]["structuredContent"]
            .clone()
    };
    let booked = call(&max, "book-car", sedan()).await;
    let policies = call(&max, "get-travel-policies", json!({})).await;
    assert_eq!(
        policies["user"], "Max",
        "the name is shown, and not whose token it is"
    );
    let listed = call(&eve, "list-bookings", json!({})).await;
    assert_eq!(listed, json!({"user": "Eve", "bookings": []}));
    let listed = call(&max, "list-bookings", json!({})).await;
    assert_eq!(listed, json!({"user": "Max", "bookings": [booked["booking"]]}));
    let refused = call_as(&router, ("x-name", "Max"), "list-bookings", json!({})).await;
    assert!(
        refused["error"]["message"].to_string().contains("token"),
        "{refused}"
    );
}
