//! The key log and the proof of membership: what lets a relay check that a device belongs to a
//! group without knowing anybody.
//!
//! A group id is the hash of the group's first auth key. Each later key is signed by the one before
//! it, so whoever has the group id can verify the newest key from nothing else. Signatures are
//! Ed25519 (RFC 8032), verified strictly: no weak keys, no second encoding of anything.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::ids::{AuthKey, DeviceId, Epoch, GroupId};
use crate::invite_text::LookupKey;
use crate::limits::MAX_KEY_LINKS;
use crate::record;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// Why a key log or a proof is refused. Always the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyLogError {
    /// The first key does not hash to the group id.
    #[error("the key log belongs to another group")]
    WrongGroup,
    /// A key that no honest member makes: not a point, weak, or not in its canonical form.
    #[error("an auth key is not a valid Ed25519 key")]
    InvalidKey,
    /// A signature does not verify.
    #[error("a signature is wrong")]
    BadSignature,
    /// Two logs that share a beginning and then differ.
    #[error("the key log contradicts the known one")]
    Conflict,
}

impl GroupId {
    /// The id of the group whose first auth key this is.
    pub fn of(auth_key_0: &AuthKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sync-relay group id v1");
        hash.update(auth_key_0.0);
        Self(hash.finalize().into())
    }
}

impl AuthKey {
    /// Verifies a signature by this key, strictly (RFC 8032 §5.1.7 without its leeway).
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), KeyLogError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyLogError::InvalidKey)?;
        if key.is_weak() || key.to_edwards().compress().0 != self.0 {
            return Err(KeyLogError::InvalidKey);
        }
        key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| KeyLogError::BadSignature)
    }
}

record! {
    /// One rotation, as far as the relay needs it.
    pub struct KeyLink {
        /// The key of the next epoch.
        auth_key: AuthKey,
        /// Hash of what the rotation carried: sender, blob id, lockboxes and sealed inner part.
        content_hash: [u8; 32],
        /// By the key before it, over [`rotation_transcript`].
        signature: [u8; 64],
    }
}

/// What the key of epoch `new_epoch − 1` signs to hand over to the next.
pub fn rotation_transcript(
    group_id: &GroupId,
    new_epoch: Epoch,
    new_key: &AuthKey,
    content_hash: &[u8; 32],
) -> Vec<u8> {
    [b"sync-relay rotate v1".as_slice(), &group_id.0, &new_epoch.to_be_bytes(), &new_key.0, content_hash]
        .concat()
}

/// The auth keys of a group, from its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLog {
    /// The key of epoch 0.
    pub genesis: AuthKey,
    /// One link for each later epoch; at most [`MAX_KEY_LINKS`].
    pub links: Vec<KeyLink>,
}

impl KeyLog {
    /// The log of a group that was never rotated.
    pub fn new(genesis: AuthKey) -> Self {
        Self { genesis, links: Vec::new() }
    }

    /// The newest epoch.
    pub fn epoch(&self) -> Epoch {
        Epoch::try_from(self.links.len()).unwrap_or(Epoch::MAX)
    }

    /// The key of an epoch, if the log reaches it.
    pub fn key(&self, epoch: Epoch) -> Option<&AuthKey> {
        match epoch.checked_sub(1) {
            None => Some(&self.genesis),
            Some(index) => self.links.get(index as usize).map(|link| &link.auth_key),
        }
    }

    /// What two people compare to know that their devices hold the same newest key: `XXXX-XXXX-XXXX`, 60
    /// bits in Crockford's base32. A removed device that makes a key of its own with the help of the
    /// relay would have to find one that agrees in all of them.
    pub fn fingerprint(&self, group_id: &GroupId) -> String {
        let newest = self.links.last().map_or(&self.genesis, |link| &link.auth_key);
        let hash = Sha256::new()
            .chain_update(b"sync-relay fingerprint v1")
            .chain_update(group_id.0)
            .chain_update(self.epoch().to_be_bytes())
            .chain_update(newest.0)
            .finalize();
        let mut start = [0; 16];
        start.copy_from_slice(&hash[..16]);
        let text = LookupKey(start).to_string();
        [&text[..4], &text[4..8], &text[8..12]].join("-")
    }

