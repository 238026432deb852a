//! A group in memory.

use std::collections::{BTreeMap, HashMap};

use sync_relay_core::decide::{DeviceFacts, DoomedBlob, Known, Standing, everybody_has};
use sync_relay_core::store::{Backlog, NewBlob, News, Origin, Payload, Placed, PullPage, Refusal};
use sync_types::limits::MAX_INLINE_NOTIFY;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, DeviceRow, Epoch, KeyLog, PullResponse, Rotation, StoredBlob, UnixMs,
};

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) key_log: KeyLog,
    pub(super) max_cursor: Cursor,
    pub(super) oldest_cursor: Cursor,
    pub(super) stored_bytes: u64,
    pub(super) origin: Option<Origin>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) blobs: BTreeMap<Cursor, Blob>,
    places: HashMap<BlobId, Cursor>,
}

#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) name: Vec<u8>,
    pub(super) acked: Cursor,
    pub(super) last_seen: UnixMs,
    pub(super) epoch: Epoch,
    pub(super) standing: Standing,
}

#[derive(Debug, Clone)]
pub(super) struct Blob {
    blob_id: BlobId,
    sender: DeviceId,
    /// `None`: a stub.
    pub(super) payload: Option<Payload>,
    hash: BlobHash,
    stored_at: UnixMs,
    pub(super) expires_at: Option<UnixMs>,
    /// It goes when every device has it.
    pub(super) marked: bool,
}

impl Device {
    /// One that a rotation names and that has not come in yet.
    pub(super) fn announced(now: UnixMs) -> Self {
        Self { name: Vec::new(), acked: Cursor::ZERO, last_seen: now, epoch: 0, standing: Standing::Present }
    }

    pub(super) fn facts(&self) -> DeviceFacts {
        DeviceFacts { acked: self.acked, epoch: self.epoch, standing: self.standing }
    }
}

impl Blob {
    fn size(&self) -> usize {
        self.payload.as_ref().map_or(0, |payload| payload.len())
    }

    fn cost(&self) -> u64 {
        NewBlob::cost(self.size()) as u64
    }

    fn stored(&self, cursor: Cursor) -> StoredBlob {
        StoredBlob {
            blob_id: self.blob_id,
            cursor,
            sender_id: self.sender,
            payload: self.payload.as_ref().map(|payload| payload.to_vec()),
            timestamp: self.stored_at,
            hash: self.payload.is_none().then_some(self.hash),
        }
    }
}

impl Group {
    pub(super) fn new(key_log: KeyLog, origin: Option<Origin>) -> Self {
        Self {
            key_log,
            max_cursor: Cursor::ZERO,
            oldest_cursor: Cursor::ZERO.next(),
            stored_bytes: 0,
            origin,
            devices: BTreeMap::new(),
            blobs: BTreeMap::new(),
            places: HashMap::new(),
        }
    }

    pub(super) fn present(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.devices.iter().filter(|(_, device)| device.standing == Standing::Present)
    }

    pub(super) fn standing(&self, device: &DeviceId) -> Option<Standing> {
        self.devices.get(device).map(|device| device.standing)
    }

    /// Up to here every present device has acknowledged; `None`: there is none.
    pub(super) fn acked_by_all(&self) -> Option<Cursor> {
        self.present().map(|(_, device)| device.acked).min()
    }

    pub(super) fn known(&self, ids: impl IntoIterator<Item = BlobId>) -> HashMap<BlobId, Known> {
        let known = |id: BlobId| {
            let cursor = *self.places.get(&id)?;
            let blob = self.blobs.get(&cursor).filter(|blob| blob.blob_id == id)?;
            Some((id, Known { cursor, hash: blob.hash, stored_at: blob.stored_at }))
        };
        ids.into_iter().filter_map(known).collect()
    }

    pub(super) fn doomed(&self, id: &BlobId) -> Option<DoomedBlob> {
        let cursor = *self.places.get(id)?;
        let payload = self.blobs.get(&cursor)?.payload.as_ref();
        Some(DoomedBlob { cursor, rotation: payload.is_some_and(|payload| Rotation::is_one(payload)) })
    }

    pub(super) fn store(&mut self, sender: DeviceId, blob: &NewBlob, placed: &Placed) {
        let stored = Blob {
            blob_id: blob.blob_id,
            sender,
            payload: Some(blob.payload.clone()),
            hash: blob.hash,
            stored_at: placed.stored_at,
            expires_at: blob.expires_at,
            marked: false,
        };
        self.blobs.insert(placed.cursor, stored);
        self.places.insert(blob.blob_id, placed.cursor);
    }

