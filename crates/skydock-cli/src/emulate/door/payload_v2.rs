//! The payload format that HTTP APIs and function URLs share.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{
    Asked, Door, Fault, ID, Site,
    reply::{self, Reply},
};
use crate::emulate::contract;

/// The event of a request.
pub(super) fn event(door: Door, site: &Site, asked: &Asked, authorizer: Option<&Value>) -> Value {
    let is_url = door != Door::ApigwV2;
    let (body, is_base64) = asked.body();
    let mut context = json!({
        "accountId": if is_url { "anonymous" } else { contract::ACCOUNT },
        "apiId": ID,
        "domainName": door.domain(site),
        "domainPrefix": ID,
        "http": {
            "method": asked.method.as_str(),
            "path": asked.raw_path,
            "protocol": "HTTP/1.1",
            "sourceIp": asked.client.to_string(),
            "userAgent": asked.header(&header::USER_AGENT),
        },
        "requestId": asked.id,
        "routeKey": "$default",
        "stage": site.stage,
        "time": asked.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "timeEpoch": asked.at.as_millisecond(),
    });
    if let (Some(authorizer), Some(context)) = (authorizer, context.as_object_mut()) {
        context.insert("authorizer".to_owned(), json!({"lambda": authorizer}));
    }
    let mut headers = asked.single_headers(true);
    headers.remove(header::COOKIE.as_str());
    let cookies = cookies(asked);
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": asked.raw_path,
        "rawQueryString": asked.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": is_base64,
    });
    let optional = [
        ("cookies", cookies),
        ("queryStringParameters", query(&asked.query)),
        ("body", Some(body).filter(|body| !body.is_null())),
    ];
    if let Some(event) = event.as_object_mut() {
        for (key, value) in optional {
            event.extend(value.map(|value| (key.to_owned(), value)));
        }
    }
    event
}

/// Each cookie of each header; nothing when there is none.
fn cookies(asked: &Asked) -> Option<Value> {
    let values = asked.headers.get_all(header::COOKIE).iter();
    let cookies: Vec<&str> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .collect();
    (!cookies.is_empty()).then(|| cookies.into())
}

/// The query, decoded, the values of a name joined; nothing when there is none.
fn query(query: &str) -> Option<Value> {
    let url = Url::parse(&format!("http://door/?{query}")).ok()?;
    let mut joined: Map<String, Value> = Map::new();
    for (name, value) in url.query_pairs() {
        let before = joined.get(name.as_ref()).and_then(Value::as_str);
        let value = before.map_or_else(|| value.to_string(), |before| format!("{before},{value}"));
        joined.insert(name.to_string(), value.into());
    }
    (!joined.is_empty()).then(|| joined.into())
}

/// The response for an answer in one piece. One without a status is a body.
pub(super) fn answer(payload: &[u8]) -> Result<Response<Body>, Fault> {
    let value: Value = serde_json::from_slice(payload)
        .map_err(|error| Fault::Malformed(format!("the function's answer is no JSON: {error}")))?;
    if value.get("statusCode").is_none() {
        let body = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        return Ok(reply::plain(StatusCode::OK, "application/json", body));
    }
    let mut reply = Reply::read(payload)?;
    let mut headers = reply::headers(reply.headers.as_ref())?;
    reply::add_cookies(&mut headers, reply.cookies.take())?;
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    reply.into_response(headers)
}