    /// Verifies the whole log from nothing but the group id.
    pub fn verify(&self, group_id: &GroupId) -> Result<(), KeyLogError> {
        self.verify_from(group_id, 0)
    }

    /// Verifies that this log continues `known`, which was verified before: only the links beyond it
    /// cost a signature check. A shorter log that agrees is fine, too.
    pub fn verify_beyond(&self, group_id: &GroupId, known: &KeyLog) -> Result<(), KeyLogError> {
        let shared = self.links.len().min(known.links.len());
        if self.genesis != known.genesis || self.links[..shared] != known.links[..shared] {
            // Only a log that is valid in itself is a contradiction; anything else is just wrong.
            self.verify(group_id)?;
            return Err(KeyLogError::Conflict);
        }
        self.verify_from(group_id, shared)
    }

    fn verify_from(&self, group_id: &GroupId, start: usize) -> Result<(), KeyLogError> {
        if GroupId::of(&self.genesis) != *group_id {
            return Err(KeyLogError::WrongGroup);
        }
        let mut signer = match start.checked_sub(1) {
            None => &self.genesis,
            Some(last) => &self.links[last].auth_key,
        };
        for (index, link) in self.links.iter().enumerate().skip(start) {
            let epoch = Epoch::try_from(index + 1).unwrap_or(Epoch::MAX);
            let transcript = rotation_transcript(group_id, epoch, &link.auth_key, &link.content_hash);
            signer.verify(&transcript, &link.signature)?;
            signer = &link.auth_key;
        }
        Ok(())
    }
}

impl Wire for KeyLog {
    fn put(&self, w: &mut Writer) {
        w.array(1 + self.links.len());
        self.genesis.put(w);
        self.links.iter().for_each(|link| link.put(w));
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let links = r.array_len()?.checked_sub(1).ok_or(DecodeError::WrongLength)?;
        if links > MAX_KEY_LINKS {
            return Err(DecodeError::TooLarge);
        }
        let genesis = AuthKey::take(r)?;
        let links = (0..links).map(|_| KeyLink::take(r)).collect::<Result<_, _>>()?;
        Ok(Self { genesis, links })
    }
}

/// What a device signs in HELLO with its epoch's auth key.
///
/// Bound to one connection: the handshake hash covers both static keys and both ephemeral ones, so a
/// proof cannot be replayed, or relayed by someone in the middle.
#[derive(Debug, Clone, Copy)]
pub struct MembershipProof<'a> {
    /// Of the Noise handshake of this connection.
    pub handshake_hash: &'a [u8; 32],
    /// The group to be let into.
    pub group_id: &'a GroupId,
    /// The epoch whose key signs.
    pub epoch: Epoch,
    /// The device: the Noise static key of this connection.
    pub device_id: &'a DeviceId,
}

