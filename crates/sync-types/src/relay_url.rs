//! Where a relay is, as people write it.

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use http::Uri;

use crate::ids::RelayKey;

/// Why a text is not a relay's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlError {
    /// Not a URL at all, or longer than 512 characters.
    #[error("not a URL; write it like https://relay.example")]
    NotAUrl,
    /// Another scheme than `https` or `http`.
    #[error("a relay's address starts with https:// (or http://)")]
    Scheme,
    /// User name, password or query in it.
    #[error("a relay's address has no user name, password or query")]
    Extra,
    /// What follows `#` is not `relay=` and a key of 43 characters.
    #[error("after the # of a relay's address stands relay= and the relay's key")]
    Key,
}

/// The base address of a relay: `https://relay.example`, perhaps with a path before the relay's own
/// (`https://example.org/relay`). Without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelayUrl(String);

/// A relay's address with, perhaps, the key to pin: `https://relay.example#relay=<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayAddress {
    /// Where it is.
    pub url: RelayUrl,
    /// Whom to expect there.
    pub key: Option<RelayKey>,
}

impl RelayUrl {
    /// Reads an address in its one canonical form only, as [`as_str`](Self::as_str) gives it: where
    /// machines write it and no person does.
    pub fn from_canonical(text: &str) -> Option<Self> {
        text.parse().ok().filter(|url: &Self| url.0 == text)
    }

    /// The address as text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of something at the relay: `join("/health")`.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The address of the WebSocket: `wss://…/sync` or `ws://…/sync`.
    pub fn websocket(&self) -> String {
        // `http` becomes `ws` and `https` becomes `wss`.
        format!("ws{}/sync", &self.0["http".len()..])
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        if text.len() > 512 || text.contains('#') {
            return Err(RelayUrlError::NotAUrl);
        }
        let uri: Uri = text.trim().parse().map_err(|_| RelayUrlError::NotAUrl)?;
        let scheme = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("https" | "wss") => "https",
            Some("http" | "ws") => "http",
            _ => return Err(RelayUrlError::Scheme),
        };
        let authority = uri.authority().ok_or(RelayUrlError::NotAUrl)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(RelayUrlError::Extra);
        }
        let host = authority.host().to_ascii_lowercase();
        // `http` takes nearly anything for a host, and for a port.
        let authority = match authority.port_u16() {
            Some(port) if authority.as_str().ends_with(&format!(":{port}")) => format!("{host}:{port}"),
            None if authority.as_str().len() == host.len() => host.clone(),
            _ => return Err(RelayUrlError::NotAUrl),
        };
        if !is_host(&host) {
            return Err(RelayUrlError::NotAUrl);
        }
        // `http` takes letters of any script in a path, and control characters beyond ASCII, which a terminal obeys.
        let path = uri.path().trim_end_matches('/');
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RelayUrlError::NotAUrl);
        }
        Ok(Self(format!("{scheme}://{authority}{path}")))
    }
}

/// Whether this is a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RelayAddress {
    type Err = RelayUrlError;

    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        let Some((url, fragment)) = text.trim().split_once('#') else {
            return Ok(Self { url: text.trim().parse()?, key: None });
        };
        let key = fragment.strip_prefix("relay=").and_then(RelayKey::from_text).ok_or(RelayUrlError::Key)?;
        Ok(Self { url: url.parse()?, key: Some(key) })
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}#relay={key}", self.url),
            None => self.url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_one_form() {
        for (text, base, socket) in [
            ("https://Relay.Example/", "https://relay.example", "wss://relay.example/sync"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "ws://127.0.0.1:8080/sync"),
            ("wss://a.b/c/", "https://a.b/c", "wss://a.b/c/sync"),
            ("http://[::1]:9", "http://[::1]:9", "ws://[::1]:9/sync"),
        ] {
            let url: RelayUrl = text.parse().unwrap();
            assert_eq!(url.as_str(), base);
            assert_eq!(url.websocket(), socket);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, error) in [
            ("", RelayUrlError::NotAUrl),
            ("relay.example", RelayUrlError::Scheme),
            ("ftp://relay.example", RelayUrlError::Scheme),
            ("https://me@relay.example", RelayUrlError::Extra),
            ("https://relay.example/?a=b", RelayUrlError::Extra),
            ("https://relay.example#x", RelayUrlError::NotAUrl),
            ("https://relay.example/\u{9b}31m", RelayUrlError::NotAUrl),
            ("https://relay.example/\u{7f}", RelayUrlError::NotAUrl),
            ("https://relay.example/süd", RelayUrlError::NotAUrl),
        ] {
            assert_eq!(text.parse::<RelayUrl>(), Err(error), "{text}");
        }
        assert_eq!("https://a.b#relay=x".parse::<RelayAddress>(), Err(RelayUrlError::Key));
    }

    #[test]
    fn an_address_with_a_key_comes_back() {
        let key = RelayKey::from_bytes([5; 32]).unwrap();
        let address = RelayAddress { url: "https://a.b".parse().unwrap(), key: Some(key) };
        assert_eq!(address.to_string().parse(), Ok(address));
    }
}
