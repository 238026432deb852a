//! Pushes: sealed once, stored, and sent until the relay has acknowledged them.

use std::collections::VecDeque;
use std::time::Duration;

use sync_e2ee::chain::link_hash;
use sync_e2ee::{BlobContext, Content, Kind, MAX_TIPS, Place, SealError, SealOptions, Seen, Tip, blob};
use sync_types::limits::{MAX_BATCH, SEAL_OVERHEAD};
use sync_types::{
    BlobHash, BlobId, ChainId, Cursor, Epoch, ErrorBody, ErrorCode, Message, Push, PushAck, PushBatch,
    PushBatchAck, UnixMs,
};

use super::intake::is_within;
use super::request::Request;
use super::sent::Kept;
use super::{Engine, Then, new_chain};
use crate::api::{Break, CommandId, Event, Reply};
use crate::error::EngineError;
use crate::rows::{ChainRow, OutboxRow, Restore, Tips};
use crate::timer::Timer;

/// Sealed bytes that may wait.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Blobs that may wait.
const MAX_ROWS: usize = 100_000;
/// How long to wait when the relay is full and does not say for how long.
const FULL_PAUSE: Duration = Duration::from_secs(30);
/// The longest that a relay can make a client wait.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Sealed bytes of one message, unless a single blob is larger: a slow line must get one through
/// between two signs of life.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// The same when it cannot serve, or the request has to wait for its turn.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Waiting {
    position: u64,
    row: OutboxRow,
    durable: bool,
}

/// What the relay has not acknowledged, oldest first.
#[derive(Debug)]
pub(super) struct Outbox {
    rows: VecDeque<Waiting>,
    bytes: usize,
    next_position: u64,
    /// Those from the front that were sent and not answered.
    in_flight: Vec<BlobId>,
    /// How many from the front to send one by one, since their batch was refused.
    singly: usize,
    /// They are sealed for an epoch that is over: to be sealed again before they are sent.
    pub(super) reseal_due: bool,
    /// The relay's log continues this device's chain in another way: to go on with a new chain.
    pub(super) restart_due: bool,
    /// That was done, and nothing has been acknowledged since.
    restarted: bool,
}

impl Outbox {
    /// What is stored; positions go on behind `last`.
    pub(super) fn new(stored: VecDeque<(u64, OutboxRow)>, last: Option<u64>, epoch: Epoch) -> Self {
        let last = stored.back().map(|(position, _)| *position).max(last);
        let bytes = stored.iter().map(|(_, row)| row.payload.len()).sum();
        let is_old = |row: &OutboxRow| blob::claimed_epoch(&row.payload).is_ok_and(|sealed| sealed < epoch);
        let reseal_due = stored.iter().any(|(_, row)| is_old(row) && !row.fixed);
        let rows =
            stored.into_iter().map(|(position, row)| Waiting { position, row, durable: true }).collect();
        Self {
            rows,
            bytes,
            next_position: last.map_or(0, |last| last + 1),
            in_flight: Vec::new(),
            singly: 0,
            reseal_due,
            restart_due: false,
            restarted: false,
        }
    }

