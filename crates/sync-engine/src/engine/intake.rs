//! What comes from the log: checked, opened, folded into the head, and kept for the app.

use sync_e2ee::chain::{first_head, link_hash};
use sync_e2ee::{BlobContext, Content, Control, Kind, Place, Tip, blob};
use sync_types::wire::decode;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, Epoch, GroupId, Message, Notify, Pull, PullResponse, Rotation,
    StoreId, StoredBlob, Welcome,
};

use super::Engine;
use super::heads::Fold;
use super::link::Request;
use crate::api::{Blob, Break, Event, Refused};
use crate::error::EngineError;
use crate::rows::{ProgressRow, Restore};
use crate::timer::Timer;
use crate::window::{Opened, Window};

impl Engine {
    /// Compares the relay's store with the one known: another one means that the relay started over.
    pub(super) fn compare_store(&mut self, welcome: &Welcome, claimed: Option<BlobId>) {
        let known = &self.state.progress;
        if known.store_id == StoreId::NONE {
            self.meet_store(welcome);
            return;
        }
        let shorter = welcome.max_cursor < known.seen_cursor.max(known.app_cursor);
        let other_blob = match (welcome.at_cursor, claimed) {
            (Some(theirs), Some(ours)) => theirs != ours,
            (None, _) | (_, None) => false,
        };
        if welcome.store_id != known.store_id || shorter || other_blob {
            self.start_over(welcome.store_id);
            self.relay_reset();
            self.store_progress();
        }
    }

