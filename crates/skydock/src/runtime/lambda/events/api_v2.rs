//! API Gateway HTTP APIs with payload format 2.0, and Lambda function URLs, which have the same shape.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>

use http::{HeaderValue, header};
use serde::Deserialize;

use super::{
    Arrived, Source, Unknown, parse_event,
    request::{Pairs, Told, read_headers},
};
use crate::runtime::lambda::contract;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    raw_path: String,
    #[serde(default)]
    raw_query_string: Option<String>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    headers: Option<Pairs>,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Reads an event whose `requestContext` names `domain`, which tells the two doors apart.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read(event: &[u8], domain: Option<String>) -> Result<Arrived, Unknown> {
    let is_url = domain.as_deref().is_some_and(contract::is_function_url);
    let source = if is_url {
        Source::FunctionUrl
    } else {
        Source::HttpApi
    };
    let shape: Shape = parse_event(source, event)?;
    let mut headers = read_headers(source, &shape.headers.unwrap_or_default())?;
    let cookies = shape.cookies.unwrap_or_default().join("; ");
    if !cookies.is_empty()
        && let Ok(cookies) = HeaderValue::try_from(cookies)
    {
        headers.insert(header::COOKIE, cookies);
    }
    let told = Told {
        source,
        method: shape.request_context.http.method,
        path: shape.raw_path,
        query: shape.raw_query_string.unwrap_or_default(),
        headers,
        body: shape.body,
        is_base64: shape.is_base64_encoded.unwrap_or_default(),
    };
    Ok(Arrived {
        source,
        request: told.into_request(domain.as_deref())?,
        domain,
    })
}
