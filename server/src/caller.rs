//! Whose request it is, as far as limits ask.
//!
//! Behind a tunnel or proxy every socket comes from the same address, and what the proxy says of the
//! caller stands in a header, which anybody can write. So a header counts only when the socket's peer is
//! a proxy that the owner trusts, and only the one header that the owner names: of two, a proxy may write
//! one and pass on the other.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use sync_relay_core::store::Origin;

use crate::network::Network;

/// Headers by which proxies say for whom they speak. Any of these shows that a request came through one.
const FORWARDING: [&str; 8] = [
    "cf-connecting-ip",
    "cf-ray",
    "forwarded",
    "true-client-ip",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// What a limit per address counts: an address, of IPv6 the network that one household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl Address {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => Self(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))),
            ip @ IpAddr::V4(_) => Self(ip),
        }
    }

    /// The heap of addresses that it belongs to, by a key without which nobody can tell. Of IPv6 the first 48 bits
    /// count: one site may have as many networks as there are heaps.
    pub(crate) fn origin(self, key: &[u8; 32]) -> Origin {
        let mut hash = Sha256::new_with_prefix(key);
        match self.0 {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update((ip.to_bits() >> 80).to_be_bytes()),
        }
        Origin(hash.finalize()[0])
    }
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// By what the limits per address count it; `None`: somebody on this machine, whom they leave alone.
    pub(crate) counted: Option<Address>,
    /// Whether it comes from this machine, and through no proxy that says so.
    pub(crate) is_local: bool,
}

/// Which proxies are believed, and which header of theirs.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    header: HeaderName,
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<Network>, header: HeaderName) -> Self {
        Self { trusted, header }
    }

    /// Whose request it is that came from `peer` with these headers.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Caller {
        let peer = peer.to_canonical();
        let forwarded =
            headers.contains_key(&self.header) || FORWARDING.iter().any(|name| headers.contains_key(*name));
        let is_local = peer.is_loopback() && !forwarded;
        let trusted = self.trusts(peer);
        let counted = match self.client(headers) {
            Some(client) if trusted => Some(client),
            // A proxy that does not say for whom it speaks: all of its callers are one.
            Some(_) | None => (!(trusted && is_local)).then_some(peer),
        };
        Caller { counted: counted.map(Address::of), is_local }
    }

    /// Whose a socket is before it has said anything: nobody knows when the peer is a proxy.
    pub(crate) fn peer(&self, peer: IpAddr) -> Option<Address> {
        (!self.trusts(peer)).then_some(Address::of(peer))
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }

    /// The client as the header names it. Each proxy adds the address that it sees at the end, so it is read
    /// from there, past the proxies that are trusted; what stands before may come from the client itself.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut named = None;
        for line in headers.get_all(&self.header).iter().rev() {
            for entry in line.to_str().ok()?.rsplit(',') {
                let ip: IpAddr = entry.trim().parse().ok()?;
                named = Some(ip);
                if !self.trusts(ip) {
                    return named;
                }
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const STRANGER: &str = "203.0.113.5";

    fn proxies(header: &'static str) -> Proxies {
        let trusted = ["127.0.0.0/8", "::1", "10.0.0.0/24"].map(|network| network.parse().unwrap());
        Proxies::new(trusted.to_vec(), HeaderName::from_static(header))
    }

    fn caller(peer: &str, headers: &[(&'static str, &'static str)]) -> Caller {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        proxies("cf-connecting-ip").caller(peer.parse().unwrap(), &headers)
    }

    fn counted(peer: &str, headers: &[(&'static str, &'static str)]) -> Option<Address> {
        caller(peer, headers).counted
    }

    fn address(text: &str) -> Option<Address> {
        Some(Address::of(text.parse().unwrap()))
    }

    #[test]
    fn a_header_counts_only_from_a_trusted_peer() {
        let forged = [("cf-connecting-ip", "198.51.100.1")];
        assert_eq!(counted(STRANGER, &forged), address(STRANGER));
        assert_eq!(counted(PROXY, &forged), address("198.51.100.1"));
        assert_eq!(counted("127.0.0.1", &forged), address("198.51.100.1"));
        assert_eq!(counted("::ffff:127.0.0.1", &forged), address("198.51.100.1"));
    }

    #[test]
    fn only_the_named_header_counts_and_another_one_is_still_a_proxys() {
        let other = [("x-forwarded-for", "198.51.100.1")];
        assert_eq!(counted(PROXY, &other), address(PROXY));
        assert_eq!(counted("127.0.0.1", &other), address("127.0.0.1"), "nobody's own machine");
        assert!(!caller("127.0.0.1", &other).is_local);
        assert!(!caller("127.0.0.1", &[("via", "1.1 proxy")]).is_local);
    }

    #[test]
    fn who_is_on_this_machine_is_not_counted_unless_loopback_is_not_trusted() {
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(caller(peer, &[]), Caller { counted: None, is_local: true });
        }
        let nobody = Proxies::new(Vec::new(), HeaderName::from_static("cf-connecting-ip"));
        let caller = nobody.caller("127.0.0.1".parse().unwrap(), &HeaderMap::new());
        assert_eq!(caller, Caller { counted: address("127.0.0.1"), is_local: true });
        assert_eq!(counted(PROXY, &[]), address(PROXY), "trusted, but not this machine");
    }

    #[test]
    fn of_a_list_the_last_address_that_is_no_proxy_counts() {
        let proxies = proxies("x-forwarded-for");
        let counted = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            proxies.caller(PROXY.parse().unwrap(), &headers).counted
        };
        assert_eq!(counted(&["198.51.100.1, 203.0.113.5"]), address(STRANGER));
        assert_eq!(counted(&["198.51.100.1", "203.0.113.5, 10.0.0.7"]), address(STRANGER));
        assert_eq!(counted(&["10.0.0.7"]), address("10.0.0.7"), "a proxy that asks for itself");
        for unreadable in ["", "unknown", "198.51.100.1, what", "198.51.100.1,"] {
            assert_eq!(counted(&[unreadable]), address(PROXY), "{unreadable:?}");
        }
        assert_eq!(counted(&["203.0.113.5", "nonsense"]), address(PROXY), "the last line is the proxy's");
    }

    #[test]
    fn an_address_has_one_origin_under_a_key_and_all_origins_occur() {
        let of = |n: u32, key| Address::of(IpAddr::V4(n.into())).origin(&[key; 32]);
        assert_eq!(of(7, 1), of(7, 1));
        let differing = (0..1000).filter(|n| of(*n, 1) != of(*n, 2)).count();
        assert!(differing > 900, "{differing}");
        let all: std::collections::BTreeSet<_> = (0..10_000).map(|n| of(n, 1)).collect();
        assert_eq!(all.len(), 256);
        let v6 = |ip: &str| Address::of(ip.parse().unwrap()).origin(&[1; 32]);
        assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:ff02:ffff::9"));
        let sites: std::collections::BTreeSet<_> = (1..9).map(|n| v6(&format!("2001:db8:{n}::1"))).collect();
        assert!(sites.len() > 1);
    }

    #[test]
    fn a_household_is_one_address() {
        assert_eq!(counted("2001:db8:1:2::1", &[]), counted("2001:db8:1:2:ffff::9", &[]));
        assert_ne!(counted("2001:db8:1:2::1", &[]), counted("2001:db8:1:3::1", &[]));
        assert_eq!(counted("::ffff:203.0.113.5", &[]), address(STRANGER));
    }
}
