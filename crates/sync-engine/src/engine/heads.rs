//! What this device was shown, and what others say that they were shown: two devices that hold different
//! heads for the same place of the same log were lied to.

use std::collections::VecDeque;

use litemap::LiteMap;
use sync_e2ee::chain::next_head;
use sync_e2ee::{Place, Seen};
use sync_types::{BlobHash, BlobId, Cursor, DeviceId, PullResponse, StoredBlob};

use super::Engine;
use super::intake::{check_order, hash_of};
use crate::api::Event;
use crate::error::EngineError;
use crate::rows::{Change, HEADS_A_ROW, Head, HeadsRow, PeerChain};

/// Cursors whose heads are kept in any case, and those that wait for the app at most.
const KEPT: u64 = 4_096;
const MAX_KEPT: u64 = 65_536;
/// As often something else may be shown at a known cursor; then the log is another one.
pub(super) const MAX_ALTERED: u32 = 3;

/// One entry of the log, as far as a head depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fold {
    pub(super) cursor: Cursor,
    pub(super) blob_id: BlobId,
    pub(super) sender: DeviceId,
    pub(super) hash: BlobHash,
}

impl Fold {
    fn onto(&self, head: &[u8; 32]) -> [u8; 32] {
        next_head(head, self.cursor, &self.blob_id, &self.sender, &self.hash)
    }

    /// Names what is folded in, wherever it lies.
    fn entry(&self) -> [u8; 16] {
        let mut entry = [0; 16];
        entry.copy_from_slice(&self.onto(&[0; 32])[..16]);
        entry
    }
}

/// The heads that are kept, and what came since the last gap in the log.
#[derive(Debug, Default)]
pub(super) struct Heads {
    rows: LiteMap<u64, HeadsRow>,
    /// Without a gap, while there is no head.
    since_gap: VecDeque<Fold>,
    /// Devices that have been found to see another log.
    accused: LiteMap<DeviceId, ()>,
}

impl Heads {
    pub(super) fn new(rows: LiteMap<u64, HeadsRow>) -> Self {
        Self { rows, ..Self::default() }
    }

    fn find(&self, cursor: Cursor) -> Option<&Head> {
        let row = self.rows.get(&(cursor.get() / HEADS_A_ROW))?;
        row.0.iter().find(|head| head.cursor == cursor)
    }

    fn at(&self, cursor: Cursor) -> Option<[u8; 32]> {
        self.find(cursor)?.head
    }

    /// Keeps what lies at a cursor, and the head there; gives what is to be stored. What came after `read`
    /// is kept longer.
    fn keep(&mut self, fold: &Fold, head: Option<[u8; 32]>, read: Cursor) -> Vec<Change> {
        let number = fold.cursor.get() / HEADS_A_ROW;
        let row = self.rows.entry(number).or_insert_with(|| HeadsRow(Vec::new()));
        row.0.push(Head { cursor: fold.cursor, entry: fold.entry(), hidden: false, head });
        let mut changes = vec![row.change(number)];
        let read = read.get() / HEADS_A_ROW;
        while let Some((&oldest, _)) = self.rows.first() {
            let age = number.saturating_sub(oldest) * HEADS_A_ROW;
            if age <= KEPT || (oldest >= read && age <= MAX_KEPT) {
                break;
            }
            changes.push(HeadsRow::delete(oldest));
            self.rows.remove(&oldest);
        }
        changes
    }

    /// The head at a cursor has become known.
    fn set(&mut self, cursor: Cursor, head: [u8; 32]) -> Option<Change> {
        let number = cursor.get() / HEADS_A_ROW;
        let row = self.rows.get_mut(&number)?;
        row.0.iter_mut().find(|known| known.cursor == cursor)?.head = Some(head);
        Some(row.change(number))
    }

    /// What lies at a cursor is not for the app.
    fn hide(&mut self, cursor: Cursor) -> Option<Change> {
        let number = cursor.get() / HEADS_A_ROW;
        let row = self.rows.get_mut(&number)?;
        row.0.iter_mut().find(|known| known.cursor == cursor)?.hidden = true;
        Some(row.change(number))
    }