    /// What waits, oldest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &OutboxRow> {
        self.rows.iter().map(|waiting| &waiting.row)
    }

    /// Says of each that waits whether it has to go out as it is sealed.
    pub(super) fn fix(&mut self, fixed: &[bool]) {
        for (waiting, fixed) in self.rows.iter_mut().zip(fixed) {
            waiting.row.fixed = *fixed;
        }
    }

    /// What was sent once is to be sent again, before everything that came later.
    pub(super) fn put_back(&mut self, lost: Vec<Kept>) {
        for Kept { position, row, .. } in lost {
            self.bytes += row.payload.len();
            let index = self.rows.partition_point(|waiting| waiting.position < position);
            self.rows.insert(index, Waiting { position, row, durable: true });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Sealed bytes that were sent and not answered.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.rows.iter().take(self.in_flight.len()).map(|waiting| waiting.row.payload.len()).sum()
    }

    pub(super) fn durable(&mut self, position: u64) {
        if let Ok(index) = self.rows.binary_search_by_key(&position, |waiting| waiting.position) {
            self.rows[index].durable = true;
        }
    }

    /// Forgets what was sent: the connection is gone, and nobody knows what arrived.
    pub(super) fn connection_lost(&mut self) {
        self.in_flight.clear();
    }

    fn front_is(&self, blob_id: &BlobId) -> bool {
        self.rows.front().is_some_and(|front| front.row.blob_id == *blob_id)
    }

    fn with_token(&self, token: &[u8; 16]) -> Option<BlobId> {
        let waiting = self.rows.iter().find(|waiting| waiting.row.token.as_ref() == Some(token))?;
        Some(waiting.row.blob_id)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.rows.len() < MAX_ROWS && self.bytes + bytes <= MAX_BYTES
    }

    fn add(&mut self, row: OutboxRow) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        self.bytes += row.payload.len();
        self.rows.push_back(Waiting { position, row, durable: false });
        position
    }

    fn remove_front(&mut self) -> Option<Waiting> {
        let removed = self.rows.pop_front()?;
        self.bytes -= removed.row.payload.len();
        self.singly = self.singly.saturating_sub(1);
        Some(removed)
    }

    /// What to send next: as many as fit one message, unless something is under way.
    fn next_batch(&mut self) -> Vec<Push> {
        if !self.in_flight.is_empty() {
            return Vec::new();
        }
        let max = if self.singly > 0 { 1 } else { MAX_BATCH };
        let mut bytes = 0;
        let mut batch = Vec::new();
        for waiting in self.rows.iter().take(max).take_while(|w| w.durable) {
            bytes += waiting.row.payload.len() + 32;
            if !batch.is_empty() && bytes > MAX_BATCH_BYTES {
                break;
            }
            let OutboxRow { blob_id, payload, ttl, .. } = &waiting.row;
            batch.push(Push { blob_id: *blob_id, payload: payload.clone(), ttl: *ttl });
        }
        self.in_flight = batch.iter().map(|push| push.blob_id).collect();
        batch
    }
}

impl Engine {
    /// Seals the app's data, and stores it before it leaves.
    pub(super) fn push(
        &mut self,
        id: CommandId,
        data: &[u8],
        ttl: Option<u32>,
        token: Option<[u8; 16]>,
    ) -> Result<(), EngineError> {
        if let Some(blob_id) = token.and_then(|token| self.outbox.with_token(&token)) {
            self.reply_when_stored(id, Reply::Queued(blob_id));
            return Ok(());
        }
        let max = self.max_app_data();
        if data.len() > max {
            return Err(EngineError::TooLarge { max });
        }
        if !self.outbox.has_room(data.len() + SEAL_OVERHEAD) {
            return Err(EngineError::OutboxFull);
        }
        self.ensure_group()?;
        let blob_id = self.enqueue(Kind::Data, data.to_vec(), ttl, token)?;
        self.reply_when_stored(id, Reply::Queued(blob_id));
        Ok(())
    }

    /// Largest app data in one blob, in bytes.
    fn max_app_data(&self) -> usize {
        (self.state.relay.max_blob as usize).saturating_sub(SEAL_OVERHEAD)
    }

    /// Seals a blob at the end of this device's chain and puts it last in the outbox.
    pub(super) fn enqueue(
        &mut self,
        kind: Kind,
        body: Vec<u8>,
        ttl: Option<u32>,
        token: Option<[u8; 16]>,
    ) -> Result<BlobId, EngineError> {
        let blob_id = self.state.chain.take_blob_id();
        let chain = &self.state.chain;
        let place = Place {
            chain_id: chain.chain_id,
            seq: chain.next_seq,
            prev: chain.prev,
            prev_expires: chain.prev_expires,
            seen: self.seen(),
        };
        let payload = self.seal(blob_id, Content { kind, place, body })?;

        let expires = self.expiry(ttl);
        let chain = &mut self.state.chain;
        let (chain_id, seq) = (chain.chain_id, chain.next_seq);
        chain.next_seq += 1;
        chain.prev = blob::hash(&payload);
        chain.prev_expires = expires;
        let chain_change = chain.change();
        let row = OutboxRow { blob_id, payload, ttl, chain_id, seq, void: false, token, fixed: false };
        let position = self.outbox.add(row.clone());
        self.store([row.change(position), chain_change]);
        self.then(Then::Send(position));
        Ok(blob_id)
    }

