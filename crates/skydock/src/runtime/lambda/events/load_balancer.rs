//! Application Load Balancers, with single or with multi-value headers.
//!
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>

use serde::Deserialize;

use super::{
    Arrived, Source, Unknown, parse_event,
    request::{Pairs, Told, own_name, read_headers, write_query},
};
use crate::runtime::lambda::contract;

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

/// Reads an event. The answer has to have the kind of headers that the event has.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read(event: &[u8]) -> Result<Arrived, Unknown> {
    let shape: Shape = parse_event(Source::LoadBalancer { multi: false }, event)?;
    let multi = shape.multi_value_headers.is_some();
    let source = Source::LoadBalancer { multi };
    let query = shape
        .multi_value_query_string_parameters
        .or(shape.query_string_parameters);
    let told = Told {
        source,
        method: shape.http_method,
        path: shape.path,
        // a balancer leaves the encoding on
        query: write_query(&query.unwrap_or_default(), false),
        headers: read_headers(&shape.multi_value_headers.or(shape.headers).unwrap_or_default()),
        body: shape.body,
        is_base64: shape.is_base64_encoded.unwrap_or_default(),
    };
    let request = told.into_request(None)?;
    Ok(Arrived {
        source,
        domain: own_name(request.headers(), contract::is_load_balancer),
        request,
    })
}
