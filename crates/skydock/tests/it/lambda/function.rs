//! A function in Lambda: a host that fetches its work from a runtime API, and events of each door.

use base64::Engine as _;
use serde_json::{Value, json};
use skydock::{Config, Error, Host, Lambda, LambdaResponse};
use tokio::task::JoinHandle;

use super::runtime_api::{Answer, RuntimeApi};
use crate::{
    peer::{MODERN, config},
    workshop::{Events, Workshop},
};

/// The last revision with a handshake.
pub(crate) const OLD: &str = "2025-11-25";

/// The doors, by the names that the tests use.
pub(crate) const DOORS: [&str; 9] = [
    "rest-api",
    "http-api-1.0",
    "http-api",
    "function-url",
    "alb",
    "alb-multi",
    "lattice-v1",
    "lattice-v2",
    "invoke",
];

/// A configuration of a function.
pub(crate) fn lambda(api: &RuntimeApi, response: LambdaResponse) -> Config {
    let mut lambda = Lambda::new(api.address.to_string());
    lambda.response = response;
    let mut config = config(skydock::Mode::Json);
    config.lambda = Some(lambda);
    config
}

/// Runs a function in the background.
pub(crate) fn start(config: Config) -> (JoinHandle<Result<(), Error>>, Events) {
    let events = Events::default();
    let host = Host::new(Workshop::new(events.clone())).with(config);
    (tokio::spawn(host.run()), events)
}

/// A runtime API with a function behind it.
pub(crate) async fn function(response: LambdaResponse) -> (RuntimeApi, Events) {
    let api = RuntimeApi::start().await;
    let (_running, events) = start(lambda(&api, response));
    (api, events)
}

/// A message of a client in one of the two eras.
pub(crate) fn message(version: &str, method: &str, mut params: Value) -> Value {
    if version == MODERN {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

pub(crate) fn call(version: &str, tool: &str, arguments: Value) -> Value {
    let mut params = json!({"name": tool});
    params["arguments"] = arguments;
    message(version, "tools/call", params)
}

/// What `initialize` of an old client says.
pub(crate) fn initialize() -> Value {
    let params =
        json!({"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    message(OLD, "initialize", params)
}

/// The event of `door` for a message of a client.
pub(crate) fn event(door: &str, version: &str, message: &Value) -> Value {
    if door == "invoke" {
        return message.clone();
    }
    let mut headers = json!({
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
    });
    if version == MODERN {
        headers["mcp-method"] = message["method"].clone();
        if let Some(name) = message["params"].get("name") {
            headers["mcp-name"] = name.clone();
        }
    }
    wrap(door, "POST", &headers, &message.to_string())
}

/// The event of `door` for any request to `/mcp`, as the door would have its path.
pub(crate) fn wrap(door: &str, method: &str, headers: &Value, body: &str) -> Value {
    let (path, host) = match door {
        "rest-api" => ("/base/mcp", "a1.execute-api.eu-west-1.amazonaws.com"),
        "http-api-1.0" | "http-api" => ("/prod/mcp", "a2.execute-api.eu-west-1.amazonaws.com"),
        "function-url" => ("/mcp/", "u1.lambda-url.eu-west-1.on.aws"),
        "alb" | "alb-multi" => ("/team/mcp", "shop-1.eu-west-1.elb.amazonaws.com"),
        _ => ("/mcp", "shop-0a.7d67968.vpc-lattice-svcs.eu-west-1.on.aws"),
    };
    let mut headers = headers.clone();
    headers["host"] = json!(host);
    let many: Value = headers
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let encoded = base64::engine::general_purpose::STANDARD.encode(body);
    match door {
        "rest-api" | "http-api-1.0" => {
            let mut event = json!({
                "resource": "/{proxy+}", "path": path, "httpMethod": method, "headers": headers, "multiValueHeaders": many,
                "requestContext": {"stage": "prod", "identity": {}, "domainName": host}, "body": body, "isBase64Encoded": false,
            });
            if door == "http-api-1.0" {
                event["version"] = json!("1.0");
            }
            event
        }
        "http-api" | "function-url" => json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
            "requestContext": {"stage": "prod", "domainName": host, "http": {"method": method, "path": path}},
            "body": encoded, "isBase64Encoded": true,
        }),
        "alb" => json!({
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/a/1"}},
            "httpMethod": method, "path": path, "queryStringParameters": {}, "headers": headers, "body": body, "isBase64Encoded": false,
        }),
        "alb-multi" => json!({
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/a/1"}},
            "httpMethod": method, "path": path, "multiValueQueryStringParameters": {}, "multiValueHeaders": many, "body": body,
            "isBase64Encoded": false,
        }),
        "lattice-v1" => {
            json!({"raw_path": path, "method": method, "headers": headers, "body": body, "is_base64_encoded": false})
        }
        "lattice-v2" => json!({
            "version": "2.0", "path": path, "method": method, "headers": many, "body": body, "isBase64Encoded": false,
            "requestContext": {"serviceNetworkArn": "arn:aws:vpc-lattice:eu-west-1:123456789012:servicenetwork/sn-1", "region": "eu-west-1"},
        }),
        other => panic!("no door is called {other}"),
    }
}

/// The status and body that a client behind `door` gets.
pub(crate) fn read(door: &str, answer: &Answer) -> (u16, String) {
    assert_eq!(answer.how, "response", "{answer:?}");
    if door == "invoke" {
        return (200, String::from_utf8(answer.body.clone()).unwrap());
    }
    if answer.is_streamed() {
        let at = answer
            .body
            .windows(8)
            .position(|window| window == [0; 8])
            .expect("a delimiter");
        let prelude: Value = serde_json::from_slice(&answer.body[..at]).unwrap();
        let body = String::from_utf8(answer.body[at + 8..].to_vec()).unwrap();
        return (
            u16::try_from(prelude["statusCode"].as_u64().unwrap()).unwrap(),
            body,
        );
    }
    let response = answer.json();
    assert_eq!(response["isBase64Encoded"], false);
    let status = u16::try_from(response["statusCode"].as_u64().unwrap()).unwrap();
    (status, response["body"].as_str().unwrap().to_owned())
}

/// The last JSON-RPC message of a body, JSON or events.
pub(crate) fn last(body: &str) -> Value {
    let mut data = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| !data.is_empty());
    let message = data.next_back().unwrap_or(body);
    serde_json::from_str(message).unwrap_or_else(|error| panic!("{error} in {body:?}"))
}
