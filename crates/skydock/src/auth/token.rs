//! Whether a token is good, and for whom it speaks (RFC 7519, RFC 8725).

use http::{HeaderMap, Uri, header};
use jsonwebtoken::{
    Validation, decode, decode_header,
    errors::{Error, ErrorKind},
};
use serde::Deserialize;

use super::{AUDIENCE, ISSUER, challenge::Refusal, keys::Ring};
use crate::{caller::Principal, error::Faults};

/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY: u64 = 30;
/// Longer than any token that is worth reading, in bytes.
const LONGEST: usize = 16 << 10;
/// The longest subject, in bytes; OpenID Connect has at most 255 characters.
const LONGEST_SUBJECT: usize = 4096;

/// What a token has to say.
#[derive(Debug)]
pub(super) struct Rules {
    issuer: String,
    audiences: Vec<String>,
}

/// What is read of a token once its signature holds. An `iss` or `sub` that is no string does not fit.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
}

/// The token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        // another way of saying who one is, which is none here
        return Err(Refusal::Missing);
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.contains([' ', ',']) {
        return Err(Refusal::Malformed);
    }
    Ok(token)
}

impl Rules {
    pub(super) fn new(issuer: String, audiences: Vec<String>) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        if issuer.trim().is_empty() || issuer.contains(char::is_whitespace) {
            let wanted = "write the issuer as `iss` has it: a URL or a name, without spaces";
            faults.add(ISSUER, issuer.as_str(), wanted);
        }
        if audiences.is_empty() {
            faults.add(AUDIENCE, "", "is missing; give a URL of this server");
        }
        for audience in &audiences {
            if !is_resource(audience) {
                let wanted = "write the URL of this server as clients have it, without query and fragment: \
                              https://mcp.example.com/mcp";
                faults.add(AUDIENCE, audience.as_str(), wanted);
            }
        }
        if faults.is_empty() {
            // as it is written, and as programs write it that parse URLs
            let normal: Vec<_> = audiences.iter().filter_map(|audience| normal(audience)).collect();
            let audiences = audiences.into_iter().chain(normal).collect();
            Ok(Self { issuer, audiences })
        } else {
            Err(faults)
        }
    }

    /// Checks a token with the keys of its issuer.
    pub(super) async fn check(&self, token: &str, ring: &Ring) -> Result<Principal, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::Token("it is too long"));
        }
        let header = decode_header(token).map_err(|error| Refusal::Token(reason(&error)))?;
        if header.crit.is_some() {
            // RFC 7515 §4.1.11: what is critical has to be understood, and no extension is
            return Err(Refusal::Token("it has a critical header that is not understood"));
        }
        let key = ring
            .find(header.kid.as_deref())
            .await
            .ok_or(Refusal::Token("no key has its kid"))?;
        // never what the token says of its algorithm (RFC 8725 §3.1)
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let found = decode::<Claims>(token, &key.decoding, &validation);
        let Claims { iss, sub } = found.map_err(|error| Refusal::Token(reason(&error)))?.claims;
        if sub.is_empty() || sub.len() > LONGEST_SUBJECT || sub.contains(char::is_control) {
            return Err(Refusal::Token("its sub is empty, too long, or no text"));
        }
        Ok(Principal::of_token(&iss, &sub))
    }
}

/// A resource as RFC 8707 §2 has it, on the web.
fn is_resource(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    matches!(uri.scheme_str(), Some("https" | "http"))
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
        && !text.contains(['?', '#'])
}

/// The same URL as the WHATWG's standard writes it: in small letters, without the scheme's own port, with a path.
fn normal(text: &str) -> Option<String> {
    let uri = text.parse::<Uri>().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?.to_ascii_lowercase());
    let own = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != own);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{host}{port}{}", uri.path()))
}

/// The reason, and nothing of what the token says: it is for the log.
fn reason(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "its algorithm is not the key's"
        }
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "its iss is another issuer",
        ErrorKind::InvalidAudience => "its aud is another server",
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => match claim.as_str()
        {
            "exp" => "its exp is missing or no number",
            "nbf" => "its nbf is no number",
            "iss" => "its iss is missing",
            "aud" => "its aud is missing",
            "sub" => "its sub is missing",
            _ => "a claim is missing",
        },
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "it is no JWT",
        ErrorKind::Json(_) => "its header or claims cannot be read, or its algorithm is not known",
        _ => "it cannot be checked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn one_bearer_token_is_read() {
        assert_eq!(read(&["Bearer a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(read(&["bearer  a.b.c "]), Ok("a.b.c".to_owned()));
        assert_eq!(read(&[]), Err(Refusal::Missing));
        assert_eq!(read(&["Basic YTpi"]), Err(Refusal::Missing));
        for wrong in [
            &["Bearer"][..],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(read(wrong), Err(Refusal::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn an_audience_is_known_as_programs_write_it() {
        for (written, normal_form) in [
            ("https://mcp.example.com", "https://mcp.example.com/"),
            ("https://MCP.example.com:443/mcp", "https://mcp.example.com/mcp"),
            ("http://127.0.0.1:8000/mcp", "http://127.0.0.1:8000/mcp"),
        ] {
            assert_eq!(normal(written).as_deref(), Some(normal_form));
        }
    }

    #[test]
    fn an_audience_is_a_url_of_the_web() {
        for right in [
            "https://mcp.example.com/mcp",
            "http://127.0.0.1:8000/mcp",
            "https://mcp.example.com",
        ] {
            assert!(is_resource(right), "{right}");
        }
        for wrong in [
            "mcp.example.com",
            "https://a@b/mcp",
            "https://a/mcp?x=1",
            "https://a/mcp#x",
            "ftp://a/",
            "",
            "/mcp",
        ] {
            assert!(!is_resource(wrong), "{wrong}");
        }
    }
}
