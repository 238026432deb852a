//! What only the members of a group can do.
//!
//! The [key schedule](EpochKeys) of an epoch's secret, [sealed blobs](blob) with their
//! [content](Content), padding and compression, [chains and heads](chain), sealed device names, [invites](Invite),
//! [rotations](seal_rotation), the [recovery file](recovery), passphrase groups, and the [sealing of
//! secrets](at_rest) in a local store. A relay does not link this crate.
//!
//! Like everything under `crates/`, it does no input or output: random bytes are a parameter.
//!
//! ```
//! use rand_core::SeedableRng;
//! use sync_e2ee::{BlobContext, Content, EpochSecret, Kind, Place};
//! use sync_types::{BlobId, ChainId, DeviceSecret};
//!
//! let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
//! let keys = EpochSecret::generate(&mut rng).keys();
//! let sender = DeviceSecret::generate(&mut rng).id();
//! let context = BlobContext { group_id: keys.founds_group(), epoch: 0, sender, blob_id: BlobId([7; 16]) };
//! let content = Content { kind: Kind::Data, place: Place::first(ChainId([3; 16])), body: b"hello".to_vec() };
//! let sealed = sync_e2ee::blob::seal(&keys, &context, &content, &Default::default(), &mut rng).unwrap();
//! assert_eq!(sync_e2ee::blob::open(&keys, &context, &sealed, 1 << 20).unwrap(), content);
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aead;
mod argon;
pub mod at_rest;
pub mod blob;
pub mod chain;
mod code;
mod content;
mod control;
#[cfg(test)]
mod hostile;
mod invite;
mod name;
mod padding;
mod passphrase;
mod phrase;
pub mod recovery;
mod roster;
mod rotation;
mod schedule;

pub use blob::{BlobContext, SealOptions};
pub use code::derive_code;
pub use content::{Content, Kind, Place, Seen};
pub use control::{Control, MAX_PLATFORM};
pub use invite::Invite;
pub use name::{DeviceName, MAX_NAME, open_name, seal_name};
pub use padding::padded_len;
pub use passphrase::passphrase_secret;
pub use phrase::PhraseError;
pub use roster::{MAX_TIPS, RosterEntry, Tip};
pub use rotation::{RotationContent, RotationContext, open_lockbox, open_rotation, seal_rotation};
pub use schedule::{EpochKeys, EpochSecret};

/// Why something sealed does not open, or cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another format than this build knows: made by a newer version.
    #[error("sealed in a format that this version does not know: update this app")]
    UnknownFormat,
    /// Sealed for another epoch than the keys are of.
    #[error("sealed under another epoch's key")]
    WrongEpoch,
    /// Wrong key, wrong place, or changed on the way.
    #[error("does not decrypt: the key is another one, or it was changed")]
    Decrypt,
    /// Sealed by another device than the one it comes from.
    #[error("sealed by another device than it comes from")]
    WrongSender,
    /// Decrypts, and is not what it should be: a member's fault.
    #[error("decrypts to something malformed")]
    Malformed,
    /// Larger than allowed.
    #[error("too large")]
    TooLarge,
    /// The parameters of a key derivation were refused.
    #[error("the key could not be derived")]
    Derivation,
}

impl From<sync_types::DecodeError> for SealError {
    fn from(_: sync_types::DecodeError) -> Self {
        Self::Malformed
    }
}
