//! `skydock call` at a server that wants a token: the OAuth login, with a person played by the test.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

use crate::program::{Ran, command, mcp, serve_on, skydock};

const TOKEN: &str = "a-real-token";

/// An authorization server and the server that it protects, in one.
#[derive(Clone)]
struct House {
    base: String,
    /// What came to the token endpoint.
    seen: Arc<Mutex<Vec<String>>>,
    refuses: bool,
}

async fn house(refuses: bool) -> House {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let house = House {
        base,
        seen: Arc::default(),
        refuses,
    };
    let guarded = mcp().layer(middleware::from_fn_with_state(house.clone(), guard));
    let oauth = Router::new()
        .route("/.well-known/oauth-protected-resource/mcp", get(resource))
        .route(
            "/.well-known/oauth-authorization-server",
            get(authorization_server),
        )
        .route("/register", post(register))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .with_state(house.clone());
    serve_on(listener, guarded.merge(oauth));
    house
}

async fn guard(State(house): State<House>, request: Request, next: Next) -> Response {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if token == Some(&format!("Bearer {TOKEN}")) {
        return next.run(request).await;
    }
    let base = &house.base;
    let challenge = format!(
        "Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\", scope=\"ops\""
    );
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

async fn resource(State(House { base, .. }): State<House>) -> Response {
    reply(
        StatusCode::OK,
        &json!({"resource": format!("{base}/mcp"), "authorization_servers": [base]}),
    )
}

async fn authorization_server(State(House { base, .. }): State<House>) -> Response {
    reply(
        StatusCode::OK,
        &json!({
            "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/register"),
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
        }),
    )
}

async fn register(body: String) -> Response {
    let mut answer: Value = serde_json::from_str(&body).unwrap();
    answer["client_id"] = "registered".into();
    reply(StatusCode::CREATED, &answer)
}

async fn authorize(State(house): State<House>, request: Request) -> Redirect {
    let page = Url::parse(&format!("{}{}", house.base, request.uri())).unwrap();
    let value = |name: &str| {
        page.query_pairs()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
            .into_owned()
    };
    assert_eq!(
        (value("code_challenge_method"), value("scope")),
        ("S256".into(), "ops".into())
    );
    let mut back = Url::parse(&value("redirect_uri")).unwrap();
    let (key, word) = if house.refuses {
        ("error", "access_denied")
    } else {
        ("code", "a-code")
    };
    back.query_pairs_mut()
        .append_pair(key, word)
        .append_pair("state", &value("state"));
    Redirect::to(back.as_str())
}

async fn token(State(house): State<House>, body: String) -> Response {
    house.seen.lock().unwrap().push(body);
    reply(
        StatusCode::OK,
        &json!({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 60}),
    )
}

/// Runs the program, and opens the page that it shows as a browser would.
async fn with_browser(words: &[&str]) -> Ran {
    let mut child = command(words).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut stderr = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.trim_start().starts_with("http://") && line.contains("/authorize?") {
            let page = reqwest::get(line.trim()).await.unwrap();
            assert!(page.text().await.unwrap().contains("go back to the terminal"));
        }
        stderr.push_str(&line);
        stderr.push('\n');
    }
    let output = child.wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr,
    }
}

#[tokio::test]
async fn a_challenge_leads_to_a_login_in_the_browser() {
    for era in ["2025-11-25", "2026-07-28"] {
        let house = house(false).await;
        let target = format!("{}/mcp", house.base);
        let ran = with_browser(&["call", &target, "--era", era, "about"])
            .await
            .ended(0);
        assert_eq!(ran.json()["authorization"], format!("Bearer {TOKEN}"));
        let seen = house.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        for part in [
            "grant_type=authorization_code",
            "code=a-code",
            "code_verifier=",
            "resource=",
        ] {
            assert!(seen[0].contains(part), "{part} is not in {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_login_is_told() {
    let house = house(true).await;
    let ran = with_browser(&["call", &format!("{}/mcp", house.base)])
        .await
        .ended(1);
    assert!(
        ran.stderr
            .contains("the authorization server refused: access_denied"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_told_and_no_login_is_tried() {
    let house = house(false).await;
    let file = std::env::temp_dir().join(format!("skydock-wrong-token-{}", std::process::id()));
    std::fs::write(&file, "wrong").unwrap();
    let words = [
        "call",
        &format!("{}/mcp", house.base),
        "--bearer-file",
        file.to_str().unwrap(),
    ];
    let ran = skydock(&words).await.ended(1);
    std::fs::remove_file(file).unwrap();
    assert!(ran.stderr.contains("the token given is not accepted"), "{ran:?}");
    assert!(!ran.stderr.contains("wrong\n"), "{ran:?}");
}

#[tokio::test]
async fn a_machine_gets_its_token_without_a_browser() {
    let house = house(false).await;
    let file = std::env::temp_dir().join(format!("skydock-client-secret-{}", std::process::id()));
    std::fs::write(&file, "hush").unwrap();
    let target = format!("{}/mcp", house.base);
    let secret = file.to_str().unwrap();
    let words = [
        "call",
        &target,
        "--client-id",
        "ci",
        "--client-secret-file",
        secret,
        "--client-credentials",
        "about",
    ];
    let ran = skydock(&words).await.ended(0);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ran.json()["authorization"], format!("Bearer {TOKEN}"));
    assert!(house.seen.lock().unwrap()[0].contains("grant_type=client_credentials"));
}
