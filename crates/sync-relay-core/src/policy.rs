//! What the relay's owner can set, as far as the core decides by it.

use core::fmt;
use core::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use sync_types::UnixMs;
use sync_types::limits::{DEFAULT_MAX_BLOB, ENVELOPE_OVERHEAD};

/// The owner's settings.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Largest sealed blob, in bytes.
    pub max_blob_size: u32,
    /// Most bytes of one group's sealed blobs and what each of them costs besides.
    pub max_group_storage: u64,
    /// Most bytes of the whole store, by its own measure of what is in use.
    pub max_db_size: u64,
    /// Life of a blob that is pushed without a TTL, in seconds; 0: no expiry.
    pub default_ttl: u32,
    /// Most groups.
    pub max_groups: u64,
    /// Of the room for groups and for bytes, the part that groups of one [`Origin`](crate::store::Origin) may
    /// take, in percent; 100: all of it.
    pub origin_share: u8,
    /// Most devices of one group that are not removed.
    pub max_devices_per_group: u64,
    /// A device that was not heard of for so long is not waited for any more.
    pub device_expiry: Duration,
    /// Messages that one device may send in a minute; as many at once.
    pub messages_per_minute: u32,
    /// Who may make a group.
    pub group_creation: GroupCreation,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_blob_size: DEFAULT_MAX_BLOB,
            max_group_storage: 100 << 20,
            max_db_size: 1 << 30,
            default_ttl: 7 * 24 * 60 * 60,
            max_groups: 1000,
            origin_share: 25,
            max_devices_per_group: 100,
            device_expiry: Duration::from_secs(90 * 24 * 60 * 60),
            messages_per_minute: 100,
            group_creation: GroupCreation::Open,
        }
    }
}

impl Policy {
    /// Largest envelope within a session, in bytes.
    pub fn max_envelope(&self) -> usize {
        self.max_blob_size as usize + ENVELOPE_OVERHEAD
    }

    /// Most groups of one origin.
    pub fn max_origin_groups(&self) -> u64 {
        self.share(self.max_groups).max(1)
    }

    /// By how many bytes a group, or all of its origin, would be over its bound with so many more.
    pub(crate) fn excess(&self, stored: &StoredBytes, added: u64) -> u64 {
        let of_group = (stored.group + added).saturating_sub(self.max_group_storage);
        let most = self.max_origin_bytes();
        of_group.max(stored.origin.map_or(0, |origin| (origin + added).saturating_sub(most)))
    }

    /// Most bytes of all groups of one origin.
    pub fn max_origin_bytes(&self) -> u64 {
        self.share(self.max_db_size)
    }

    fn share(&self, all: u64) -> u64 {
        (u128::from(all) * u128::from(self.origin_share) / 100) as u64
    }

    /// When a blob stored at `now` may be dropped; never if `None`.
    pub fn expiry(&self, ttl: Option<u32>, now: UnixMs) -> Option<UnixMs> {
        match ttl.unwrap_or(self.default_ttl) {
            0 => None,
            seconds => Some(now.plus(Duration::from_secs(seconds.into()))),
        }
    }
}

/// What blobs count for, in bytes; see [`NewBlob::cost`](crate::store::NewBlob::cost).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredBytes {
    /// Those of the group.
    pub group: u64,
    /// Those of all groups of its origin, if it has one.
    pub origin: Option<u64>,
}

/// Who may make a group.
#[derive(Clone)]
pub enum GroupCreation {
    /// Whoever comes.
    Open,
    /// Who knows the token, of which only the hash is kept.
    Token([u8; 32]),
}

impl GroupCreation {
    /// Only those who know `token`.
    pub fn by_token(token: &str) -> Self {
        Self::Token(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether a device that offers `token` may make a group. Constant-time.
    pub fn allows(&self, token: Option<&str>) -> bool {
        match (self, token) {
            (Self::Open, _) => true,
            (Self::Token(_), None) => false,
            (Self::Token(hash), Some(token)) => Sha256::digest(token.as_bytes()).ct_eq(hash).into(),
        }
    }
}

impl fmt::Debug for GroupCreation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Token(_) => "Token(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_of_zero_means_for_ever_and_none_means_the_default() {
        let policy = Policy { default_ttl: 60, ..Policy::default() };
        assert_eq!(policy.expiry(None, UnixMs(5)), Some(UnixMs(60_005)));
        assert_eq!(policy.expiry(Some(1), UnixMs(5)), Some(UnixMs(1005)));
        assert_eq!(policy.expiry(Some(0), UnixMs(5)), None);
    }

    #[test]
    fn a_group_and_its_origin_have_their_bounds() {
        let policy = Policy { max_group_storage: 100, max_db_size: 1000, ..Policy::default() };
        let excess = |group, origin| policy.excess(&StoredBytes { group, origin }, 10);
        assert_eq!((excess(90, None), excess(91, None)), (0, 1));
        assert_eq!((excess(0, Some(240)), excess(0, Some(242)), excess(95, Some(242))), (0, 2, 5));
        assert_eq!(policy.max_origin_groups(), 250);
        let alone = Policy { origin_share: 100, max_groups: u64::MAX, ..policy };
        assert_eq!(alone.max_origin_groups(), u64::MAX);
        assert_eq!(Policy { max_groups: 2, ..Policy::default() }.max_origin_groups(), 1);
    }

    #[test]
    fn only_the_right_token_makes_a_group() {
        let policy = GroupCreation::by_token("sesame");
        assert!(policy.allows(Some("sesame")));
        assert!(!policy.allows(Some("sesam")));
        assert!(!policy.allows(None));
        assert!(GroupCreation::Open.allows(None));
        assert_eq!(format!("{policy:?}"), "Token(…)");
    }
}
