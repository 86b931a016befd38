//! Where webhooks may be: on the public internet, behind TLS, and nowhere that only this agent can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

/// Why nothing is sent to a URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is no URL that something can be sent to.
    #[error("{url:?} is no URL of a webhook; it has to be https://HOST/… without a user")]
    Form {
        /// The URL.
        url: String,
    },
    /// It leads somewhere that is not public.
    #[error("the webhook {origin} is at {address}, which is not a public address")]
    Private {
        /// Its origin.
        origin: String,
        /// Where that leads.
        address: IpAddr,
    },
    /// Its name is not known.
    #[error("the webhook {origin} cannot be found")]
    Unknown {
        /// Its origin.
        origin: String,
        /// What the resolver says.
        #[source]
        source: std::io::Error,
    },
}

/// Which webhooks are told.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// Origins that are told wherever they are.
    pub(super) trusted: Vec<String>,
}

/// A webhook that may be told, and the addresses where that was found to be so.
#[derive(Debug)]
pub(super) struct Cleared {
    pub(super) url: Url,
    pub(super) origin: String,
    pub(super) host: String,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Guard {
    /// Looks at the URL alone.
    pub(super) fn look(&self, url: &str) -> Result<Url, Refused> {
        let form = || Refused::Form { url: bare(url) };
        let parsed = Url::parse(url).map_err(|_not_one| form())?;
        let trusted = self.is_trusted(&parsed);
        let plain = parsed.scheme() == "https" || (trusted && parsed.scheme() == "http");
        if !plain || !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(form());
        }
        let host = parsed.host_str().ok_or_else(form)?;
        if !trusted && let Some(address) = literal(host).filter(|address| !is_public(*address)) {
            let origin = parsed.origin().ascii_serialization();
            return Err(Refused::Private { origin, address });
        }
        let named = host.trim_end_matches('.');
        if !trusted && (named.eq_ignore_ascii_case("localhost") || named.ends_with(".localhost")) {
            let origin = parsed.origin().ascii_serialization();
            let address = Ipv4Addr::LOCALHOST.into();
            return Err(Refused::Private { origin, address });
        }
        Ok(parsed)
    }

    /// Looks at where it leads, too. What was found is where it is to be sent.
    pub(super) async fn clear(&self, url: &str) -> Result<Cleared, Refused> {
        let url = self.look(url)?;
        let origin = url.origin().ascii_serialization();
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await;
        let addresses: Vec<_> = found
            .map_err(|source| Refused::Unknown {
                origin: origin.clone(),
                source,
            })?
            .collect();
        // one that is not public is enough: which one would be taken is not ours to say
        let private = addresses
            .iter()
            .map(SocketAddr::ip)
            .find(|address| !is_public(*address));
        if let Some(address) = private.filter(|_| !self.is_trusted(&url)) {
            return Err(Refused::Private { origin, address });
        }
        Ok(Cleared {
            url,
            origin,
            host,
            addresses,
        })
    }

    fn is_trusted(&self, url: &Url) -> bool {
        let origin = url.origin().ascii_serialization();
        self.trusted.contains(&origin)
    }
}

/// The URL without what may be secret in it.
fn bare(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (url, _) = url.split_at_checked(end).unwrap_or((url, ""));
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let (before, _) = url.split_at_checked(scheme.saturating_add(3)).unwrap_or_default();
            let (_, behind) = url.split_at_checked(at).unwrap_or_default();
            format!("{before}…{behind}")
        }
        _ => url.to_owned(),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether an address is one of the public internet: none that the registries of IANA keep for special use.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = address.is_unspecified()
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast();
    let shared = first == 100 && (64..128).contains(&second);
    let protocol = first == 192 && second == 0 && third == 0;
    let benchmark = first == 198 && (second == 18 || second == 19);
    !(special || shared || protocol || benchmark || first == 0 || first >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, ..] = segments;
    // an address of IPv4 within one of IPv6 is as public as that is: mapped, translated (64:ff9b::/96), 6to4
    let [_, _, _, _, _, _, high, low] = segments;
    let within = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    if first == 0x64 && second == 0xff9b {
        return is_public_v4(within(high, low));
    }
    if first == 0x2002 {
        let [_, high, low, ..] = segments;
        return is_public_v4(within(high, low));
    }
    // what is global is in 2000::/3; of that, 2001::/23 and the documentation are not
    let global = first & 0xe000 == 0x2000;
    let protocol = first == 0x2001 && second < 0x200;
    let documentation = (first == 0x2001 && second == 0xdb8) || first == 0x3fff;
    global && !protocol && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_not_told() {
        let private = [
            "http://example.com/hook",
            "ftp://example.com/hook",
            "https://user:pass@example.com/hook",
            "https://127.0.0.1/hook",
            "https://0x7f.1/hook",
            "https://2130706433/hook",
            "https://localhost/hook",
            "https://localhost./hook",
            "https://a.localhost/hook",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.100.100.200/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://[2001:db8::1]/",
            "not a url",
        ];
        let guard = Guard::default();
        for url in private {
            assert!(guard.look(url).is_err(), "{url}");
        }
        for url in [
            "https://example.com/hook?a=b",
            "https://93.184.215.14/",
            "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        ] {
            guard.look(url).unwrap();
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_not_told() {
        let guard = Guard::default();
        // every resolver knows these
        for url in ["https://ip6-localhost/hook", "https://localhost/hook"] {
            assert!(guard.clear(url).await.is_err(), "{url}");
        }
    }

    #[test]
    fn a_trusted_origin_is_told_and_no_other_port_of_it() {
        let guard = Guard {
            trusted: vec!["http://127.0.0.1:9000".to_owned()],
        };
        guard.look("http://127.0.0.1:9000/hook").unwrap();
        guard.look("http://127.0.0.1:9001/hook").unwrap_err();
        guard.look("http://localhost:9000/hook").unwrap_err();
    }

    #[test]
    fn errors_have_no_secrets_of_the_url() {
        let guard = Guard::default();
        let error = guard
            .look("https://me:secret@example.com/?key=secret")
            .unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
