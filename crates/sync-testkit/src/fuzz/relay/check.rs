//! What must hold at a relay whoever sends what.

use std::collections::{BTreeMap, BTreeSet};

use sync_relay_core::store::NewBlob;
use sync_relay_core::{ReadOp, ReadResult, WriteOp};
use sync_types::limits::{ENVELOPE_OVERHEAD, MAX_BATCH};
use sync_types::{BlobId, Cursor, DeviceId, Epoch, ErrorCode, GroupId, Message, Rotation, StoredBlob};

use super::bed::{Bed, PEERS, READ_ON, STRANGER, bystander, device_id, group, other_group, policy};

/// News and presence that a mailbox holds at most, and the end.
const MAX_DELIVERIES: usize = 64 + PEERS + 2;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The newest cursor of the group.
    newest: Cursor,
    epoch: Epoch,
    /// Where blobs were found; they stay there while they are.
    places: BTreeMap<BlobId, Cursor>,
    acked: BTreeMap<DeviceId, Cursor>,
    other: Option<Vec<StoredBlob>>,
}

impl Bed {
    /// A session asks for nothing but what is its device's own, and a stranger for no write at all.
    pub(super) fn check_write(&mut self, at: usize, op: &WriteOp) {
        assert_ne!(at, STRANGER, "a stranger reaches the writer: {op:?}");
        let blob_fits = |blob: &NewBlob| blob.payload.len() <= policy().max_blob_size as usize;
        let (of, by) = match op {
            WriteOp::Admit(op) => (op.group, op.device),
            WriteOp::Push(op) => {
                assert!((1..=MAX_BATCH).contains(&op.blobs.len()) && op.blobs.iter().all(blob_fits));
                assert!(!op.blobs.iter().any(|blob| Rotation::is_one(&blob.payload)));
                (op.group, op.device)
            }
            WriteOp::Acknowledge(op) => (op.group, op.device),
            WriteOp::Rotate(op) => {
                assert!(blob_fits(&op.blob));
                (op.group, op.device)
            }
            WriteOp::Delete(op) => (op.group, op.device),
            WriteOp::Leave(op) => (op.group, op.device),
            WriteOp::GroupDelete(op) => (op.group, op.device),
            WriteOp::Seen(_)
            | WriteOp::CreateInvite(_)
            | WriteOp::ClaimInvite(_)
            | WriteOp::RevokeInvite(_)
            | WriteOp::Cleanup(_) => panic!("a session has no business with {op:?}"),
        };
        self.check_own(at, of, by);
        if !matches!(op, WriteOp::Admit(_) | WriteOp::Acknowledge(_)) {
            self.served[at] += 1;
            let burst = u64::from(policy().messages_per_minute);
            let most = burst + 1 + self.now.mono.0.saturating_mul(burst) / 60_000;
            assert!(self.served[at] <= most, "{} writes, and {most} are allowed by now", self.served[at]);
        }
    }

    pub(super) fn check_read(&self, at: usize, op: &ReadOp) {
        match op {
            // To be verified against what the relay knows: of whatever group HELLO names.
            ReadOp::KeyLog { .. } => {}
            ReadOp::Backlog { group, device, .. } | ReadOp::Devices { group, device } => {
                self.check_own(at, *group, *device);
            }
            ReadOp::Pull(page) => self.check_own(at, page.group, page.device),
            ReadOp::Invite { .. } | ReadOp::Stats => panic!("a session has no business with {op:?}"),
        }
    }

    fn check_own(&self, at: usize, of: GroupId, by: DeviceId) {
        assert_ne!(at, STRANGER, "a stranger is let in");
        assert_eq!(of, group());
        assert_eq!(Some(by), self.peers[at].as_ref().map(|peer| peer.device));
    }

    /// What is said to a peer is no more than is there.
    pub(super) fn check_heard(&self, at: usize, message: &Message) {
        if let Message::Error(error) = message {
            return assert!(ErrorCode::from_u16(error.code).is_some(), "{error:?}");
        }
        assert_ne!(at, STRANGER, "a stranger hears {message:?}");
        if let Message::Notify(notify) = message {
            assert_ne!(notify.sender_id, bystander());
        }
    }

    pub(super) fn check_taken(&self, deliveries: usize) {
        assert!(deliveries <= MAX_DELIVERIES, "{deliveries} deliveries were kept for one session");
    }

    /// The store and the sessions, after whatever has happened.
    pub(super) fn check(&mut self) {
        self.check_memory();
        self.check_other_group();
        self.check_log();
        self.check_acked();
    }

