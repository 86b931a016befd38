//! Headers that API Gateway's REST APIs and function URLs do not let through as they are.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>, the table of REST APIs.
//! That function URLs do the same to `WWW-Authenticate` is (known): several have seen it, and no page says so.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, header},
};
use serde_json::{Map, Value};

/// Of a function's answer: they reach the client under another name.
const REMAPPED: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::DATE,
    header::MAX_FORWARDS,
    header::SERVER,
    header::USER_AGENT,
    header::WWW_AUTHENTICATE,
];
/// Of a function's answer: they do not reach the client.
const DROPPED: [HeaderName; 7] = [
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::VIA,
];
/// Of a request: they do not reach the function. What belongs to the connection is gone already.
const KEPT_FROM_FUNCTIONS: [&str; 6] = [
    "content-length",
    "content-md5",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "www-authenticate",
];

/// What becomes of the headers of a function's answer.
pub(super) fn remap(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for name in DROPPED {
        headers.remove(name);
    }
    for name in REMAPPED {
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        if let Ok(renamed) = HeaderName::try_from(format!("x-amzn-remapped-{name}")) {
            for value in values {
                headers.append(renamed.clone(), value);
            }
        }
    }
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    response
}

/// The headers of a request that reach the function.
pub(super) fn passing(mut headers: Map<String, Value>) -> Map<String, Value> {
    headers.retain(|name, _value| !KEPT_FROM_FUNCTIONS.contains(&name.as_str()));
    headers
}
