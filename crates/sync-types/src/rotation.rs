//! Rotations, as far as whoever is no member sees them: what the relay checks and stores.
//!
//! A rotation gives a group its next key. It lies in the log as a blob whose payload starts with
//! another format byte than a sealed blob's: `2 ‖ [epoch, auth_key, lockboxes, inner, signature]`.
//! The lockboxes hold the new secret, one for each device that stays; `inner` says what only members
//! may know. The key of the epoch before signs all of it.

use sha2::{Digest, Sha256};

use crate::ids::{AuthKey, BlobId, DeviceId, Epoch, GroupId};
use crate::keylog::{KeyLink, KeyLogError, rotation_transcript};
use crate::record;
use crate::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};

/// First byte of a rotation's payload; a sealed blob's is 1.
pub const ROTATION_FORMAT: u8 = 2;
/// Bytes of a lockbox: a secret of 32, sealed one way.
pub const LOCKBOX: usize = 128;
/// Most lockboxes of one rotation.
pub const MAX_LOCKBOXES: usize = 1_000;

record! {
    /// The new secret, sealed for one device.
    pub struct Lockbox {
        /// The device that can open it.
        device_id: DeviceId,
        /// See [`open_one_way`](crate::channel::open_one_way).
        sealed: [u8; LOCKBOX],
    }
}

/// The handing over from one key of a group to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The new epoch.
    pub epoch: Epoch,
    /// Its key.
    pub auth_key: AuthKey,
    /// One for each device that stays, ascending by device id.
    pub lockboxes: Vec<Lockbox>,
    /// Sealed under the new epoch's blob key.
    pub inner: Vec<u8>,
    /// By the key of the epoch before.
    pub signature: [u8; 64],
}

