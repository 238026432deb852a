//! From a short code to the two keys of an invite.

use sync_types::{InviteCode, InviteKey, LookupKey};
use zeroize::Zeroizing;

use crate::{SealError, argon};

const SALT: &[u8] = b"sync-relay invite code v1";

/// Derives lookup key and invite key from all of a code: Argon2id (RFC 9106) over its 10 bytes, 48
/// bytes out. Takes 64 MiB and about 0.2 s of a core: keep it off a thread that must stay responsive.
///
/// No part of the code itself is in either key, so a relay that holds the sealed invite would have
/// to try 2^80 codes, each at this price.
///
/// # Errors
/// [`SealError::Derivation`] when the memory cannot be had.
pub fn derive_code(code: &InviteCode) -> Result<(LookupKey, InviteKey), SealError> {
    let mut out = Zeroizing::new([0_u8; 48]);
    argon::derive(code.expose_bytes(), SALT, &mut *out)?;
    let (lookup, key) = out.split_at(16);
    let mut lookup_key = LookupKey([0; 16]);
    lookup_key.0.copy_from_slice(lookup);
    let mut invite_key = Zeroizing::new([0; 32]);
    invite_key.copy_from_slice(key);
    Ok((lookup_key, InviteKey::from_bytes(*invite_key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivation_is_fixed() {
        let (lookup, key) = derive_code(&InviteCode::from_bytes([0; 10])).unwrap();
        let (same_lookup, same_key) = derive_code(&InviteCode::from_bytes([0; 10])).unwrap();
        let (other_lookup, other_key) = derive_code(&InviteCode::from_bytes([1; 10])).unwrap();
        assert_eq!((lookup, &key), (same_lookup, &same_key));
        assert_ne!(lookup, other_lookup);
        assert_ne!(key, other_key);
    }
}
