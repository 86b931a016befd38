//! The HTTP request in an event: what the doors have in common.

use std::collections::BTreeMap;

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header, header::MaxSizeReached, uri::PathAndQuery};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;

use super::{Source, Unknown};
use crate::runtime::lambda::path;

/// A value, or several: doors differ, and some do both.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    /// Several.
    Many(Vec<String>),
    /// One.
    One(String),
    /// None, as `null`.
    Nothing(()),
}

impl Values {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::Many(values) => values,
            Self::One(value) => std::slice::from_ref(value),
            Self::Nothing(()) => &[],
        }
    }
}

/// Names and their values, as most doors write headers and queries.
pub(super) type Pairs = BTreeMap<String, Values>;

/// A request as a door tells it.
pub(super) struct Told {
    pub(super) source: Source,
    pub(super) method: String,
    pub(super) path: String,
    /// Encoded, without its question mark.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    pub(super) is_base64: bool,
}

impl Told {
    /// The request, with the path that the service knows. A door's `domain` is the host where the headers have none.
    ///
    /// # Errors
    /// When it is not HTTP after all.
    pub(super) fn into_request(self, domain: Option<&str>) -> Result<Request<Bytes>, Unknown> {
        let wrong = |what: &str| {
            Unknown(format!(
                "an event of {} whose {what} is none",
                self.source.as_str()
            ))
        };
        let path = path::find(&self.path);
        if !path.starts_with('/') {
            return Err(wrong("path"));
        }
        let mut target = utf8_percent_encode(&path, NOT_IN_A_PATH).to_string();
        if !self.query.is_empty() {
            target.push('?');
            target.extend(utf8_percent_encode(&self.query, NOT_IN_A_QUERY));
        }
        let body = self.body.unwrap_or_default();
        let body = if self.is_base64 {
            STANDARD
                .decode(body)
                .map_err(|_error| wrong("base64 body"))?
                .into()
        } else {
            Bytes::from(body)
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.parse().map_err(|_error| wrong("method"))?;
        // never from a whole URI: what a sender writes as a path is no scheme and no host
        let target: PathAndQuery = target.parse().map_err(|_error| wrong("path"))?;
        *request.uri_mut() = target.into();
        *request.headers_mut() = self.headers;
        if let Some(domain) = domain
            && !request.headers().contains_key(header::HOST)
            && let Ok(domain) = HeaderValue::from_str(domain)
        {
            request.headers_mut().insert(header::HOST, domain);
        }
        Ok(request)
    }
}

/// The shape that API Gateway has given its first events, and load balancers theirs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proxied {
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

impl Proxied {
    pub(super) const fn has_many_headers(&self) -> bool {
        self.multi_value_headers.is_some()
    }

    /// The request; `decoded` when the door has taken the encoding of the query off.
    ///
    /// # Errors
    /// When it has more headers than can be held.
    pub(super) fn tell(self, source: Source, decoded: bool) -> Result<Told, Unknown> {
        // where there are both, the single values are the last of the many
        let pairs = |many: Option<Pairs>, single: Option<Pairs>| {
            many.filter(|pairs| !pairs.is_empty())
                .or(single)
                .unwrap_or_default()
        };
        let query = pairs(
            self.multi_value_query_string_parameters,
            self.query_string_parameters,
        );
        Ok(Told {
            source,
            method: self.http_method,
            path: self.path,
            query: write_query(&query, decoded),
            headers: read_headers(source, &pairs(self.multi_value_headers, self.headers))?,
            body: self.body,
            is_base64: self.is_base64_encoded.unwrap_or_default(),
        })
    }
}

/// What must not stand in a path, whatever a door delivers; a percent sign is one that came.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'|');
/// As above, for a query that is encoded already.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
/// What is encoded in a name or value that a door has decoded.
const NOT_IN_A_VALUE: &AsciiSet = &NOT_IN_A_QUERY.add(b'%').add(b'&').add(b'+').add(b'=');

/// The headers of a door; what is no header is left out.
///
/// # Errors
/// When there are more than a map of headers holds.
pub(super) fn read_headers(source: Source, pairs: &Pairs) -> Result<HeaderMap, Unknown> {
    let too_many = |_full: MaxSizeReached| {
        Unknown(format!(
            "an event of {} with more headers than can be read",
            source.as_str()
        ))
    };
    let mut headers = HeaderMap::try_with_capacity(pairs.len()).map_err(too_many)?;
    for (name, values) in pairs {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            tracing::debug!("left out a header that is none");
            continue;
        };
        for value in values.as_slice() {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.try_append(&header, value).map_err(too_many)?;
            }
        }
    }
    Ok(headers)
}

/// A query, put together again: `decoded` when the door has taken the encoding off.
pub(super) fn write_query(pairs: &Pairs, decoded: bool) -> String {
    let written = |text: &str| {
        if decoded {
            utf8_percent_encode(text, NOT_IN_A_VALUE).to_string()
        } else {
            text.to_owned()
        }
    };
    let pairs = pairs
        .iter()
        .flat_map(|(name, values)| values.as_slice().iter().map(move |value| (name, value)));
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{}={}", written(name), written(value)))
        .collect();
    pairs.join("&")
}

/// The host that was called, when it is a name that only AWS answers for.
pub(super) fn own_name(headers: &HeaderMap, is_own: fn(&str) -> bool) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    is_own(host).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_never_read_as_a_whole_uri() {
        let read = |path: &str| {
            let told = Told {
                source: Source::RestApi,
                method: "POST".to_owned(),
                path: path.to_owned(),
                query: String::new(),
                headers: HeaderMap::new(),
                body: None,
                is_base64: false,
            };
            told.into_request(None)
                .map(|request| request.uri().path().to_owned())
        };
        for path in ["http://127.0.0.1/mcp", "mcp", "*", "?a"] {
            let error = read(path).unwrap_err();
            assert!(error.to_string().ends_with("whose path is none"), "{error}");
        }
        assert_eq!(read("//127.0.0.1/mcp").unwrap(), "//127.0.0.1/mcp");
        assert_eq!(read("").unwrap(), "/");
    }
}
