//! What comes from the log: checked, opened, folded into the head, and kept for the app.

use sync_e2ee::chain::{first_head, link_hash};
use sync_e2ee::{BlobContext, Content, Control, Kind, Place, Tip, blob};
use sync_types::wire::decode;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, Epoch, GroupId, Message, Notify, Pull, PullResponse, Rotation,
    StoreId, StoredBlob, Welcome,
};

use super::Engine;
use super::ahead::Ahead;
use super::heads::{Fold, MAX_ALTERED};
use super::request::Request;
use super::sent::Again;
use crate::api::{Blob, Break, Event, Refused};
use crate::error::EngineError;
use crate::rows::{ProgressRow, Standing};
use crate::timer::Timer;
use crate::window::{Opened, Window};

/// Blobs of which the app hears when it is known what counts.
const MAX_HELD: usize = 256;

/// A blob for the app, if it counts.
#[derive(Debug)]
pub(super) struct Held {
    cursor: Cursor,
    blob_id: BlobId,
    sender: DeviceId,
    epoch: Epoch,
    place: Place,
    link: BlobHash,
}

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
        // An old copy may have grown beyond what was seen before this device came back, and hold what was acknowledged.
        let altered = self.altered >= MAX_ALTERED;
        if welcome.store_id != known.store_id || shorter || other_blob || altered {
            self.start_over(welcome.store_id);
            self.relay_reset();
            self.store_progress();
        }
    }

    /// The first store that this device sees; perhaps the one that its inviter has seen.
    fn meet_store(&mut self, welcome: &Welcome) {
        let joined = self.state.progress.joined.take();
        self.start_over(welcome.store_id);
        let Some(joined) = joined else {
            return;
        };
        if joined.seen.store_id != welcome.store_id {
            // It has started over since the invite was made, or shows this device a log of its own.
            self.event(Event::RelayReset);
            return;
        }
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
            restore: self.state.progress.restore,
            restored_at: self.state.progress.restored_at,
            passed: None,
        };
        self.forget_heads();
        self.altered = 0;
        self.holes_since = None;
        self.gone = Cursor::ZERO;
        self.sent.start_over();
        self.ahead = Ahead::default();
        self.reached_end = false;
        let mut changes = Vec::new();
        for (id, peer) in &mut self.state.peers {
            peer.chains.iter_mut().for_each(|chain| {
                chain.history_next = 0;
                chain.here = false;
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
        self.max_cursor = self.max_cursor.max(page.max_cursor);
        let dropped = page.oldest_cursor.prev().min(self.max_cursor);
        if dropped > self.state.progress.seen_cursor {
            self.truncated(dropped);
        }
        let mut stubs = None;
        let has_more = page.has_more;
        for entry in page.blobs {
            // An acknowledged push may have brought this device further meanwhile.
            if entry.cursor > self.state.progress.seen_cursor {
                if entry.payload.is_none() && entry.sender_id != self.me() {
                    stubs = Some(entry.cursor);
                }
                if let Err(error) = self.take_in(entry) {
                    self.store_progress();
                    return Err(error);
                }
            }
            if self.stopped.is_some() {
                // Removed: what comes after is not for this device.
                break;
            }
        }
        if !has_more && known > self.state.progress.seen_cursor {
            // The log ends before the newest cursor that the relay has named. Whatever was there is gone;
            // what comes after it is told by its own cursor.
            self.truncated(known);
            self.gone = self.gone.max(known);
            if self.max_cursor == known {
                self.max_cursor = self.state.progress.seen_cursor;
            }
        }
        if let Some(up_to) = stubs {
            self.truncated(up_to);
        }
        self.store_progress();
        Ok(())
    }

    /// A blob was stored just now, by another device.
    pub(super) fn notified(&mut self, notify: Notify) -> Result<(), EngineError> {
        let Notify { blob_id, cursor, sender_id, timestamp, payload, .. } = notify;
        is_within(cursor)?;
        self.max_cursor = self.max_cursor.max(cursor);
        let seen = self.state.progress.seen_cursor;
        let Some(payload) = payload else {
            return Ok(());
        };
        if cursor <= seen {
            let fold = Fold { cursor, blob_id, sender: sender_id, hash: blob::hash(&payload) };
            return self.is_as_before(&fold);
        }
        if cursor == seen.next() && !self.asked(|r| matches!(r, Request::Sync { .. })) {
            let payload = Some(payload);
            self.take_in(StoredBlob { blob_id, cursor, sender_id, payload, timestamp, hash: None })?;
            self.store_progress();
        }
        Ok(())
    }

    /// A blob of this device was stored: its hash, and its place in the chain with what the next one refers to. Whether
    /// it can be there.
    pub(super) fn saw_own(
        &mut self,
        cursor: Cursor,
        blob_id: BlobId,
        hash: BlobHash,
        tip: Option<&Tip>,
    ) -> bool {
        self.max_cursor = self.max_cursor.max(cursor);
        let fold = Fold { cursor, blob_id, sender: self.me(), hash };
        if cursor == self.state.progress.seen_cursor.next() {
            self.fold(fold);
            if let Some(tip) = tip {
                self.log_own(tip);
            }
            self.keep(cursor, None);
        } else if self.is_not_there(&fold) {
            let seq = tip.map_or(0, |tip| tip.seq);
            self.own_broken(cursor, Break::Missing { from: seq, to: seq.saturating_add(1) });
            return false;
        }
        true
    }

    /// A blob of this device is in the log, and everything before it was read.
    fn log_own(&mut self, tip: &Tip) {
        let generation = self.state.progress.generation;
        let chain = &mut self.state.chain;
        if chain.log(tip, generation) {
            let change = chain.change();
            self.store([change]);
        }
    }

    /// Takes in the next blob of the log.
    fn take_in(&mut self, entry: StoredBlob) -> Result<(), EngineError> {
        let hash = hash_of(&entry)?;
        let (cursor, blob_id, sender) = (entry.cursor, entry.blob_id, entry.sender_id);
        if cursor <= self.gone {
            // So that was not true, and what was told of it excuses nothing that is missing now.
            self.gone = Cursor::ZERO;
            self.delivered.truncated = self.state.progress.app_cursor;
        }
        if cursor != self.state.progress.seen_cursor.next() {
            // Between the last one and this one there was something.
            self.truncated(cursor.prev());
            self.may_have_passed(self.state.progress.seen_cursor);
        }
        self.fold(Fold { cursor, blob_id, sender, hash });
        let item = match &entry.payload {
            None => {
                if self.standing(&sender) != Standing::Unknown {
                    self.stubs.saw(sender, hash);
                }
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
            Some(payload) if self.is_ahead(payload) => {
                self.set_aside(entry);
                None
            }
            Some(payload) => self.learn(&entry, payload, hash),
        };
        if item.is_some() && !self.is_catching_up() {
            self.event(Event::BlobAvailable { cursor, blob_id, sender });
        }
        self.keep(cursor, item);
        self.miss_kept(Some((cursor, blob_id)));
        self.report_old_holes();
        Ok(())
    }

    /// An own blob comes back: it must be the one that was sent.
    fn saw_itself(&mut self, entry: &StoredBlob, payload: &[u8], hash: BlobHash) {
        let opened = self.open_blob(&entry.blob_id, &entry.sender_id, payload);
        if let Some((epoch, content)) = &opened {
            let link = link_hash(content, hash);
            if self.allowed(&entry.sender_id, *epoch, &content.place, &link, false).is_err() {
                return self.too_late(entry, content.place.seq);
            }
            let Place { chain_id, seq, .. } = content.place;
            self.log_own(&Tip { chain_id, seq, hash: link });
        }
        let opened = opened.map(|(_, content)| content);
        let seq = opened.as_ref().map_or(0, |content| content.place.seq);
        match (self.queued_hash(&entry.blob_id), self.saw_kept(entry.cursor, &entry.blob_id, &hash), opened) {
            (Some(queued), ..) if queued == hash => self.settle_front(&entry.blob_id, entry.cursor, true),
            (None, Some(Again::Same), _) => {}
            (None, Some(Again::Elsewhere), _) => self.own_broken(entry.cursor, Break::Repeated { seq }),
            (.., None) => self.refuse(entry, Refused::Unreadable),
            (None, Some(Again::Other), Some(_)) => self.own_broken(entry.cursor, Break::Altered { seq }),
            // It was pushed under this id before, by what this store was restored from.
            (Some(_), ..) => self.outbox.restart_due = true,
            // The log is ahead of this store: it was restored from a backup.
            (None, None, Some(Content { place, .. })) => {
                let chain = &self.state.chain;
                self.outbox.restart_due |= place.chain_id == chain.chain_id && place.seq >= chain.next_seq;
            }
        }
    }

    /// The relay has taken a blob of this device's after the epoch was over in which it is sealed: to the
    /// others it does not count.
    fn too_late(&mut self, entry: &StoredBlob, seq: u64) {
        self.own_broken(entry.cursor, Break::Missing { from: seq, to: seq.saturating_add(1) });
        // Its id is taken.
        self.outbox.restart_due |= self.queued_hash(&entry.blob_id).is_some();
        self.take_back_what_was_cut();
    }

    /// Something is wrong with this device's own blobs, as the relay shows them.
    pub(super) fn own_broken(&mut self, cursor: Cursor, how: Break) {
        self.event(Event::ChainBroken { sender: self.me(), cursor, how });
    }

    pub(super) fn refuse(&mut self, entry: &StoredBlob, why: Refused) {
        self.event(Event::BlobRefused { cursor: entry.cursor, sender: entry.sender_id, why });
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
        self.report_old_holes();
        let unread = self.state.progress.seen_cursor < self.max_cursor || self.pull_due;
        if unread || !self.may_ask() || self.asked(|r| matches!(r, Request::Sync { .. })) {
            return;
        }
        self.restore();
        if self.renew_session {
            return self.renew();
        }
        if self.rotation_is_lost() {
            return self.misbehaved();
        }
        self.miss_kept(None);
        let seen = Some(self.state.progress.seen_cursor);
        if self.reached_end && self.checked_end == seen && self.relay_epoch <= self.epoch() {
            return;
        }
        self.checked_end = seen;
        if self.relay_epoch > self.epoch() {
            if self.search_rotation() {
                return;
            }
            if self.relay_epoch > self.withheld {
                self.withheld = self.relay_epoch;
                self.event(Event::RotationWithheld { epoch: self.relay_epoch });
            }
            self.relay_epoch = self.epoch();
        }
        self.reached_end = true;
        self.tell_held();
        self.refuse_ahead();
        self.report_holes();
    }

    /// The app hears of the newest of those that waited, and count.
    fn tell_held(&mut self) {
        while let Some(Held { cursor, blob_id, sender, epoch, place, link }) = self.held.pop_back() {
            if self.allowed(&sender, epoch, &place, &link, false).is_ok() {
                self.held.clear();
                self.event(Event::BlobAvailable { cursor, blob_id, sender });
            }
        }
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

    /// Whether a blob is of a time that this device is not meant to read. Such may come again after a
    /// reset, but not once the log is past what the inviter had seen.
    fn is_locked(&self, entry: &StoredBlob, payload: &[u8]) -> bool {
        let first = self.state.group.as_ref().map_or(0, |group| group.first_readable());
        let late = self.state.progress.joined.is_some() && !self.is_history(entry.cursor);
        !late && blob::claimed_epoch(payload).is_ok_and(|epoch| epoch < first)
    }

    /// Learns from a member's blob; gives it back if it is new to the app.
    pub(super) fn learn(&mut self, entry: &StoredBlob, payload: &[u8], hash: BlobHash) -> Option<Opened> {
        let sender = entry.sender_id;
        let Some((epoch, content)) = self.open_blob(&entry.blob_id, &sender, payload) else {
            if !self.is_locked(entry, payload) {
                self.refuse(entry, Refused::Unreadable);
            }
            if blob::claimed_epoch(payload).is_ok_and(|epoch| epoch > self.epoch()) {
                self.may_have_passed(entry.cursor.prev());
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
        self.compare_heads(sender, entry.cursor, &content.place);
        let new = self.follow(entry, &content, hash);
        if let Some(control) = control {
            self.told(sender, epoch, control);
        }
        let item = (content.kind == Kind::Data && new).then(|| opened(entry, content.clone()));
        if item.is_some() && self.is_catching_up() {
            let (cursor, blob_id, place) = (entry.cursor, entry.blob_id, content.place);
            self.held.push_back(Held { cursor, blob_id, sender, epoch, place, link });
            if self.held.len() > MAX_HELD {
                self.held.pop_front();
            }
        }
        item
    }
}

/// A page starts after what was asked for, ascends, and says truly how far it reaches.
pub(super) fn check_order(page: &PullResponse, after: Cursor) -> Result<(), EngineError> {
    let starts = page.blobs.first().is_none_or(|first| first.cursor > after);
    let ascending = page.blobs.windows(2).all(|pair| pair[0].cursor < pair[1].cursor);
    let reach = page.blobs.last().map_or(after, |last| last.cursor) == page.max_cursor;
    let progresses = !(page.has_more && page.blobs.is_empty());
    // An app may ask for what comes after the last of all cursors.
    page.blobs.last().map_or(Ok(()), |last| is_within(last.cursor))?;
    if starts && ascending && reach && progresses { Ok(()) } else { Err(EngineError::RelayMisbehaved) }
}

/// Whether a log can have come so far: there is always a next cursor.
pub(super) fn is_within(cursor: Cursor) -> Result<(), EngineError> {
    if cursor < cursor.next() { Ok(()) } else { Err(EngineError::RelayMisbehaved) }
}

/// The hash of a blob, or of what has expired.
pub(super) fn hash_of(entry: &StoredBlob) -> Result<BlobHash, EngineError> {
    match (&entry.payload, entry.hash) {
        (Some(payload), None) => Ok(blob::hash(payload)),
        (None, Some(hash)) => Ok(hash),
        _ => Err(EngineError::RelayMisbehaved),
    }
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