    pub(super) fn mark(&mut self, cursor: Cursor) {
        if let Some(blob) = self.blobs.get_mut(&cursor) {
            blob.marked = true;
        }
    }

    pub(super) fn erase(&mut self, cursor: Cursor) {
        if let Some(blob) = self.blobs.remove(&cursor) {
            self.places.remove(&blob.blob_id);
            self.stored_bytes -= blob.cost();
        }
    }

    /// Only place and hash are kept.
    pub(super) fn make_stub(&mut self, cursor: Cursor) {
        if let Some(blob) = self.blobs.get_mut(&cursor) {
            self.stored_bytes -= blob.size() as u64;
            (blob.payload, blob.expires_at) = (None, None);
        }
    }

    /// Drops the oldest stubs, then the oldest blobs that may expire and that every device has, until
    /// `bytes` are free.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), Refusal> {
        let slowest = self.present().min_by_key(|(_, device)| device.acked);
        // Only what it has yet to acknowledge is held up by it.
        let waits = |device: &Device| {
            let mut rest = self.blobs.range(device.acked.next()..);
            rest.any(|(cursor, blob)| *cursor > device.acked && (blob.expires_at.is_some() || blob.marked))
        };
        let held_by = slowest.filter(|(_, device)| waits(device)).map(|(id, _)| *id);
        let acked = self.acked_by_all();
        let stubs = self.blobs.iter().filter(|(_, blob)| blob.payload.is_none());
        let everybodys = self.blobs.iter().filter(|(cursor, blob)| {
            blob.expires_at.is_some() && acked.is_some() && everybody_has(**cursor, acked)
        });
        let mut free = 0;
        let mut dropped = Vec::new();
        for (cursor, blob) in stubs.chain(everybodys) {
            if free >= bytes {
                break;
            }
            free += blob.cost();
            dropped.push(*cursor);
        }
        if free < bytes {
            return Err(Refusal::GroupFull { held_by });
        }
        for cursor in dropped {
            if !everybody_has(cursor, acked) {
                self.oldest_cursor = self.oldest_cursor.max(cursor.next());
            }
            self.erase(cursor);
        }
        Ok(())
    }

    pub(super) fn backlog(&self, last_cursor: Cursor, limit: usize, inline: bool) -> Backlog {
        let after = self.blobs.range(last_cursor.next()..).rev().take(limit);
        let after = after.filter(|(cursor, _)| **cursor > last_cursor);
        let mut newest: Vec<News> = after
            .map(|(cursor, blob)| News {
                blob_id: blob.blob_id,
                cursor: *cursor,
                sender: blob.sender,
                stored_at: blob.stored_at,
                size: blob.size() as u32,
                payload: blob.payload.clone().filter(|payload| inline && payload.len() <= MAX_INLINE_NOTIFY),
            })
            .collect();
        newest.reverse();
        Backlog {
            max_cursor: self.max_cursor,
            oldest_cursor: self.oldest_cursor,
            at_cursor: self.blobs.get(&last_cursor).map(|blob| blob.blob_id),
            newest,
        }
    }

    pub(super) fn log(&self) -> impl Iterator<Item = StoredBlob> {
        self.blobs.iter().map(|(cursor, blob)| blob.stored(*cursor))
    }

    pub(super) fn page(&self, page: &PullPage) -> PullResponse {
        let mut blobs = Vec::new();
        let mut bytes = 0;
        let mut has_more = false;
        for (cursor, blob) in self.blobs.iter().filter(|(cursor, _)| **cursor > page.after) {
            bytes += blob.size() + PullPage::BLOB_OVERHEAD;
            has_more = blobs.len() >= page.limit as usize || (bytes > page.max_bytes && !blobs.is_empty());
            if has_more {
                break;
            }
            blobs.push(blob.stored(*cursor));
        }
        PullResponse {
            max_cursor: blobs.last().map_or(page.after, |blob| blob.cursor),
            blobs,
            has_more,
            oldest_cursor: self.oldest_cursor,
        }
    }

    pub(super) fn rows(&self) -> Vec<DeviceRow> {
        let row = |(id, device): (&DeviceId, &Device)| DeviceRow {
            device_id: *id,
            device_name: device.name.clone(),
            acked_cursor: device.acked,
            last_seen: device.last_seen,
            online: false,
        };
        self.present().map(row).collect()
    }
}
