//! Identifiers: fixed-size byte strings and counters, each a type of its own.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::wire::{DecodeError, Reader, Wire, Writer};

/// The largest integer that JavaScript holds exactly: 2^53 − 1. Bound of cursors and time stamps.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes of a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        text!($name);

        impl Wire for $name {
            fn put(&self, w: &mut Writer) {
                self.0.put(w);
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(<[u8; $len]>::take(r)?))
            }
        }
    };
}

/// `Display` is base64url; `Debug` shows its two ends, enough to tell two apart in a log.
macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Base64UrlUnpadded::encode_string(self.as_ref()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = Base64UrlUnpadded::encode_string(self.as_ref());
                let (start, end) = (text.get(..6), text.get(text.len().saturating_sub(4)..));
                write!(f, "{}({}…{})", stringify!($name), start.unwrap_or(&text), end.unwrap_or(""))
            }
        }
    };
}

id!(
    /// A group of devices: SHA-256("sync-relay group id v1" ‖ auth key 0). Nobody can take someone
    /// else's, since it commits to the key that signs for it.
    GroupId, 32
);
id!(
    /// One blob within its group: a UUIDv8, chosen by its sender.
    BlobId, 16
);
id!(
    /// One relay database; another after it was wiped or restored.
    StoreId, 16
);
id!(
    /// One run of blobs from one local state of one device.
    ChainId, 16
);
id!(
    /// Random and unique per envelope; a reply carries its request's.
    Nonce, 24
);
id!(
    /// SHA-256 of a sealed blob.
    BlobHash, 32
);
id!(
    /// An Ed25519 public key that stands for one epoch of a group.
    AuthKey, 32
);

impl StoreId {
    /// "None known": what a device sends before its first WELCOME.
    pub const NONE: Self = Self([0; 16]);
}

impl GroupId {
    /// Stands where no group is known yet: in a relay's ERROR before HELLO.
    pub const NONE: Self = Self([0; 32]);
}

macro_rules! x25519_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Accepts the one canonical encoding of a public key: below p = 2^255 − 19 (RFC 7748 §5).
            pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
                is_canonical(&bytes).then_some(Self(bytes))
            }

            /// As [`from_bytes`](Self::from_bytes), from a slice of any length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Self::from_bytes(bytes.try_into().ok()?)
            }

            /// Reads what `Display` writes: 43 characters of base64url.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::from_slice(&Base64UrlUnpadded::decode_vec(text).ok()?)
            }

            /// The public key's bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        text!($name);

        impl Wire for $name {
            fn put(&self, w: &mut Writer) {
                self.0.put(w);
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Self::from_bytes(<[u8; 32]>::take(r)?).ok_or(DecodeError::NonCanonicalKey)
            }
        }
    };
}

x25519_id!(
    /// A device: its X25519 public key, which is also its Noise static key.
    DeviceId
);
x25519_id!(
    /// A relay: its X25519 public key. Clients pin it.
    RelayKey
);

impl From<RelayKey> for DeviceId {
    /// The relay signs its own envelopes with its key in the sender's place.
    fn from(key: RelayKey) -> Self {
        Self(key.0)
    }
}

/// Whether a little-endian field element is below p = 2^255 − 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let top_is_p = bytes[31] == 0x7f && bytes[1..31].iter().all(|b| *b == 0xff);
    bytes[31] & 0x80 == 0 && !(top_is_p && bytes[0] >= 0xed)
}

/// Number of a group's key: 0 for its first, one more after each rotation.
pub type Epoch = u32;

/// A blob's place in its group's log: from 1, without gaps, in the order of commits. 0 is "before
/// the first". At most 2^53 − 1, so that JavaScript can hold it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(u64);

impl Cursor {
    /// Before the first blob.
    pub const ZERO: Self = Self(0);

    /// A cursor, unless past 2^53 − 1.
    pub const fn new(value: u64) -> Option<Self> {
        if value <= MAX_SAFE_INTEGER { Some(Self(value)) } else { None }
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next one; stays at the end of the range, which no log reaches.
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(MAX_SAFE_INTEGER))
    }

    /// The one before; of 0, 0.
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.0)
    }
}

impl Wire for Cursor {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(u64::take(r)?).ok_or(DecodeError::OutOfRange)
    }
}

impl Wire for crate::UnixMs {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = u64::take(r)?;
        if value > MAX_SAFE_INTEGER { Err(DecodeError::OutOfRange) } else { Ok(Self(value)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_at_and_above_p_are_refused() {
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        assert_eq!(DeviceId::from_bytes(p), None);
        p[0] = 0xec;
        assert!(DeviceId::from_bytes(p).is_some(), "p - 1 is the largest canonical value");
        p[31] = 0xff;
        assert_eq!(DeviceId::from_bytes(p), None, "the top bit is not part of the number");
        p[0] = 0xff;
        p[31] = 0x7f;
        assert_eq!(DeviceId::from_bytes(p), None);
    }

    #[test]
    fn cursors_stay_within_what_javascript_holds() {
        assert!(Cursor::new(MAX_SAFE_INTEGER).is_some());
        assert_eq!(Cursor::new(MAX_SAFE_INTEGER + 1), None);
        assert_eq!(Cursor::ZERO.prev(), Cursor::ZERO);
        assert_eq!(Cursor::new(MAX_SAFE_INTEGER).unwrap().next().get(), MAX_SAFE_INTEGER);
    }

    #[test]
    fn debug_shortens_and_display_does_not() {
        let id = BlobId([0; 16]);
        assert_eq!(format!("{id:?}"), "BlobId(AAAAAA…AAAA)");
        assert_eq!(id.to_string().len(), 22);
    }
}
