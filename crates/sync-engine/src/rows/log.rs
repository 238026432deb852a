//! What is remembered of the log: own blobs in it, where epochs end in it, and what it looked like.

use sync_e2ee::{MAX_TIPS, Tip};
use sync_types::rotation::MAX_LOCKBOXES;
use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{BlobId, ChainId, Cursor, DeviceId, Epoch, UnixMs, record};

use super::{CUT, Change, HEADS, ROTATION, SENT, put};

/// Chains that one rotation closes: of everybody whom it keeps or removes.
const MAX_ENDS: usize = 2 * MAX_LOCKBOXES * MAX_TIPS;
/// Heads in one row.
pub(crate) const HEADS_A_ROW: u64 = 64;

record! {
    /// That the relay has acknowledged a blob of the outbox, which is kept in case the relay loses it.
    pub(crate) struct SentRow {
        /// Its place in the log.
        cursor: Cursor,
        /// What the cursor belongs to.
        generation: u32,
        /// When the relay may drop it; 0: never.
        expires: UnixMs,
    }
}

impl SentRow {
    /// The generation of what the relay has acknowledged and does not show.
    pub(crate) const NOWHERE: u32 = u32::MAX;

    pub(crate) fn change(&self, position: u64) -> Change {
        put(sent_key(position), self)
    }

    pub(crate) fn delete(position: u64) -> Change {
        Change { key: sent_key(position), value: None }
    }
}

fn sent_key(position: u64) -> Vec<u8> {
    [&[SENT][..], &position.to_be_bytes()].concat()
}

record! {
    /// This device's own newest rotation, which a relay that lost everything needs again.
    pub(crate) struct RotationRow {
        /// Its id.
        blob_id: BlobId,
        /// The epoch that it began.
        epoch: Epoch,
        /// Its bytes.
        payload: Vec<u8>,
    }
}

impl RotationRow {
    pub(crate) fn change(&self) -> Change {
        put(vec![ROTATION], self)
    }
}

record! {
    /// The end of a chain in an epoch that was closed.
    pub(crate) struct ChainEnd {
        /// Whose chain.
        device_id: DeviceId,
        /// Its last blob that counts.
        tip: Tip,
    }
}

/// Where a closed epoch ends: what was sealed in it counts only up to here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CutRow {
    /// The ends of one device stand together.
    pub(crate) ends: Vec<ChainEnd>,
}

impl CutRow {
    pub(crate) fn change(&self, epoch: Epoch) -> Change {
        put([&[CUT][..], &epoch.to_be_bytes()].concat(), self)
    }

    /// The last blob of a chain that counts.
    pub(crate) fn tip(&self, device_id: &DeviceId, chain_id: &ChainId) -> Option<&Tip> {
        let end = self.ends.iter().find(|e| e.device_id == *device_id && e.tip.chain_id == *chain_id)?;
        Some(&end.tip)
    }

    /// The end of a chain.
    pub(crate) fn end(&mut self, device_id: &DeviceId, chain_id: &ChainId) -> Option<&mut ChainEnd> {
        self.ends.iter_mut().find(|e| e.device_id == *device_id && e.tip.chain_id == *chain_id)
    }

    /// Whether a device has a chain that ends here.
    pub(crate) fn names(&self, device_id: &DeviceId) -> bool {
        self.ends.iter().any(|end| end.device_id == *device_id)
    }
}

impl Wire for CutRow {
    fn put(&self, w: &mut Writer) {
        put_list(&self.ends, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { ends: take_list(r, MAX_ENDS)? })
    }
}

/// Some of what this device was shown, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadsRow(pub(crate) Vec<Head>);

record! {
    /// What this device was shown at a cursor, and up to there.
    pub(crate) struct Head {
        /// The cursor.
        cursor: Cursor,
        /// Which blob lay there.
        entry: [u8; 16],
        /// Its sender's chain has no place for it: it is not shown to the app.
        hidden: bool,
        /// The head there; unknown after a gap in the log.
        head: Option<[u8; 32]>,
    }
}

impl HeadsRow {
    pub(crate) fn change(&self, number: u64) -> Change {
        put(heads_key(number), self)
    }

    pub(crate) fn delete(number: u64) -> Change {
        Change { key: heads_key(number), value: None }
    }
}

fn heads_key(number: u64) -> Vec<u8> {
    [&[HEADS][..], &number.to_be_bytes()].concat()
}

impl Wire for HeadsRow {
    fn put(&self, w: &mut Writer) {
        put_list(&self.0, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(take_list(r, HEADS_A_ROW as usize)?))
    }
}

#[cfg(test)]
mod tests {
    use sync_types::{BlobHash, DeviceSecret};

    use super::*;

    #[test]
    fn the_ends_of_the_largest_rotation_can_be_read_back() {
        let device_id = DeviceSecret::from_bytes([1; 32]).id();
        let tip = Tip { chain_id: ChainId([1; 16]), seq: u64::MAX, hash: BlobHash([1; 32]) };
        let ends = vec![ChainEnd { device_id, tip }; MAX_ENDS];
        let row = CutRow { ends };
        let change = row.change(7);
        let read = sync_types::wire::decode::<CutRow>(&change.value.unwrap());
        assert_eq!(read, Ok(row));
    }
}
