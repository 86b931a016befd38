//! Application Load Balancers with a Lambda target group.
//!
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::{Map, Value, json};

use super::{
    Asked, Fault, ID, Site,
    reply::{self, Reply},
};
use crate::emulate::contract;

/// The event of a request.
pub(super) fn event(site: &Site, asked: &Asked) -> Value {
    let (body, is_base64) = asked.body();
    let target = format!(
        "arn:aws:elasticloadbalancing:{}:{}:targetgroup/emulated/{ID}",
        site.region,
        contract::ACCOUNT
    );
    let mut event = json!({
        "requestContext": {"elb": {"targetGroupArn": target}},
        "httpMethod": asked.method.as_str(),
        "path": asked.path,
        "body": if body.is_null() { Value::from("") } else { body },
        "isBase64Encoded": is_base64,
    });
    let pairs = if site.multi_value {
        [
            ("multiValueHeaders", asked.many_headers()),
            ("multiValueQueryStringParameters", query(&asked.query, true)),
        ]
    } else {
        [
            ("headers", asked.single_headers(false)),
            ("queryStringParameters", query(&asked.query, false)),
        ]
    };
    if let Some(event) = event.as_object_mut() {
        event.extend(pairs.map(|(key, value)| (key.to_owned(), value.into())));
    }
    event
}

/// The query as it came: a balancer does not decode it.
fn query(query: &str, many: bool) -> Map<String, Value> {
    let mut read = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if many {
            let values = read.entry(name).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.into());
            }
        } else {
            read.insert(name.to_owned(), value.into());
        }
    }
    read
}

/// The response for an answer in one piece. Headers of the other kind are not read.
pub(super) fn answer(site: &Site, payload: &[u8]) -> Result<Response<Body>, Fault> {
    if payload.len() > contract::LOAD_BALANCER_BYTES {
        return Err(Fault::Malformed(format!(
            "the function's answer has {} bytes, and a load balancer takes {}",
            payload.len(),
            contract::LOAD_BALANCER_BYTES
        )));
    }
    let reply = Reply::read(payload)?;
    let headers = if site.multi_value {
        &reply.multi_value_headers
    } else {
        &reply.headers
    };
    let Some(headers) = headers else {
        let kind = if site.multi_value {
            "multiValueHeaders"
        } else {
            "headers"
        };
        return Err(Fault::Malformed(format!(
            "the function's answer has no {kind}, and this target group takes no others"
        )));
    };
    let headers = reply::headers(Some(headers))?;
    reply.into_response(headers)
}

/// The door's own response.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
pub(super) fn refuse(fault: &Fault) -> Response<Body> {
    let status = match fault {
        Fault::NoRoute => StatusCode::NOT_FOUND,
        Fault::RequestTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Fault::BrokeOff => StatusCode::BAD_REQUEST,
        Fault::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        Fault::Forbidden { .. } => StatusCode::FORBIDDEN,
        Fault::Late(_) => StatusCode::GATEWAY_TIMEOUT,
        Fault::Authorizer(_) | Fault::Throttled | Fault::Failed(_) | Fault::Malformed(_) => {
            StatusCode::BAD_GATEWAY
        }
    };
    let title = format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    reply::plain(status, "text/html", page)
}
