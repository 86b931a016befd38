//! VPC Lattice, both versions of its event.
//!
//! <https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html>

use serde::Deserialize;

use super::{
    Arrived, Source, Unknown, parse_event,
    request::{Pairs, Told, own_name, read_headers, write_query},
};
use crate::runtime::lambda::contract;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShapeV2 {
    path: String,
    method: String,
    #[serde(default)]
    headers: Option<Pairs>,
    #[serde(default)]
    query_string_parameters: Option<Pairs>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct ShapeV1 {
    raw_path: String,
    method: String,
    #[serde(default)]
    headers: Option<Pairs>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Reads an event of version 2.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read_v2(event: &[u8]) -> Result<Arrived, Unknown> {
    let shape: ShapeV2 = parse_event(Source::Lattice, event)?;
    arrive(Told {
        source: Source::Lattice,
        method: shape.method,
        path: shape.path,
        query: write_query(&shape.query_string_parameters.unwrap_or_default(), false),
        headers: read_headers(Source::Lattice, &shape.headers.unwrap_or_default())?,
        body: shape.body,
        is_base64: shape.is_base64_encoded.unwrap_or_default(),
    })
}

/// Reads an event of version 1, whose path still has its query.
///
/// # Errors
/// When the event has another shape.
pub(super) fn read_v1(event: &[u8]) -> Result<Arrived, Unknown> {
    let shape: ShapeV1 = parse_event(Source::Lattice, event)?;
    let (path, query) = shape.raw_path.split_once('?').unwrap_or((&shape.raw_path, ""));
    arrive(Told {
        source: Source::Lattice,
        method: shape.method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: read_headers(Source::Lattice, &shape.headers.unwrap_or_default())?,
        body: shape.body,
        is_base64: shape.is_base64_encoded.unwrap_or_default(),
    })
}

fn arrive(told: Told) -> Result<Arrived, Unknown> {
    let request = told.into_request(None)?;
    Ok(Arrived {
        source: Source::Lattice,
        domain: own_name(request.headers(), contract::is_lattice),
        request,
    })
}
