//! The bytes of a blob, on their way.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sync_types::BlobHash;

/// A sealed blob's bytes, shared and never copied on their way. `Debug` shows their number only.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<Vec<u8>>);

impl Payload {
    /// SHA-256.
    pub fn hash(&self) -> BlobHash {
        BlobHash(Sha256::digest(self.0.as_slice()).into())
    }

    /// The bytes, for a storage that wants to share them too.
    pub fn shared(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.0)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}
