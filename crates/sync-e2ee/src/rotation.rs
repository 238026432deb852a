//! Rotations, as members make and read them.
//!
//! The new secret goes to each device that stays in a lockbox of its own, never under the old key,
//! which a removed device has. What only members may know lies in `inner`, under the *new* blob key:
//! `format u8 = 1 | nonce 24 | ciphertext and tag`.

use rand_core::CryptoRngCore;
use sync_types::channel::{open_one_way, seal_one_way};
use sync_types::keylog::rotation_transcript;
use sync_types::rotation::{LOCKBOX, MAX_LOCKBOXES};
use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{AuthKey, BlobId, DeviceId, DeviceSecret, Epoch, GroupId, Lockbox, Rotation};
use zeroize::Zeroizing;

use crate::padding::padded_len;
use crate::roster::RosterEntry;
use crate::{EpochKeys, EpochSecret, SealError, aead};

const FORMAT: u8 = 1;

/// What a rotation is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationContext {
    /// The group.
    pub group_id: GroupId,
    /// The new epoch.
    pub epoch: Epoch,
    /// The device that rotates.
    pub sender: DeviceId,
    /// The id of the blob that the rotation is.
    pub blob_id: BlobId,
}

/// What a rotation tells the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationContent {
    /// The devices that stay, the sender among them; each has a lockbox.
    pub roster: Vec<RosterEntry>,
    /// The devices that go.
    pub removed: Vec<RosterEntry>,
    /// Whether members may hand secrets of earlier epochs to devices that join later.
    pub history: bool,
}

/// Makes a rotation: `next` for every device of the roster, signed by the key of the current epoch.
/// Keep `next` before this leaves: it is what the group will use.
///
/// # Errors
/// [`SealError::WrongSender`] when `sender` is not the context's; [`SealError::Malformed`] for epoch
/// 0, a roster without the sender, or lists that do not ascend by device id; [`SealError::TooLarge`] for more
/// than a thousand devices; [`SealError::Decrypt`] for a device whose key nobody should have.
pub fn seal_rotation(
    current: &EpochKeys,
    sender: &DeviceSecret,
    next: &EpochSecret,
    context: &RotationContext,
    content: &RotationContent,
    rng: &mut impl CryptoRngCore,
) -> Result<Rotation, SealError> {
    if sender.id() != context.sender {
        return Err(SealError::WrongSender);
    }
    if content.roster.len().max(content.removed.len()) > MAX_LOCKBOXES {
        return Err(SealError::TooLarge);
    }
    content.check(&context.sender)?;
    if context.epoch == 0 {
        return Err(SealError::Malformed);
    }

    let keys = next.keys();
    let lockboxes = content.roster.iter().map(|entry| {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let device_id = entry.device_id;
        let prologue = lockbox_prologue(context, &keys.auth_key(), &device_id);
        let sealed = seal_one_way(&prologue, sender, &device_id, next.expose_bytes(), seed)
            .map_err(|_| SealError::Decrypt)?;
        let sealed = <[u8; LOCKBOX]>::try_from(sealed).map_err(|_| SealError::TooLarge)?;
        Ok(Lockbox { device_id, sealed })
    });
    let lockboxes = lockboxes.collect::<Result<_, SealError>>()?;
    let inner = seal_inner(&keys, context, content, rng)?;
    let mut rotation =
        Rotation { epoch: context.epoch, auth_key: keys.auth_key(), lockboxes, inner, signature: [0; 64] };
    let content_hash = rotation.content_hash(&context.sender, &context.blob_id);
    let transcript = rotation_transcript(&context.group_id, context.epoch, &rotation.auth_key, &content_hash);
    rotation.signature = current.sign_rotation(&transcript);
    Ok(rotation)
}

/// Opens a rotation's inner part with the secret that it hands over. The signature is the business
/// of [`Rotation::verify`].
///
/// # Errors
/// [`SealError::WrongEpoch`] for another epoch than the context's; [`SealError::Decrypt`] for
/// another secret or another place; [`SealError::Malformed`] when the lockboxes are not the roster's,
/// the sender is not in it, or the lists contradict each other.
pub fn open_rotation(
    rotation: &Rotation,
    context: &RotationContext,
    secret: &EpochSecret,
) -> Result<RotationContent, SealError> {
    if rotation.epoch != context.epoch {
        return Err(SealError::WrongEpoch);
    }
    let keys = secret.keys();
    if keys.auth_key() != rotation.auth_key {
        return Err(SealError::Decrypt);
    }
    let (format, sealed) = rotation.inner.split_first().ok_or(SealError::Decrypt)?;
    if *format != FORMAT {
        return Err(SealError::UnknownFormat);
    }
    let plaintext = aead::open(&keys.blob, &associated_data(context), sealed)?;
    let content = RotationContent::decode(&plaintext)?;
    content.check(&context.sender)?;
    let stays = content.roster.iter().map(|entry| &entry.device_id);
    if stays.eq(rotation.lockboxes.iter().map(|lockbox| &lockbox.device_id)) {
        Ok(content)
    } else {
        Err(SealError::Malformed)
    }
}

