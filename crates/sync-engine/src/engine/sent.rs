//! What the relay has acknowledged is kept until every other device has it: should the relay lose it, it
//! is pushed again, the same bytes under the same id.

use std::collections::VecDeque;
use std::time::Duration;

use sync_e2ee::blob;
use sync_e2ee::chain::link_hash;
use sync_types::{BlobHash, BlobId, Cursor, Message, Rotate, UnixMs};

use super::Engine;
use super::chains::is_over;
use super::request::Request;
use crate::api::{Break, CommandId, Event, Reply};
use crate::rows::{OutboxRow, Restore, SentRow};

/// Sealed bytes that are kept by default.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Blobs that are kept at most.
const MAX_ROWS: usize = 4_096;
/// A relay that loses its store more often makes nobody push anything again without being asked.
const RESTORE_PAUSE: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) position: u64,
    pub(super) row: OutboxRow,
    sent: SentRow,
}

/// Acknowledged blobs of this device, oldest first.
#[derive(Debug)]
pub(super) struct Sent {
    rows: VecDeque<Kept>,
    bytes: usize,
    max_bytes: usize,
    /// Those that were not yet read in the log, by where they should be.
    unseen: VecDeque<Unseen>,
}

/// An acknowledged blob that was not yet read in the log. It may not be kept any more.
#[derive(Debug)]
struct Unseen {
    cursor: Cursor,
    position: u64,
    blob_id: BlobId,
    seq: u64,
    expires: UnixMs,
}

impl Sent {
    /// What is stored, when the log was read up to `seen`.
    pub(super) fn new(
        stored: impl IntoIterator<Item = (u64, OutboxRow, SentRow)>,
        generation: u32,
        seen: Cursor,
    ) -> Self {
        let rows: VecDeque<_> =
            stored.into_iter().map(|(position, row, sent)| Kept { position, row, sent }).collect();
        let bytes = rows.iter().map(|kept| kept.row.payload.len()).sum();
        let ahead = |kept: &&Kept| kept.sent.generation == generation && kept.sent.cursor > seen;
        let ahead: Vec<_> = rows.iter().filter(ahead).map(Unseen::of).collect();
        let mut sent = Self { rows, bytes, max_bytes: MAX_BYTES, unseen: VecDeque::new() };
        ahead.into_iter().for_each(|unseen| sent.watch(unseen));
        sent
    }

    /// A blob should be seen at its cursor.
    fn watch(&mut self, unseen: Unseen) {
        let place = (unseen.cursor, unseen.position);
        let at = self.unseen.partition_point(|before| (before.cursor, before.position) < place);
        if self.unseen.get(at).is_none_or(|there| (there.cursor, there.position) != place) {
            self.unseen.insert(at, unseen);
        }
    }

    /// The log starts over.
    pub(super) fn start_over(&mut self) {
        self.unseen.clear();
    }

    pub(super) fn last_position(&self) -> Option<u64> {
        self.rows.back().map(|kept| kept.position)
    }

    fn pop(&mut self, index: usize) -> Option<Kept> {
        let kept = self.rows.remove(index)?;
        self.bytes -= kept.row.payload.len();
        Some(kept)
    }
}

impl Unseen {
    fn of(kept: &Kept) -> Self {
        let Kept { position, row, sent } = kept;
        let (cursor, expires) = (sent.cursor, sent.expires);
        Self { cursor, position: *position, blob_id: row.blob_id, seq: row.seq, expires }
    }
}

/// What an own blob in the log is to the one that is kept under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The same, where it was acknowledged.
    Same,
    /// The same, at another cursor.
    Elsewhere,
    /// Another one.
    Other,
}

impl Engine {
    /// How many sealed bytes to keep of what the relay has acknowledged, in case it loses them. 0: none;
    /// the default is 8 MiB. They are in memory, too.
    pub fn keep_sent(&mut self, max_bytes: usize) {
        self.sent.max_bytes = max_bytes;
    }