    /// How far this device has seen the log.
    pub(super) fn seen(&self) -> Option<Seen> {
        let progress = &self.state.progress;
        let head = progress.head?;
        Some(Seen { store_id: progress.store_id, cursor: progress.seen_cursor, head })
    }

    fn seal(&mut self, blob_id: BlobId, content: Content) -> Result<Vec<u8>, EngineError> {
        let group = self.state.group.as_ref().ok_or(EngineError::NoGroup)?;
        let epoch = group.key_log.epoch();
        let context = BlobContext { group_id: group.group_id, epoch, sender: self.me(), blob_id };
        let keys = self.keys.get(&epoch).ok_or(EngineError::NoGroup)?;
        let options = SealOptions { max_blob: self.state.relay.max_blob as usize, compress: true };
        blob::seal(keys, &context, &content, &options, &mut self.rng)
            .map_err(|_: SealError| EngineError::TooLarge { max: self.max_app_data() })
    }

    /// Until when the relay keeps what is pushed now: never later than it really does, since the relay
    /// counts from when it stores.
    fn expiry(&self, ttl: Option<u32>) -> UnixMs {
        match ttl.or(self.state.relay.default_ttl) {
            Some(0) => UnixMs(0),
            Some(seconds) => self.now.unix.plus(Duration::from_secs(u64::from(seconds))),
            // The relay's default is not known yet, so nothing can be claimed.
            None => self.now.unix.max(UnixMs(1)),
        }
    }

    /// Sends what is next in the outbox.
    pub(super) fn send_outbox(&mut self) {
        // What a relay has lost comes before what is new, in the order in which it was pushed.
        let restores = self.state.progress.restore != Restore::No;
        if self.timers.is_set(Timer::PushPause) || self.renew_session || restores {
            return;
        }
        // What was sealed when the relay took more would only end the connection.
        let too_large = |engine: &Self| {
            let front = engine.outbox.rows.front();
            let front = front.filter(|front| front.durable && !front.row.void && !front.row.fixed);
            front.is_some_and(|front| front.row.payload.len() > engine.state.relay.max_blob as usize)
        };
        if self.outbox.in_flight.is_empty() {
            if self.outbox.restart_due {
                self.restart_chain();
            } else if self.outbox.reseal_due {
                self.reseal();
            }
            while too_large(self) {
                self.give_up_front(ErrorCode::BlobTooLarge);
            }
        }
        let mut batch = self.outbox.next_batch();
        let request = Request::Push;
        match batch.len() {
            0 => {}
            1 => self.send_request(Message::Push(batch.remove(0)), request),
            _ => self.send_request(Message::PushBatch(PushBatch { blobs: batch }), request),
        }
    }

    /// PUSH_ACK for the one blob that was sent.
    pub(super) fn push_acked(&mut self, ack: &PushAck) -> Result<(), EngineError> {
        self.pushes_acked(&[(ack.blob_id, ack.cursor)])
    }

    /// PUSH_BATCH_ACK for the blobs that were sent.
    pub(super) fn batch_acked(&mut self, ack: &PushBatchAck) -> Result<(), EngineError> {
        let stored: Vec<_> = ack.stored.iter().map(|s| (s.blob_id, s.cursor)).collect();
        self.pushes_acked(&stored)
    }

