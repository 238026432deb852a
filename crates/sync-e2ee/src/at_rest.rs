//! Secrets in a device's own store, sealed under a key that is kept elsewhere: in the platform's
//! keychain, or in a file of its own.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::{SealError, aead};

const LABEL: &[u8] = b"sync-relay at rest v1";

/// The key of a local store: 32 secret bytes.
pub type StoreKey = Zeroizing<[u8; 32]>;

/// Seals a value; `name` says which one it is, so that two cannot be swapped.
pub fn seal(
    key: &StoreKey,
    name: &[u8],
    value: &[u8],
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::with_capacity(value.len() + aead::OVERHEAD);
    aead::seal(key, &[LABEL, name].concat(), value, rng, &mut out)?;
    Ok(out)
}

/// Opens what [`seal`] made under the same name.
pub fn open(key: &StoreKey, name: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    aead::open(key, &[LABEL, name].concat(), sealed)
}
