//! Ranges of addresses as people write them in a settings file: `10.0.0.0/8`, `::1`.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// A text that is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an address such as 127.0.0.1, or a range such as 10.0.0.0/8")]
pub struct NetworkError;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// This machine.
    pub(crate) fn loopback() -> Vec<Self> {
        let v4 = Self { base: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 };
        vec![v4, Self { base: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 }]
    }

    /// Whether an address is one of these. An IPv4 address is the same in its IPv6 form.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let beyond = 32 - u32::from(self.bits);
                (base.to_bits() ^ address.to_bits()).checked_shr(beyond).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let beyond = 128 - u32::from(self.bits);
                (base.to_bits() ^ address.to_bits()).checked_shr(beyond).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().map_err(|_| NetworkError)?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| NetworkError)?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(longest);
        if bits > longest {
            return Err(NetworkError);
        }
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a list of ranges, or a text with commas between them, as the environment has it.
pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    struct Reads;
    impl<'de> Visitor<'de> for Reads {
        type Value = Vec<Network>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of addresses and ranges, such as [\"127.0.0.1\", \"10.0.0.0/8\"]")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Network>, E> {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| part.parse().map_err(|_| unlike(part, &self))).collect()
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Vec<Network>, A::Error> {
            let mut list = Vec::new();
            while let Some(part) = parts.next_element::<String>()? {
                list.push(part.parse().map_err(|_| unlike(&part, &self))?);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(Reads)
}

fn unlike<E: de::Error>(part: &str, expected: &dyn de::Expected) -> E {
    E::invalid_value(de::Unexpected::Str(part), expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_what_begins_with_its_bits() {
        assert!(network("127.0.0.0/8").contains(ip("127.1.2.3")));
        assert!(!network("127.0.0.0/8").contains(ip("128.0.0.0")));
        assert!(network("127.0.0.1").contains(ip("127.0.0.1")));
        assert!(!network("127.0.0.1").contains(ip("127.0.0.2")));
        assert!(network("0.0.0.0/0").contains(ip("203.0.113.7")));
        assert!(!network("0.0.0.0/0").contains(ip("2001:db8::1")));
        assert!(network("2001:db8::/32").contains(ip("2001:db8:ffff::1")));
        assert!(!network("2001:db8::/32").contains(ip("2001:db9::1")));
        assert!(network("::/0").contains(ip("2001:db8::1")));
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.9.9.9")), "the same address in IPv6");
    }

    #[derive(serde::Deserialize)]
    struct Lists {
        #[serde(deserialize_with = "list")]
        proxies: Vec<Network>,
    }

    #[test]
    fn a_list_may_be_one_text() {
        let read = |json: &str| serde_json::from_str::<Lists>(json).map(|lists| lists.proxies);
        let both = vec![network("10.0.0.0/8"), network("::1")];
        assert_eq!(read(r#"{"proxies": ["10.0.0.0/8", "::1"]}"#).unwrap(), both);
        assert_eq!(read(r#"{"proxies": "10.0.0.0/8, ::1"}"#).unwrap(), both);
        assert_eq!(read(r#"{"proxies": ""}"#).unwrap(), []);
        assert!(read(r#"{"proxies": ["10.0.0.0/8, ::1"]}"#).is_err());
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for wrong in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
    }
}
