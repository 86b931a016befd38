//! An answer in one piece, in the shape that each door takes.

use std::{borrow::Cow, collections::BTreeMap};

use axum::body::{Body, Bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::Serialize;

use super::{cookies, leaving};
use crate::runtime::lambda::events::Source;

/// Why a body is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Missing {
    /// It is larger than the limit.
    TooLarge,
    /// It broke off.
    Broken,
}

/// Reads a body to its end, and no further than `limit` bytes.
pub(in super::super) async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Missing> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::error!(%error, "an answer broke off");
            Missing::Broken
        })?;
        if let Ok(data) = frame.into_data() {
            if kept.len().saturating_add(data.len()) > limit {
                return Err(Missing::TooLarge);
            }
            kept.extend_from_slice(&data);
        }
    }
    Ok(kept.freeze())
}

/// The response of a Lambda function behind an HTTP door; no door takes all of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<&'a str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<&'a str, Vec<&'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<&'a str>>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

/// The response as `source` takes it; an error is a fault of this library.
pub(in super::super) fn write(
    source: Source,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    // what is encoded is binary, whatever it looks like
    let text = std::str::from_utf8(body)
        .ok()
        .filter(|_| !headers.contains_key(header::CONTENT_ENCODING));
    let mut shape = Shape {
        status_code: status.as_u16(),
        status_description: None,
        headers: None,
        multi_value_headers: None,
        cookies: None,
        body: text.map_or_else(|| STANDARD.encode(body).into(), Cow::Borrowed),
        is_base64_encoded: text.is_none(),
    };
    match source {
        Source::RestApi | Source::HttpApiV1 => shape.multi_value_headers = Some(many(headers)),
        Source::HttpApi | Source::FunctionUrl => {
            shape.headers = Some(joined(headers));
            // an empty list too: `cargo lambda watch` insists on it
            shape.cookies = Some(cookies(headers));
        }
        Source::LoadBalancer { multi } => {
            let reason = status.canonical_reason().unwrap_or_default();
            shape.status_description = Some(format!("{} {reason}", status.as_u16()));
            if multi {
                shape.multi_value_headers = Some(many(headers));
            } else {
                shape.headers = Some(single(headers));
            }
        }
        Source::Lattice => shape.headers = Some(single(headers)),
        // a message is its own response
        Source::Invoke | Source::AgentCore => {
            return Ok(if body.is_empty() {
                b"null".to_vec()
            } else {
                body.to_vec()
            });
        }
    }
    serde_json::to_vec(&shape)
}

/// Each header with all its values.
fn many(headers: &HeaderMap) -> BTreeMap<&str, Vec<&str>> {
    let mut headers_and_cookies: BTreeMap<_, _> = leaving(headers).collect();
    let cookies = cookies(headers);
    if !cookies.is_empty() {
        headers_and_cookies.insert(header::SET_COOKIE.as_str(), cookies);
    }
    headers_and_cookies
}

/// Each header once, its values joined as HTTP allows (RFC 9110 §5.3).
pub(super) fn joined(headers: &HeaderMap) -> BTreeMap<&str, String> {
    leaving(headers)
        .map(|(name, values)| (name, values.join(", ")))
        .collect()
}

/// As [`joined`], where there is one place for all cookies, which cannot be joined: the last one has it.
fn single(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut headers_and_cookie = joined(headers);
    if let Some(cookie) = cookies(headers).pop() {
        headers_and_cookie.insert(header::SET_COOKIE.as_str(), cookie.to_owned());
    }
    headers_and_cookie
}