impl Rotation {
    /// Whether a payload says that it is a rotation: nothing but its first byte.
    pub fn is_one(payload: &[u8]) -> bool {
        payload.first() == Some(&ROTATION_FORMAT)
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256 + self.lockboxes.len() * (LOCKBOX + 40) + self.inner.len());
        w.array(5);
        self.epoch.put(&mut w);
        self.auth_key.put(&mut w);
        put_list(&self.lockboxes, &mut w);
        w.bin(&self.inner);
        self.signature.put(&mut w);
        [&[ROTATION_FORMAT], w.finish().as_slice()].concat()
    }

    /// Reads a payload. Its signature is not checked; see [`verify`](Self::verify).
    ///
    /// # Errors
    /// Besides what every structure refuses: another format byte, epoch 0, no lockbox or more than
    /// [`MAX_LOCKBOXES`], device ids that do not strictly ascend.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (format, rest) = payload.split_first().ok_or(DecodeError::Truncated)?;
        if *format != ROTATION_FORMAT {
            return Err(DecodeError::UnknownFormat);
        }
        let mut r = Reader::new(rest);
        r.array(5)?;
        let rotation = Self {
            epoch: Epoch::take(&mut r)?,
            auth_key: AuthKey::take(&mut r)?,
            lockboxes: take_list(&mut r, MAX_LOCKBOXES)?,
            inner: Vec::take(&mut r)?,
            signature: <[u8; 64]>::take(&mut r)?,
        };
        r.finish()?;
        if rotation.epoch == 0 {
            return Err(DecodeError::OutOfRange);
        }
        if rotation.lockboxes.is_empty() {
            return Err(DecodeError::WrongLength);
        }
        if !rotation.lockboxes.is_sorted_by(|a, b| a.device_id < b.device_id) {
            return Err(DecodeError::Unordered);
        }
        Ok(rotation)
    }

    /// What the signature commits to beside the new key:
    /// SHA-256(sender ‖ blob id ‖ SHA-256(lockboxes as encoded) ‖ SHA-256(inner)).
    pub fn content_hash(&self, sender: &DeviceId, blob_id: &BlobId) -> [u8; 32] {
        let mut lockboxes = Writer::default();
        put_list(&self.lockboxes, &mut lockboxes);
        let mut hash = Sha256::new();
        hash.update(sender.as_bytes());
        hash.update(blob_id.0);
        hash.update(Sha256::digest(lockboxes.finish()));
        hash.update(Sha256::digest(&self.inner));
        hash.finalize().into()
    }

    /// What the rotation adds to the group's key log. Nothing is verified.
    pub fn link(&self, sender: &DeviceId, blob_id: &BlobId) -> KeyLink {
        let content_hash = self.content_hash(sender, blob_id);
        KeyLink { auth_key: self.auth_key, content_hash, signature: self.signature }
    }

    /// Checks the signature by the key of the epoch before; gives what to add to the key log.
    ///
    /// # Errors
    /// As [`AuthKey::verify`].
    pub fn verify(
        &self,
        group: &GroupId,
        signer: &AuthKey,
        sender: &DeviceId,
        blob_id: &BlobId,
    ) -> Result<KeyLink, KeyLogError> {
        let link = self.link(sender, blob_id);
        let transcript = rotation_transcript(group, self.epoch, &self.auth_key, &link.content_hash);
        signer.verify(&transcript, &self.signature)?;
        Ok(link)
    }

    /// The lockbox of a device.
    pub fn lockbox(&self, device: &DeviceId) -> Option<&[u8; LOCKBOX]> {
        let found = self.lockboxes.binary_search_by_key(device, |lockbox| lockbox.device_id).ok()?;
        Some(&self.lockboxes[found].sealed)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::keylog::KeyLog;

    const BLOB: BlobId = BlobId([0xb1; 16]);

    fn device(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 32]).unwrap()
    }

    fn key(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    fn auth(n: u8) -> AuthKey {
        AuthKey(key(n).verifying_key().to_bytes())
    }

    fn rotation(devices: &[u8]) -> Rotation {
        let lockbox = |n: &u8| Lockbox { device_id: device(*n), sealed: [*n; LOCKBOX] };
        let lockboxes = devices.iter().map(lockbox).collect();
        let mut rotation =
            Rotation { epoch: 1, auth_key: auth(2), lockboxes, inner: vec![7; 3], signature: [0; 64] };
        let hash = rotation.content_hash(&device(1), &BLOB);
        let transcript = rotation_transcript(&GroupId::of(&auth(1)), 1, &auth(2), &hash);
        rotation.signature = key(1).sign(&transcript).to_bytes();
        rotation
    }

    #[test]
    fn a_rotation_has_exact_bytes() {
        let rotation = rotation(&[1]);
        let bytes = [
            &[0x02, 0x95, 0x01, 0xc4, 32][..],
            &auth(2).0,
            &[0x91, 0x92, 0xc4, 32],
            &[1; 32],
            &[0xc4, 128],
            &[1; 128],
            &[0xc4, 3, 7, 7, 7, 0xc4, 64],
            &rotation.signature,
        ]
        .concat();
        assert_eq!(rotation.encode(), bytes);
        assert_eq!(Rotation::decode(&bytes), Ok(rotation));
        assert!(Rotation::is_one(&bytes) && !Rotation::is_one(&[1]) && !Rotation::is_one(&[]));
    }

    #[test]
    fn malformed_rotations_are_refused() {
        let refused = |rotation: Rotation| Rotation::decode(&rotation.encode()).err();
        let many: Vec<_> = (0..=MAX_LOCKBOXES)
            .map(|n| {
                let mut id = [0; 32];
                id[..2].copy_from_slice(&(n as u16).to_be_bytes());
                Lockbox { device_id: DeviceId::from_bytes(id).unwrap(), sealed: [0; LOCKBOX] }
            })
            .collect();
        let with = |lockboxes: &[Lockbox]| Rotation { lockboxes: lockboxes.to_vec(), ..rotation(&[1]) };
        assert_eq!(refused(with(&many[1..])), None);
        assert_eq!(refused(with(&many)), Some(DecodeError::TooLarge));
        assert_eq!(refused(rotation(&[])), Some(DecodeError::WrongLength));
        assert_eq!(refused(rotation(&[2, 1])), Some(DecodeError::Unordered));
        assert_eq!(refused(rotation(&[1, 1])), Some(DecodeError::Unordered));
        assert_eq!(refused(Rotation { epoch: 0, ..rotation(&[1]) }), Some(DecodeError::OutOfRange));

        let good = rotation(&[1, 2]).encode();
        assert_eq!(Rotation::decode(&[good.as_slice(), &[0]].concat()), Err(DecodeError::Trailing));
        assert_eq!(Rotation::decode(&[&[1], &good[1..]].concat()), Err(DecodeError::UnknownFormat));
        for len in 0..good.len() {
            assert_eq!(Rotation::decode(&good[..len]), Err(DecodeError::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn the_signature_covers_everything_and_its_place() {
        let group = GroupId::of(&auth(1));
        let good = rotation(&[1, 2]);
        let verify = |rotation: &Rotation| rotation.verify(&group, &auth(1), &device(1), &BLOB);
        let mut log = KeyLog::new(auth(1));
        log.links.push(verify(&good).unwrap());
        assert_eq!(log.verify(&group), Ok(()));

        let mut other_box = good.clone();
        other_box.lockboxes[1].sealed[0] ^= 1;
        let mut fewer = good.clone();
        fewer.lockboxes.pop();
        for changed in [
            Rotation { epoch: 2, ..good.clone() },
            Rotation { auth_key: auth(3), ..good.clone() },
            Rotation { inner: vec![7; 4], ..good.clone() },
            other_box,
            fewer,
        ] {
            assert_eq!(verify(&changed), Err(KeyLogError::BadSignature));
        }
        for (group, signer, sender, blob) in [
            (GroupId([0; 32]), auth(1), device(1), BLOB),
            (group, auth(2), device(1), BLOB),
            (group, auth(1), device(2), BLOB),
            (group, auth(1), device(1), BlobId([0; 16])),
        ] {
            assert_eq!(good.verify(&group, &signer, &sender, &blob), Err(KeyLogError::BadSignature));
        }
    }

    #[test]
    fn each_device_finds_its_own_lockbox() {
        let rotation = rotation(&[1, 4, 9]);
        assert_eq!(rotation.lockbox(&device(4)), Some(&[4; LOCKBOX]));
        assert_eq!(rotation.lockbox(&device(5)), None);
    }
}
