//! What a batch will need, read at its start.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashSet};

use sqlx::{Row, SqliteConnection};
use sync_relay_core::decide::Known;
use sync_relay_core::store::WriteOp;
use sync_types::{BlobHash, BlobId, DeviceId, GroupId};

use super::super::rows::{bytes, chunks, cursor, device_id, epoch, int, over_rows, standing, time};
use super::{Device, Group, GroupNo, OriginNo, Work};

impl Work<'_> {
    pub(super) async fn load(&mut self, batch: &[WriteOp]) -> Result<(), sqlx::Error> {
        let pairs: BTreeSet<(GroupId, DeviceId)> = batch.iter().flat_map(whose).collect();
        let groups: BTreeSet<GroupId> = pairs.iter().map(|(group, _)| *group).collect();
        self.load_groups(&groups.into_iter().collect::<Vec<_>>()).await?;
        let pair = |(group, device): &(GroupId, DeviceId)| Some((self.groups.get(group)?.no, *device));
        let devices: Vec<_> = pairs.iter().filter_map(pair).collect();
        self.load_devices(&devices).await?;
        let mut ids = HashSet::new();
        for op in batch {
            if let WriteOp::Push(push) = op
                && let Some(group) = self.groups.get(&push.group)
            {
                ids.extend(push.blobs.iter().map(|blob| (group.no, blob.blob_id)));
            }
        }
        let rotates = batch.iter().any(|op| matches!(op, WriteOp::Rotate(_)));
        if !ids.is_empty() || rotates {
            self.load_known(&ids.into_iter().collect::<Vec<_>>()).await?;
            self.used_bytes = used_bytes(self.db).await?;
            self.load_origins().await?;
        }
        Ok(())
    }

    /// Reads what the origins of the groups take that it does not know of yet.
    pub(super) async fn load_origins(&mut self) -> Result<(), sqlx::Error> {
        let origins: BTreeSet<OriginNo> = self.groups.values().filter_map(|group| group.origin).collect();
        for origin in origins {
            if let Entry::Vacant(unknown) = self.origins.entry(origin) {
                let bytes = sqlx::query_scalar("SELECT bytes FROM origins WHERE origin = ?").bind(origin);
                unknown.insert(int(bytes.fetch_one(&mut *self.db).await?, "bytes")?);
            }
        }
        Ok(())
    }

    /// Reads anew what the rest of the batch will need, when a request has written past it.
    pub(super) async fn reload_if_outdated(&mut self, rest: &[WriteOp]) -> Result<(), sqlx::Error> {
        if !std::mem::take(&mut self.outdated) {
            return Ok(());
        }
        self.flush().await?;
        self.groups.clear();
        self.devices.clear();
        self.known.clear();
        self.origins.clear();
        self.load(rest).await
    }

    async fn load_groups(&mut self, groups: &[GroupId]) -> Result<(), sqlx::Error> {
        for chunk in chunks(groups) {
            let head = "WITH wanted (a) AS (VALUES";
            let tail = ") SELECT group_id, group_no, epoch, max_cursor, stored_bytes, origin
                         FROM wanted CROSS JOIN groups ON group_id = a";
            let mut query = sqlx::query(over_rows(head, 1, chunk.len(), tail));
            for group in chunk {
                query = query.bind(group.0.as_slice());
            }
            for row in query.fetch_all(&mut *self.db).await? {
                let group = Group {
                    no: row.try_get(1)?,
                    epoch: epoch(row.try_get(2)?)?,
                    max_cursor: cursor(row.try_get(3)?)?,
                    stored_bytes: int(row.try_get(4)?, "stored_bytes")?,
                    origin: row.try_get(5)?,
                };
                let id = GroupId(bytes(row.try_get(0)?, "group_id")?);
                self.groups.insert(id, group);
            }
        }
        Ok(())
    }

    async fn load_devices(&mut self, devices: &[(GroupNo, DeviceId)]) -> Result<(), sqlx::Error> {
        for chunk in chunks(devices) {
            let head = "WITH wanted (a, b) AS (VALUES";
            let tail = ") SELECT group_no, device_id, device_no, acked_cursor, last_seen, epoch, standing
                         FROM wanted CROSS JOIN devices ON group_no = a AND device_id = b";
            let mut query = sqlx::query(over_rows(head, 2, chunk.len(), tail));
            for (group_no, device) in chunk {
                query = query.bind(group_no).bind(device.as_bytes().as_slice());
            }
            for row in query.fetch_all(&mut *self.db).await? {
                let device = Device {
                    no: row.try_get(2)?,
                    acked: cursor(row.try_get(3)?)?,
                    last_seen: time(row.try_get(4)?)?,
                    epoch: epoch(row.try_get(5)?)?,
                    standing: standing(row.try_get(6)?)?,
                };
                self.devices.insert((row.try_get(0)?, device_id(row.try_get(1)?)?), device);
            }
        }
        Ok(())
    }

    async fn load_known(&mut self, ids: &[(GroupNo, BlobId)]) -> Result<(), sqlx::Error> {
        for chunk in chunks(ids) {
            let head = "WITH wanted (a, b) AS (VALUES";
            let tail = ") SELECT group_no, blob_id, cursor, hash, stored_at
                         FROM wanted CROSS JOIN blobs ON group_no = a AND blob_id = b";
            let mut query = sqlx::query(over_rows(head, 2, chunk.len(), tail));
            for (group_no, blob) in chunk {
                query = query.bind(group_no).bind(blob.0.as_slice());
            }
            for row in query.fetch_all(&mut *self.db).await? {
                let id = BlobId(bytes(row.try_get(1)?, "blob_id")?);
                let known = known(row.try_get(2)?, row.try_get(3)?, row.try_get(4)?)?;
                self.known.entry(row.try_get(0)?).or_default().insert(id, known);
            }
        }
        Ok(())
    }
}

/// The devices that a request is about, each with its group.
fn whose(op: &WriteOp) -> Vec<(GroupId, DeviceId)> {
    match op {
        WriteOp::Admit(op) => vec![(op.group, op.device)],
        WriteOp::Push(op) => vec![(op.group, op.device)],
        WriteOp::Acknowledge(op) => vec![(op.group, op.device)],
        WriteOp::Seen(op) => op.devices.clone(),
        WriteOp::Rotate(op) => vec![(op.group, op.device)],
        WriteOp::Delete(op) => vec![(op.group, op.device)],
        WriteOp::Leave(op) => vec![(op.group, op.device)],
        WriteOp::GroupDelete(op) => vec![(op.group, op.device)],
        WriteOp::CreateInvite(_)
        | WriteOp::ClaimInvite(_)
        | WriteOp::RevokeInvite(_)
        | WriteOp::Cleanup(_) => Vec::new(),
    }
}

/// A blob that is there, from its cursor, hash and time.
pub(super) fn known(at: i64, hash: &[u8], stored_at: i64) -> Result<Known, sqlx::Error> {
    Ok(Known { cursor: cursor(at)?, hash: BlobHash(bytes(hash, "hash")?), stored_at: time(stored_at)? })
}

/// Bytes of the pages in use: a database file does not shrink by itself when blobs go.
async fn used_bytes(db: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let used = sqlx::query_scalar(
        "SELECT (page_count - freelist_count) * page_size
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
    );
    int(used.fetch_one(db).await?, "page_count")
}
