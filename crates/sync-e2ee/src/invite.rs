//! What an invite says, and how it is sealed.

use rand_core::CryptoRngCore;
use sync_types::limits::MAX_SEALED_INVITE;
use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{
    BlobHash, ChainId, DeviceId, Epoch, GroupId, InviteKey, KeyLog, LookupKey, RelayKey, RelayUrl, UnixMs,
    record,
};
use zeroize::Zeroizing;

use crate::content::Seen;
use crate::{DeviceName, EpochSecret, MAX_PLATFORM, SealError, aead};

const FORMAT: u8 = 1;
const MAX_ROSTER: usize = 1_000;

record! {
    /// The newest blob of a device that the inviter holds.
    pub struct Tip {
        /// The chain.
        chain_id: ChainId,
        /// The blob's place in it.
        seq: u64,
        /// The blob's hash.
        hash: BlobHash,
    }
}

record! {
    /// One device of a group.
    pub struct RosterEntry {
        /// The device.
        device_id: DeviceId,
        /// Its name; left out of an invite that would grow too large.
        name: Option<DeviceName>,
        /// What it runs on; at most 32 bytes.
        platform: String,
        /// Its newest blob.
        tip: Option<Tip>,
    }
}

/// Everything that makes a device a member.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Where the relay is.
    pub relay: RelayUrl,
    /// Whom to expect there.
    pub relay_key: RelayKey,
    /// The group.
    pub group_id: GroupId,
    /// Its auth keys.
    pub key_log: KeyLog,
    /// The newest epoch, which `secret` is of.
    pub epoch: Epoch,
    /// The epoch's secret.
    pub secret: EpochSecret,
    /// The group's devices as the inviter knows them.
    pub roster: Vec<RosterEntry>,
    /// How far the inviter has seen the log.
    pub seen: Option<Seen>,
    /// The inviter.
    pub created_by: DeviceId,
    /// When it ends, by the inviter's clock.
    pub expires: UnixMs,
}

