//! What a function answers to a door: JSON with a status, headers and a body.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Fault;

/// The answer, in the keys of all doors.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    status_code: Value,
    #[serde(default)]
    pub(super) headers: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) multi_value_headers: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

fn malformed(why: impl std::fmt::Display) -> Fault {
    Fault::Malformed(format!(
        "the function's answer is none that this door can read: {why}"
    ))
}

impl Reply {
    /// Reads an answer that has to have this shape.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(payload).map_err(malformed)
    }

    /// As [`read`](Self::read), where nothing else may stand in it but `keys`.
    pub(super) fn read_strictly(payload: &[u8], keys: &[&str]) -> Result<Self, Fault> {
        let all: Map<String, Value> = serde_json::from_slice(payload).map_err(malformed)?;
        if let Some(other) = all.keys().find(|key| !keys.contains(&key.as_str())) {
            return Err(malformed(format!("it has the key {other:?}")));
        }
        serde_json::from_value(all.into()).map_err(malformed)
    }

    /// The response, with these headers of the answer.
    pub(super) fn into_response(self, headers: HeaderMap) -> Result<Response<Body>, Fault> {
        let status = match &self.status_code {
            Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let status = status.filter(|status| (200..600).contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or_else(|| malformed(format!("its statusCode is {}", self.status_code)))?;
        let text = match self.body {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            // a function URL writes it as JSON (known)
            Some(other) => other.to_string(),
        };
        let body = if self.is_base64_encoded == Some(true) {
            STANDARD
                .decode(text)
                .map_err(|_error| malformed("its body is not in base64"))?
        } else {
            text.into_bytes()
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Headers of an answer; a list is several values. What belongs to the connection is the door's own.
pub(super) fn headers(written: Option<&Map<String, Value>>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in written.into_iter().flatten() {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            other => std::slice::from_ref(other),
        };
        let parsed: HeaderName = name
            .parse()
            .map_err(|_error| malformed(format!("{name:?} is no name of a header")))?;
        if [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
        ]
        .contains(&parsed)
        {
            continue;
        }
        for value in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => return Err(malformed(format!("the header {name} has no text"))),
            };
            let value = HeaderValue::try_from(text)
                .map_err(|_error| malformed(format!("the header {name} cannot be sent")))?;
            headers.append(parsed.clone(), value);
        }
    }
    Ok(headers)
}

/// Adds cookies, each a header of its own.
pub(super) fn add_cookies(headers: &mut HeaderMap, cookies: Option<Vec<String>>) -> Result<(), Fault> {
    for cookie in cookies.into_iter().flatten() {
        let cookie = HeaderValue::try_from(cookie).map_err(|_error| malformed("a cookie cannot be sent"))?;
        headers.append(header::SET_COOKIE, cookie);
    }
    Ok(())
}

/// A response of a door itself.
pub(super) fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// As [`plain`], with a message in JSON; API Gateway writes its key small, and Lambda with a capital.
pub(super) fn message(status: StatusCode, key: &str, message: impl Into<Value>) -> Response<Body> {
    let body = Value::Object(Map::from_iter([(key.to_owned(), message.into())]));
    plain(status, "application/json", body.to_string())
}
