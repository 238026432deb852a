//! Invites as people pass them on: a code to type, a link to press, a QR to scan.
//!
//! None of them is the invite itself. Each names an entry at the relay (the *lookup key*) and opens
//! what is found there (the *invite key*), so that a photo of the screen stops working when the
//! invite is used or ten minutes have passed.

use core::fmt;
use core::str::FromStr;

use base32::Alphabet;
use base64ct::{Base64UrlUnpadded, Encoding};
use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::ids::RelayKey;
use crate::relay_url::RelayUrl;
use crate::wire::{Reader, Wire, Writer};

/// Why a text is not an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteTextError {
    /// A code has 16 letters and digits in four groups.
    #[error("not an invite code: it looks like K7QM-2XRT-9F3H-W8ND")]
    Code,
    /// A link ends in `/join#v1.` and two or three parts.
    #[error("not an invite link: it contains /join#v1.")]
    Link,
    /// Made by a newer version of this software.
    #[error("the invite was made by a newer version: update this app")]
    NewerVersion,
}

/// Crockford's base32: no I, L, O, U; read without regard to case (<https://www.crockford.com/base32.html>).
fn crockford(bytes: &[u8]) -> String {
    base32::encode(Alphabet::Crockford, bytes)
}

/// Reads what [`crockford`] writes, and nothing longer or shorter.
fn from_crockford<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    // The last character may have bits that belong to no byte: they must be zero, or a key had many texts.
    let whole = Zeroizing::new(format!("{text:0<width$}", width = text.len().next_multiple_of(8)));
    let bytes = Zeroizing::new(base32::decode(Alphabet::Crockford, &whole)?);
    let (bytes, rest) = bytes.split_first_chunk::<N>()?;
    rest.iter().all(|byte| *byte == 0).then_some(*bytes)
}

/// Where an invite lies at the relay: 16 bytes, sent as 26 base32 characters. Not secret from the relay.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LookupKey(pub [u8; 16]);

impl LookupKey {
    /// Reads the 26 characters.
    pub fn from_text(text: &str) -> Option<Self> {
        from_crockford(text).map(Self)
    }
}

impl fmt::Display for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crockford(&self.0))
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey(…)")
    }
}

/// What opens an invite: 32 secret bytes.
#[derive(Clone)]
pub struct InviteKey(Zeroizing<[u8; 32]>);

impl InviteKey {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key's bytes.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for InviteKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for InviteKey {}

impl fmt::Debug for InviteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteKey(…)")
    }
}

/// A short code to type: 80 random bits. Lookup key and invite key are derived from all of it, with
/// a memory-hard function, so no part of it reaches the relay.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode(Zeroizing<[u8; 10]>);

impl InviteCode {
    /// A new code.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 10]);
        rng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The code's bytes.
    pub fn expose_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// The code as people read it: `XXXX-XXXX-XXXX-XXXX`.
    pub fn expose_text(&self) -> String {
        let text = crockford(&*self.0);
        [&text[..4], &text[4..8], &text[8..12], &text[12..]].join("-")
    }
}

impl FromStr for InviteCode {
    type Err = InviteTextError;

    /// Takes any case, and I, L and O for 1, 1 and 0; hyphens and spaces do not matter.
    fn from_str(text: &str) -> Result<Self, InviteTextError> {
        if text.len() > 64 {
            return Err(InviteTextError::Code);
        }
        let plain: String = text.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect();
        from_crockford(&plain).map(Self::from_bytes).ok_or(InviteTextError::Code)
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

/// Everything that finds and opens an invite, as a QR for apps with a URL scheme of their own holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteTarget {
    /// Where to ask.
    pub relay: RelayUrl,
    /// Whom to expect there.
    pub relay_key: RelayKey,
    /// Under which name the invite lies.
    pub lookup: LookupKey,
    /// What opens it.
    pub key: InviteKey,
}

impl InviteTarget {
    /// `SCHEME://sync?invite=<base64url>`.
    pub fn expose_app_url(&self, scheme: &str) -> String {
        let mut w = Writer::default();
        w.array(4);
        self.relay.as_str().to_owned().put(&mut w);
        self.relay_key.put(&mut w);
        w.bin(&self.lookup.0);
        w.bin(self.key.expose_bytes());
        format!("{scheme}://sync?invite={}", Base64UrlUnpadded::encode_string(&w.finish()))
    }

    /// Reads the URL of any scheme.
    pub fn from_app_url(text: &str) -> Result<Self, InviteTextError> {
        let (scheme, data) = text.trim().split_once("://sync?invite=").ok_or(InviteTextError::Link)?;
        if !is_scheme(scheme) {
            return Err(InviteTextError::Link);
        }
        let bytes = Base64UrlUnpadded::decode_vec(data).map_err(|_| InviteTextError::Link)?;
        let mut r = Reader::new(&bytes);
        let mut read = || {
            r.array(4)?;
            let relay = r.str()?.to_owned();
            let target =
                (relay, RelayKey::take(&mut r)?, <[u8; 16]>::take(&mut r)?, <[u8; 32]>::take(&mut r)?);
            r.clone().finish().map(|()| target)
        };
        let (relay, relay_key, lookup, key) = read().map_err(|_| InviteTextError::Link)?;
        Ok(Self {
            relay: RelayUrl::from_canonical(&relay).ok_or(InviteTextError::Link)?,
            relay_key,
            lookup: LookupKey(lookup),
            key: InviteKey::from_bytes(key),
        })
    }
}

/// `https://relay.example/join#v1.<lookup>.<key>`, and `….<relay>` behind it when the page is not
/// served by the relay itself. Browsers never send what follows the `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinLink {
    /// The address before `/join`: of the page, and of the relay unless `relay` differs.
    pub page: RelayUrl,
    /// Where to ask.
    pub relay: RelayUrl,
    /// Under which name the invite lies.
    pub lookup: LookupKey,
    /// What opens it.
    pub key: InviteKey,
}

