//! The recovery file: what brings a group back when every device is lost.
//!
//! It says what an invite says, sealed under a phrase of six words that a person keeps on paper:
//! `"SYNCRCV1" | salt 16 | nonce 24 | ciphertext and tag`, XChaCha20-Poly1305 under an Argon2id key;
//! the associated data is everything before the nonce.
//!
//! ```no_run
//! # fn invite() -> sync_e2ee::Invite { unimplemented!() }
//! use rand_core::SeedableRng;
//! use sync_e2ee::recovery;
//!
//! let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
//! let phrase = recovery::generate_phrase(&mut rng);
//! let file = recovery::seal(&invite(), &phrase, [7; 16], &mut rng).unwrap();
//! let back = recovery::open(&file, &phrase).unwrap();
//! ```

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::phrase::{self, PhraseError};
use crate::{Invite, SealError, aead, argon};

pub use crate::phrase::{WORDS, generate_phrase, parse_phrase};

const MAGIC: &[u8; 8] = b"SYNCRCV1";
const SALT: usize = 16;
const HEADER: usize = MAGIC.len() + SALT;
/// Largest recovery file, in bytes.
pub const MAX_RECOVERY_FILE: usize = 2 << 20;

/// Why a recovery file does not open, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The phrase cannot be one: look at what was typed.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// [`SealError::Decrypt`] means another phrase than the file's, or a damaged file.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Seals a recovery file. `salt` are 16 fresh random bytes. The invite's `expires` counts for nothing
/// here. Takes 64 MiB and about 0.2 s of a core.
///
/// # Errors
/// [`PhraseError`]; [`SealError::TooLarge`] past 2 MiB; [`SealError::Derivation`] when the memory
/// cannot be had.
pub fn seal(
    invite: &Invite,
    phrase: &str,
    salt: [u8; SALT],
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<u8>, RecoveryError> {
    let plaintext = Zeroizing::new(invite.encode(true, 0));
    if HEADER + aead::OVERHEAD + plaintext.len() > MAX_RECOVERY_FILE {
        return Err(SealError::TooLarge.into());
    }
    let header = [MAGIC.as_slice(), &salt].concat();
    let mut file = header.clone();
    aead::seal(&*key(phrase, &salt)?, &header, &plaintext, rng, &mut file)?;
    Ok(file)
}

/// Opens a recovery file, and checks that it hangs together as an invite must. Takes 64 MiB and about
/// 0.2 s of a core.
///
/// # Errors
/// [`PhraseError`]; [`SealError::UnknownFormat`] for what is no recovery file;
/// [`SealError::Decrypt`] for another phrase or a changed file; [`SealError::Malformed`] for one that
/// contradicts itself; [`SealError::TooLarge`] past 2 MiB.
pub fn open(file: &[u8], phrase: &str) -> Result<Invite, RecoveryError> {
    if file.len() > MAX_RECOVERY_FILE {
        return Err(SealError::TooLarge.into());
    }
    let (header, sealed) = file.split_first_chunk::<HEADER>().ok_or(SealError::UnknownFormat)?;
    let salt = header.strip_prefix(MAGIC).ok_or(SealError::UnknownFormat)?;
    let plaintext = aead::open(&*key(phrase, salt)?, header, sealed)?;
    let invite = Invite::decode(&plaintext).map_err(SealError::from)?;
    Ok(invite.verified()?)
}

fn key(phrase: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, RecoveryError> {
    let phrase = phrase::parse_phrase(phrase)?;
    let mut key = Zeroizing::new([0; 32]);
    argon::derive(phrase.as_bytes(), salt, &mut *key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::invite::tests_invite;

    const PHRASE: &str = "abacus yo-yo zoom absurd t-shirt zit";

    fn file() -> Vec<u8> {
        seal(&tests_invite(2), PHRASE, [7; 16], &mut ChaCha20Rng::from_seed([1; 32])).unwrap()
    }

    #[test]
    fn a_group_comes_back_from_its_file_and_six_words() {
        let back = open(&file(), "  ABACUS yo-yo zoom\nabsurd T shirt zit").unwrap();
        assert_eq!(back.encode(true, 0), tests_invite(2).encode(true, 0));
    }

    #[test]
    fn another_phrase_or_a_changed_byte_does_not_open_it() {
        let refused = |file: &[u8], phrase| open(file, phrase).err();
        let seal_error = |error: SealError| Some(RecoveryError::Seal(error));
        let file = file();
        assert_eq!(refused(&file, "abacus yo-yo zoom absurd t-shirt zoom"), seal_error(SealError::Decrypt));
        let unknown = Some(RecoveryError::Phrase(PhraseError::UnknownWord { position: 6 }));
        assert_eq!(refused(&file, "abacus yo-yo zoom absurd t-shirt zzz"), unknown);
        for i in [8, 23, 24, 47, 48, file.len() - 1] {
            let mut changed = file.clone();
            changed[i] ^= 1;
            assert_eq!(refused(&changed, PHRASE), seal_error(SealError::Decrypt), "byte {i}");
        }
        assert_eq!(refused(&file[..HEADER + 39], PHRASE), seal_error(SealError::Decrypt));
        assert_eq!(refused(&file[..HEADER - 1], PHRASE), seal_error(SealError::UnknownFormat));
        assert_eq!(refused(b"SYNCRCV2 is not written yet", PHRASE), seal_error(SealError::UnknownFormat));
        assert_eq!(refused(&vec![0; MAX_RECOVERY_FILE + 1], PHRASE), seal_error(SealError::TooLarge));
    }

    #[test]
    fn a_file_that_contradicts_itself_is_refused() {
        let forged = Invite { epoch: 1, ..tests_invite(1) };
        let file = seal(&forged, PHRASE, [7; 16], &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        assert_eq!(open(&file, PHRASE).err(), Some(RecoveryError::Seal(SealError::Malformed)));
    }
}
