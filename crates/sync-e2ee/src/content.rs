//! What is inside a sealed blob.

use sync_types::wire::{DecodeError, Reader, Wire, Writer};
use sync_types::{BlobHash, ChainId, Cursor, StoreId, UnixMs, record};

/// What a blob is for. Only members can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The app's.
    Data,
    /// About the group itself; see [`Control`](crate::Control).
    Control,
    /// Holds the place of a blob that was given up; its body is the hash of that blob.
    Void,
}

impl Wire for Kind {
    fn put(&self, w: &mut Writer) {
        match self {
            Self::Data => 0_u8,
            Self::Control => 1,
            Self::Void => 2,
        }
        .put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::take(r)? {
            0 => Ok(Self::Data),
            1 => Ok(Self::Control),
            2 => Ok(Self::Void),
            _ => Err(DecodeError::OutOfRange),
        }
    }
}

record! {
    /// How far a device has seen the log, and what it saw: whoever holds another head for the same
    /// store and cursor was shown another log.
    pub struct Seen {
        /// The relay's store.
        store_id: StoreId,
        /// The newest cursor folded into the head.
        cursor: Cursor,
        /// The head at that cursor.
        head: [u8; 32],
    }
}

/// A blob's place in its sender's chain, and what the sender had seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Random per local state of the sender.
    pub chain_id: ChainId,
    /// Counts the chain's blobs from 0.
    pub seq: u64,
    /// SHA-256 of the chain's blob before; zeros in its first.
    pub prev: BlobHash,
    /// Until when the relay had promised to keep that blob; 0: for ever, or it is the first.
    pub prev_expires: UnixMs,
    /// The sender's latest head, if it has one.
    pub seen: Option<Seen>,
}

impl Place {
    /// The first place of a chain.
    pub fn first(chain_id: ChainId) -> Self {
        Self { chain_id, seq: 0, prev: BlobHash([0; 32]), prev_expires: UnixMs(0), seen: None }
    }
}

/// The content of a blob.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is for.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub body: Vec<u8>,
}

/// Shows the body's length only: contents do not belong in a log.
impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Content")
            .field("kind", &self.kind)
            .field("place", &self.place)
            .field("body_len", &self.body.len())
            .finish()
    }
}
