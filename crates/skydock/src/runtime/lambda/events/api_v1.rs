//! API Gateway REST APIs, and HTTP APIs with payload format 1.0.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use serde::Deserialize;

use super::{
    Arrived, Source, Unknown, parse_event,
    request::{Pairs, Told, read_headers, write_query},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    http_method: String,
    path: String,
    #[serde(default)]
    headers: Option<Pairs>,
    #[serde(default)]
    multi_value_headers: Option<Pairs>,
    #[serde(default)]
    query_string_parameters: Option<Pairs>,
    #[serde(default)]
    multi_value_query_string_parameters: Option<Pairs>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Reads an event whose `requestContext` names `domain`.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read(event: &[u8], source: Source, domain: Option<String>) -> Result<Arrived, Unknown> {
    let shape: Shape = parse_event(source, event)?;
    // the single values are the last of the many
    let pairs = |many: Option<Pairs>, single: Option<Pairs>| {
        many.filter(|pairs| !pairs.is_empty())
            .or(single)
            .unwrap_or_default()
    };
    let query = pairs(
        shape.multi_value_query_string_parameters,
        shape.query_string_parameters,
    );
    let told = Told {
        source,
        method: shape.http_method,
        path: shape.path,
        query: write_query(&query, true),
        headers: read_headers(&pairs(shape.multi_value_headers, shape.headers)),
        body: shape.body,
        is_base64: shape.is_base64_encoded.unwrap_or_default(),
    };
    Ok(Arrived {
        source,
        request: told.into_request(domain.as_deref())?,
        domain,
    })
}
