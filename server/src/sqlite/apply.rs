//! A batch of writes as one transaction of few statements: what the batch will need is read at its
//! start, decided upon in memory, and written in many-row statements at its end.

mod flush;
mod load;

use std::collections::{BTreeSet, HashMap};

use sqlx::{Connection, Row, SqliteConnection};
use sync_relay_core::Policy;
use sync_relay_core::decide::{
    AdmitFacts, DeviceFacts, Known, PushFacts, acknowledged, plan_admit, plan_push,
};
use sync_relay_core::store::{
    Acknowledge, Admit, Admitted, NewBlob, PushOp, Pushed, Refusal, Seen, WriteOp, WriteOutcome, WriteResult,
};
use sync_types::{BlobId, Cursor, DeviceId, Epoch, GroupId, KeyLog, StoreId, UnixMs, wire};

use super::SqliteStore;
use super::rows::{bytes, chunks, cursor, device_id, int, key_log, over_rows, sql_cursor, sql_int, sql_time};

impl SqliteStore {
    pub(super) async fn apply_batch(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, sqlx::Error> {
        let mut writer = self.writer.lock().await;
        // Dropped without a commit, it is rolled back.
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut work = Work::new(&mut transaction, &self.policy, self.store_id);
        work.load(batch).await?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for op in batch {
            outcomes.push(work.write(op).await?);
        }
        work.flush().await?;
        transaction.commit().await?;
        Ok(outcomes)
    }
}

/// A group's number in the database.
type GroupNo = i64;

struct Group {
    no: GroupNo,
    epoch: Epoch,
    max_cursor: Cursor,
    stored_bytes: u64,
}

struct Device {
    no: i64,
    acked: Cursor,
    last_seen: UnixMs,
    revoked: bool,
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
    used_bytes: u64,
    new_blobs: Vec<NewRow>,
    changed_groups: BTreeSet<GroupId>,
    changed_devices: BTreeSet<(GroupNo, DeviceId)>,
    more_blobs: i64,
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
            used_bytes: 0,
            new_blobs: Vec::new(),
            changed_groups: BTreeSet::new(),
            changed_devices: BTreeSet::new(),
            more_blobs: 0,
        }
    }

    async fn write(&mut self, op: &WriteOp) -> Result<WriteOutcome, sqlx::Error> {
        match op {
            WriteOp::Admit(op) => self.admit(op).await,
            WriteOp::Push(op) => self.push(op).await,
            WriteOp::Acknowledge(op) => Ok(Ok(self.acknowledge(op))),
            WriteOp::Seen(op) => Ok(Ok(self.seen(op))),
            WriteOp::CreateInvite(op) => super::invites::create(self.db, op).await,
            WriteOp::ClaimInvite(op) => super::invites::claim(self.db, op).await,
            WriteOp::RevokeInvite(op) => super::invites::revoke(self.db, op).await,
        }
    }

    /// Rare, so it writes at once, one statement at a time.
    async fn admit(&mut self, op: &Admit) -> Result<WriteOutcome, sqlx::Error> {
        let facts = self.admit_facts(op).await?;
        let plan = match plan_admit(self.policy, &facts, op) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(log) = &plan.new_log {
            self.keep_log(op, log, plan.new_group).await?;
        }
        let Some(group) = self.groups.get(&op.group) else {
            return Ok(Err(Refusal::Unknown));
        };
        let row = sqlx::query(
            "INSERT INTO devices (group_no, device_id, sealed_name, acked_cursor, last_seen)
             VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (group_no, device_id) DO UPDATE SET
             sealed_name = excluded.sealed_name, acked_cursor = excluded.acked_cursor,
             last_seen = excluded.last_seen
             RETURNING device_no",
        )
        .bind(group.no)
        .bind(op.device.as_bytes().as_slice())
        .bind(op.name.as_slice())
        .bind(sql_cursor(plan.acked))
        .bind(sql_time(op.now))
        .fetch_one(&mut *self.db)
        .await?;
        let device = Device { no: row.try_get(0)?, acked: plan.acked, last_seen: op.now, revoked: false };
        self.devices.insert((group.no, op.device), device);
        Ok(Ok(WriteResult::Admitted(Admitted { epoch: plan.epoch, acked: plan.acked })))
    }

    async fn admit_facts(&mut self, op: &Admit) -> Result<AdmitFacts, sqlx::Error> {
        let mut facts =
            AdmitFacts { store_id: self.store_id, group: None, device: None, groups: 0, devices: 0 };
        let Some(group) = self.groups.get(&op.group) else {
            let groups = sqlx::query_scalar("SELECT count(*) FROM groups").fetch_one(&mut *self.db).await?;
            facts.groups = int(groups, "count")?;
            return Ok(facts);
        };
        let log: Vec<u8> = sqlx::query_scalar("SELECT key_log FROM groups WHERE group_no = ?")
            .bind(group.no)
            .fetch_one(&mut *self.db)
            .await?;
        facts.group = Some((key_log(&log)?, group.max_cursor));
        facts.device = self
            .devices
            .get(&(group.no, op.device))
            .map(|device| DeviceFacts { acked: device.acked, revoked: device.revoked });
        if facts.device.is_none() {
            let count = "SELECT count(*) FROM devices WHERE group_no = ? AND revoked_at IS NULL";
            let devices = sqlx::query_scalar(count).bind(group.no).fetch_one(&mut *self.db).await?;
            facts.devices = int(devices, "count")?;
        }
        Ok(facts)
    }

    async fn keep_log(&mut self, op: &Admit, log: &KeyLog, new_group: bool) -> Result<(), sqlx::Error> {
        let sql = if new_group {
            "INSERT INTO groups (epoch, key_log, group_id, created_at) VALUES (?, ?, ?, ?) RETURNING group_no"
        } else {
            "UPDATE groups SET epoch = ?, key_log = ? WHERE group_id = ? RETURNING group_no"
        };
        let mut query =
            sqlx::query(sql).bind(i64::from(log.epoch())).bind(wire::encode(log)).bind(op.group.0.as_slice());
        if new_group {
            query = query.bind(sql_time(op.now));
        }
        let no = query.fetch_one(&mut *self.db).await?.try_get(0)?;
        let fresh = || Group { no, epoch: 0, max_cursor: Cursor::ZERO, stored_bytes: 0 };
        self.groups.entry(op.group).or_insert_with(fresh).epoch = log.epoch();
        Ok(())
    }

    async fn push(&mut self, op: &PushOp) -> Result<WriteOutcome, sqlx::Error> {
        let (plan, group_no, device_no) = {
            let group = self.groups.get(&op.group);
            let device = group.and_then(|group| self.devices.get(&(group.no, op.device)));
            let facts = group.map(|group| PushFacts {
                epoch: group.epoch,
                max_cursor: group.max_cursor,
                stored_bytes: group.stored_bytes,
                revoked: device.is_none_or(|device| device.revoked),
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
            self.used_bytes += plan.added;
            self.changed_groups.insert(op.group);
        }
        Ok(Ok(WriteResult::Pushed(Pushed { placed: plan.placed })))
    }

    /// Drops the oldest blobs that may expire and that every device has, until `wanted` bytes are free.
    async fn make_room(&mut self, group: GroupId, wanted: u64) -> Result<Result<(), Refusal>, sqlx::Error> {
        self.flush().await?;
        let Some(group) = self.groups.get_mut(&group) else {
            return Ok(Err(Refusal::Unknown));
        };
        let slowest = sqlx::query(
            "SELECT device_id, acked_cursor FROM devices WHERE group_no = ? AND revoked_at IS NULL
             ORDER BY acked_cursor, device_id LIMIT 1",
        )
        .bind(group.no)
        .fetch_optional(&mut *self.db)
        .await?;
        let slowest = match slowest {
            Some(row) => Some((device_id(row.try_get(0)?)?, cursor(row.try_get(1)?)?)),
            None => None,
        };
        let acked = slowest.map_or(Cursor::ZERO, |(_, acked)| acked);
        let (mut free, mut after, mut ids) = (0, 0_i64, Vec::new());
        while free < wanted {
            let rows = sqlx::query(
                "SELECT id, blob_id, length(payload), cursor FROM blobs
                 WHERE group_no = ? AND cursor > ? AND cursor <= ?
                 AND expires_at IS NOT NULL AND payload IS NOT NULL ORDER BY cursor LIMIT 64",
            )
            .bind(group.no)
            .bind(after)
            .bind(sql_cursor(acked))
            .fetch_all(&mut *self.db)
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                if free >= wanted {
                    break;
                }
                let length: u64 = int(row.try_get(2)?, "length")?;
                free += length + NewBlob::OVERHEAD as u64;
                after = row.try_get(3)?;
                ids.push((row.try_get::<i64, _>(0)?, BlobId(bytes(row.try_get(1)?, "blob_id")?)));
            }
        }
        if free < wanted {
            let held_by = slowest.filter(|(_, acked)| *acked < group.max_cursor);
            return Ok(Err(Refusal::GroupFull { held_by: held_by.map(|(device, _)| device) }));
        }
        for chunk in chunks(&ids) {
            let mut query =
                sqlx::query(over_rows("DELETE FROM blobs WHERE id IN (VALUES", 1, chunk.len(), ")"));
            for (id, _) in chunk {
                query = query.bind(id);
            }
            query.execute(&mut *self.db).await?;
        }
        let known = self.known.entry(group.no).or_default();
        for (_, blob_id) in &ids {
            known.remove(blob_id);
        }
        group.stored_bytes = group.stored_bytes.saturating_sub(free);
        self.more_blobs -= sql_int(ids.len() as u64);
        Ok(Ok(()))
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
        if let Some(group) = self.groups.get(&op.group)
            && let Some(device) = self.devices.get_mut(&(group.no, op.device))
        {
            device.last_seen = device.last_seen.max(op.now);
            self.changed_devices.insert((group.no, op.device));
        }
        WriteResult::Seen
    }
}
