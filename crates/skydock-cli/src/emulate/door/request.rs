//! A request as a door has it: routed, read to its end, with the headers that the door adds.

use std::net::IpAddr;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, uri::Authority},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Door, Fault, Site};

/// What belongs to a connection (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The media types beside `text/` whose bodies come as text.
const TEXTS: [&str; 3] = ["application/json", "application/javascript", "application/xml"];

/// A request that has arrived.
#[derive(Debug)]
pub(in super::super) struct Asked {
    pub(in super::super) method: Method,
    /// Within the stage.
    pub(in super::super) path: String,
    /// With the stage.
    pub(in super::super) raw_path: String,
    pub(in super::super) query: String,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Bytes,
    pub(in super::super) id: String,
    pub(in super::super) client: IpAddr,
    pub(in super::super) at: Timestamp,
    pub(in super::super) trace_id: String,
    /// The origin of a page of ours, as its browser has written it.
    pub(in super::super) own_origin: Option<HeaderValue>,
}

impl Asked {
    /// Reads a request of `client` at `door`.
    ///
    /// # Errors
    /// It leads nowhere, or its body is too large or breaks off.
    pub(in super::super) async fn read(
        door: Door,
        site: &Site,
        request: Request<Body>,
        client: IpAddr,
    ) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let raw_path = parts.uri.path().to_owned();
        let path = door.route(site, &raw_path).ok_or(Fault::NoRoute)?.to_owned();
        let body = Limited::new(body, door.takes()).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Fault::RequestTooLarge(door.takes())
            } else {
                Fault::BrokeOff
            }
        })?;
        let at = Timestamp::now();
        let mut headers = parts.headers;
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
        let trace_id = headers
            .get("x-amzn-trace-id")
            .and_then(|value| value.to_str().ok())
            .map_or_else(|| trace_id(at), str::to_owned);
        let mut asked = Self {
            method: parts.method,
            path,
            raw_path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers,
            body: body.to_bytes(),
            id: uuid::Uuid::new_v4().to_string(),
            client,
            at,
            trace_id,
            own_origin: None,
        };
        asked.forward(&door.domain(site));
        Ok(asked)
    }

    /// Adds what a door says of the one who called it, and puts its own name in the place of ours.
    fn forward(&mut self, domain: &str) {
        // here we stand for the domain, so a page of ours is a page of its
        if let Some(origin) = self.headers.get(header::ORIGIN).cloned()
            && page(&self.headers).is_none()
            && let Ok(theirs) = HeaderValue::try_from(format!("https://{domain}"))
        {
            self.headers.insert(header::ORIGIN, theirs);
            self.own_origin = Some(origin);
        }
        let client = self.client.to_string();
        let seen = self
            .headers
            .get("x-forwarded-for")
            .and_then(|value| value.to_str().ok());
        let clients = seen.map_or_else(|| client.clone(), |before| format!("{before}, {client}"));
        let trace_id = self.trace_id.clone();
        for (name, value) in [
            ("host", domain),
            ("x-forwarded-for", &clients),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
            ("x-amzn-trace-id", &trace_id),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                self.headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    /// A header, when it is one text.
    pub(in super::super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Each header once: the last value, or all of them joined.
    pub(super) fn single_headers(&self, join: bool) -> Map<String, Value> {
        let values = |name: &HeaderName| {
            let values = texts(&self.headers, name);
            if join {
                values.join(",")
            } else {
                values.last().cloned().unwrap_or_default()
            }
        };
        let names = self.headers.keys();
        names
            .map(|name| (name.to_string(), Value::String(values(name))))
            .collect()
    }

    /// Each header with all its values.
    pub(super) fn many_headers(&self) -> Map<String, Value> {
        let names = self.headers.keys();
        names
            .map(|name| (name.to_string(), texts(&self.headers, name).into()))
            .collect()
    }

    /// The body as text, or encoded where its media type is none of text, as all doors but REST APIs have it.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>; of HTTP APIs and
    /// function URLs it is (known).
    pub(super) fn body(&self) -> (Value, bool) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        if self.body.is_empty() {
            return (Value::Null, false);
        }
        let media = self.header(&header::CONTENT_TYPE).unwrap_or_default();
        let media = media
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let is_packed = self.headers.contains_key(header::CONTENT_ENCODING);
        match std::str::from_utf8(&self.body) {
            Ok(text) if (media.starts_with("text/") || TEXTS.contains(&media.as_str())) && !is_packed => {
                (text.into(), false)
            }
            _ => (STANDARD.encode(&self.body).into(), true),
        }
    }
}

fn texts(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

/// `Root=1-TIME-RANDOM`, as X-Ray has it.
pub(super) fn trace_id(at: Timestamp) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let random = random.get(..24).unwrap_or_default();
    format!("Root=1-{:08x}-{random}", at.as_second())
}

/// The name of a page somewhere else, which a browser was made to take for this machine's (DNS rebinding): the door puts
/// its own name in the place of `Host`, so the server behind it could not see that.
pub(in super::super) fn stranger(headers: &HeaderMap, authority: Option<&Authority>) -> Option<String> {
    let written = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let named: Option<Authority> = match authority {
        Some(authority) => Some(authority.clone()),
        None => written.and_then(|host| host.parse().ok()),
    };
    let is_ours = named.as_ref().is_some_and(|named| {
        let host = named.host().trim_matches(['[', ']']);
        let address: Option<IpAddr> = host.parse().ok();
        address.map_or_else(
            || host.eq_ignore_ascii_case("localhost"),
            |address| address.is_loopback(),
        )
    });
    (!is_ours).then(|| named.map_or_else(|| "nothing".to_owned(), |named| named.to_string()))
}

/// The page that has called, when it is of another origin than ours.
pub(in super::super) fn page(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(header::ORIGIN)?;
    let ours = headers
        .get(header::HOST)
        .map(|host| [b"http://", host.as_bytes()].concat());
    (ours.as_deref() != Some(origin.as_bytes()))
        .then(|| String::from_utf8_lossy(origin.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let of = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            stranger(&headers, None)
        };
        for host in [
            "localhost:9000",
            "127.0.0.1:9000",
            "[::1]:9000",
            "LocalHost",
            "127.8.9.1",
        ] {
            assert_eq!(of(host), None, "{host}");
        }
        for host in [
            "evil.example.com:9000",
            "localhost.evil.com",
            "192.168.1.7",
            "127.0.0.1.evil.com",
            "a b",
        ] {
            assert!(of(host).is_some(), "{host}");
        }
        assert!(stranger(&HeaderMap::new(), None).is_some());
    }
}
