//! The two static key pairs of a channel.

use core::fmt;

use rand_core::CryptoRngCore;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::ids::{DeviceId, RelayKey};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $public:ident -> $id:ident) => {
        $(#[$doc])*
        pub struct $name {
            secret: Zeroizing<[u8; 32]>,
            public: $id,
        }

        impl $name {
            /// A new key pair from 32 random bytes.
            pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
                let mut bytes = Zeroizing::new([0; 32]);
                rng.fill_bytes(&mut *bytes);
                Self::from_bytes(*bytes)
            }

            /// The key pair of 32 secret bytes, as [`expose_bytes`](Self::expose_bytes) gave them.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                let public = PublicKey::from(&StaticSecret::from(bytes)).to_bytes();
                let public = $id::from_bytes(public).expect("scalar multiplication gives canonical keys");
                Self { secret: Zeroizing::new(bytes), public }
            }

            /// The public half.
            pub fn $public(&self) -> $id {
                self.public
            }

            /// The secret half, for keeping it. Do not copy it anywhere else.
            pub fn expose_bytes(&self) -> &[u8; 32] {
                &self.secret
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("public", &self.public).finish_non_exhaustive()
            }
        }
    };
}

secret!(
    /// A device's X25519 key pair: its identity.
    DeviceSecret, id -> DeviceId
);
secret!(
    /// A relay's X25519 key pair.
    RelaySecret, key -> RelayKey
);