/// Opens this device's lockbox; `None` when there is none: the device is removed.
///
/// # Errors
/// [`SealError::WrongEpoch`] for another epoch than the context's; [`SealError::Decrypt`] when it does
/// not open; [`SealError::WrongSender`] when another device than the context's sealed it;
/// [`SealError::Malformed`] when the secret in it is not the one of the rotation's key.
pub fn open_lockbox(
    rotation: &Rotation,
    context: &RotationContext,
    device: &DeviceSecret,
) -> Result<Option<EpochSecret>, SealError> {
    if rotation.epoch != context.epoch {
        return Err(SealError::WrongEpoch);
    }
    let Some(sealed) = rotation.lockbox(&device.id()) else {
        return Ok(None);
    };
    let prologue = lockbox_prologue(context, &rotation.auth_key, &device.id());
    let (payload, from) = open_one_way(&prologue, device, sealed).map_err(|_| SealError::Decrypt)?;
    if from != context.sender {
        return Err(SealError::WrongSender);
    }
    let bytes = payload.first_chunk::<32>().filter(|_| payload.len() == 32).ok_or(SealError::Malformed)?;
    let secret = EpochSecret::from_bytes(*bytes);
    if secret.keys().auth_key() == rotation.auth_key { Ok(Some(secret)) } else { Err(SealError::Malformed) }
}

impl RotationContent {
    fn check(&self, sender: &DeviceId) -> Result<(), SealError> {
        let ascends = |list: &[RosterEntry]| list.is_sorted_by(|a, b| a.device_id < b.device_id);
        let stays = |id: &DeviceId| self.roster.binary_search_by_key(id, |entry| entry.device_id).is_ok();
        let sound = ascends(&self.roster)
            && ascends(&self.removed)
            && stays(sender)
            && !self.removed.iter().any(|entry| stays(&entry.device_id));
        if sound { Ok(()) } else { Err(SealError::Malformed) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(3);
        put_list(&self.roster, &mut w);
        put_list(&self.removed, &mut w);
        self.history.put(&mut w);
        w.finish()
    }

    /// Reads what stands before the padding, which must be zeros.
    pub(crate) fn decode(plaintext: &[u8]) -> Result<Self, SealError> {
        let mut r = Reader::new(plaintext);
        let content = Self::take(&mut r)?;
        if r.rest().iter().any(|byte| *byte != 0) { Err(SealError::Malformed) } else { Ok(content) }
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(3)?;
        Ok(Self {
            roster: take_list(r, MAX_LOCKBOXES)?,
            removed: take_list(r, MAX_LOCKBOXES)?,
            history: bool::take(r)?,
        })
    }
}

fn seal_inner(
    keys: &EpochKeys,
    context: &RotationContext,
    content: &RotationContent,
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<u8>, SealError> {
    let mut plaintext = Zeroizing::new(content.encode());
    let padded = padded_len(plaintext.len(), usize::MAX);
    plaintext.resize(padded, 0);
    let mut inner = vec![FORMAT];
    aead::seal(&keys.blob, &associated_data(context), &plaintext, rng, &mut inner)?;
    Ok(inner)
}

fn associated_data(context: &RotationContext) -> Vec<u8> {
    [
        b"sync-relay rotation v1".as_slice(),
        &context.group_id.0,
        &context.epoch.to_be_bytes(),
        context.sender.as_bytes(),
        &context.blob_id.0,
    ]
    .concat()
}

fn lockbox_prologue(context: &RotationContext, auth_key: &AuthKey, recipient: &DeviceId) -> Vec<u8> {
    [
        b"sync-relay lockbox v1".as_slice(),
        &context.group_id.0,
        &context.epoch.to_be_bytes(),
        &auth_key.0,
        recipient.as_bytes(),
    ]
    .concat()
}

/// A good inner part, for tests that change it.
#[cfg(test)]
pub(crate) fn tests_plaintext() -> Vec<u8> {
    let mut plaintext = tests::content().encode();
    plaintext.resize(plaintext.len() + 40, 0);
    plaintext
}

#[cfg(test)]
mod tests;
