//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with the nonce in front.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::SealError;

/// Bytes in front of the ciphertext.
const NONCE: usize = 24;
/// What [`seal`] adds to a plaintext: nonce and tag.
pub(crate) const OVERHEAD: usize = NONCE + 16;

/// `nonce ‖ ciphertext ‖ tag`, appended to `out`.
pub(crate) fn seal(
    key: &[u8; 32],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRngCore,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad })
        .map_err(|_| SealError::TooLarge)?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(())
}

/// Opens what [`seal`] made.
pub(crate) fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or(SealError::Decrypt)?;
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad })
        .map(Zeroizing::new)
        .map_err(|_| SealError::Decrypt)
}
