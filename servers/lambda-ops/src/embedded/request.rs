//! A request to the embedded account, taken apart; service and region are told by the scope of its signature.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::percent::decoded;

/// A request to the account.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// The parts of the path, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    /// Under lower-case names.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// What a signature is made for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Request {
    pub(super) fn read(request: http::Request<Vec<u8>>) -> Self {
        let (parts, body) = request.into_parts();
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        };
        Self {
            method: parts.method.as_str().to_owned(),
            path: parts
                .uri
                .path()
                .split('/')
                .filter(|part| !part.is_empty())
                .map(decoded)
                .collect(),
            query: pairs(parts.uri.query().unwrap_or_default()),
            headers: parts.headers.iter().map(header).collect(),
            body,
        }
    }

    /// The scope that the signature names; none if there is no signature. The signature itself is not checked.
    pub(super) fn scope(&self) -> Option<Scope<'_>> {
        let (_, credential) = self.headers.get("authorization")?.split_once("Credential=")?;
        let mut parts = credential.split([',', ' ']).next()?.split('/').skip(2);
        Some(Scope {
            region: parts.next()?,
            service: parts.next()?,
        })
    }

    /// The fields of a body that is a form.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        pairs(&String::from_utf8_lossy(&self.body))
    }
}

/// The fields of a query or a form.
fn pairs(encoded: &str) -> BTreeMap<String, String> {
    Url::parse(&format!("http://embedded/?{encoded}"))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_and_region_stand_in_the_signature() {
        let signed = "AWS4-HMAC-SHA256 Credential=AKID/20261020/eu-west-1/tagging/aws4_request, SignedHeaders=host, \
                      Signature=0";
        let request = http::Request::get("/a%20b/c?x=1%2B1").header("Authorization", signed);
        let request = Request::read(request.body(Vec::new()).expect("a request"));
        let wanted = Scope {
            region: "eu-west-1",
            service: "tagging",
        };
        assert_eq!(request.scope(), Some(wanted));
        assert_eq!(request.path, ["a b", "c"]);
        assert_eq!(request.query["x"], "1+1");
        assert_eq!(Request::default().scope(), None);
    }
}