    /// Cursors after the first and up to the second at which something was shown.
    fn shown(&self, after: Cursor, up_to: Cursor) -> impl Iterator<Item = Cursor> {
        let row = |cursor: Cursor| cursor.get() / HEADS_A_ROW;
        let (first, last) = (row(after.min(up_to)), row(up_to));
        let rows = self.rows.iter().skip_while(move |(number, _)| **number < first);
        let rows = rows.take_while(move |(number, _)| **number <= last);
        let cursors = rows.flat_map(|(_, row)| row.0.iter().map(|head| head.cursor));
        cursors.filter(move |cursor| *cursor > after && *cursor <= up_to)
    }

    /// Whether it is known what was shown at a cursor.
    fn reaches(&self, cursor: Cursor) -> bool {
        let first = self.rows.first().and_then(|(_, row)| row.0.first());
        first.is_some_and(|first| first.cursor <= cursor)
    }

    /// Forgets everything; gives what is to be stored.
    fn clear(&mut self) -> Vec<Change> {
        self.since_gap.clear();
        self.accused.clear();
        std::mem::take(&mut self.rows).into_iter().map(|(number, _)| HeadsRow::delete(number)).collect()
    }
}

impl Engine {
    /// Folds an entry of the log into the head.
    pub(super) fn fold(&mut self, fold: Fold) {
        let progress = &mut self.state.progress;
        let follows = fold.cursor == progress.seen_cursor.next();
        progress.head = progress.head.filter(|_| follows).map(|head| fold.onto(&head));
        let changes = self.heads.keep(&fold, progress.head, progress.app_cursor);
        if progress.head.is_none() {
            if !follows {
                self.heads.since_gap.clear();
            }
            self.heads.since_gap.push_back(fold);
            if self.heads.since_gap.len() as u64 > KEPT {
                self.heads.since_gap.pop_front();
            }
        }
        self.store(changes);
        self.delivered.saw(fold.cursor, fold.blob_id);
        self.arrive(fold.cursor);
    }

    /// What lies at a cursor has no place in its sender's chain.
    pub(super) fn hide(&mut self, cursor: Cursor) {
        let change = self.heads.hide(cursor);
        self.store(change);
    }

    /// Whether what lies at a cursor was found to have no place in its sender's chain, or nothing was shown
    /// there when the log was read: that was told, and what turns up later is compared with nothing.
    pub(super) fn is_hidden(&self, cursor: Cursor) -> bool {
        match self.heads.find(cursor) {
            Some(shown) => shown.hidden,
            None => cursor <= self.state.progress.seen_cursor && self.heads.reaches(cursor),
        }
    }

    /// Whether the log was read past its cursor and this was not shown there.
    pub(super) fn is_not_there(&self, fold: &Fold) -> bool {
        let shown = self.heads.find(fold.cursor).is_some_and(|shown| shown.entry == fold.entry());
        fold.cursor <= self.state.progress.seen_cursor && !shown
    }

    /// Whether something else was shown than this.
    pub(super) fn differs(&self, fold: &Fold) -> bool {
        self.heads.find(fold.cursor).is_some_and(|shown| shown.entry != fold.entry())
    }

    /// Refuses what is another thing than was shown before at its cursor.
    pub(super) fn is_as_before(&mut self, fold: &Fold) -> Result<(), EngineError> {
        if !self.differs(fold) {
            return Ok(());
        }
        self.altered += 1;
        Err(EngineError::RelayMisbehaved)
    }

