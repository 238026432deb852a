//! Messages that carry blobs or speak of them.

use crate::limits::{MAX_BATCH, MAX_PULL};
use crate::record;
use crate::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use crate::{BlobHash, BlobId, Cursor, DeviceId, UnixMs};

record! {
    /// 0x10, client → relay. Also one entry of PUSH_BATCH.
    pub struct Push {
        /// Chosen by the sender, unique in its group.
        blob_id: BlobId,
        /// The sealed blob.
        payload: Vec<u8>,
        /// Seconds until the relay may drop it; nil: the relay's default, 0: never.
        ttl: Option<u32>,
    }
}

record! {
    /// 0x11, relay → client, after the commit.
    pub struct PushAck {
        /// The blob.
        blob_id: BlobId,
        /// Its place in the log.
        cursor: Cursor,
        /// When it was stored, by the relay's clock.
        timestamp: UnixMs,
    }
}

/// 0x12, client → relay: at most [`MAX_BATCH`] blobs, stored all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushBatch {
    /// The blobs, in order.
    pub blobs: Vec<Push>,
}

impl Wire for PushBatch {
    fn put(&self, w: &mut Writer) {
        w.array(1);
        put_list(&self.blobs, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(1)?;
        Ok(Self { blobs: take_list(r, MAX_BATCH)? })
    }
}

record! {
    /// One entry of PUSH_BATCH_ACK.
    pub struct Stored {
        /// The blob.
        blob_id: BlobId,
        /// Its place in the log.
        cursor: Cursor,
    }
}

/// 0x13, relay → client, after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushBatchAck {
    /// One entry for each blob of the batch, in its order.
    pub stored: Vec<Stored>,
    /// When they were stored, by the relay's clock.
    pub timestamp: UnixMs,
}

impl Wire for PushBatchAck {
    fn put(&self, w: &mut Writer) {
        w.array(2);
        put_list(&self.stored, w);
        self.timestamp.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(2)?;
        Ok(Self { stored: take_list(r, MAX_BATCH)?, timestamp: UnixMs::take(r)? })
    }
}

record! {
    /// 0x20, client → relay.
    pub struct Pull {
        /// Only blobs after this cursor.
        after_cursor: Cursor,
        /// How many at most; 0: the default, [`DEFAULT_PULL`](crate::limits::DEFAULT_PULL).
        limit: u32,
    }
}

record! {
    /// One entry of PULL_RESPONSE.
    pub struct StoredBlob {
        /// The id that its sender chose.
        blob_id: BlobId,
        /// Its place in the log.
        cursor: Cursor,
        /// The device that pushed it.
        sender_id: DeviceId,
        /// The sealed blob; nil in a stub, whose payload has expired.
        payload: Option<Vec<u8>>,
        /// When it was stored, by the relay's clock.
        timestamp: UnixMs,
        /// SHA-256 of the payload, in a stub only.
        hash: Option<BlobHash>,
    }
}

/// 0x21, relay → client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullResponse {
    /// In ascending order of cursors.
    pub blobs: Vec<StoredBlob>,
    /// Whether there are more after these.
    pub has_more: bool,
    /// The highest cursor of this response; the request's `after_cursor` when it is empty.
    pub max_cursor: Cursor,
    /// 1 + the highest cursor that was dropped without a trace.
    pub oldest_cursor: Cursor,
}

impl Wire for PullResponse {
    fn put(&self, w: &mut Writer) {
        w.array(4);
        put_list(&self.blobs, w);
        self.has_more.put(w);
        self.max_cursor.put(w);
        self.oldest_cursor.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(4)?;
        Ok(Self {
            blobs: take_list(r, MAX_PULL as usize)?,
            has_more: bool::take(r)?,
            max_cursor: Cursor::take(r)?,
            oldest_cursor: Cursor::take(r)?,
        })
    }
}

record! {
    /// 0x22, client → relay: everything up to here is durably mine.
    pub struct Ack {
        /// Never moves backwards.
        cursor: Cursor,
    }
}

record! {
    /// 0x31, relay → client: a blob was stored. When notifications were collapsed, the newest.
    pub struct Notify {
        /// The blob.
        blob_id: BlobId,
        /// Its place in the log.
        cursor: Cursor,
        /// The device that pushed it.
        sender_id: DeviceId,
        /// When it was stored, by the relay's clock.
        timestamp: UnixMs,
        /// Length of the sealed blob, in bytes.
        size: u32,
        /// The sealed blob itself, when small and asked for
        /// ([`FEATURE_INLINE_NOTIFY`](crate::FEATURE_INLINE_NOTIFY)).
        payload: Option<Vec<u8>>,
    }
}

record! {
    /// 0x40, client → relay.
    pub struct Delete {
        /// The blob.
        blob_id: BlobId,
    }
}

record! {
    /// 0x41, relay → client.
    pub struct DeleteAck {
        /// The blob.
        blob_id: BlobId,
        /// 0: deleted; 1: marked until all devices have acked it.
        state: u8,
    }
}