    /// The first store that this device sees; perhaps the one that its inviter has seen.
    fn meet_store(&mut self, welcome: &Welcome) {
        let joined = self.state.progress.joined.take();
        self.start_over(welcome.store_id);
        let Some(joined) = joined.filter(|joined| joined.seen.store_id == welcome.store_id) else {
            return;
        };
        if welcome.max_cursor < joined.seen.cursor {
            // Less than the inviter was shown.
            self.accuse(joined.by, joined.seen.cursor);
            return;
        }
        self.state.progress.joined = Some(joined);
        self.store_progress();
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
            joined: None,
            restore: Restore::No,
            restored_at: self.state.progress.restored_at,
        };
        self.forget_heads();
        self.reached_end = false;
        let mut changes = Vec::new();
        for (id, peer) in &mut self.state.peers {
            peer.chains.iter_mut().for_each(|chain| {
                chain.history_next = 0;
                chain.holes.clear();
            });
            changes.push(peer.change(id));
        }
        self.store(changes);
        self.max_cursor = Cursor::ZERO;
        self.window = Window::at(Cursor::ZERO);
        self.durable = (Cursor::ZERO, None);
        self.store_progress();
    }

    /// Asks for the log after what was seen, unless the app has enough to read.
    pub(super) fn sync(&mut self) {
        let seen = self.state.progress.seen_cursor;
        let enough = self.window.is_full() && self.timers.is_set(Timer::Reader);
        if (seen >= self.max_cursor && !self.pull_due)
            || enough
            || self.asked(|r| matches!(r, Request::Sync { .. }))
        {
            return;
        }
        self.pull_due = false;
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
            self.lose_head();
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

    /// A blob of this device was stored: its hash, its place in the chain and what the next one refers to.
    pub(super) fn saw_own(
        &mut self,
        cursor: Cursor,
        blob_id: BlobId,
        hash: BlobHash,
        link: Option<(u64, BlobHash)>,
    ) {
        self.max_cursor = self.max_cursor.max(cursor);
        if cursor == self.state.progress.seen_cursor.next() {
            self.fold(Fold { cursor, blob_id, sender: self.me(), hash });
            if let Some((seq, link)) = link {
                self.log_own(&Place { seq, ..Place::first(self.state.chain.chain_id) }, link);
            }
            self.keep(cursor, None);
        }
    }

    /// A blob of this device is in the log, and everything before it was read.
    fn log_own(&mut self, place: &Place, hash: BlobHash) {
        let generation = self.state.progress.generation;
        let chain = &mut self.state.chain;
        if place.chain_id == chain.chain_id && chain.logged.as_ref().is_none_or(|tip| tip.seq <= place.seq) {
            chain.logged_in = generation;
            chain.logged = Some(Tip { chain_id: place.chain_id, seq: place.seq, hash });
            let change = chain.change();
            self.store([change]);
        }
    }

    /// Takes in the next blob of the log.
    fn take_in(&mut self, entry: StoredBlob) -> Result<(), EngineError> {
        let hash = match (&entry.payload, entry.hash) {
            (Some(payload), None) => blob::hash(payload),
            (None, Some(hash)) => hash,
            _ => return Err(EngineError::RelayMisbehaved),
        };
        let (cursor, blob_id, sender) = (entry.cursor, entry.blob_id, entry.sender_id);
        self.fold(Fold { cursor, blob_id, sender, hash });
        let item = match &entry.payload {
            None => {
                self.stubs.saw(sender, hash);
                None
            }
            Some(payload) if Rotation::is_one(payload) => {
                self.rotated(&entry, payload);
                None
            }
            Some(payload) if sender == self.me() => {
                self.saw_itself(&entry, payload, hash);
                None
            }
            Some(payload) => self.learn(&entry, payload, hash),
        };
        if item.is_some() {
            if self.is_catching_up() {
                self.held = Some((cursor, blob_id, sender));
            } else {
                self.event(Event::BlobAvailable { cursor, blob_id, sender });
            }
        }
        self.keep(cursor, item);
        Ok(())
    }

    /// An own blob comes back: it must be the one that was sent.
    fn saw_itself(&mut self, entry: &StoredBlob, payload: &[u8], hash: BlobHash) {
        let opened = self.open_blob(&entry.blob_id, &entry.sender_id, payload).map(|(_, content)| content);
        if let Some(content) = &opened {
            self.log_own(&content.place, link_hash(content, hash));
        }
        match self.queued_hash(&entry.blob_id) {
            Some(queued) if queued == hash => return self.settle_front(&entry.blob_id, entry.cursor),
            Some(_) => return self.outbox.restart_due = true,
            None => {}
        }
        match (self.saw_kept(entry.cursor, &entry.blob_id, &hash), opened) {
            (Some(true), _) => {}
            (Some(false), Some(content)) => {
                let how = Break::Altered { seq: content.place.seq };
                self.event(Event::ChainBroken { sender: entry.sender_id, cursor: entry.cursor, how });
            }
            // The log is ahead of this store: it was restored from a backup.
            (None, Some(Content { place, .. })) => {
                let chain = &self.state.chain;
                self.outbox.restart_due |= place.chain_id == chain.chain_id && place.seq >= chain.next_seq;
            }
            (_, None) => self.refuse(entry, Refused::Unreadable),
        }
    }

    fn refuse(&mut self, entry: &StoredBlob, why: Refused) {
        self.event(Event::BlobRefused { cursor: entry.cursor, sender: entry.sender_id, why });
    }

    /// Moves on past what is not in the log any more.
    fn skip_to(&mut self, cursor: Cursor) {
        self.lose_head();
        self.keep(cursor, None);
    }

    /// Moves on to `cursor`, and keeps the blob there for the app while there is room.
    fn keep(&mut self, cursor: Cursor, item: Option<Opened>) {
        let follows = self.window.end() == self.state.progress.seen_cursor;
        self.state.progress.seen_cursor = cursor;
        if follows && !self.window.is_full() && !self.is_catching_up() {
            self.window.extend(cursor, item);
        }
    }

    pub(super) fn store_progress(&mut self) {
        let change = self.state.progress.change();
        self.store([change]);
    }

    /// Everything that there is was read: what is missing now is missing.
    pub(super) fn at_end(&mut self) {
        let unread = self.state.progress.seen_cursor < self.max_cursor || self.pull_due;
        if unread || !self.may_ask() || self.asked(|r| matches!(r, Request::Sync { .. })) {
            return;
        }
        self.restore();
        if self.renew_session {
            return self.renew();
        }
        let seen = Some(self.state.progress.seen_cursor);
        if self.reached_end && self.checked_end == seen && self.relay_epoch <= self.epoch() {
            return;
        }
        self.checked_end = seen;
        if self.relay_epoch > self.epoch() {
            self.event(Event::RotationWithheld { epoch: self.relay_epoch });
            self.relay_epoch = self.epoch();
        }
        self.reached_end = true;
        if let Some((cursor, blob_id, sender)) = self.held.take() {
            self.event(Event::BlobAvailable { cursor, blob_id, sender });
        }
        self.report_holes();
    }

    /// Opens a sealed blob of the group's; says under which epoch's key.
    pub(super) fn open_blob(
        &self,
        blob_id: &BlobId,
        sender: &DeviceId,
        payload: &[u8],
    ) -> Option<(Epoch, Content)> {
        let group = self.state.group.as_ref()?;
        let epoch = blob::claimed_epoch(payload).ok()?;
        let keys = self.keys.get(&epoch)?;
        let context = BlobContext { group_id: group.group_id, epoch, sender: *sender, blob_id: *blob_id };
        let content = blob::open(keys, &context, payload, self.state.relay.max_seen_blob as usize).ok()?;
        Some((epoch, content))
    }

    /// Whether a blob is of a time that this device is not meant to read.
    fn is_locked(&self, payload: &[u8]) -> bool {
        let first = self.state.group.as_ref().map_or(0, |group| group.first_readable());
        blob::claimed_epoch(payload).is_ok_and(|epoch| epoch < first)
    }

    /// Learns from a member's blob; gives it back if it is new to the app.
    fn learn(&mut self, entry: &StoredBlob, payload: &[u8], hash: BlobHash) -> Option<Opened> {
        let sender = entry.sender_id;
        let Some((epoch, content)) = self.open_blob(&entry.blob_id, &sender, payload) else {
            if !self.is_locked(payload) {
                self.refuse(entry, Refused::Unreadable);
            }
            return None;
        };
        let control = match content.kind {
            Kind::Control => decode::<Control>(&content.body).ok(),
            Kind::Data | Kind::Void => None,
        };
        let announces = matches!(control, Some(Control::Announce { .. }));
        let link = link_hash(&content, hash);
        if let Err(why) = self.allowed(&sender, epoch, &content.place, &link, announces) {
            self.refuse(entry, why);
            return None;
        }
        self.compare_heads(sender, entry.cursor, content.place.seen.as_ref());
        let new = self.follow(entry, &content, hash);
        if let Some(control) = control {
            self.told(sender, epoch, control);
        }
        (content.kind == Kind::Data && new).then(|| opened(entry, content))
    }
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