    /// Keeps what the relay has just acknowledged; the outbox's row stays where it is.
    /// If it is not there, it is one of those that the log lacks, should that start over.
    pub(super) fn keep_acked(
        &mut self,
        position: u64,
        row: OutboxRow,
        cursor: Cursor,
        is_there: bool,
        expires: UnixMs,
    ) {
        let generation = if is_there { self.state.progress.generation } else { SentRow::NOWHERE };
        let sent = SentRow { cursor, generation, expires };
        self.store([sent.change(position)]);
        self.sent.bytes += row.payload.len();
        let kept = Kept { position, row, sent };
        if cursor > self.state.progress.seen_cursor {
            self.sent.watch(Unseen::of(&kept));
        }
        self.sent.rows.push_back(kept);
        while self.sent.bytes > self.sent.max_bytes || self.sent.rows.len() > MAX_ROWS {
            if !self.drop_sent(0) {
                break;
            }
        }
    }

    fn drop_sent(&mut self, index: usize) -> bool {
        let Some(kept) = self.sent.pop(index) else {
            return false;
        };
        self.store([OutboxRow::delete(kept.position), SentRow::delete(kept.position)]);
        true
    }

    /// Every other device has everything up to this cursor.
    pub(super) fn forget_sent(&mut self, by_all: Cursor) {
        let (generation, now) = (self.state.progress.generation, self.now.unix);
        // Nobody can have what this device has not found in the log itself.
        let by_all = by_all.min(self.state.progress.seen_cursor);
        let is_over = |kept: &Kept| {
            let had = kept.sent.generation == generation && kept.sent.cursor <= by_all;
            had || (kept.sent.expires.0 != 0 && kept.sent.expires <= now)
        };
        while let Some(index) = self.sent.rows.iter().position(is_over) {
            self.drop_sent(index);
        }
    }

    /// An own blob is in the log; what it is to the one that is kept under its id.
    pub(super) fn saw_kept(&mut self, cursor: Cursor, blob_id: &BlobId, hash: &BlobHash) -> Option<Again> {
        let generation = self.state.progress.generation;
        let kept = self.sent.rows.iter_mut().find(|kept| kept.row.blob_id == *blob_id)?;
        if blob::hash(&kept.row.payload) != *hash {
            return Some(Again::Other);
        }
        if kept.sent.generation == generation {
            return Some(if kept.sent.cursor == cursor { Again::Same } else { Again::Elsewhere });
        }
        (kept.sent.cursor, kept.sent.generation) = (cursor, generation);
        let change = kept.sent.change(kept.position);
        self.store([change]);
        Some(Again::Same)
    }

    /// The log was read up to a blob, or to its end: what the relay has acknowledged for a place before
    /// that, or for another blob's, is not there.
    pub(super) fn miss_kept(&mut self, up_to: Option<(Cursor, BlobId)>) {
        let now = self.now.unix;
        while let Some(unseen) =
            self.sent.unseen.pop_front_if(|unseen| up_to.is_none_or(|(end, _)| unseen.cursor <= end))
        {
            let Unseen { cursor, position, blob_id, seq, expires } = unseen;
            let found = up_to.filter(|(at, _)| *at == cursor).map(|(_, id)| id);
            // What expired leaves its place empty.
            if found == Some(blob_id) || (found.is_none() && is_over(expires, now)) {
                continue;
            }
            if let Some(kept) = self.sent.rows.iter_mut().find(|kept| kept.position == position) {
                // Should the log start over, it is one of those that it lacks.
                kept.sent.generation = SentRow::NOWHERE;
                let change = kept.sent.change(position);
                self.store([change]);
            }
            self.own_broken(cursor, Break::Missing { from: seq, to: seq.saturating_add(1) });
        }
    }

