//! HELLO and WELCOME: how a session starts. Their layout is frozen for all protocol versions.

use crate::keylog::KeyLog;
use crate::record;
use crate::{AccessToken, BlobId, Cursor, Epoch, GroupId, StoreId};

/// Feature bit: carry small payloads inside NOTIFY.
pub const FEATURE_INLINE_NOTIFY: u32 = 1;

record! {
    /// 0x01, client → relay, once, first.
    pub struct Hello {
        /// The highest protocol version that the client speaks.
        version: u16,
        /// The device's name, sealed under the group's name key; at most
        /// [`MAX_SEALED_NAME`](crate::limits::MAX_SEALED_NAME) bytes.
        device_name: Vec<u8>,
        /// The same as in the envelope.
        group_id: GroupId,
        /// Up to here everything is durably the device's. Counts as an ACK under the same `store_id`.
        last_cursor: Cursor,
        /// The store that `last_cursor` belongs to; [`StoreId::NONE`] when none is known.
        store_id: StoreId,
        /// The epoch whose key signed `proof`.
        epoch: Epoch,
        /// The group's key log, or nil when the relay is thought to have it.
        key_log: Option<KeyLog>,
        /// Ed25519 signature; see [`MembershipProof`](crate::MembershipProof).
        proof: [u8; 64],
        /// What the client would like, as bits.
        features: u32,
        /// For relays that create groups only for those they know.
        access_token: Option<AccessToken>,
    }
}

record! {
    /// 0x02, relay → client: HELLO was accepted.
    pub struct Welcome {
        /// The protocol version of this session: not above the one offered.
        version: u16,
        /// A name of the relay's own choice, for people.
        relay_id: String,
        /// The newest cursor of the group.
        max_cursor: Cursor,
        /// How many blobs are waiting after HELLO's `last_cursor`; an upper bound.
        pending_count: u32,
        /// The relay's database; another than before means that the relay was reset.
        store_id: StoreId,
        /// 1 + the highest cursor that was dropped without a trace before every device had it.
        oldest_cursor: Cursor,
        /// The id of the blob at HELLO's `last_cursor`, if it is still known.
        at_cursor: Option<BlobId>,
        /// The newest epoch that the relay knows.
        epoch: Epoch,
        /// Largest sealed blob, in bytes.
        max_blob_size: u32,
        /// Life of a blob pushed without a TTL, in seconds; 0: no expiry.
        default_ttl: u32,
        /// Which of the features asked for are on.
        features: u32,
    }
}
