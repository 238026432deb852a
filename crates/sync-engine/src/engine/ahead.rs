//! Blobs of an epoch that has not begun for this device. In a log that was never lost there are none, for a
//! rotation comes before what is sealed under its key. In one that devices bring back, whoever is first pushes
//! what he has, and the rotation comes with the device that made it.

use sync_e2ee::blob;
use sync_types::{Epoch, StoredBlob};

use super::Engine;
use crate::api::{Event, Refused};

/// Blobs that wait for their epoch at most.
const MAX_BLOBS: usize = 4_096;
/// The bytes of them.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What was read and waits for its epoch, in the log's order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    blobs: Vec<StoredBlob>,
    bytes: usize,
}

impl Engine {
    /// Whether a blob may become readable by a rotation that is still to be read.
    pub(super) fn is_ahead(&self, payload: &[u8]) -> bool {
        let room = self.ahead.blobs.len() < MAX_BLOBS && self.ahead.bytes + payload.len() <= MAX_BYTES;
        room && claimed_epoch(payload) > Some(self.epoch())
    }

    pub(super) fn set_aside(&mut self, entry: StoredBlob) {
        self.ahead.bytes += entry.payload.as_ref().map_or(0, Vec::len);
        self.ahead.blobs.push(entry);
    }

    /// An epoch has begun: takes in what waited for it. The app finds it where it is in the log.
    pub(super) fn take_up(&mut self) {
        let epoch = Some(self.epoch());
        let waiting = std::mem::take(&mut self.ahead).blobs;
        for entry in waiting {
            let Some(payload) = entry.payload.as_ref().filter(|payload| claimed_epoch(payload) == epoch)
            else {
                self.set_aside(entry);
                continue;
            };
            let hash = blob::hash(payload);
            if self.learn(&entry, payload, hash).is_some() && !self.is_catching_up() {
                let StoredBlob { cursor, blob_id, sender_id: sender, .. } = entry;
                self.event(Event::BlobAvailable { cursor, blob_id, sender });
            }
        }
    }

    /// Everything was read, and no rotation leads to these.
    pub(super) fn refuse_ahead(&mut self) {
        for entry in std::mem::take(&mut self.ahead).blobs {
            self.refuse(&entry, Refused::Unreadable);
        }
    }
}

fn claimed_epoch(payload: &[u8]) -> Option<Epoch> {
    blob::claimed_epoch(payload).ok()
}
