//! What comes from the log: checked, opened, folded into the head, and kept for the app.

use sha2::{Digest, Sha256};
use sync_e2ee::{BlobContext, Content, Control, Kind, blob};
use sync_types::wire::decode;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, GroupId, Message, Notify, Pull, PullResponse, StoreId, StoredBlob,
    Welcome,
};

use super::Engine;
use super::link::Request;
use crate::api::{Blob, Event};
use crate::error::EngineError;
use crate::rows::ProgressRow;
use crate::timer::Timer;
use crate::window::{Opened, Window};

impl Engine {
    /// Compares the relay's store with the one known: another one means that the relay started over.
    pub(super) fn compare_store(&mut self, welcome: &Welcome, claimed: Option<BlobId>) {
        let known = &self.state.progress;
        if known.store_id == StoreId::NONE {
            self.start_over(welcome.store_id);
            return;
        }
        let shorter = welcome.max_cursor < known.seen_cursor.max(known.app_cursor);
        let other_blob = match (welcome.at_cursor, claimed) {
            (Some(theirs), Some(ours)) => theirs != ours,
            (None, _) | (_, None) => false,
        };
        if welcome.store_id != known.store_id || shorter || other_blob {
            self.start_over(welcome.store_id);
            self.event(Event::RelayReset);
        }
    }

    /// Cursors and head start anew. Chains stay: they keep what was read from being read again.
    pub(super) fn start_over(&mut self, store_id: StoreId) {
        let group_id = self.state.group.as_ref().map_or(GroupId::NONE, |group| group.group_id);
        if self.state.progress.store_id != StoreId::NONE {
            self.delivered.start_over(self.state.progress.generation);
        }
        self.state.progress = ProgressRow {
            store_id,
            generation: self.state.progress.generation.wrapping_add(1),
            app_cursor: Cursor::ZERO,
            app_blob: None,
            seen_cursor: Cursor::ZERO,
            head: Some(first_head(&group_id, &store_id)),
        };
        self.max_cursor = Cursor::ZERO;
        self.window = Window::at(Cursor::ZERO);
        self.durable = (Cursor::ZERO, None);
        self.store_progress();
    }

    /// Asks for the log after what was seen, unless the app has enough to read.
    pub(super) fn sync(&mut self) {
        let seen = self.state.progress.seen_cursor;
        let enough = self.window.is_full() && self.timers.is_set(Timer::Reader);
        if seen >= self.max_cursor || enough || self.asked(|r| matches!(r, Request::Sync { .. })) {
            return;
        }
        let request = Request::Sync { after: seen, known: self.max_cursor };
        self.send_request(Message::Pull(Pull { after_cursor: seen, limit: 0 }), request);
    }

    /// A page after what was seen.
    pub(super) fn synced(
        &mut self,
        page: PullResponse,
        after: Cursor,
        known: Cursor,
    ) -> Result<(), EngineError> {
        check_order(&page, after)?;
        // Some up to here are gone without a trace; others, that live longer, may still be there.
        let dropped = page.oldest_cursor.prev();
        if dropped > self.state.progress.seen_cursor {
            self.state.progress.head = None;
            self.truncated(dropped);
        }
        let mut stubs = None;
        let has_more = page.has_more;
        self.max_cursor = self.max_cursor.max(page.max_cursor);
        for entry in page.blobs {
            // An acknowledged push may have brought this device further meanwhile.
            if entry.cursor > self.state.progress.seen_cursor {
                if entry.payload.is_none() {
                    stubs = Some(entry.cursor);
                }
                self.take_in(entry)?;
            }
        }
        if !has_more && known > self.state.progress.seen_cursor {
            // The log ends before the newest cursor: what was there is deleted.
            self.skip_to(known);
        }
        if let Some(up_to) = stubs {
            self.event(Event::HistoryTruncated { up_to });
        }
        self.store_progress();
        Ok(())
    }

    /// A blob was stored just now, by another device.
    pub(super) fn notified(&mut self, notify: Notify) {
        self.max_cursor = self.max_cursor.max(notify.cursor);
        let next = self.state.progress.seen_cursor.next();
        let syncing = self.asked(|r| matches!(r, Request::Sync { .. }));
        if notify.cursor != next || syncing || notify.payload.is_none() {
            return;
        }
        let entry = StoredBlob {
            blob_id: notify.blob_id,
            cursor: notify.cursor,
            sender_id: notify.sender_id,
            payload: notify.payload,
            timestamp: notify.timestamp,
            hash: None,
        };
        if self.take_in(entry).is_ok() {
            self.store_progress();
        }
    }

    /// A blob of this device was stored.
    pub(super) fn saw_own(&mut self, cursor: Cursor, blob_id: BlobId, hash: BlobHash) {
        self.max_cursor = self.max_cursor.max(cursor);
        if cursor == self.state.progress.seen_cursor.next() {
            let me = self.me();
            self.fold(cursor, blob_id, &me, &hash);
            self.keep(cursor, None);
        }
    }

