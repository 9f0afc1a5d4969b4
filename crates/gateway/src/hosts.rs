//! Whom a request says it is for, and from which page it comes.
//!
//! A web page can make a browser send requests to an address of the local network by giving its own name that address (DNS
//! rebinding). Such a request names the page's host in `Host`, and its page in `Origin`. So a listener that counts on being
//! reached from this machine only, and the admin port always, answer those that name a stranger with 403. A program that is
//! no browser sends what it likes, and is kept out by the address alone.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header, uri::Authority};

/// Which hosts a listener answers to.
#[derive(Clone, Debug)]
pub(crate) enum Hosts {
    /// Whatever the request says: the listener is open to the network on purpose.
    Any,
    /// Names of this machine, addresses (a name is what rebinding needs), and the names configured.
    Own(Vec<String>),
}

impl Hosts {
    /// Whether a request with these headers may be answered.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Self::Own(names) = self else { return true };
        let host = match (uri.authority(), headers.get(header::HOST)) {
            (Some(authority), _) => Some(authority.clone()),
            (None, Some(value)) => match Authority::try_from(value.as_bytes()) {
                Ok(authority) => Some(authority),
                Err(_) => return false,
            },
            // No browser leaves it out.
            (None, None) => None,
        };
        if host.as_ref().is_some_and(|host| !is_own(host.host(), names)) {
            return false;
        }
        match headers.get(header::ORIGIN) {
            None => true,
            Some(origin) => origin_of(origin.as_bytes())
                .is_some_and(|origin| is_loopback(origin.host()) || host.is_some_and(|host| host == origin)),
        }
    }
}

/// The host of an `Origin`; `null`, and what is no origin, has none.
fn origin_of(value: &[u8]) -> Option<Authority> {
    let uri = Uri::try_from(value).ok()?;
    matches!(uri.scheme_str(), Some("http" | "https")).then(|| uri.authority().cloned())?
}

fn is_own(host: &str, names: &[String]) -> bool {
    address(host).is_some() || is_loopback(host) || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(hosts: &Hosts, host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, http::HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, http::HeaderValue::from_static(origin));
        }
        hosts.admit(&Uri::from_static("/"), &headers)
    }

    #[test]
    fn names_and_addresses_of_this_machine_are_admitted() {
        let own = Hosts::Own(vec!["gateway.internal".into()]);
        for host in [
            "localhost:8081",
            "LOCALHOST",
            "127.0.0.1:1",
            "[::1]:8081",
            "10.0.0.7:8081",
            "Gateway.Internal:80",
        ] {
            assert!(admits(&own, host, None), "{host}");
        }
        assert!(own.admit(&Uri::from_static("/"), &HeaderMap::new()), "no browser leaves the host out");
    }

    #[test]
    fn a_strangers_name_is_refused_however_it_is_spelt() {
        let own = Hosts::Own(Vec::new());
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.nip.example",
            "",
            "a b",
        ] {
            assert!(!admits(&own, host, None), "{host}");
        }
        let authority = Uri::from_static("http://evil.example/metrics");
        assert!(!own.admit(&authority, &HeaderMap::new()), "HTTP/2 names the host in the request line");
        assert!(admits(&Hosts::Any, "evil.example", Some("http://evil.example")));
    }

    #[test]
    fn a_page_of_a_stranger_is_refused_even_when_it_names_us() {
        let own = Hosts::Own(Vec::new());
        for origin in
            ["http://evil.example", "null", "http://6.6.6.6", "file://", "https://localhost.evil.example"]
        {
            assert!(!admits(&own, "127.0.0.1:8081", Some(origin)), "{origin}");
        }
        for origin in ["http://127.0.0.1:8081", "http://localhost:3000", "http://[::1]:9"] {
            assert!(admits(&own, "127.0.0.1:8081", Some(origin)), "{origin}");
        }
        assert!(admits(&own, "10.0.0.7:8081", Some("http://10.0.0.7:8081")), "the admin port's own page");
    }
}
