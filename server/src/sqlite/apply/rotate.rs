//! Rotations: rare, so each is written at once.

use std::collections::BTreeMap;

use sqlx::Row;
use sync_relay_core::decide::{DeviceFacts, Known, NewRotation, RotateFacts, RotatePlan, plan_rotate};
use sync_relay_core::store::{RotateOp, Rotated, WriteOutcome, WriteResult};
use sync_types::{DeviceId, KeyLog, wire};

use super::super::rows::{chunks, cursor, device_id, epoch, key_log, over_rows, sql_time, standing};
use super::{GroupNo, NewRow, Work, load};

impl Work<'_> {
    pub(super) async fn rotate(&mut self, op: &RotateOp) -> Result<WriteOutcome, sqlx::Error> {
        self.flush().await?;
        let facts = self.rotate_facts(op).await?;
        let epoch = op.rotation.epoch;
        let (new, key_log) = match (plan_rotate(self.policy, facts.as_ref(), op), facts) {
            (Ok(RotatePlan::Store(new)), Some(facts)) => (new, facts.key_log),
            (Ok(RotatePlan::Store(NewRotation { placed, .. }) | RotatePlan::Repeat(placed)), _) => {
                return Ok(Ok(WriteResult::Rotated(Rotated { epoch, placed, removed: Vec::new() })));
            }
            (Err(refusal), _) => return Ok(Err(refusal)),
        };
        self.outdated = true;
        self.store_rotation(op, &new, key_log).await?;
        Ok(Ok(WriteResult::Rotated(Rotated { epoch, placed: new.placed, removed: new.removed })))
    }

    async fn rotate_facts(&mut self, op: &RotateOp) -> Result<Option<RotateFacts>, sqlx::Error> {
        let Some(group) = self.groups.get(&op.group) else {
            return Ok(None);
        };
        let (no, max_cursor, stored) = (group.no, group.max_cursor, self.stored(group));
        let log: Vec<u8> = sqlx::query_scalar("SELECT key_log FROM groups WHERE group_no = ?")
            .bind(no)
            .fetch_one(&mut *self.db)
            .await?;
        let known = "SELECT cursor, hash, stored_at FROM blobs WHERE group_no = ? AND blob_id = ?";
        let known: Option<(i64, Vec<u8>, i64)> = sqlx::query_as(known)
            .bind(no)
            .bind(op.blob.blob_id.0.as_slice())
            .fetch_optional(&mut *self.db)
            .await?;
        let known: Option<Known> =
            known.map(|(at, hash, stored_at)| load::known(at, &hash, stored_at)).transpose()?;
        Ok(Some(RotateFacts {
            key_log: key_log(&log)?,
            max_cursor,
            known,
            devices: self.all_devices(no).await?,
            stored,
            used_bytes: self.used_bytes,
        }))
    }

    async fn all_devices(
        &mut self,
        group_no: GroupNo,
    ) -> Result<BTreeMap<DeviceId, DeviceFacts>, sqlx::Error> {
        let devices = "SELECT device_id, acked_cursor, epoch, standing FROM devices WHERE group_no = ?";
        let rows = sqlx::query(devices).bind(group_no).fetch_all(&mut *self.db).await?;
        let device = |row: &sqlx::sqlite::SqliteRow| {
            let facts = DeviceFacts {
                acked: cursor(row.try_get(1)?)?,
                epoch: epoch(row.try_get(2)?)?,
                standing: standing(row.try_get(3)?)?,
            };
            Ok((device_id(row.try_get(0)?)?, facts))
        };
        rows.iter().map(device).collect()
    }

    async fn store_rotation(
        &mut self,
        op: &RotateOp,
        new: &NewRotation,
        mut key_log: KeyLog,
    ) -> Result<(), sqlx::Error> {
        let Some(group) = self.groups.get_mut(&op.group) else {
            return Ok(());
        };
        let Some(sender) = self.devices.get(&(group.no, op.device)) else {
            return Ok(());
        };
        let group_no = group.no;
        group.max_cursor = new.placed.cursor;
        group.stored_bytes += new.added;
        self.changed_groups.insert(op.group);
        self.more_blobs += 1;
        self.new_blobs.push(NewRow {
            group_no,
            cursor: new.placed.cursor,
            device_no: sender.no,
            stored_at: op.now,
            blob: op.blob.clone(),
        });
        self.flush().await?;
        if let Some(link) = &new.link {
            key_log.links.push(link.clone());
            sqlx::query("UPDATE groups SET epoch = ?, key_log = ? WHERE group_no = ?")
                .bind(i64::from(key_log.epoch()))
                .bind(wire::encode(&key_log))
                .bind(group_no)
                .execute(&mut *self.db)
                .await?;
        }
        self.admit_members(op, group_no, &new.members).await?;
        self.remove_devices(group_no, &new.removed).await
    }

    async fn admit_members(
        &mut self,
        op: &RotateOp,
        group_no: GroupNo,
        members: &[DeviceId],
    ) -> Result<(), sqlx::Error> {
        for chunk in chunks(members) {
            let head = "INSERT INTO devices
                (group_no, device_id, sealed_name, acked_cursor, last_seen, epoch) VALUES";
            let tail = "ON CONFLICT (group_no, device_id) DO UPDATE SET epoch = max(epoch, excluded.epoch)";
            let mut query = sqlx::query(over_rows(head, 6, chunk.len(), tail));
            for device in chunk {
                query = query.bind(group_no).bind(device.as_bytes().as_slice()).bind([].as_slice()).bind(0);
                query = query.bind(sql_time(op.now)).bind(i64::from(op.rotation.epoch));
            }
            query.execute(&mut *self.db).await?;
        }
        Ok(())
    }

    async fn remove_devices(&mut self, group_no: GroupNo, removed: &[DeviceId]) -> Result<(), sqlx::Error> {
        for chunk in chunks(removed) {
            let head = "UPDATE devices SET standing = 1 WHERE group_no = ? AND device_id IN (VALUES";
            let mut query = sqlx::query(over_rows(head, 1, chunk.len(), ")")).bind(group_no);
            for device in chunk {
                query = query.bind(device.as_bytes().as_slice());
            }
            query.execute(&mut *self.db).await?;
        }
        Ok(())
    }
}