    fn pushes_acked(&mut self, stored: &[(BlobId, Cursor)]) -> Result<(), EngineError> {
        let sent = std::mem::take(&mut self.outbox.in_flight);
        if !sent.iter().eq(stored.iter().map(|(blob_id, _)| blob_id))
            || stored.iter().any(|(_, cursor)| *cursor == Cursor::ZERO || is_within(*cursor).is_err())
        {
            return Err(EngineError::RelayMisbehaved);
        }
        self.outbox.restarted = false;
        // One that was read in the log meanwhile is dealt with.
        for (blob_id, cursor) in stored {
            if let Some(front) = self.outbox.rows.front().filter(|front| front.row.blob_id == *blob_id) {
                let (hash, tip) = (blob::hash(&front.row.payload), self.tip_of(&front.row));
                let is_there = self.saw_own(*cursor, *blob_id, hash, tip.as_ref());
                self.settle_front(blob_id, *cursor, is_there);
            }
        }
        self.store_progress();
        Ok(())
    }

    /// The place of a blob in its chain, and what the one after it refers to.
    fn tip_of(&self, row: &OutboxRow) -> Option<Tip> {
        let (chain_id, seq, hash) = (row.chain_id, row.seq, blob::hash(&row.payload));
        if !row.void {
            return Some(Tip { chain_id, seq, hash });
        }
        let (_, content) = self.open_blob(&row.blob_id, &self.me(), &row.payload)?;
        Some(Tip { chain_id, seq, hash: link_hash(&content, hash) })
    }

    /// The blob at the front of the outbox is in the log, as far as the relay's word goes, or is not there.
    pub(super) fn settle_front(&mut self, blob_id: &BlobId, cursor: Cursor, is_there: bool) {
        if !self.outbox.front_is(blob_id) {
            return;
        }
        let Some(Waiting { position, row, .. }) = self.outbox.remove_front() else {
            return;
        };
        self.event(Event::PushAcked { blob_id: *blob_id, cursor });
        let expires = self.expiry(row.ttl);
        self.keep_acked(position, row, cursor, is_there, expires);
    }

    /// What the outbox holds under an id.
    pub(super) fn queued_hash(&self, blob_id: &BlobId) -> Option<BlobHash> {
        let waiting = self.outbox.rows.iter().find(|waiting| waiting.row.blob_id == *blob_id)?;
        Some(blob::hash(&waiting.row.payload))
    }

    /// The log holds something else where this device's chain goes on, as after its store was restored from
    /// a backup: what waits gets new ids and its place in a new chain.
    fn restart_chain(&mut self) {
        let mut older = Tips(self.state.chain.tips());
        older.0.drain(..older.0.len().saturating_sub(MAX_TIPS - 1));
        self.state.chain = ChainRow { older, ..new_chain(&mut self.rng) };
        let change = self.state.chain.change();
        self.store([change]);
        self.outbox.restart_due = false;
        self.outbox.restarted = true;
        self.reseal();
        self.announce();
    }

    /// Seals everything that waits again, for the newest epoch and the end of its chain as it is in the log.
    fn reseal(&mut self) {
        self.outbox.reseal_due = false;
        let rows = std::mem::take(&mut self.outbox.rows);
        let new_chain = self.state.chain.next_seq == 0;
        let mut ends = self.state.chain.tips();
        for mut waiting in rows {
            if !waiting.row.fixed {
                if !self.reseal_row(&mut waiting, new_chain, &mut ends) {
                    continue;
                }
            } else if let Some(tip) = self.tip_of(&waiting.row) {
                // What comes back in the middle of what is there already ends nothing.
                if end_of(&ends, &tip.chain_id).is_none_or(|end| end.seq < tip.seq) {
                    set_end(&mut ends, tip);
                }
            }
            self.outbox.rows.push_back(waiting);
        }
        self.outbox.bytes = self.outbox.rows.iter().map(|waiting| waiting.row.payload.len()).sum();
        let chain = &mut self.state.chain;
        if let Some(end) = end_of(&ends, &chain.chain_id)
            && end.seq.saturating_add(1) == chain.next_seq
        {
            chain.prev = end.hash;
        }
        let change = chain.change();
        self.store([change]);
    }