impl MembershipProof<'_> {
    /// The bytes that are signed.
    pub fn transcript(&self) -> Vec<u8> {
        [
            b"sync-relay hello v1".as_slice(),
            self.handshake_hash,
            &self.group_id.0,
            &self.epoch.to_be_bytes(),
            self.device_id.as_bytes(),
        ]
        .concat()
    }

    /// Checks a signature against the epoch's key.
    pub fn verify(&self, key: &AuthKey, signature: &[u8; 64]) -> Result<(), KeyLogError> {
        key.verify(&self.transcript(), signature)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn signing(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    fn public(n: u8) -> AuthKey {
        AuthKey(signing(n).verifying_key().to_bytes())
    }

    fn log(keys: &[u8]) -> (GroupId, KeyLog) {
        let mut log = KeyLog::new(public(keys[0]));
        let group = GroupId::of(&log.genesis);
        for (i, pair) in keys.windows(2).enumerate() {
            let transcript = rotation_transcript(&group, i as u32 + 1, &public(pair[1]), &[9; 32]);
            let signature = signing(pair[0]).sign(&transcript).to_bytes();
            log.links.push(KeyLink { auth_key: public(pair[1]), content_hash: [9; 32], signature });
        }
        (group, log)
    }

    #[test]
    fn a_log_verifies_from_the_group_id_alone() {
        let (group, log) = log(&[1, 2, 3]);
        assert_eq!(log.verify(&group), Ok(()));
        assert_eq!(log.key(2), Some(&public(3)));
        assert_eq!(log.key(3), None);
        assert_eq!(log.verify(&GroupId([0; 32])), Err(KeyLogError::WrongGroup));
    }

    #[test]
    fn a_link_by_another_key_or_for_another_epoch_is_refused() {
        let (group, mut forged) = log(&[1, 2, 3]);
        forged.links.remove(0);
        assert_eq!(forged.verify(&group), Err(KeyLogError::BadSignature));
        let (_, mut forged) = log(&[1, 2, 3]);
        forged.links[1].content_hash = [8; 32];
        assert_eq!(forged.verify(&group), Err(KeyLogError::BadSignature));
    }

    #[test]
    fn longer_and_shorter_logs_agree_and_forks_conflict() {
        let (group, known) = log(&[1, 2, 3]);
        let (_, longer) = log(&[1, 2, 3, 4]);
        let (_, fork) = log(&[1, 2, 5, 6]);
        assert_eq!(longer.verify_beyond(&group, &known), Ok(()));
        assert_eq!(known.verify_beyond(&group, &longer), Ok(()));
        assert_eq!(fork.verify_beyond(&group, &known), Err(KeyLogError::Conflict));
        let (_, mut garbage) = log(&[1, 2, 5]);
        garbage.links[1].signature[0] ^= 1;
        assert_eq!(garbage.verify_beyond(&group, &known), Err(KeyLogError::BadSignature));
    }

    #[test]
    fn the_same_newest_key_has_the_same_fingerprint_and_any_other_another() {
        let (group, known) = log(&[1, 2]);
        let text = known.fingerprint(&group);
        assert!(text.len() == 14 && text.matches('-').count() == 2, "{text}");
        let (_, again) = log(&[1, 2]);
        assert_eq!(again.fingerprint(&group), text);
        for other in [log(&[1]).1, log(&[1, 3]).1, log(&[1, 2, 2]).1] {
            assert_ne!(other.fingerprint(&group), text);
        }
        assert_ne!(known.fingerprint(&GroupId([0; 32])), text);
    }

    #[test]
    fn weak_and_non_canonical_auth_keys_are_refused() {
        // The neutral element, and a point of order 8: with them any message has a valid signature.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(AuthKey(neutral).verify(b"x", &[0; 64]), Err(KeyLogError::InvalidKey));
        assert_eq!(AuthKey([0; 32]).verify(b"x", &[0; 64]), Err(KeyLogError::InvalidKey));
        // y = p + 1 encodes the same point as y = 1, but not canonically.
        let mut non_canonical = [0xff; 32];
        non_canonical[0] = 0xee;
        non_canonical[31] = 0x7f;
        assert_eq!(AuthKey(non_canonical).verify(b"x", &[0; 64]), Err(KeyLogError::InvalidKey));
    }

    #[test]
    fn a_proof_is_bound_to_connection_group_epoch_and_device() {
        let device = DeviceId::from_bytes([3; 32]).unwrap();
        let other = DeviceId::from_bytes([4; 32]).unwrap();
        let group = GroupId::of(&public(1));
        let proof =
            MembershipProof { handshake_hash: &[5; 32], group_id: &group, epoch: 0, device_id: &device };
        let signature = signing(1).sign(&proof.transcript()).to_bytes();
        assert_eq!(proof.verify(&public(1), &signature), Ok(()));
        for wrong in [
            MembershipProof { handshake_hash: &[6; 32], ..proof },
            MembershipProof { group_id: &GroupId([0; 32]), ..proof },
            MembershipProof { epoch: 1, ..proof },
            MembershipProof { device_id: &other, ..proof },
        ] {
            assert_eq!(wrong.verify(&public(1), &signature), Err(KeyLogError::BadSignature));
        }
        assert_eq!(proof.verify(&public(2), &signature), Err(KeyLogError::BadSignature));
    }
}
