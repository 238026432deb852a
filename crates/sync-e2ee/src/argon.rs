//! Argon2id (RFC 9106, version 0x13), always at the same price.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::SealError;

/// 64 MiB, three passes, four lanes: the second recommended option of RFC 9106 §4.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// Fills `out`. Takes 64 MiB and about 0.2 s of a core: keep it off a thread that must stay
/// responsive.
///
/// # Errors
/// [`SealError::Derivation`] when the memory cannot be had.
pub(crate) fn derive(password: &[u8], salt: &[u8], out: &mut [u8]) -> Result<(), SealError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, Some(out.len())).map_err(|_| SealError::Derivation)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, out)
        .map_err(|_| SealError::Derivation)
}
