//! The key schedule: everything of an epoch from its 32 secret bytes.

use core::fmt;

use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::Sha256;
use sync_types::{AuthKey, GroupId, MembershipProof};
use zeroize::Zeroizing;

/// The secret of one epoch of a group: whoever has it is a member.
#[derive(Clone)]
pub struct EpochSecret(Zeroizing<[u8; 32]>);

impl EpochSecret {
    /// A new secret.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// From 32 secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret's bytes, for keeping them or sealing them for a member.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives the epoch's keys: HKDF-SHA-256 (RFC 5869) without salt, one label for each key.
    pub fn keys(&self) -> EpochKeys {
        let hkdf = Hkdf::<Sha256>::new(None, &*self.0);
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(label, &mut *key).expect("32 bytes are within HKDF's bound");
            key
        };
        let signing = SigningKey::from_bytes(&derive(b"sync-relay auth seed v1"));
        EpochKeys {
            blob: derive(b"sync-relay blob key v1"),
            name: derive(b"sync-relay name key v1"),
            auth_key: AuthKey(signing.verifying_key().to_bytes()),
            signing,
        }
    }
}

impl fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochSecret(…)")
    }
}

/// The keys of one epoch.
pub struct EpochKeys {
    pub(crate) blob: Zeroizing<[u8; 32]>,
    pub(crate) name: Zeroizing<[u8; 32]>,
    signing: SigningKey,
    auth_key: AuthKey,
}

impl EpochKeys {
    /// The public key that stands for this epoch.
    pub fn auth_key(&self) -> AuthKey {
        self.auth_key
    }

    /// The id of the group whose epoch 0 this is.
    pub fn founds_group(&self) -> GroupId {
        GroupId::of(&self.auth_key)
    }

    /// Signs a proof of membership.
    pub fn prove(&self, proof: &MembershipProof<'_>) -> [u8; 64] {
        self.signing.sign(&proof.transcript()).to_bytes()
    }

    /// Signs the handing over to the next epoch's key.
    pub(crate) fn sign_rotation(&self, transcript: &[u8]) -> [u8; 64] {
        self.signing.sign(transcript).to_bytes()
    }
}

impl fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKeys").field("auth_key", &self.auth_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sync_types::{DeviceSecret, KeyLog};

    use super::*;

    #[test]
    fn keys_follow_from_the_secret_and_differ_from_each_other() {
        let keys = EpochSecret::from_bytes([7; 32]).keys();
        let again = EpochSecret::from_bytes([7; 32]).keys();
        assert_eq!((*keys.blob, *keys.name, keys.auth_key), (*again.blob, *again.name, again.auth_key));
        assert_ne!(*keys.blob, *keys.name);
        assert_ne!(keys.auth_key, EpochSecret::from_bytes([8; 32]).keys().auth_key);
    }

    #[test]
    fn what_a_member_proves_a_relay_can_check() {
        let keys = EpochSecret::from_bytes([7; 32]).keys();
        let group_id = keys.founds_group();
        assert_eq!(KeyLog::new(keys.auth_key()).verify(&group_id), Ok(()));
        let device = DeviceSecret::from_bytes([1; 32]).id();
        let proof =
            MembershipProof { handshake_hash: &[2; 32], group_id: &group_id, epoch: 0, device_id: &device };
        assert_eq!(proof.verify(&keys.auth_key(), &keys.prove(&proof)), Ok(()));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = EpochSecret::from_bytes([7; 32]);
        assert_eq!(format!("{secret:?}"), "EpochSecret(…)");
        assert!(!format!("{:?}", secret.keys()).contains("blob"));
    }
}