    /// Takes in the next blob of the log.
    fn take_in(&mut self, entry: StoredBlob) -> Result<(), EngineError> {
        let hash = match (&entry.payload, entry.hash) {
            (Some(payload), None) => blob::hash(payload),
            (None, Some(hash)) => hash,
            _ => return Err(EngineError::RelayMisbehaved),
        };
        self.fold(entry.cursor, entry.blob_id, &entry.sender_id, &hash);
        let mut item = None;
        if entry.sender_id != self.me()
            && let Some(payload) = &entry.payload
        {
            match self.open_blob(&entry.blob_id, &entry.sender_id, payload) {
                Some(content) => item = self.learn(&entry, content, hash),
                None => {
                    self.event(Event::BlobRefused { cursor: entry.cursor, sender: entry.sender_id });
                }
            }
        }
        if let Some(opened) = &item {
            let Blob { cursor, blob_id, sender, .. } = opened.blob;
            self.event(Event::BlobAvailable { cursor, blob_id, sender });
        }
        self.keep(entry.cursor, item);
        Ok(())
    }

    /// `head(c) = SHA-256(head(c−1) ‖ c ‖ blob id ‖ sender ‖ SHA-256(payload))`.
    fn fold(&mut self, cursor: Cursor, blob_id: BlobId, sender: &DeviceId, hash: &BlobHash) {
        let progress = &mut self.state.progress;
        let without_gap = cursor == progress.seen_cursor.next();
        progress.head = progress.head.filter(|_| without_gap).map(|head| {
            let mut sha = Sha256::new();
            sha.update(head);
            sha.update(cursor.get().to_be_bytes());
            sha.update(blob_id.0);
            sha.update(sender.as_bytes());
            sha.update(hash.0);
            sha.finalize().into()
        });
        self.delivered.saw(cursor, blob_id);
    }

    /// Moves on past what is not in the log any more.
    fn skip_to(&mut self, cursor: Cursor) {
        self.state.progress.head = None;
        self.keep(cursor, None);
    }

    /// Moves on to `cursor`, and keeps the blob there for the app while there is room.
    fn keep(&mut self, cursor: Cursor, item: Option<Opened>) {
        let follows = self.window.end() == self.state.progress.seen_cursor;
        self.state.progress.seen_cursor = cursor;
        if follows && !self.window.is_full() {
            self.window.extend(cursor, item);
        }
    }

    fn store_progress(&mut self) {
        let change = self.state.progress.change();
        self.store([change]);
    }

    pub(super) fn open_blob(&self, blob_id: &BlobId, sender: &DeviceId, payload: &[u8]) -> Option<Content> {
        let group = self.state.group.as_ref()?;
        let epoch = blob::claimed_epoch(payload).ok()?;
        let keys = self.keys.get(&epoch)?;
        let context = BlobContext { group_id: group.group_id, epoch, sender: *sender, blob_id: *blob_id };
        blob::open(keys, &context, payload, self.state.relay.max_seen_blob as usize).ok()
    }

    /// Learns from a member's blob; gives it back if it is new to the app.
    fn learn(&mut self, entry: &StoredBlob, content: Content, hash: BlobHash) -> Option<Opened> {
        let sender = entry.sender_id;
        let peer = self.state.peers.entry(sender).or_default();
        let chain = peer.chain(content.place.chain_id);
        let new =
            content.place.seq >= chain.app_next && !self.delivered.before_reset(&sender, &content.place);
        if content.place.seq >= chain.seen_next {
            chain.seen_next = content.place.seq.saturating_add(1);
            chain.hash = hash;
        }
        let mut event = None;
        if content.kind == Kind::Control
            && let Ok(control) = decode::<Control>(&content.body)
        {
            event = match control {
                Control::Announce { name, platform } => {
                    let joined = peer.name.is_none();
                    (peer.name, peer.platform) = (Some(name.clone()), platform.clone());
                    joined.then_some(Event::DeviceJoined { device_id: sender, name, platform })
                }
                Control::Leave => Some(Event::DeviceRemoved { device_id: sender }),
            };
        }
        let change = peer.change(&sender);
        self.store([change]);
        self.outputs.extend(event.map(crate::Output::Event));
        (content.kind == Kind::Data && new).then(|| opened(entry, content))
    }
}

/// The head of an empty log.
fn first_head(group_id: &GroupId, store_id: &StoreId) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(b"sync-relay head v1");
    sha.update(group_id.0);
    sha.update(store_id.0);
    sha.finalize().into()
}

/// A page starts after what was asked for, ascends, and says truly how far it reaches.
pub(super) fn check_order(page: &PullResponse, after: Cursor) -> Result<(), EngineError> {
    let starts = page.blobs.first().is_none_or(|first| first.cursor > after);
    let ascending = page.blobs.windows(2).all(|pair| pair[0].cursor < pair[1].cursor);
    let reach = page.blobs.last().is_none_or(|last| last.cursor == page.max_cursor);
    let progresses = !(page.has_more && page.blobs.is_empty());
    if starts && ascending && reach && progresses { Ok(()) } else { Err(EngineError::RelayMisbehaved) }
}

pub(super) fn opened(entry: &StoredBlob, content: Content) -> Opened {
    Opened {
        blob: Blob {
            cursor: entry.cursor,
            blob_id: entry.blob_id,
            sender: entry.sender_id,
            timestamp: entry.timestamp,
            data: content.body,
        },
        chain_id: content.place.chain_id,
        seq: content.place.seq,
    }
}