    /// Seals one again; whether it is still there. `ends` has what the next blob of each chain refers to.
    fn reseal_row(&mut self, waiting: &mut Waiting, new_chain: bool, ends: &mut Vec<Tip>) -> bool {
        let Some((_, mut content)) = self.open_blob(&waiting.row.blob_id, &self.me(), &waiting.row.payload)
        else {
            return true;
        };
        let mut row = waiting.row.clone();
        if new_chain {
            let expires = self.expiry(row.ttl);
            let chain = &mut self.state.chain;
            row.blob_id = chain.take_blob_id();
            (row.seq, row.chain_id) = (chain.next_seq, chain.chain_id);
            content.place.prev_expires = std::mem::replace(&mut chain.prev_expires, expires);
            chain.next_seq += 1;
        }
        let chain_id = row.chain_id;
        (content.place.chain_id, content.place.seq) = (chain_id, row.seq);
        if row.seq == 0 {
            content.place.prev = BlobHash([0; 32]);
        } else if let Some(end) = end_of(ends, &chain_id)
            && end.seq.saturating_add(1) == row.seq
        {
            content.place.prev = end.hash;
        }
        let before = waiting.row.blob_id;
        match self.seal(row.blob_id, content.clone()) {
            Ok(payload) => {
                row.payload = payload;
                if row.blob_id != before {
                    self.event(Event::PushRenamed { from: before, to: row.blob_id });
                }
            }
            // The relay takes less than it did: something else has its place.
            Err(_) => {
                let refused = blob::hash(&row.payload);
                if !new_chain {
                    row.blob_id = self.state.chain.take_blob_id();
                }
                content = Content { kind: Kind::Void, place: content.place, body: refused.0.to_vec() };
                let sealed = self.seal(row.blob_id, content.clone());
                self.event(Event::PushRejected { blob_id: before, code: ErrorCode::BlobTooLarge });
                let Ok(payload) = sealed else {
                    self.store([OutboxRow::delete(waiting.position)]);
                    return false;
                };
                row = OutboxRow { payload, ttl: Some(0), void: true, token: None, ..row };
            }
        }
        let hash = link_hash(&content, blob::hash(&row.payload));
        set_end(ends, Tip { chain_id, seq: row.seq, hash });
        waiting.row = row;
        waiting.durable = false;
        self.store([waiting.row.change(waiting.position)]);
        self.then(Then::Send(waiting.position));
        true
    }

    /// ERROR in answer to a PUSH or PUSH_BATCH.
    pub(super) fn push_refused(&mut self, code: Option<ErrorCode>, error: &ErrorBody) {
        let sent = std::mem::take(&mut self.outbox.in_flight).len();
        match code {
            Some(ErrorCode::RateLimited | ErrorCode::Unavailable) => self.pause(error, BUSY_PAUSE),
            Some(code @ (ErrorCode::GroupStorageFull | ErrorCode::StorageFull)) => {
                self.push_pause(error);
                self.event(Event::RelayFull { code, message: error.message.clone() });
            }
            // The log holds a rotation that this device has yet to read.
            Some(ErrorCode::EpochStale) => {
                self.pull_due = true;
                self.relay_epoch = self.relay_epoch.max(self.epoch() + 1);
                self.push_pause(error);
            }
            // One blob of a batch spoils it: find out which.
            _ if sent > 1 => self.outbox.singly = sent,
            Some(ErrorCode::Conflict | ErrorCode::BlobTooLarge | ErrorCode::BadRequest)
                if self.outbox.rows.front().is_some_and(|front| front.row.fixed) =>
            {
                self.drop_fixed_front();
            }
            // The ids of a new chain are random, so a second conflict is no accident.
            Some(ErrorCode::Conflict) if !self.is_first_of_chain() => {
                self.outbox.restart_due = true;
                // A relay that says so again and again must not keep a device busy.
                if self.outbox.restarted {
                    self.push_pause(error);
                }
            }
            Some(code @ (ErrorCode::Conflict | ErrorCode::BlobTooLarge | ErrorCode::BadRequest)) => {
                self.give_up_front(code);
            }
            // Anything else may pass, or is of a newer relay.
            _ => self.push_pause(error),
        }
    }

    /// The relay had this blob, lost it, and does not take it back.
    fn drop_fixed_front(&mut self) {
        if let Some(Waiting { position, row, .. }) = self.outbox.remove_front() {
            self.store([OutboxRow::delete(position)]);
            let how = Break::Missing { from: row.seq, to: row.seq + 1 };
            let cursor = self.state.progress.seen_cursor;
            self.event(Event::ChainBroken { sender: self.me(), cursor, how });
        }
    }