impl JoinLink {
    /// The link as text. Whoever has it can join.
    pub fn expose_text(&self) -> String {
        let key = Base64UrlUnpadded::encode_string(self.key.expose_bytes());
        let link = format!("{}/join#v1.{}.{key}", self.page, self.lookup);
        if self.relay == self.page { link } else { format!("{link}.{}", self.relay) }
    }
}

impl FromStr for JoinLink {
    type Err = InviteTextError;

    fn from_str(text: &str) -> Result<Self, InviteTextError> {
        let (page, fragment) = text.trim().split_once('#').ok_or(InviteTextError::Link)?;
        let page = page.trim_end_matches('/').strip_suffix("/join").ok_or(InviteTextError::Link)?;
        let page: RelayUrl = page.parse().map_err(|_| InviteTextError::Link)?;
        let mut parts = fragment.splitn(4, '.');
        match parts.next() {
            Some("v1") => {}
            Some(v) if is_later_version(v) => return Err(InviteTextError::NewerVersion),
            _ => return Err(InviteTextError::Link),
        }
        let lookup = parts.next().and_then(LookupKey::from_text).ok_or(InviteTextError::Link)?;
        let key = parts
            .next()
            .and_then(|text| Base64UrlUnpadded::decode_vec(text).ok())
            .and_then(|bytes| Some(InviteKey::from_bytes(bytes.try_into().ok()?)))
            .ok_or(InviteTextError::Link)?;
        let relay = match parts.next() {
            None => page.clone(),
            Some(relay) => relay.parse().map_err(|_| InviteTextError::Link)?,
        };
        Ok(Self { page, relay, lookup, key })
    }
}

/// Whether a text may stand before `://` (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Whether a text is `v` and a number above 1, in plain digits.
fn is_later_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or_default();
    digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
        && digits.parse().is_ok_and(|version: u32| version > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        let code = InviteCode::from_bytes([0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf]);
        let text = code.expose_text();
        assert_eq!(text, "0123-4567-89AB-CDEF");
        for typed in
            ["0123-4567-89ab-cdef", "o1 23 4567 89AB CDEF", "Oi23456789abcdef", "0L23--4567-89ABCDEF"]
        {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
        for wrong in
            ["", "0123-4567-89AB-CDE", "0123-4567-89AB-CDEFG", "0123-4567-89AB-CDEU", "0123_4567_89AB_CDEF"]
        {
            assert_eq!(wrong.parse::<InviteCode>(), Err(InviteTextError::Code), "{wrong}");
        }
    }

    #[test]
    fn links_come_back_with_and_without_a_page_of_their_own() {
        let relay: RelayUrl = "https://relay.example/sub".parse().unwrap();
        let page: RelayUrl = "https://pages.example".parse().unwrap();
        for page in [relay.clone(), page] {
            let link = JoinLink {
                page,
                relay: relay.clone(),
                lookup: LookupKey([0xab; 16]),
                key: InviteKey::from_bytes([9; 32]),
            };
            assert_eq!(link.expose_text().parse(), Ok(link.clone()));
        }
    }

    #[test]
    fn what_is_no_link_is_refused() {
        let lookup = LookupKey([1; 16]);
        let key = "A".repeat(43);
        for (text, error) in [
            ("https://a.b/join", InviteTextError::Link),
            ("https://a.b/other#v1.x.y", InviteTextError::Link),
            ("https://a.b/join#v2.x.y", InviteTextError::NewerVersion),
            ("https://a.b/join#v1.x.y", InviteTextError::Link),
            (&format!("https://a.b/join#v1.{lookup}.short"), InviteTextError::Link),
            // Bits after the last byte.
            (&format!("https://a.b/join#v1.{lookup}.{}B", "A".repeat(42)), InviteTextError::Link),
            (&format!("https://a.b/join#v1.{lookup}.{key}.ftp://x"), InviteTextError::Link),
        ] {
            assert_eq!(text.parse::<JoinLink>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_app_url_comes_back() {
        let target = InviteTarget {
            relay: "http://127.0.0.1:8080".parse().unwrap(),
            relay_key: RelayKey::from_bytes([4; 32]).unwrap(),
            lookup: LookupKey([1; 16]),
            key: InviteKey::from_bytes([2; 32]),
        };
        let url = target.expose_app_url("notes");
        assert!(url.starts_with("notes://sync?invite="));
        assert_eq!(InviteTarget::from_app_url(&url), Ok(target));
        assert_eq!(InviteTarget::from_app_url(&url[..url.len() - 4]), Err(InviteTextError::Link));
    }

    #[test]
    fn lookup_keys_have_26_characters_and_one_form() {
        let text = LookupKey([0xff; 16]).to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(LookupKey::from_text(&text), Some(LookupKey([0xff; 16])));
        assert_eq!(LookupKey::from_text(&text.replace('W', "Z")), None, "bits after the last byte");
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", InviteCode::from_bytes([7; 10]), InviteKey::from_bytes([7; 32]));
        assert_eq!(shown, "InviteCode(…) InviteKey(…)");
    }
}
