//! Who is let in when an issuer is trusted: whoever brings a good token of it, and nobody else.

use std::time::Duration;

use axum::{Router, body::Body};
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use skydock::{Auth, Mode, Site};

use crate::{
    issuer::{AUDIENCE, ISSUER, Key, claims, from_now, hs256, set, written},
    peer::{Client, MODES, Reply, config, router},
};

fn auth(keys: &[Value]) -> Auth {
    Auth::from_keys(ISSUER, vec![AUDIENCE.to_owned()], &set(keys)).unwrap()
}

fn guarded(mode: Mode, auth: Auth) -> Router {
    let mut config = config(mode);
    config.auth = Some(auth);
    router(config).0
}

async fn who(router: &Router, authorization: &[&str]) -> Reply {
    let client = Client::modern(router);
    let mut request = client.calling("who", json!({}));
    for value in authorization {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(header::AUTHORIZATION, value);
    }
    client.exchange(request).await
}

async fn asked_with(router: &Router, token: &str) -> Reply {
    who(router, &[&format!("Bearer {token}")]).await
}

fn is_refused(reply: &Reply, code: &str, said: &str) {
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{said}: {reply:?}");
    let challenge = reply.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.starts_with("Bearer realm="), "{said}: {challenge}");
    assert_eq!(
        challenge.contains("error="),
        !code.is_empty(),
        "{said}: {challenge}"
    );
    assert!(challenge.contains(code), "{said}: {challenge}");
    assert_eq!(reply.error_code(), -32000, "{said}");
}