    /// The relay has lost its log.
    pub(super) fn relay_reset(&mut self) {
        let progress = &mut self.state.progress;
        let before = progress.restored_at;
        let again = before.0 != 0 && self.now.unix < before.plus(RESTORE_PAUSE);
        progress.restore = if again { Restore::Asks } else { Restore::Due };
        self.event(Event::RelayReset);
        if again {
            self.event(Event::RestoreWaits);
        }
    }

    /// The app agrees that what the relay has lost is pushed again.
    pub(super) fn agree_to_restore(&mut self, id: CommandId) {
        if self.state.progress.restore == Restore::Asks {
            self.state.progress.restore = Restore::Due;
            self.store_progress();
        }
        self.reply_when_stored(id, Reply::Done);
    }

    /// Whether a blob of this device counts as it is sealed: an epoch may have ended before it came back.
    fn still_counts(&self, row: &OutboxRow) -> bool {
        self.open_blob(&row.blob_id, &self.me(), &row.payload).is_some_and(|(epoch, content)| {
            let link = link_hash(&content, blob::hash(&row.payload));
            self.allowed(&self.me(), epoch, &content.place, &link, false).is_ok()
        })
    }

    /// An epoch has ended: what the others have seen of it goes out as it was, should the relay have lost
    /// it, and the rest is sealed again, for the new one.
    pub(super) fn fix_what_counts(&mut self) {
        let has_ended = |row: &OutboxRow| {
            blob::claimed_epoch(&row.payload).is_ok_and(|sealed| self.state.cuts.contains_key(&sealed))
        };
        let counts = |row: &OutboxRow| (row.fixed || has_ended(row)) && self.still_counts(row);
        let fixed: Vec<_> = self.outbox.rows().map(counts).collect();
        let cut = self.outbox.rows().zip(&fixed).any(|(row, fixed)| row.fixed && !fixed);
        self.outbox.reseal_due |= cut;
        self.outbox.fix(&fixed);
    }

    /// What the relay has taken and the others do not count goes out once more, under another id.
    pub(super) fn take_back_what_was_cut(&mut self) {
        while let Some(index) = self.sent.rows.iter().position(|kept| !self.still_counts(&kept.row)) {
            let expires = self.sent.rows.get(index).map_or(UnixMs(0), |kept| kept.sent.expires);
            if expires.0 != 0 && expires <= self.now.unix {
                self.drop_sent(index);
            } else if let Some(mut kept) = self.sent.pop(index) {
                // It may have come back as it was once before, to a log that had not ended the epoch yet.
                kept.row.fixed = false;
                self.store([SentRow::delete(kept.position), kept.row.change(kept.position)]);
                self.outbox.put_back(vec![kept]);
                self.outbox.restart_due = true;
            }
        }
    }

    /// The new log is read to its end: what it lacks of this device's goes into the outbox again.
    pub(super) fn restore(&mut self) {
        if self.state.progress.restore != Restore::Due {
            return;
        }
        self.state.progress.restore = Restore::No;
        self.state.progress.restored_at = self.now.unix.max(UnixMs(1));
        self.store_progress();
        let (generation, now) = (self.state.progress.generation, self.now.unix);
        let mut lost = Vec::new();
        while let Some(index) = self.sent.rows.iter().position(|kept| kept.sent.generation != generation) {
            let expired = |kept: &Kept| kept.sent.expires.0 != 0 && kept.sent.expires <= now;
            if self.sent.rows.get(index).is_some_and(expired) {
                self.drop_sent(index);
            } else if let Some(mut kept) = self.sent.pop(index) {
                kept.row.fixed = self.still_counts(&kept.row);
                self.outbox.reseal_due |= !kept.row.fixed;
                self.store([SentRow::delete(kept.position), kept.row.change(kept.position)]);
                lost.push(kept);
            }
        }
        self.outbox.put_back(lost);
        if let Some(row) = &self.state.rotation {
            let (blob_id, payload) = (row.blob_id, row.payload.clone());
            let after = self.state.progress.seen_cursor;
            self.send_request(Message::Rotate(Rotate { blob_id, after, payload }), Request::Resend);
        }
        self.announce();
    }
}
