//! Who may knock: the `Host` and `Origin` of a request (against DNS rebinding), and what it accepts and sends.

use http::{HeaderMap, HeaderValue, Uri, header};

use super::rejection::Rejection;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const BOTH: &str = "application/json, text/event-stream";

/// The names this server goes by and the pages that may call it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    hosts: Vec<(String, Option<u16>)>,
    origins: Vec<String>,
}

impl Door {
    /// `hosts` are accepted beside loopback, with any port unless they name one; `origins` as browsers write them.
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        let hosts = hosts.iter().filter_map(|host| split_authority(host)).collect();
        Self {
            hosts,
            origins: origins.to_vec(),
        }
    }

    /// Checks a request; `domain` is a name that the platform itself received it under, which is ours then.
    ///
    /// # Errors
    /// When the request was sent to a name that is not ours, or by a page that may not call.
    pub(crate) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        domain: Option<&str>,
    ) -> Result<(), Rejection> {
        // HTTP/2 has the host in the URI
        let host = match headers.get(header::HOST) {
            Some(host) => host.to_str().ok(),
            None => uri.authority().map(http::uri::Authority::as_str),
        };
        let (host, port) = host.and_then(split_authority).ok_or(Rejection::Host)?;
        let ours = |(name, at): &(String, Option<u16>)| *name == host && at.is_none_or(|at| port == Some(at));
        let platforms = || {
            domain
                .and_then(split_authority)
                .is_some_and(|(name, _port)| name == host)
        };
        if !is_loopback(&host) && !self.hosts.iter().any(ours) && !platforms() {
            return Err(Rejection::Host);
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.may_call(origin, &host, port) => Err(Rejection::Origin),
            _ => Ok(()),
        }
    }

    /// Whether the answer to a request may be read by the page that sent it (CORS).
    pub(crate) fn may_read(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .and_then(split_authority);
        host.is_some_and(|(host, port)| self.may_call(origin, &host, port))
    }

    /// A page may call when it is configured, when it is ours, or when it and we are both on this machine.
    fn may_call(&self, origin: &HeaderValue, host: &str, port: Option<u16>) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        if self.origins.iter().any(|allowed| allowed == origin) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let Some((from, at)) = split_authority(authority) else {
            return false;
        };
        let default = if scheme == "https" { 443 } else { 80 };
        (is_loopback(&from) && is_loopback(host))
            || (from == host && at.unwrap_or(default) == port.unwrap_or(default))
    }
}

/// Lower-case host and port; `None` when it is neither.
fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let authority: http::uri::Authority = text.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    Some((authority.host().to_ascii_lowercase(), authority.port_u16()))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether the body says that it is JSON.
///
/// # Errors
/// When it says something else, or nothing.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match essence.and_then(|value| value.split(';').next()) {
        Some(essence) if essence.trim().eq_ignore_ascii_case(JSON) => Ok(()),
        _ => Err(Rejection::ContentType),
    }
}

/// Widens an `Accept` that means "anything", is missing, or names one of the two types that a client must accept: rmcp
/// takes only both names, written out. Tells whether the client takes events.
///
/// # Errors
/// When the client accepts neither.
pub(crate) fn widen_accept(headers: &mut HeaderMap) -> Result<bool, Rejection> {
    let mut values = headers.get_all(header::ACCEPT).iter();
    let (first, more) = (values.next(), values.next().is_some());
    let Some(first) = first else {
        headers.insert(header::ACCEPT, HeaderValue::from_static(BOTH));
        return Ok(true);
    };
    if !more && first.as_bytes() == BOTH.as_bytes() {
        return Ok(true);
    }
    let (mut json, mut events) = (false, false);
    for value in headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
    {
        for media in value.split(',').filter_map(acceptable_media) {
            json |= ["*/*", "application/*", JSON]
                .iter()
                .any(|ours| media.eq_ignore_ascii_case(ours));
            events |= ["*/*", "text/*", EVENTS]
                .iter()
                .any(|ours| media.eq_ignore_ascii_case(ours));
        }
    }
    if !json && !events {
        return Err(Rejection::Accept);
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static(BOTH));
    Ok(events)
}

/// The media range of one entry of `Accept`, unless its weight is zero.
fn acceptable_media(entry: &str) -> Option<&str> {
    let mut parts = entry.split(';').map(str::trim);
    let media = parts.next()?;
    let refused = parts.any(|parameter| {
        parameter
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok())
            .is_some_and(|weight| weight == 0.0)
    });
    (!refused).then_some(media)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knock(door: &Door, host: &str, origin: Option<&str>) -> Result<(), Rejection> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        door.check(&Uri::from_static("/mcp"), &headers, None)
    }

    #[test]
    fn only_our_names_are_served() {
        let door = Door::new(
            &["mcp.example.com".to_owned(), "other.example:8443".to_owned()],
            &[],
        );
        for host in [
            "localhost",
            "127.0.0.1:8000",
            "[::1]:1",
            "MCP.example.com",
            "mcp.example.com:443",
            "other.example:8443",
        ] {
            assert_eq!(knock(&door, host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example.com",
            "mcp.example.com.evil.com",
            "other.example",
            "user@localhost",
            "",
            "a b",
        ] {
            assert_eq!(knock(&door, host, None), Err(Rejection::Host), "{host}");
        }
    }

    #[test]
    fn a_page_calls_when_it_is_configured_ours_or_on_this_machine() {
        let door = Door::new(
            &["mcp.example.com".to_owned()],
            &["https://app.example.com".to_owned()],
        );
        assert_eq!(
            knock(&door, "mcp.example.com", Some("https://app.example.com")),
            Ok(())
        );
        assert_eq!(
            knock(&door, "mcp.example.com", Some("https://mcp.example.com")),
            Ok(())
        );
        assert_eq!(
            knock(&door, "localhost:8000", Some("http://127.0.0.1:8000")),
            Ok(())
        );
        assert_eq!(
            knock(&door, "localhost:8000", Some("http://localhost:5173")),
            Ok(())
        );
        for origin in [
            "https://evil.example.com",
            "null",
            "https://app.example.com.evil.com",
            "http://localhost",
            "x",
        ] {
            assert_eq!(
                knock(&door, "mcp.example.com", Some(origin)),
                Err(Rejection::Origin),
                "{origin}"
            );
        }
    }

    #[test]
    fn accept_is_read_tolerantly() {
        let accept = |value: Option<&str>| -> Result<bool, Rejection> {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::ACCEPT, value.parse().unwrap());
            }
            let events = widen_accept(&mut headers)?;
            assert_eq!(headers.get(header::ACCEPT).unwrap(), BOTH);
            Ok(events)
        };
        for value in [
            None,
            Some("*/*"),
            Some("TEXT/event-stream;q=0.5"),
            Some("text/html, */*;q=0.1"),
            Some(BOTH),
        ] {
            assert_eq!(accept(value), Ok(true), "{value:?}");
        }
        for value in ["application/json", "application/*, text/event-stream;q=0"] {
            assert_eq!(accept(Some(value)), Ok(false), "{value}");
        }
        for value in ["text/html", "image/*", "*/*;q=0", "application/xml, text/plain"] {
            assert_eq!(accept(Some(value)), Err(Rejection::Accept), "{value}");
        }
    }
}