impl Invite {
    /// Seals it: `format u8 = 1 | nonce 24 | ciphertext and tag` with XChaCha20-Poly1305; the
    /// associated data is "sync-relay invite v1" ‖ lookup key.
    ///
    /// # Errors
    /// [`SealError::TooLarge`] past 16 KiB.
    pub fn seal(
        &self,
        lookup: &LookupKey,
        key: &InviteKey,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Vec<u8>, SealError> {
        let room = MAX_SEALED_INVITE - 1 - aead::OVERHEAD;
        let mut plaintext = Zeroizing::new(self.encode(true));
        if plaintext.len() > room {
            // The joiner reads the names in the log anyway.
            plaintext = Zeroizing::new(self.encode(false));
        }
        if plaintext.len() > room {
            return Err(SealError::TooLarge);
        }
        let mut sealed = vec![FORMAT];
        aead::seal(key.expose_bytes(), &associated_data(lookup), &plaintext, rng, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens an invite, and checks that it hangs together: the key log is the group's, ends at the
    /// epoch, and its last key belongs to the secret.
    ///
    /// # Errors
    /// [`SealError::Decrypt`] for another key or lookup key; [`SealError::Malformed`] for an invite
    /// that contradicts itself.
    pub fn open(lookup: &LookupKey, key: &InviteKey, sealed: &[u8]) -> Result<Self, SealError> {
        if sealed.len() > MAX_SEALED_INVITE {
            return Err(SealError::TooLarge);
        }
        let (format, rest) = sealed.split_first().ok_or(SealError::Decrypt)?;
        if *format != FORMAT {
            return Err(SealError::UnknownFormat);
        }
        let plaintext = aead::open(key.expose_bytes(), &associated_data(lookup), rest)?;
        let invite = Self::decode(&plaintext)?;
        let verified = invite.key_log.verify(&invite.group_id).is_ok()
            && invite.key_log.epoch() == invite.epoch
            && invite.key_log.key(invite.epoch) == Some(&invite.secret.keys().auth_key());
        if verified { Ok(invite) } else { Err(SealError::Malformed) }
    }

    pub(crate) fn encode(&self, names: bool) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(10);
        self.relay.as_str().to_owned().put(&mut w);
        self.relay_key.put(&mut w);
        self.group_id.put(&mut w);
        self.key_log.put(&mut w);
        self.epoch.put(&mut w);
        w.bin(self.secret.expose_bytes());
        let roster: Vec<_> = self
            .roster
            .iter()
            .map(|entry| RosterEntry { name: entry.name.clone().filter(|_| names), ..entry.clone() })
            .collect();
        put_list(&roster, &mut w);
        self.seen.put(&mut w);
        self.created_by.put(&mut w);
        self.expires.put(&mut w);
        w.finish()
    }

    pub(crate) fn decode(plaintext: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(plaintext);
        r.array(10)?;
        let invite = Self {
            relay: RelayUrl::from_canonical(r.str()?).ok_or(DecodeError::OutOfRange)?,
            relay_key: RelayKey::take(&mut r)?,
            group_id: GroupId::take(&mut r)?,
            key_log: KeyLog::take(&mut r)?,
            epoch: Epoch::take(&mut r)?,
            secret: EpochSecret::from_bytes(<[u8; 32]>::take(&mut r)?),
            roster: take_list(&mut r, MAX_ROSTER)?,
            seen: <Option<Seen> as Wire>::take(&mut r)?,
            created_by: DeviceId::take(&mut r)?,
            expires: UnixMs::take(&mut r)?,
        };
        r.finish()?;
        if invite.roster.iter().any(|entry| entry.platform.len() > MAX_PLATFORM) {
            return Err(DecodeError::TooLarge);
        }
        Ok(invite)
    }
}

fn associated_data(lookup: &LookupKey) -> Vec<u8> {
    [b"sync-relay invite v1".as_slice(), &lookup.0].concat()
}

/// A good invite, for tests that change it.
#[cfg(test)]
pub(crate) fn tests_plaintext() -> Vec<u8> {
    tests::invite(2).encode(true)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use sync_types::{Cursor, DeviceSecret, StoreId};

    use super::*;

    pub(super) fn invite(devices: u8) -> Invite {
        let secret = EpochSecret::from_bytes([7; 32]);
        let key_log = KeyLog::new(secret.keys().auth_key());
        let roster = (0..devices)
            .map(|n| RosterEntry {
                device_id: DeviceSecret::from_bytes([n; 32]).id(),
                name: DeviceName::new(&"n".repeat(62)),
                platform: "linux".to_owned(),
                tip: Some(Tip { chain_id: ChainId([n; 16]), seq: u64::MAX, hash: BlobHash([n; 32]) }),
            })
            .collect();
        Invite {
            relay: "https://relay.example".parse().unwrap(),
            relay_key: RelayKey::from_bytes([1; 32]).unwrap(),
            group_id: GroupId::of(&key_log.genesis),
            key_log,
            epoch: 0,
            secret,
            roster,
            seen: Some(Seen { store_id: StoreId([1; 16]), cursor: Cursor::new(5).unwrap(), head: [2; 32] }),
            created_by: DeviceSecret::from_bytes([0; 32]).id(),
            expires: UnixMs(1_000),
        }
    }

    fn seal(invite: &Invite) -> Result<Vec<u8>, SealError> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        invite.seal(&LookupKey([1; 16]), &InviteKey::from_bytes([2; 32]), &mut rng)
    }

    #[test]
    fn an_invite_comes_back_and_a_hundred_devices_fit() {
        for devices in [1, 100] {
            let sealed = seal(&invite(devices)).unwrap();
            assert!(sealed.len() <= MAX_SEALED_INVITE);
            let opened = Invite::open(&LookupKey([1; 16]), &InviteKey::from_bytes([2; 32]), &sealed).unwrap();
            assert_eq!(opened.encode(true), invite(devices).encode(devices == 1));
        }
    }

    #[test]
    fn another_key_or_place_does_not_open_it() {
        let sealed = seal(&invite(1)).unwrap();
        let open = |lookup, key, sealed: &[u8]| {
            Invite::open(&LookupKey([lookup; 16]), &InviteKey::from_bytes([key; 32]), sealed).err()
        };
        assert_eq!(open(9, 2, &sealed), Some(SealError::Decrypt));
        assert_eq!(open(1, 9, &sealed), Some(SealError::Decrypt));
        assert_eq!(open(1, 2, &sealed[..40]), Some(SealError::Decrypt));
        assert_eq!(open(1, 2, &[]), Some(SealError::Decrypt));
        assert_eq!(open(1, 2, &[2; 60]), Some(SealError::UnknownFormat));
        assert_eq!(open(1, 2, &[1; MAX_SEALED_INVITE + 1]), Some(SealError::TooLarge));
    }

    #[test]
    fn an_invite_that_contradicts_itself_is_refused() {
        for forged in [
            Invite { group_id: GroupId([0; 32]), ..invite(1) },
            Invite { epoch: 1, ..invite(1) },
            Invite { secret: EpochSecret::from_bytes([8; 32]), ..invite(1) },
        ] {
            let sealed = seal(&forged).unwrap();
            let opened = Invite::open(&LookupKey([1; 16]), &InviteKey::from_bytes([2; 32]), &sealed);
            assert_eq!(opened.err(), Some(SealError::Malformed));
        }
    }
}
