//! A batch of writes as one transaction of few statements: what the batch will need is read at its
//! start, decided upon in memory, and written in many-row statements at its end.

mod admit;
mod blobs;
mod cleanup;
mod flush;
mod leave;
mod load;
mod rotate;
#[cfg(test)]
mod testing;

use std::collections::{BTreeSet, HashMap};

use sqlx::{Connection, SqliteConnection};
use sync_relay_core::decide::{DeviceFacts, Known, PushFacts, Standing, acknowledged, plan_push};
use sync_relay_core::store::{
    Acknowledge, NewBlob, PushOp, Pushed, Seen, WriteOp, WriteOutcome, WriteResult,
};
use sync_relay_core::{Policy, StoredBytes};
use sync_types::{BlobId, Cursor, DeviceId, Epoch, GroupId, StoreId, UnixMs};

use super::SqliteStore;

impl SqliteStore {
    /// One transaction, with a connection that is good for no other one if this fails.
    pub(super) async fn transact(
        &self,
        writer: &mut SqliteConnection,
        batch: &[WriteOp],
    ) -> Result<Vec<WriteOutcome>, sqlx::Error> {
        // Dropped without a commit, it is rolled back.
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut work = Work::new(&mut transaction, &self.policy, self.store_id);
        work.load(batch).await?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (at, op) in batch.iter().enumerate() {
            outcomes.push(work.write(op).await?);
            work.reload_if_outdated(&batch[at + 1..]).await?;
        }
        work.flush().await?;
        transaction.commit().await?;
        Ok(outcomes)
    }
}

/// A group's number in the database.
type GroupNo = i64;
/// An origin's.
type OriginNo = i64;

struct Group {
    no: GroupNo,
    epoch: Epoch,
    max_cursor: Cursor,
    stored_bytes: u64,
    origin: Option<OriginNo>,
}

struct Device {
    no: i64,
    acked: Cursor,
    last_seen: UnixMs,
    epoch: Epoch,
    standing: Standing,
}

impl Device {
    fn facts(&self) -> DeviceFacts {
        DeviceFacts { acked: self.acked, epoch: self.epoch, standing: self.standing }
    }
}

struct NewRow {
    group_no: GroupNo,
    cursor: Cursor,
    device_no: i64,
    stored_at: UnixMs,
    blob: NewBlob,
}

/// What a transaction knows and has yet to write.
struct Work<'c> {
    db: &'c mut SqliteConnection,
    policy: &'c Policy,
    store_id: StoreId,
    groups: HashMap<GroupId, Group>,
    devices: HashMap<(GroupNo, DeviceId), Device>,
    known: HashMap<GroupNo, HashMap<BlobId, Known>>,
    /// What all groups of an origin take, in bytes.
    origins: HashMap<OriginNo, u64>,
    used_bytes: u64,
    new_blobs: Vec<NewRow>,
    changed_groups: BTreeSet<GroupId>,
    changed_devices: BTreeSet<(GroupNo, DeviceId)>,
    more_blobs: i64,
    /// A request has written past what is known here.
    outdated: bool,
}

impl<'c> Work<'c> {
    fn new(db: &'c mut SqliteConnection, policy: &'c Policy, store_id: StoreId) -> Self {
        Self {
            db,
            policy,
            store_id,
            groups: HashMap::new(),
            devices: HashMap::new(),
            known: HashMap::new(),
            origins: HashMap::new(),
            used_bytes: 0,
            new_blobs: Vec::new(),
            changed_groups: BTreeSet::new(),
            changed_devices: BTreeSet::new(),
            more_blobs: 0,
            outdated: false,
        }
    }