    fn is_first_of_chain(&self) -> bool {
        self.outbox.rows.front().is_some_and(|front| front.row.seq == 0)
    }

    /// Sends nothing for as long as the relay asks.
    pub(super) fn pause(&mut self, error: &ErrorBody, otherwise: Duration) {
        self.timers.set(Timer::Pause, self.now.mono.plus(wait_of(error, otherwise)));
    }

    /// Pushes nothing for a while. Reading goes on: it may be what makes room.
    fn push_pause(&mut self, error: &ErrorBody) {
        self.timers.set(Timer::PushPause, self.now.mono.plus(wait_of(error, FULL_PAUSE)));
    }

    /// The relay will never take the blob at the front: a void blob takes its place in the chain, and
    /// says which one is missing.
    fn give_up_front(&mut self, code: ErrorCode) {
        let Some(front) = self.outbox.rows.front() else {
            return;
        };
        let (position, refused) = (front.position, front.row.clone());
        if refused.void {
            // Not even its place can be held; the chain will show a hole.
            self.outbox.remove_front();
            self.store([OutboxRow::delete(position)]);
            return;
        }
        self.event(Event::PushRejected { blob_id: refused.blob_id, code });
        // What comes after it refers to it.
        let hash: BlobHash = blob::hash(&refused.payload);
        let opened = self.open_blob(&refused.blob_id, &self.me(), &refused.payload);
        let blob_id = self.state.chain.take_blob_id();
        let void = |place| Content { kind: Kind::Void, place, body: hash.0.to_vec() };
        let sealed = opened.and_then(|(_, content)| self.seal(blob_id, void(content.place)).ok());
        let Some(payload) = sealed else {
            self.outbox.remove_front();
            let change = self.state.chain.change();
            self.store([OutboxRow::delete(position), change]);
            return;
        };
        let row = OutboxRow {
            blob_id,
            payload,
            ttl: Some(0),
            chain_id: refused.chain_id,
            seq: refused.seq,
            void: true,
            token: None,
            fixed: false,
        };
        let changes = vec![row.change(position), self.state.chain.change()];
        if let Some(front) = self.outbox.rows.front_mut() {
            self.outbox.bytes = self.outbox.bytes - front.row.payload.len() + row.payload.len();
            front.row = row;
            front.durable = false;
        }
        self.store(changes);
        self.then(Then::Send(position));
    }

    /// Whether the relay lacks something that the app has pushed: it waits in the outbox, or will go there
    /// once the log of a relay that lost it has been read.
    pub(super) fn has_unsent(&self) -> bool {
        self.outbox.len() > 0 || self.state.progress.restore != Restore::No
    }

    /// Answers those who wait for everything to be at the relay.
    pub(super) fn finish_flushes(&mut self) {
        if !self.has_unsent() {
            for id in std::mem::take(&mut self.flushes) {
                self.reply_when_stored(id, Reply::Done);
            }
        } else if let Some(reason) = self.stopped.clone() {
            for id in std::mem::take(&mut self.flushes) {
                self.reply(id, Err(reason.clone().into()));
            }
        } else if self.state.progress.restore == Restore::Asks {
            for id in std::mem::take(&mut self.flushes) {
                self.reply(id, Err(EngineError::RestoreWaits));
            }
        }
    }
}

fn end_of<'a>(ends: &'a [Tip], chain_id: &ChainId) -> Option<&'a Tip> {
    ends.iter().find(|end| end.chain_id == *chain_id)
}

fn set_end(ends: &mut Vec<Tip>, tip: Tip) {
    ends.retain(|end| end.chain_id != tip.chain_id);
    ends.push(tip);
}

/// How long a refusal asks to wait, within reason.
fn wait_of(error: &ErrorBody, otherwise: Duration) -> Duration {
    error.retry_after_ms.map_or(otherwise, |ms| Duration::from_millis(u64::from(ms))).min(MAX_PAUSE)
}
