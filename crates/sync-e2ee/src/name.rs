//! Device names: what people call a device, sealed so that the relay does not learn who somebody is.

use core::fmt;

use rand_core::CryptoRngCore;
use sync_types::wire::{DecodeError, Reader, Wire, Writer};
use sync_types::{DeviceId, Epoch, GroupId};
use zeroize::Zeroizing;

use crate::{EpochKeys, SealError, aead};

/// Longest device name, in bytes of UTF-8.
pub const MAX_NAME: usize = 62;
const PADDED: usize = 64;
const FORMAT: u8 = 1;

/// A device's name: 1 to 62 bytes of UTF-8, without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName(String);

impl DeviceName {
    /// A name, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let name = name.trim();
        let fits = !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
        fits.then(|| Self(name.to_owned()))
    }

    /// The longest beginning of a text that is a name; `fallback` when there is none.
    pub fn shortened(text: &str, fallback: &str) -> Self {
        let mut name = String::new();
        for c in text.trim().chars().filter(|c| !c.is_control()) {
            if name.len() + c.len_utf8() > MAX_NAME {
                break;
            }
            name.push(c);
        }
        Self::new(&name).unwrap_or_else(|| Self(fallback.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names say who somebody is: logs do not get them.
impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceName(…)")
    }
}

impl Wire for DeviceName {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = r.str()?;
        Self::new(text).filter(|name| name.0 == text).ok_or(DecodeError::OutOfRange)
    }
}

fn associated_data(group_id: &GroupId, epoch: Epoch, device: &DeviceId) -> Vec<u8> {
    [b"sync-relay name v1".as_slice(), &group_id.0, &epoch.to_be_bytes(), device.as_bytes()].concat()
}

/// Seals a name under the epoch's name key, padded to 64 bytes:
/// `format u8 = 1 | epoch u32 BE | nonce 24 | ciphertext and tag`.
pub fn seal_name(
    keys: &EpochKeys,
    group_id: &GroupId,
    epoch: Epoch,
    device: &DeviceId,
    name: &DeviceName,
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<u8>, SealError> {
    let mut plaintext = Zeroizing::new(sync_types::wire::encode(name));
    plaintext.resize(PADDED, 0);
    let mut sealed = vec![FORMAT];
    sealed.extend_from_slice(&epoch.to_be_bytes());
    aead::seal(&keys.name, &associated_data(group_id, epoch, device), &plaintext, rng, &mut sealed)?;
    Ok(sealed)
}

/// Opens a sealed name of the keys' epoch.
pub fn open_name(
    keys: &EpochKeys,
    group_id: &GroupId,
    epoch: Epoch,
    device: &DeviceId,
    sealed: &[u8],
) -> Result<DeviceName, SealError> {
    if crate::blob::claimed_epoch(sealed)? != epoch {
        return Err(SealError::WrongEpoch);
    }
    let plaintext = aead::open(&keys.name, &associated_data(group_id, epoch, device), &sealed[5..])?;
    let mut r = Reader::new(&plaintext);
    let name = DeviceName::take(&mut r)?;
    if r.rest().iter().any(|byte| *byte != 0) {
        return Err(SealError::Malformed);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use sync_types::DeviceSecret;

    use super::*;
    use crate::EpochSecret;

    #[test]
    fn names_come_back_and_all_have_one_length() {
        let keys = EpochSecret::from_bytes([7; 32]).keys();
        let (group, device) = (keys.founds_group(), DeviceSecret::from_bytes([1; 32]).id());
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut lengths = Vec::new();
        for name in ["a", "Ada's laptop", &"x".repeat(MAX_NAME)] {
            let name = DeviceName::new(name).unwrap();
            let sealed = seal_name(&keys, &group, 2, &device, &name, &mut rng).unwrap();
            assert_eq!(open_name(&keys, &group, 2, &device, &sealed), Ok(name));
            let other = DeviceSecret::from_bytes([2; 32]).id();
            assert_eq!(open_name(&keys, &group, 2, &other, &sealed), Err(SealError::Decrypt));
            lengths.push(sealed.len());
        }
        assert!(lengths.iter().all(|len| *len == lengths[0]));
    }

    #[test]
    fn names_have_bounds() {
        assert_eq!(DeviceName::new(" \t"), None);
        assert_eq!(DeviceName::new("a\nb"), None);
        assert_eq!(DeviceName::new(&"x".repeat(MAX_NAME + 1)), None);
        assert_eq!(DeviceName::shortened(&"ä".repeat(40), "device").as_str().len(), MAX_NAME);
        assert_eq!(DeviceName::shortened("", "device").as_str(), "device");
    }
}
