//! Devices that come in.

use sqlx::Row;
use sync_relay_core::decide::{AdmitFacts, Standing, plan_admit};
use sync_relay_core::store::{Admit, Admitted, Refusal, WriteOutcome, WriteResult};
use sync_types::{Cursor, KeyLog, wire};

use super::super::rows::{int, key_log, sql_cursor, sql_time, time};
use super::{Device, Group, Work};

impl Work<'_> {
    /// Rare, so it writes at once, one statement at a time.
    pub(super) async fn admit(&mut self, op: &Admit) -> Result<WriteOutcome, sqlx::Error> {
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
            "INSERT INTO devices (group_no, device_id, sealed_name, acked_cursor, last_seen, epoch)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (group_no, device_id) DO UPDATE SET
             sealed_name = excluded.sealed_name, acked_cursor = excluded.acked_cursor,
             last_seen = excluded.last_seen, epoch = excluded.epoch
             RETURNING device_no",
        )
        .bind(group.no)
        .bind(op.device.as_bytes().as_slice())
        .bind(op.name.as_slice())
        .bind(sql_cursor(plan.acked))
        .bind(sql_time(op.now))
        .bind(i64::from(plan.device_epoch))
        .fetch_one(&mut *self.db)
        .await?;
        let device = Device {
            no: row.try_get(0)?,
            acked: plan.acked,
            last_seen: op.now,
            epoch: plan.device_epoch,
            standing: Standing::Present,
        };
        self.devices.insert((group.no, op.device), device);
        Ok(Ok(WriteResult::Admitted(Admitted { epoch: plan.epoch, acked: plan.acked })))
    }

    async fn admit_facts(&mut self, op: &Admit) -> Result<AdmitFacts, sqlx::Error> {
        let mut facts = AdmitFacts {
            store_id: self.store_id,
            tombstone: None,
            group: None,
            device: None,
            groups: 0,
            origin_groups: 0,
            devices: 0,
            gone: 0,
        };
        let Some(group) = self.groups.get(&op.group) else {
            let until: Option<i64> = sqlx::query_scalar("SELECT until FROM tombstones WHERE group_id = ?")
                .bind(op.group.0.as_slice())
                .fetch_optional(&mut *self.db)
                .await?;
            facts.tombstone = until.map(time).transpose()?;
            let count = "SELECT count(*) FROM groups WHERE group_id IS NOT NULL";
            facts.groups = int(sqlx::query_scalar(count).fetch_one(&mut *self.db).await?, "count")?;
            if let Some(origin) = op.origin {
                let made = "SELECT groups FROM origins WHERE origin = ?";
                let made = sqlx::query_scalar(made).bind(i64::from(origin.0)).fetch_one(&mut *self.db);
                facts.origin_groups = int(made.await?, "groups")?;
            }
            return Ok(facts);
        };
        let log: Vec<u8> = sqlx::query_scalar("SELECT key_log FROM groups WHERE group_no = ?")
            .bind(group.no)
            .fetch_one(&mut *self.db)
            .await?;
        facts.group = Some((key_log(&log)?, group.max_cursor));
        facts.device = self.devices.get(&(group.no, op.device)).map(Device::facts);
        if facts.device.is_none() {
            let count = "SELECT count(*) FILTER (WHERE standing = 0), count(*) FILTER (WHERE standing <> 0)
                         FROM devices WHERE group_no = ?";
            let (present, gone): (i64, i64) =
                sqlx::query_as(count).bind(group.no).fetch_one(&mut *self.db).await?;
            (facts.devices, facts.gone) = (int(present, "count")?, int(gone, "count")?);
        }
        Ok(facts)
    }

    async fn keep_log(&mut self, op: &Admit, log: &KeyLog, new_group: bool) -> Result<(), sqlx::Error> {
        let origin = op.origin.map(|origin| i64::from(origin.0));
        let sql = if new_group {
            "INSERT INTO groups (epoch, key_log, group_id, created_at, origin) VALUES (?, ?, ?, ?, ?)
             RETURNING group_no"
        } else {
            "UPDATE groups SET epoch = ?, key_log = ? WHERE group_id = ? RETURNING group_no"
        };
        let mut query =
            sqlx::query(sql).bind(i64::from(log.epoch())).bind(wire::encode(log)).bind(op.group.0.as_slice());
        if new_group {
            query = query.bind(sql_time(op.now)).bind(origin);
        }
        let no = query.fetch_one(&mut *self.db).await?.try_get(0)?;
        let fresh = || Group { no, epoch: 0, max_cursor: Cursor::ZERO, stored_bytes: 0, origin };
        self.groups.entry(op.group).or_insert_with(fresh).epoch = log.epoch();
        self.load_origins().await
    }
}
