//! What an invite says, and how it is sealed.

use std::collections::BTreeMap;

use rand_core::CryptoRngCore;
use sync_types::limits::{MAX_KEY_LINKS, MAX_SEALED_INVITE};
use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{DeviceId, Epoch, GroupId, InviteKey, KeyLog, LookupKey, RelayKey, RelayUrl, UnixMs};
use zeroize::Zeroizing;

use crate::content::Seen;
use crate::roster::RosterEntry;
use crate::{EpochSecret, SealError, aead};

const FORMAT: u8 = 1;
const MAX_ROSTER: usize = 1_000;

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
    /// The secrets of earlier epochs that the joiner may read; the oldest are left out of an invite
    /// that would grow too large.
    pub history: BTreeMap<Epoch, EpochSecret>,
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
    /// One that would grow past 16 KiB loses first its names, which the joiner reads in the log
    /// anyway, then its oldest history.
    ///
    /// # Errors
    /// [`SealError::TooLarge`] when that is not enough.
    pub fn seal(
        &self,
        lookup: &LookupKey,
        key: &InviteKey,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Vec<u8>, SealError> {
        let room = MAX_SEALED_INVITE - 1 - aead::OVERHEAD;
        let mut plaintext = Zeroizing::new(self.encode(true, 0));
        if plaintext.len() > room {
            let oldest_first = 0..=self.history.len();
            plaintext = oldest_first
                .map(|without| Zeroizing::new(self.encode(false, without)))
                .find(|plaintext| plaintext.len() <= room)
                .ok_or(SealError::TooLarge)?;
        }
        let mut sealed = vec![FORMAT];
        aead::seal(key.expose_bytes(), &associated_data(lookup), &plaintext, rng, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens an invite, and checks that it hangs together: the key log is the group's, ends at the
    /// epoch, and every secret is the one of its epoch's key.
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
        Self::decode(&plaintext)?.verified()
    }

    pub(crate) fn verified(self) -> Result<Self, SealError> {
        let is_of = |(epoch, secret): (&Epoch, &EpochSecret)| {
            self.key_log.key(*epoch) == Some(&secret.keys().auth_key())
        };
        let verified = self.key_log.verify(&self.group_id).is_ok()
            && self.key_log.epoch() == self.epoch
            && is_of((&self.epoch, &self.secret))
            && self.history.iter().all(is_of);
        if verified { Ok(self) } else { Err(SealError::Malformed) }
    }

    /// The plaintext, with or without names, and without so many of the oldest secrets.
    pub(crate) fn encode(&self, names: bool, without: usize) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(11);
        self.relay.as_str().to_owned().put(&mut w);
        self.relay_key.put(&mut w);
        self.group_id.put(&mut w);
        self.key_log.put(&mut w);
        self.epoch.put(&mut w);
        w.bin(self.secret.expose_bytes());
        w.array(self.history.len() - without);
        for (epoch, secret) in self.history.iter().skip(without) {
            w.array(2);
            epoch.put(&mut w);
            w.bin(secret.expose_bytes());
        }
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
        r.array(11)?;
        let relay = RelayUrl::from_canonical(r.str()?).ok_or(DecodeError::OutOfRange)?;
        let relay_key = RelayKey::take(&mut r)?;
        let group_id = GroupId::take(&mut r)?;
        let key_log = KeyLog::take(&mut r)?;
        let epoch = Epoch::take(&mut r)?;
        let invite = Self {
            relay,
            relay_key,
            group_id,
            key_log,
            epoch,
            secret: take_secret(&mut r)?,
            history: take_history(&mut r, epoch)?,
            roster: take_list(&mut r, MAX_ROSTER)?,
            seen: <Option<Seen> as Wire>::take(&mut r)?,
            created_by: DeviceId::take(&mut r)?,
            expires: UnixMs::take(&mut r)?,
        };
        r.finish()?;
        Ok(invite)
    }
}

fn take_secret(r: &mut Reader<'_>) -> Result<EpochSecret, DecodeError> {
    <[u8; 32]>::take(r).map(EpochSecret::from_bytes)
}

/// Secrets of epochs before `newest`, in ascending order.
fn take_history(r: &mut Reader<'_>, newest: Epoch) -> Result<BTreeMap<Epoch, EpochSecret>, DecodeError> {
    let count = r.array_len()?;
    if count > MAX_KEY_LINKS {
        return Err(DecodeError::TooLarge);
    }
    let mut history = BTreeMap::new();
    for _ in 0..count {
        r.array(2)?;
        let epoch = Epoch::take(r)?;
        if epoch >= newest || history.last_key_value().is_some_and(|(last, _)| *last >= epoch) {
            return Err(DecodeError::Unordered);
        }
        history.insert(epoch, take_secret(r)?);
    }
    Ok(history)
}

