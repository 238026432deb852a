//! Groups whose first secret is a passphrase that people type on each device.
//!
//! Weaker than a random secret: whoever holds something sealed under it, the relay above all, can try
//! passphrases without asking anybody, each at the price of one Argon2id. How strong a passphrase has
//! to be is for clients to say before they come here.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{EpochSecret, SealError, argon};

const LABEL: &[u8] = b"sync-relay passphrase group v1";

/// The secret of epoch 0: Argon2id over the passphrase, salted with the group's name. White space
/// around either does not count; everything else does. Takes 64 MiB and about 0.2 s of a core.
///
/// # Errors
/// [`SealError::Derivation`] when the memory cannot be had.
pub fn passphrase_secret(group_name: &str, passphrase: &str) -> Result<EpochSecret, SealError> {
    let salt = Sha256::new().chain_update(LABEL).chain_update(group_name.trim()).finalize();
    let mut secret = Zeroizing::new([0; 32]);
    argon::derive(passphrase.trim().as_bytes(), &salt[..16], &mut *secret)?;
    Ok(EpochSecret::from_bytes(*secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_give_the_same_group_on_every_device() {
        let group = |name, phrase| passphrase_secret(name, phrase).unwrap().keys().founds_group();
        let ours = group("home", "correct horse battery staple");
        assert_eq!(group(" home\n", "\tcorrect horse battery staple "), ours);
        assert_ne!(group("Home", "correct horse battery staple"), ours);
        assert_ne!(group("home", "correct horse  battery staple"), ours);
    }
}
