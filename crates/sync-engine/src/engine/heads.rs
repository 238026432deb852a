//! What this device was shown, and what others say that they were shown: two devices that hold different
//! heads for the same place of the same log were lied to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sync_e2ee::Seen;
use sync_e2ee::chain::next_head;
use sync_types::{BlobHash, BlobId, Cursor, DeviceId};

use super::Engine;
use crate::api::Event;
use crate::rows::{Change, HEADS_A_ROW, Head, HeadsRow};

/// Cursors whose heads are kept.
const KEPT: u64 = 4_096;

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
}

/// The heads that are kept, and what came since the last gap in the log.
#[derive(Debug, Default)]
pub(super) struct Heads {
    rows: BTreeMap<u64, HeadsRow>,
    /// Without a gap, while there is no head.
    since_gap: VecDeque<Fold>,
    /// Devices that have been found to see another log.
    accused: BTreeSet<DeviceId>,
}

impl Heads {
    pub(super) fn new(rows: BTreeMap<u64, HeadsRow>) -> Self {
        Self { rows, ..Self::default() }
    }

    fn at(&self, cursor: Cursor) -> Option<[u8; 32]> {
        let row = self.rows.get(&(cursor.get() / HEADS_A_ROW))?;
        row.0.iter().find(|head| head.cursor == cursor).map(|head| head.head)
    }

    /// Keeps a head; gives what is to be stored.
    fn keep(&mut self, cursor: Cursor, head: [u8; 32]) -> Vec<Change> {
        let number = cursor.get() / HEADS_A_ROW;
        let row = self.rows.entry(number).or_insert_with(|| HeadsRow(Vec::new()));
        row.0.push(Head { cursor, head });
        let mut changes = vec![row.change(number)];
        while let Some(oldest) = self.rows.first_entry().filter(|row| row.key() + KEPT / HEADS_A_ROW < number)
        {
            changes.push(HeadsRow::delete(*oldest.key()));
            oldest.remove();
        }
        changes
    }

    /// Forgets everything; gives what is to be stored.
    fn clear(&mut self) -> Vec<Change> {
        self.since_gap.clear();
        std::mem::take(&mut self.rows).into_keys().map(HeadsRow::delete).collect()
    }
}

impl Engine {
    /// Folds an entry of the log into the head.
    pub(super) fn fold(&mut self, fold: Fold) {
        let progress = &mut self.state.progress;
        let follows = fold.cursor == progress.seen_cursor.next();
        progress.head = progress.head.filter(|_| follows).map(|head| fold.onto(&head));
        match progress.head {
            Some(head) => {
                let changes = self.heads.keep(fold.cursor, head);
                self.store(changes);
            }
            None => {
                if !follows {
                    self.heads.since_gap.clear();
                }
                self.heads.since_gap.push_back(fold);
                if self.heads.since_gap.len() as u64 > KEPT {
                    self.heads.since_gap.pop_front();
                }
            }
        }
        self.delivered.saw(fold.cursor, fold.blob_id);
        self.arrive(fold.cursor);
    }

    /// There is a gap in the log: what was shown before it says nothing of what comes now.
    pub(super) fn lose_head(&mut self) {
        self.state.progress.head = None;
        self.heads.since_gap.clear();
    }

    /// The log starts over.
    pub(super) fn forget_heads(&mut self) {
        let changes = self.heads.clear();
        self.store(changes);
    }

    /// What the sender of the blob at `cursor` says that it has seen.
    pub(super) fn compare_heads(&mut self, witness: DeviceId, cursor: Cursor, seen: Option<&Seen>) {
        let Some(seen) = seen.filter(|seen| seen.store_id == self.state.progress.store_id) else {
            return;
        };
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
        let Some(joined) = self.state.progress.joined.clone().filter(|joined| joined.seen.cursor <= cursor)
        else {
            return;
        };
        match self.heads.at(joined.seen.cursor) {
            Some(ours) if ours != joined.seen.head => self.accuse(joined.by, joined.seen.cursor),
            Some(_) => {}
            None => self.take_checkpoint(joined.seen.cursor, joined.seen.head),
        }
        if joined.seen.cursor < cursor {
            self.state.progress.joined = None;
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
        let mut changes = self.heads.keep(cursor, head);
        for fold in std::mem::take(&mut self.heads.since_gap).iter().filter(|fold| fold.cursor > cursor) {
            head = fold.onto(&head);
            changes.extend(self.heads.keep(fold.cursor, head));
        }
        self.state.progress.head = Some(head);
        self.store(changes);
    }

    /// Says so once for each witness.
    pub(super) fn accuse(&mut self, witness: DeviceId, cursor: Cursor) {
        if self.heads.accused.insert(witness) {
            self.event(Event::Forked { witness, cursor });
        }
    }
}