#[tokio::test]
async fn a_good_token_of_each_kind_of_key_says_who_it_is() {
    for key in [Key::ec(), Key::ed(), Key::rsa()] {
        let router = guarded(Mode::Json, auth(&[key.jwk("a")]));
        let reply = asked_with(&router, &key.token("a", &claims("Max"))).await;
        assert_eq!(
            reply.tool_text(),
            "Max (token https://issuer.example Max)",
            "{}",
            key.algorithm()
        );
        let mut several = claims("Max");
        several["aud"] = json!(["https://other.example/mcp", AUDIENCE]);
        several["exp"] = json!(from_now(100_000_000));
        several["nbf"] = json!(from_now(20));
        let reply = asked_with(&router, &key.token("a", &several)).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        let mut late = claims("Max");
        late["exp"] = json!(from_now(-20));
        let reply = asked_with(&router, &key.token("a", &late)).await;
        assert_eq!(reply.status, StatusCode::OK, "clocks may differ: {reply:?}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_but_health_is_there() {
    let key = Key::ec();
    for mode in MODES {
        let router = guarded(mode, auth(&[key.jwk("a")]));
        let client = Client::modern(&router);
        for method in [
            Method::GET,
            Method::POST,
            Method::DELETE,
            Method::PUT,
            Method::HEAD,
        ] {
            let request = Request::builder()
                .method(method.clone())
                .uri("/mcp?access_token=x")
                .header("host", "localhost")
                .body(Body::empty())
                .unwrap();
            let reply = client.exchange(request).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{mode:?} {method}");
            assert_eq!(reply.headers[header::WWW_AUTHENTICATE], r#"Bearer realm="mcp""#);
        }
        is_refused(&who(&router, &[]).await, "", "no token");
        is_refused(&who(&router, &["Basic YTpi"]).await, "", "another scheme");
        for path in ["/livez", "/readyz", "/ping"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            assert_eq!(client.exchange(request).await.status, StatusCode::OK, "{path}");
        }
    }
    let router = guarded(Mode::Json, auth(&[key.jwk("a")]));
    let token = format!("Bearer {}", key.token("a", &claims("Max")));
    for two in [
        &[token.as_str(), token.as_str()][..],
        &["Bearer"],
        &["Bearer a b"],
    ] {
        let reply = who(&router, two).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{two:?}");
        let challenge = reply.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.contains("invalid_request"), "{challenge}");
    }
}

#[tokio::test]
async fn a_browser_may_ask_beforehand_without_a_token() {
    let mut config = config(Mode::Json);
    config.origins = vec!["https://app.example.com".to_owned()];
    config.auth = Some(auth(&[Key::ec().jwk("a")]));
    let (router, _) = router(config);
    let preflight = Request::options("/mcp")
        .header("host", "localhost")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization")
        .body(Body::empty())
        .unwrap();
    let reply = Client::modern(&router).exchange(preflight).await;
    assert_eq!(reply.status, StatusCode::OK);
    let post = Request::post("/mcp")
        .header("host", "localhost")
        .header("origin", "https://app.example.com")
        .body(Body::empty())
        .unwrap();
    let reply = Client::modern(&router).exchange(post).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let exposed = reply.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
}

/// Claims with one that is other than it should be, or missing.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims("Max");
    claims[name] = value;
    if claims[name].is_null() {
        claims.as_object_mut().unwrap().remove(name);
    }
    claims
}

#[tokio::test]
async fn a_token_that_says_something_else_is_refused() {
    let key = Key::ec();
    let router = guarded(Mode::Json, auth(&[key.jwk("a")]));
    for (said, claims) in [
        ("expired", but("exp", json!(from_now(-40)))),
        ("no end", but("exp", Value::Null)),
        ("an end that is no number", but("exp", json!("tomorrow"))),
        ("not yet", but("nbf", json!(from_now(60)))),
        ("a beginning that is no number", but("nbf", json!("x"))),
        ("another issuer", but("iss", json!("https://evil.example"))),
        ("two issuers", but("iss", json!([ISSUER, "https://evil.example"]))),
        ("no issuer", but("iss", Value::Null)),
        ("another audience", but("aud", json!("https://other.example/mcp"))),
        ("a longer audience", but("aud", json!(format!("{AUDIENCE}/x")))),
        ("no audience", but("aud", Value::Null)),
        ("an empty list of audiences", but("aud", json!([]))),
        ("nobody", but("sub", Value::Null)),
        ("an empty name", but("sub", json!(""))),
        ("a name of two lines", but("sub", json!("Max\nsub: root"))),
        ("a name that is a number", but("sub", json!(7))),
        ("no claims", json!("Max")),
    ] {
        is_refused(
            &asked_with(&router, &key.token("a", &claims)).await,
            "invalid_token",
            said,
        );
    }
}

/// Tokens that `key` has not signed as it should.
fn forgeries(key: &Key, other: &Key) -> Vec<(&'static str, String)> {
    let good = claims("Max");
    let header = |algorithm: &str, id: &str| json!({"typ": "JWT", "alg": algorithm, "kid": id});
    let public = key.public();
    let critical = json!({"alg": "ES256", "kid": "a", "crit": ["b64"], "b64": false});
    let own = json!({"alg": "ES256", "kid": "x", "jwk": other.jwk("x")});
    let signed = |header: &Value| written(header, &good, |message| key.sign(message));
    let shared = |secret: &[u8]| written(&header("HS256", "a"), &good, |message| hs256(secret, message));
    let unsigned = |algorithm: &str| written(&header(algorithm, "a"), &good, |_| Vec::new());
    vec![
        ("another key", other.token("a", &good)),
        ("an unknown kid", key.token("b", &good)),
        ("no kid, and two keys", signed(&json!({"alg": "ES256"}))),
        ("the key of another algorithm", key.token("r", &good)),
        ("no algorithm", unsigned("none")),
        ("no algorithm, written otherwise", unsigned("nOnE")),
        ("HS256 with the public key", shared(&public)),
        ("HS256 with the x of the public key", shared(&public[1..33])),
        ("ES384 with a key for ES256", signed(&header("ES384", "a"))),
        ("something critical", signed(&critical)),
        (
            "a key that it brings itself",
            written(&own, &good, |message| other.sign(message)),
        ),
        (
            "zeros as a signature",
            written(&header("ES256", "a"), &good, |_| vec![0; 64]),
        ),
        ("no token at all", "hello".to_owned()),
    ]
}

#[tokio::test]
async fn a_token_that_the_issuer_has_not_signed_so_is_refused() {
    let (key, other) = (Key::ec(), Key::ec());
    let router = guarded(Mode::Json, auth(&[key.jwk("a"), Key::rsa().jwk("r")]));
    let (signed, theirs) = (key.token("a", &claims("Max")), key.token("a", &claims("Eve")));
    let (mine, their): (Vec<_>, Vec<_>) = (signed.split('.').collect(), theirs.split('.').collect());
    let mut tokens = forgeries(&key, &other);
    tokens.extend([
        ("another signature", [mine[0], mine[1], their[2]].join(".")),
        ("other claims", [mine[0], their[1], mine[2]].join(".")),
        ("no signature", [mine[0], mine[1], ""].join(".")),
        ("two parts", [mine[0], mine[1]].join(".")),
        ("four parts", format!("{signed}.x")),
        ("far too much", format!("{signed}{}", "x".repeat(20_000))),
    ]);
    for (said, token) in tokens {
        is_refused(&asked_with(&router, &token).await, "invalid_token", said);
    }
    assert_eq!(asked_with(&router, &signed).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_said_of_a_refusal_tells_nothing_of_the_reason() {
    let key = Key::ec();
    let router = guarded(Mode::Json, auth(&[key.jwk("a")]));
    let expired = asked_with(&router, &key.token("a", &but("exp", json!(from_now(-40))))).await;
    let forged = asked_with(&router, &Key::ec().token("a", &claims("Max"))).await;
    assert_eq!(expired.text, forged.text);
    let challenge = |reply: &Reply| reply.headers[header::WWW_AUTHENTICATE].clone();
    assert_eq!(challenge(&expired), challenge(&forged));
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("skydock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_change_while_the_server_runs() {
    let folder = Folder::new("keys");
    let file = folder.0.join("keys.json");
    let (old, new) = (Key::ec(), Key::ed());
    std::fs::write(&file, set(&[old.jwk("old")])).unwrap();
    let auth = Auth::from_file(ISSUER, vec![AUDIENCE.to_owned()], &file).unwrap();
    let router = guarded(Mode::Json, auth);
    let status = async |key: &Key, id: &str| asked_with(&router, &key.token(id, &claims("Max"))).await.status;
    assert_eq!(status(&old, "old").await, StatusCode::OK);
    // both are known while keys change: a kid that is not known is looked for at once
    std::fs::write(&file, set(&[old.jwk("old"), new.jwk("new")])).unwrap();
    assert_eq!(status(&new, "new").await, StatusCode::OK);
    assert_eq!(status(&old, "old").await, StatusCode::OK);
    // but not for whoever makes up one kid after the other
    std::fs::write(&file, set(&[old.jwk("old"), new.jwk("new"), old.jwk("third")])).unwrap();
    assert_eq!(status(&old, "third").await, StatusCode::UNAUTHORIZED);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(status(&old, "third").await, StatusCode::OK);
    // a key that is gone is not good any more, half a minute later at the latest
    std::fs::write(&file, set(&[new.jwk("new")])).unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(status(&old, "old").await, StatusCode::UNAUTHORIZED);
    // what cannot be read changes nothing
    std::fs::write(&file, "{").unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(status(&new, "new").await, StatusCode::OK);
}

#[tokio::test]
async fn a_session_is_there_for_its_principal_only() {
    let key = Key::ec();
    let router = guarded(Mode::Stateful, auth(&[key.jwk("a")]));
    let with = |user: &str, mut request: Request<Body>| {
        let value = format!("Bearer {}", key.token("a", &claims(user)));
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, value.parse().unwrap());
        request
    };
    let client = Client {
        version: crate::peer::LEGACY,
        ..Client::modern(&router)
    };
    let info = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": client.version, "capabilities": {}, "clientInfo": info});
    let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let opening = client.post().body(Body::from(message.to_string())).unwrap();
    let opened = client.exchange(with("Max", opening)).await;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    let session = opened.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let client = Client {
        session: Some(session),
        ..client
    };
    let said = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    for (user, status) in [("Max", StatusCode::ACCEPTED), ("Eve", StatusCode::NOT_FOUND)] {
        let request = client.post().body(Body::from(said.clone())).unwrap();
        assert_eq!(
            client.exchange(with(user, request)).await.status,
            status,
            "{user}"
        );
    }
    let reply = client
        .exchange(with("Max", client.calling("who", json!({}))))
        .await;
    assert_eq!(reply.tool_text(), "Max (token https://issuer.example Max)");
    let reply = client
        .exchange(with("Eve", client.calling("who", json!({}))))
        .await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    // and without a token it is not even said whether there is one
    let reply = client.call("who", json!({})).await;
    is_refused(&reply, "", "no token");
}

#[tokio::test]
async fn a_site_asks_for_tokens_too() {
    let key = Key::ec();
    let mut config = config(Mode::Json);
    config.auth = Some(auth(&[key.jwk("a")]));
    let page = axum::routing::get(|request: axum::extract::Request| async move {
        let principal = request.extensions().get::<skydock::Principal>().cloned();
        principal.unwrap().subject().to_owned()
    });
    let router = Site::new(Router::new().route("/", page))
        .with(config)
        .into_router();
    let client = Client::modern(&router);
    let get = || Request::get("/").header("host", "localhost");
    let reply = client.exchange(get().body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let token = format!("Bearer {}", key.token("a", &claims("Max")));
    let request = get().header("authorization", token).body(Body::empty()).unwrap();
    assert_eq!(client.exchange(request).await.text, "Max");
}
