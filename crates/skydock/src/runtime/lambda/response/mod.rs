//! How an answer leaves: in one piece, or as a stream.

mod buffered;
mod streamed;

use http::{HeaderMap, HeaderName, header};

pub(super) use self::{
    buffered::{Missing, collect, write},
    streamed::Streamed,
};

/// What belongs to a connection, or to a length that the door counts itself.
const LEFT_OUT: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// The headers that leave, cookies apart: names, each with its values.
fn leaving(headers: &HeaderMap) -> impl Iterator<Item = (&str, Vec<&str>)> {
    headers
        .keys()
        .filter(|name| !LEFT_OUT.contains(name) && *name != header::SET_COOKIE)
        .map(|name| (name.as_str(), values(headers, name)))
}

fn cookies(headers: &HeaderMap) -> Vec<&str> {
    values(headers, &header::SET_COOKIE)
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect()
}