    fn check_memory(&self) {
        let most = READ_ON + policy().max_envelope() + MAX_BATCH * NewBlob::OVERHEAD + ENVELOPE_OVERHEAD;
        for peer in self.peers.iter().flatten() {
            let (held, submitted) = (peer.session.unstored(), peer.session.submitted());
            assert!(submitted <= held && held <= most, "{held} bytes are held of one session");
        }
    }

    fn check_other_group(&mut self) {
        let log = self.store.log(other_group());
        let before = self.seen.other.get_or_insert_with(|| log.clone());
        assert_eq!((&log, log.len()), (&*before, 1), "another group's log has changed");
        assert_eq!(self.hub.take(self.bystander), None, "another group hears of this one");
        let op = ReadOp::Devices { group: other_group(), device: bystander() };
        let read = self.store.read_now(&op);
        let ReadResult::Devices(rows) = read else { panic!("another group's device is shut out: {read:?}") };
        let ids: Vec<_> = rows.iter().map(|row| (row.device_id, row.acked_cursor)).collect();
        assert_eq!(ids, [(bystander(), Cursor::ZERO)]);
    }

    /// Cursors and epochs go one way as long as there is the group, blobs stay where they are, and all of
    /// them together stay within the quota.
    fn check_log(&mut self) {
        let Some(key_log) = self.key_log() else {
            let other = self.seen.other.take();
            self.seen = Seen { other, ..Seen::default() };
            return;
        };
        assert!(key_log.epoch() >= self.seen.epoch, "an epoch went back");
        assert_eq!(key_log.verify(&group()), Ok(()), "nobody has signed this");
        self.seen.epoch = key_log.epoch();

        let log = self.store.log(group());
        assert!(log.is_sorted_by(|a, b| a.cursor < b.cursor));
        let places: BTreeMap<_, _> = log.iter().map(|blob| (blob.blob_id, blob.cursor)).collect();
        assert_eq!(places.len(), log.len(), "a blob is there twice");
        for (blob, cursor) in &places {
            match self.seen.places.get(blob) {
                Some(before) => assert!(cursor == before || *cursor > self.seen.newest, "a blob has moved"),
                None => assert!(*cursor > self.seen.newest, "a blob appears behind readers"),
            }
        }
        // What came and went at once counts, too.
        let newest = places.values().copied().max().into_iter().chain(self.max_cursor());
        self.seen.newest = newest.fold(self.seen.newest, Cursor::max);
        self.seen.places = places;

        let payloads = log.iter().filter_map(|blob| blob.payload.as_deref());
        let costs =
            payloads.filter(|payload| !Rotation::is_one(payload)).map(|p| NewBlob::cost(p.len()) as u64);
        assert!(costs.sum::<u64>() <= policy().max_group_storage, "a group has more than its share");
    }

    /// The group's newest cursor, as a device of it is told.
    fn max_cursor(&self) -> Option<Cursor> {
        (0..PEERS).find_map(|at| {
            let (group, device) = (group(), device_id(at));
            let op = ReadOp::Backlog { group, device, last_cursor: Cursor::ZERO, limit: 1, inline: false };
            let ReadResult::Backlog(backlog) = self.store.read_now(&op) else { return None };
            Some(backlog.max_cursor)
        })
    }

    /// What a device has acknowledged is never taken back, and never more than there was.
    fn check_acked(&mut self) {
        let mut found = BTreeMap::new();
        for at in 0..PEERS {
            let op = ReadOp::Devices { group: group(), device: device_id(at) };
            if let ReadResult::Devices(rows) = self.store.read_now(&op) {
                let ids: BTreeSet<_> = rows.iter().map(|row| row.device_id).collect();
                assert_eq!(ids.len(), rows.len());
                assert!(rows.len() as u64 <= policy().max_devices_per_group + PEERS as u64);
                found.extend(rows.iter().map(|row| (row.device_id, row.acked_cursor)));
            }
        }
        for (device, acked) in &found {
            assert!(*acked <= self.seen.newest, "{device:?} has acknowledged what never was");
            let before = self.seen.acked.get(device);
            assert!(
                before.is_none_or(|before| before <= acked),
                "{device:?} has acknowledged less than before"
            );
        }
        self.seen.acked = found;
    }

    /// With everything committed, nothing is on its way.
    pub(super) fn check_idle(&self) {
        for peer in self.peers.iter().flatten() {
            assert_eq!(peer.session.submitted(), 0);
        }
    }
}