    /// Whether a page after `after` holds what was shown before, up to what was `seen` then. What is gone
    /// without having reached the app is told.
    pub(super) fn compare_again(
        &mut self,
        page: &PullResponse,
        after: Cursor,
        seen: Cursor,
    ) -> Result<(), EngineError> {
        check_order(page, after)?;
        let me = self.me();
        let mut gone = Cursor::ZERO;
        for entry in page.blobs.iter().filter(|entry| entry.cursor <= seen) {
            let hash = hash_of(entry)?;
            let StoredBlob { blob_id, cursor, sender_id: sender, .. } = *entry;
            let fold = Fold { cursor, blob_id, sender, hash };
            self.is_as_before(&fold)?;
            if entry.payload.is_none() && sender != me {
                gone = cursor;
            }
        }
        let read = self.state.progress.app_cursor;
        let up_to = if page.has_more { page.max_cursor.min(seen) } else { seen };
        let from = after.max(read);
        // A page ascends.
        let is_there =
            |cursor: &Cursor| page.blobs.binary_search_by_key(cursor, |entry| entry.cursor).is_ok();
        let missing = self.heads.shown(from, up_to).filter(|cursor| !is_there(cursor)).max();
        let dropped = page.oldest_cursor.prev().min(seen);
        let dropped = if dropped > from { dropped } else { Cursor::ZERO };
        let gone = missing.unwrap_or_default().max(gone).max(dropped);
        if gone > read {
            self.truncated(gone);
        }
        Ok(())
    }

    /// The log starts over.
    pub(super) fn forget_heads(&mut self) {
        let changes = self.heads.clear();
        self.store(changes);
    }

    /// What the sender of a blob says that it has seen.
    pub(super) fn compare_heads(&mut self, witness: DeviceId, cursor: Cursor, place: &Place) {
        let Some(seen) = &place.seen else {
            return;
        };
        if seen.store_id != self.state.progress.store_id {
            // From before the log started over, unless its sender has seen it start over already.
            let chains = self.state.peers.get(&witness).map_or(&[][..], |peer| &peer.chains);
            let here = |chain: &PeerChain| {
                chain.here && chain.chain_id == place.chain_id && chain.seen_next <= place.seq
            };
            if chains.iter().any(here) {
                self.accuse(witness, cursor.prev());
            }
            return;
        }
        let ours = self.heads.at(seen.cursor);
        // Nobody has seen what came after the own blob.
        if seen.cursor >= cursor || ours.is_some_and(|ours| ours != seen.head) {
            self.accuse(witness, seen.cursor);
        } else if self.state.progress.head.is_none() {
            self.take_checkpoint(seen.cursor, seen.head);
        }
    }

    /// The inviter's place in the log is reached: both must have seen the same up to there.
    fn arrive(&mut self, cursor: Cursor) {
        let before = self.state.progress.seen_cursor;
        let here = |seen: &Seen| before < seen.cursor && seen.cursor <= cursor;
        let Some(joined) = self.state.progress.joined.clone().filter(|joined| here(&joined.seen)) else {
            return;
        };
        match self.heads.at(joined.seen.cursor) {
            Some(ours) if ours != joined.seen.head => self.accuse(joined.by, joined.seen.cursor),
            Some(_) => {}
            None => self.take_checkpoint(joined.seen.cursor, joined.seen.head),
        }
    }

    /// After a gap, somebody else's head is believed, and what came since is folded onto it.
    fn take_checkpoint(&mut self, cursor: Cursor, head: [u8; 32]) {
        let since = &self.heads.since_gap;
        let reaches = since.front().is_some_and(|first| first.cursor <= cursor.next())
            && since.back().is_some_and(|last| last.cursor >= cursor);
        if !reaches {
            return;
        }
        let mut head = head;
        let mut changes: Vec<_> = self.heads.set(cursor, head).into_iter().collect();
        for fold in std::mem::take(&mut self.heads.since_gap).iter().filter(|fold| fold.cursor > cursor) {
            head = fold.onto(&head);
            changes.extend(self.heads.set(fold.cursor, head));
        }
        self.state.progress.head = Some(head);
        self.store(changes);
    }

    /// Says so once for each witness.
    pub(super) fn accuse(&mut self, witness: DeviceId, cursor: Cursor) {
        if self.heads.accused.insert(witness, ()).is_none() {
            self.event(Event::Forked { witness, cursor });
        }
    }
}
