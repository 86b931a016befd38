//! The agent over HTTP.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use skydock::{Principal, Site};
use skydock_agent::{
    Agent,
    web::{Face, SignIn, router},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    puppet::{Puppet, Say, agent},
    workshop::Workshop,
};

fn site(agent: Agent, sign_in: SignIn) -> Router {
    let router = router(agent, Face::default(), sign_in, CancellationToken::new());
    Site::new(router).into_router()
}

struct Call<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    principal: Option<&'a str>,
    body: Option<Value>,
}

async fn call(site: &Router, call: Call<'_>) -> (StatusCode, header::HeaderMap, String) {
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header("host", "localhost");
    for (name, value) in call.headers {
        request = request.header(*name, *value);
    }
    if call.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = call
        .body
        .map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut request = request.body(body).unwrap();
    if let Some(name) = call.principal {
        request.extensions_mut().insert(Principal::new(name));
    }
    let response = site.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

async fn get(site: &Router, path: &str, principal: Option<&str>) -> (StatusCode, Value) {
    let get = Call {
        method: "GET",
        path,
        headers: &[],
        principal,
        body: None,
    };
    let (status, _, body) = call(site, get).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

async fn post(site: &Router, path: &str, principal: Option<&str>, body: Value) -> (StatusCode, String) {
    let post = Call {
        method: "POST",
        path,
        headers: &[],
        principal,
        body: Some(body),
    };
    let (status, _, body) = call(site, post).await;
    (status, body)
}

#[tokio::test]
async fn a_turn_is_a_stream_of_events_or_one_report() {
    let workshop = Workshop::new();
    let (_server, upstream) = workshop.open().await;
    let model = Puppet::new([
        Say::Calls(vec![("look", "a")]),
        Say::Words("done"),
        Say::Words("again"),
    ]);
    let site = site(
        agent(&model).with_servers(vec![upstream]),
        SignIn::Fixed("max".to_owned()),
    );
    let (status, body) = post(
        &site,
        "/api/conversations/trip/turns",
        None,
        json!({"say": "look"}),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let names: Vec<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(names, ["began", "call", "result", "text", "ended"]);
    let last = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .next_back()
        .unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["type"], "ended");
    assert_eq!(last["outcome"], "answered");
    let whole = Call {
        method: "POST",
        path: "/api/conversations/trip/turns",
        headers: &[("accept", "application/json")],
        principal: None,
        body: Some(json!({"say": "more"})),
    };
    let (_, _, body) = call(&site, whole).await;
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["answer"], "again");
    let (_, view) = get(&site, "/api/conversations/trip", None).await;
    assert_eq!(view["standing"], "idle");
    assert_eq!(view["messages"].as_array().unwrap().len(), 6);
    let (_, listed) = get(&site, "/api/conversations", None).await;
    assert_eq!(listed[0]["title"], "look");
    let (_, tools) = get(&site, "/api/conversations/trip/tools", None).await;
    assert_eq!(tools["missing"], json!([]));
}

#[tokio::test]
async fn nobody_sees_or_touches_the_conversation_of_another() {
    let model = Puppet::new([Say::Words("hello alice"), Say::Words("hello bob")]);
    let site = site(agent(&model), SignIn::Platform);
    let (alice, bob) = (Some("alice"), Some("bob"));
    let path = "/api/conversations/secret";
    post(&site, &format!("{path}/turns"), alice, json!({"say": "mine"})).await;
    let (_, view) = get(&site, path, bob).await;
    assert_eq!(view["messages"], json!([]));
    assert_eq!(get(&site, "/api/conversations", bob).await.1, json!([]));
    let remove = Call {
        method: "DELETE",
        path,
        headers: &[],
        principal: bob,
        body: None,
    };
    assert_eq!(call(&site, remove).await.0, StatusCode::NO_CONTENT);
    // bob may have one of the same name
    post(&site, &format!("{path}/turns"), bob, json!({"say": "his"})).await;
    let (_, view) = get(&site, path, alice).await;
    assert_eq!(view["messages"][0]["blocks"][0]["text"], "mine");
    for wish in [
        json!({"decide": [{"id": "x", "approve": true}]}),
        json!({"resume": {}}),
    ] {
        let (status, _) = post(&site, &format!("{path}/turns"), bob, wish).await;
        assert_eq!(status, StatusCode::CONFLICT);
    }
}

#[tokio::test]
async fn nobody_gets_in_unnamed_where_a_platform_names_its_users() {
    let site = site(agent(&Puppet::new([])), SignIn::Platform);
    for path in [
        "/api/conversations",
        "/api/conversations/x",
        "/api/conversations/x/tools",
    ] {
        assert_eq!(get(&site, path, None).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    let (status, _) = post(&site, "/api/conversations/x/turns", None, json!({"say": "x"})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = post(&site, "/api/sign-in", None, json!({"user": "max"})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, me) = get(&site, "/api/me", None).await;
    assert_eq!((status, &me["user"]), (StatusCode::OK, &Value::Null));
}

#[tokio::test]
async fn somebody_who_chose_a_name_is_known_by_a_cookie_until_they_sign_out() {
    let users = vec!["alice".to_owned(), "bob".to_owned()];
    let site = site(agent(&Puppet::new([])), SignIn::Choose(users));
    let sign = |user: &str| json!({ "user": user });
    assert_eq!(
        post(&site, "/api/sign-in", None, sign("eve")).await.0,
        StatusCode::UNAUTHORIZED
    );
    let post = Call {
        method: "POST",
        path: "/api/sign-in",
        headers: &[],
        principal: None,
        body: Some(sign("bob")),
    };
    let (status, headers, _) = call(&site, post).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let cookie = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let secret = cookie.split(';').next().unwrap();
    let me = |cookie: String| {
        let site = site.clone();
        async move {
            let headers = [("cookie", cookie.as_str())];
            let get = Call {
                method: "GET",
                path: "/api/me",
                headers: &headers,
                principal: None,
                body: None,
            };
            let (_, _, body) = call(&site, get).await;
            serde_json::from_str::<Value>(&body).unwrap()["user"].clone()
        }
    };
    assert_eq!(me(format!("other=1; {secret}")).await, "bob");
    assert_eq!(me("skydock_session=bob".to_owned()).await, Value::Null);
    let out = Call {
        method: "POST",
        path: "/api/sign-out",
        headers: &[("cookie", secret)],
        principal: None,
        body: None,
    };
    call(&site, out).await;
    assert_eq!(me(secret.to_owned()).await, Value::Null);
}

#[tokio::test]
async fn wrong_requests_say_what_is_wrong() {
    let site = site(agent(&Puppet::new([])), SignIn::Fixed("max".to_owned()));
    let turns = "/api/conversations/x/turns";
    for (path, body, part) in [
        (turns, json!({"say": "  "}), "the message is empty"),
        (turns, json!({"shout": "x"}), "unknown variant `shout`"),
        (turns, json!({"resume": {}}), "nothing to go on with"),
        (
            turns,
            json!({"decide": [{"id": "c9", "approve": true}]}),
            "no call \\\"c9\\\" waits",
        ),
        (
            "/api/conversations/a%2Fb/turns",
            json!({"say": "x"}),
            "letters, digits",
        ),
        (
            "/api/conversations/x/stop",
            json!({}),
            "nothing is being worked on",
        ),
        (
            "/api/conversations/x/replies",
            json!({"question": "q", "action": "decline"}),
            "not asked any more",
        ),
    ] {
        let (status, text) = post(&site, path, None, body).await;
        assert!(status.is_client_error(), "{path}: {status}");
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn the_page_runs_only_its_own_script() {
    let site = site(agent(&Puppet::new([])), SignIn::Fixed("max".to_owned()));
    let get = Call {
        method: "GET",
        path: "/",
        headers: &[],
        principal: None,
        body: None,
    };
    let (status, headers, page) = call(&site, get).await;
    assert_eq!(status, StatusCode::OK);
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for elsewhere in ["http://", "https://", "//cdn", "/*STYLE*/", "/*SCRIPT*/"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}