    async fn write(&mut self, op: &WriteOp) -> Result<WriteOutcome, sqlx::Error> {
        match op {
            WriteOp::Admit(op) => self.admit(op).await,
            WriteOp::Push(op) => self.push(op).await,
            WriteOp::Acknowledge(op) => Ok(Ok(self.acknowledge(op))),
            WriteOp::Seen(op) => Ok(Ok(self.seen(op))),
            WriteOp::Rotate(op) => self.rotate(op).await,
            WriteOp::Delete(op) => self.delete(op).await,
            WriteOp::Leave(op) => self.leave(op).await,
            WriteOp::GroupDelete(op) => self.group_delete(op).await,
            WriteOp::CreateInvite(op) => super::invites::create(self.db, op).await,
            WriteOp::ClaimInvite(op) => super::invites::claim(self.db, op).await,
            WriteOp::RevokeInvite(op) => super::invites::revoke(self.db, op).await,
            WriteOp::Cleanup(op) => Ok(Ok(WriteResult::Cleaned(self.clean_up(op).await?))),
        }
    }

    async fn push(&mut self, op: &PushOp) -> Result<WriteOutcome, sqlx::Error> {
        let (plan, group_no, device_no) = {
            let group = self.groups.get(&op.group);
            let device = group.and_then(|group| self.devices.get(&(group.no, op.device)));
            let facts = group.map(|group| PushFacts {
                epoch: group.epoch,
                max_cursor: group.max_cursor,
                stored: self.stored(group),
                sender: device.map(|device| device.standing),
                used_bytes: self.used_bytes,
            });
            let nothing = HashMap::new();
            let known = group.and_then(|group| self.known.get(&group.no)).unwrap_or(&nothing);
            match plan_push(self.policy, facts.as_ref(), known, op) {
                Ok(plan) => (plan, group.map_or(0, |group| group.no), device.map(|device| device.no)),
                Err(refusal) => return Ok(Err(refusal)),
            }
        };
        if plan.make_room > 0
            && let Err(refusal) = self.make_room(op.group, plan.make_room).await?
        {
            return Ok(Err(refusal));
        }
        let known = self.known.entry(group_no).or_default();
        for (blob, placed) in op.blobs.iter().zip(&plan.placed).filter(|(_, placed)| placed.fresh) {
            let Some(device_no) = device_no else { continue };
            known.insert(blob.blob_id, Known { cursor: placed.cursor, hash: blob.hash, stored_at: op.now });
            self.more_blobs += 1;
            self.new_blobs.push(NewRow {
                group_no,
                cursor: placed.cursor,
                device_no,
                stored_at: op.now,
                blob: blob.clone(),
            });
        }
        if let Some(group) = self.groups.get_mut(&op.group).filter(|group| group.max_cursor < plan.max_cursor)
        {
            group.max_cursor = plan.max_cursor;
            group.stored_bytes += plan.added;
            if let Some(bytes) = group.origin.and_then(|origin| self.origins.get_mut(&origin)) {
                *bytes += plan.added;
            }
            self.used_bytes += plan.added;
            self.changed_groups.insert(op.group);
        }
        Ok(Ok(WriteResult::Pushed(Pushed { placed: plan.placed })))
    }

    fn stored(&self, group: &Group) -> StoredBytes {
        let origin = group.origin.and_then(|origin| self.origins.get(&origin).copied());
        StoredBytes { group: group.stored_bytes, origin }
    }

    fn acknowledge(&mut self, op: &Acknowledge) -> WriteResult {
        if let Some(group) = self.groups.get(&op.group)
            && let Some(device) = self.devices.get_mut(&(group.no, op.device))
        {
            device.acked = acknowledged(device.acked, op.cursor, group.max_cursor);
            device.last_seen = device.last_seen.max(op.now);
            self.changed_devices.insert((group.no, op.device));
        }
        WriteResult::Acknowledged
    }

    fn seen(&mut self, op: &Seen) -> WriteResult {
        for (group, device) in &op.devices {
            if let Some(group) = self.groups.get(group)
                && let Some(known) = self.devices.get_mut(&(group.no, *device))
            {
                known.last_seen = known.last_seen.max(op.now);
                self.changed_devices.insert((group.no, *device));
            }
        }
        WriteResult::Seen
    }
}
