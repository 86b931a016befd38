//! The events that our doors make, beside those that AWS has published.

use std::collections::BTreeSet;

use checks::tools;
use reqwest::Client;
use serde_json::Value;

use super::{echoed, function};

/// Keys that AWS's example has and ours has not, or the other way round, with the reason.
const APART: [(&str, &str); 11] = [
    ("headers", "the client's own"),
    ("multiValueHeaders", "the client's own"),
    ("queryStringParameters", "the client's own"),
    ("multiValueQueryStringParameters", "the client's own"),
    ("stageVariables", "there are none"),
    ("pathParameters", "its route has none, or other ones"),
    ("requestContext.authorizer", "there is none"),
    ("requestContext.authentication", "there is no client certificate"),
    (
        "requestContext.identity",
        "its example is an old one, with keys of Amazon Cognito",
    ),
    ("requestContext.extendedRequestId", "newer than the example"),
    ("body", "not every example is a POST"),
];

/// The paths of all keys, but for those that are `APART`.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        if !APART.iter().any(|(apart, _)| *apart == path) {
            keys(value, &path, found);
            found.insert(path);
        }
    }
}

#[tokio::test]
async fn they_have_the_keys_of_those_that_aws_has_published() {
    for (door, flags, example) in [
        ("apigw-v1", &[][..], "rest-api"),
        ("apigw-v2", &[][..], "http-api"),
        ("url", &[][..], "function-url"),
        ("alb", &[][..], "alb"),
        ("alb", &["--multi-value"][..], "alb-multi"),
    ] {
        let emulator = function(door, flags, "echo").await;
        let request = Client::new()
            .post(format!("{}?name=a%20b&name=c", emulator.url()))
            .header("cookie", "a=1; b=2")
            .header("content-type", "application/json")
            .body("{}");
        let ours = echoed(request.send().await.unwrap()).await;
        let path = format!("crates/skydock/tests/it/lambda/golden/{example}.event.json");
        let theirs = std::fs::read_to_string(tools::workspace().join(path)).unwrap();
        let theirs: Value = serde_json::from_str(&theirs).unwrap();
        let [mut have, mut want] = [BTreeSet::new(), BTreeSet::new()];
        keys(&ours["event"], "", &mut have);
        keys(&theirs, "", &mut want);
        assert_eq!(have, want, "{door} {flags:?}");
    }
}

#[tokio::test]
async fn each_door_writes_stage_query_cookies_and_body_its_own_way() {
    let event = async |door: &str, flags: &[&str]| {
        let emulator = function(door, flags, "echo").await;
        let request = Client::new()
            .post(format!("{}?name=a%20b&name=c", emulator.url()))
            .header("cookie", "a=1; b=2")
            .header("x-many", "1")
            .header("x-many", "2")
            .header("content-type", "application/octet-stream")
            .body("{}");
        echoed(request.send().await.unwrap()).await["event"].take()
    };
    let rest = event("apigw-v1", &[]).await;
    assert_eq!(rest["path"], "/mcp");
    assert_eq!(rest["requestContext"]["path"], "/prod/mcp");
    assert_eq!(rest["queryStringParameters"]["name"], "c");
    assert_eq!(rest["multiValueQueryStringParameters"]["name"][0], "a b");
    assert_eq!(
        (
            &rest["headers"]["x-many"],
            &rest["multiValueHeaders"]["x-many"][0]
        ),
        (&"2".into(), &"1".into())
    );
    assert_eq!(
        (&rest["body"], &rest["isBase64Encoded"]),
        (&"{}".into(), &false.into())
    );
    let host = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
    assert_eq!(
        (&rest["headers"]["host"], &rest["requestContext"]["domainName"]),
        (&host.into(), &host.into())
    );

    let http = event("apigw-v2", &["--stage", "beta"]).await;
    assert_eq!(
        (&http["rawPath"], &http["requestContext"]["stage"]),
        (&"/beta/mcp".into(), &"beta".into())
    );
    assert_eq!(http["rawQueryString"], "name=a%20b&name=c");
    assert_eq!(http["queryStringParameters"]["name"], "a b,c");
    assert_eq!(http["cookies"], serde_json::json!(["a=1", "b=2"]));
    assert_eq!(http["headers"]["x-many"], "1,2");
    assert_eq!(
        (&http["body"], &http["isBase64Encoded"]),
        (&"e30=".into(), &true.into())
    );

    let balancer = event("alb", &[]).await;
    assert_eq!(balancer["queryStringParameters"]["name"], "c");
    let balancer = event("alb", &["--multi-value"]).await;
    assert_eq!(balancer["multiValueQueryStringParameters"]["name"][0], "a%20b");
    assert_eq!(
        balancer["multiValueHeaders"]["x-many"],
        serde_json::json!(["1", "2"])
    );
}

#[tokio::test]
async fn what_leads_to_no_stage_is_refused() {
    let emulator = function("apigw-v1", &[], "echo").await;
    for path in ["/mcp", "/production/mcp", "/"] {
        let answered = reqwest::get(emulator.at(path)).await.unwrap();
        assert_eq!(answered.status(), 403, "{path}");
    }
    let emulator = function("apigw-v2", &["--stage", "beta"], "echo").await;
    assert_eq!(reqwest::get(emulator.at("/mcp")).await.unwrap().status(), 404);
}