fn associated_data(lookup: &LookupKey) -> Vec<u8> {
    [b"sync-relay invite v1".as_slice(), &lookup.0].concat()
}

/// A good invite, for tests that change it.
#[cfg(test)]
pub(crate) fn tests_plaintext() -> Vec<u8> {
    tests::invite(2).encode(true, 0)
}

#[cfg(test)]
pub(crate) fn tests_invite(devices: u8) -> Invite {
    tests::invite(devices)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use sync_types::keylog::rotation_transcript;
    use sync_types::{BlobHash, ChainId, Cursor, DeviceSecret, KeyLink, StoreId};

    use super::*;
    use crate::{DeviceName, Tip};

    pub(super) fn invite(devices: u8) -> Invite {
        let secret = EpochSecret::from_bytes([7; 32]);
        let key_log = KeyLog::new(secret.keys().auth_key());
        let roster = (0..devices)
            .map(|n| RosterEntry {
                device_id: DeviceSecret::from_bytes([n; 32]).id(),
                name: DeviceName::new(&"n".repeat(62)),
                platform: "linux".to_owned(),
                tips: vec![Tip { chain_id: ChainId([n; 16]), seq: u64::MAX, hash: BlobHash([n; 32]) }],
            })
            .collect();
        Invite {
            relay: "https://relay.example".parse().unwrap(),
            relay_key: RelayKey::from_bytes([1; 32]).unwrap(),
            group_id: GroupId::of(&key_log.genesis),
            key_log,
            epoch: 0,
            secret,
            history: BTreeMap::new(),
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
            assert_eq!(opened.encode(true, 0), invite(devices).encode(devices == 1, 0));
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

    /// An invite into a group that was rotated so many times, with a secret for every epoch.
    fn rotated(times: u32) -> Invite {
        let secret_of = |epoch: u32| {
            let mut bytes = [7; 32];
            bytes[..4].copy_from_slice(&epoch.to_be_bytes());
            EpochSecret::from_bytes(bytes)
        };
        let mut key_log = KeyLog::new(secret_of(0).keys().auth_key());
        let group_id = GroupId::of(&key_log.genesis);
        for epoch in 1..=times {
            let auth_key = secret_of(epoch).keys().auth_key();
            let transcript = rotation_transcript(&group_id, epoch, &auth_key, &[9; 32]);
            let signature = secret_of(epoch - 1).keys().sign_rotation(&transcript);
            key_log.links.push(KeyLink { auth_key, content_hash: [9; 32], signature });
        }
        let history = (0..times).map(|epoch| (epoch, secret_of(epoch))).collect();
        Invite { group_id, key_log, epoch: times, secret: secret_of(times), history, ..invite(20) }
    }

    fn reopened(invite: &Invite) -> Invite {
        let sealed = seal(invite).unwrap();
        Invite::open(&LookupKey([1; 16]), &InviteKey::from_bytes([2; 32]), &sealed).unwrap()
    }

    #[test]
    fn what_grows_too_large_loses_its_names_and_then_its_oldest_secrets() {
        let named = |invite: &Invite| invite.roster.iter().all(|entry| entry.name.is_some());
        let small = reopened(&rotated(20));
        assert!(named(&small) && small.history.len() == 20);
        let nameless = reopened(&rotated(75));
        assert!(!named(&nameless) && nameless.history.len() == 75);
        let large = reopened(&rotated(95));
        assert!(!named(&large) && (1..95).contains(&large.history.len()));
        assert_eq!(large.history.last_key_value().map(|(epoch, _)| *epoch), Some(94), "the newest stay");
        assert_eq!(seal(&rotated(120)), Err(SealError::TooLarge));
    }

    #[test]
    fn earlier_secrets_must_be_those_of_the_key_log_in_their_order() {
        let history = |pairs: Vec<(u32, EpochSecret)>| pairs.into_iter().collect::<BTreeMap<_, _>>();
        let other = EpochSecret::from_bytes([8; 32]);
        for forged in [history(vec![(0, other.clone())]), history(vec![(2, rotated(2).secret)])] {
            let sealed = seal(&Invite { history: forged, ..rotated(2) }).unwrap();
            let opened = Invite::open(&LookupKey([1; 16]), &InviteKey::from_bytes([2; 32]), &sealed);
            assert_eq!(opened.err(), Some(SealError::Malformed));
        }
    }
}
