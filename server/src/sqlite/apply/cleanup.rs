//! What time takes away, in pieces of about as many rows as the request says.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use sync_relay_core::decide::{
    CLAIM_REPEAT, ExpiredFate, GroupFacts, GroupPlan, patience, plan_expired, plan_group,
};
use sync_relay_core::store::{Chore, Cleaned, Cleanup};
use sync_types::{Cursor, UnixMs};

use super::super::rows::{
    chunks, cursor, device_id, int, over_rows, sql_cursor, sql_int, sql_time, standing, time,
};
use super::blobs::Going;
use super::{GroupNo, Work};

/// Most bytes of payloads that one piece erases: their pages are read one by one.
const MAX_BYTES: u64 = 8 << 20;

/// The oldest of what has expired at `?1`, at most `?2`.
const EXPIRED: &str = "SELECT id, length(payload), group_no, cursor FROM blobs
    WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
/// What goes of the group `?1` when everybody has acknowledged up to `?2`, at most `?3`.
const SETTLED: &str = "SELECT id, coalesce(length(payload), 0) FROM blobs
    WHERE group_no = ?1 AND cursor <= ?2 AND (payload IS NULL OR marked = 1) ORDER BY cursor LIMIT ?3";

impl Work<'_> {
    pub(super) async fn clean_up(&mut self, op: &Cleanup) -> Result<Cleaned, sqlx::Error> {
        self.flush().await?;
        self.outdated = true;
        let (began_at, patient_until): (Option<i64>, i64) =
            sqlx::query_as("SELECT began_at, patient_until FROM cleanup").fetch_one(&mut *self.db).await?;
        let patient_until = time(patient_until)?;
        let patient = op.now < patient_until;
        match op.chore {
            Chore::Begin => self.begin(began_at.map(time).transpose()?, patient_until, op.now).await,
            Chore::Invites => self.forget_invites(op).await,
            Chore::Tombstones => self.forget_tombstones(op).await,
            Chore::Expired if patient => Ok(Cleaned::default()),
            Chore::Expired => self.expire(op).await,
            Chore::Groups => self.look_at_groups(op, patient).await,
            Chore::Erase => self.erase_dissolved(op).await,
            Chore::Vacuum => self.vacuum(op).await,
        }
    }

    async fn begin(
        &mut self,
        before: Option<UnixMs>,
        patient: UnixMs,
        now: UnixMs,
    ) -> Result<Cleaned, sqlx::Error> {
        sqlx::query("UPDATE cleanup SET began_at = ?, patient_until = ?")
            .bind(sql_time(now))
            .bind(sql_time(patience(before, patient, now)))
            .execute(&mut *self.db)
            .await?;
        Ok(Cleaned { rows: 1, next: None })
    }

    async fn forget_invites(&mut self, op: &Cleanup) -> Result<Cleaned, sqlx::Error> {
        let forgotten = sqlx::query(
            "DELETE FROM invites WHERE lookup_key IN (SELECT lookup_key FROM invites
             WHERE max(expires_at, coalesce(claimed_at + ?, 0)) <= ? LIMIT ?)",
        )
        .bind(sql_int(CLAIM_REPEAT.as_millis() as u64))
        .bind(sql_time(op.now))
        .bind(i64::from(op.most))
        .execute(&mut *self.db)
        .await?;
        Ok(piece(forgotten.rows_affected(), op.most))
    }

    async fn forget_tombstones(&mut self, op: &Cleanup) -> Result<Cleaned, sqlx::Error> {
        let forgotten = sqlx::query(
            "DELETE FROM tombstones WHERE group_id IN
             (SELECT group_id FROM tombstones WHERE until <= ? LIMIT ?)",
        )
        .bind(sql_time(op.now))
        .bind(i64::from(op.most))
        .execute(&mut *self.db)
        .await?;
        Ok(piece(forgotten.rows_affected(), op.most))
    }

    async fn expire(&mut self, op: &Cleanup) -> Result<Cleaned, sqlx::Error> {
        let rows = sqlx::query(EXPIRED)
            .bind(sql_time(op.now))
            .bind(i64::from(op.most))
            .fetch_all(&mut *self.db)
            .await?;
        let fitting = fitting(&rows)?;
        let done = fitting.len();
        let more = done < rows.len() || done >= op.most as usize;
        let mut by_group: BTreeMap<GroupNo, Vec<(Cursor, Going)>> = BTreeMap::new();
        for (row, going) in rows.iter().zip(fitting) {
            by_group.entry(row.try_get(2)?).or_default().push((cursor(row.try_get(3)?)?, going));
        }
        for (group_no, rows) in by_group {
            let acked = self.acked_by_all(group_no).await?;
            let (mut gone, mut stubs) = (Vec::new(), Vec::new());
            for (cursor, going) in rows {
                match plan_expired(cursor, acked) {
                    ExpiredFate::Gone => gone.push(going),
                    ExpiredFate::Stub => stubs.push(going),
                }
            }
            self.erase(group_no, &gone).await?;
            self.make_stubs(group_no, &stubs).await?;
        }
        Ok(Cleaned { rows: done as u64, next: more.then_some(0) })
    }

    async fn make_stubs(&mut self, group_no: GroupNo, going: &[Going]) -> Result<(), sqlx::Error> {
        for chunk in chunks(going) {
            let head = "UPDATE blobs SET payload = NULL, expires_at = NULL WHERE id IN (VALUES";
            let mut query = sqlx::query(over_rows(head, 1, chunk.len(), ")"));
            for blob in chunk {
                query = query.bind(blob.row);
            }
            query.execute(&mut *self.db).await?;
        }
        self.free(group_no, going.iter().map(|blob| blob.length).sum()).await
    }

    async fn look_at_groups(&mut self, op: &Cleanup, patient: bool) -> Result<Cleaned, sqlx::Error> {
        let (mut at, mut looked, mut changed) = (sql_int(op.from), 0, 0);
        loop {
            let next = "SELECT group_no FROM groups WHERE group_no > ? AND group_id IS NOT NULL
                        ORDER BY group_no LIMIT 1";
            let next: Option<GroupNo> =
                sqlx::query_scalar(next).bind(at).fetch_optional(&mut *self.db).await?;
            let Some(group_no) = next else {
                return Ok(Cleaned { rows: changed, next: None });
            };
            if looked >= u64::from(op.most) {
                return Ok(Cleaned { rows: changed, next: Some(int(at, "group_no")?) });
            }
            let facts = self.group_facts(group_no).await?;
            looked += 1 + facts.devices.len() as u64;
            match plan_group(self.policy, &facts, patient, op.now) {
                GroupPlan::Dissolve => {
                    self.dissolve(group_no).await?;
                    changed += 1;
                }
                GroupPlan::Keep { expired } => {
                    changed += expired.len() as u64;
                    for device in expired {
                        sqlx::query("UPDATE devices SET standing = 2 WHERE group_no = ? AND device_id = ?")
                            .bind(group_no)
                            .bind(device.as_bytes().as_slice())
                            .execute(&mut *self.db)
                            .await?;
                    }
                    let room = u64::from(op.most).saturating_sub(looked).max(1);
                    let (settled, more) = self.settle(group_no, room).await?;
                    (looked, changed) = (looked + settled, changed + settled);
                    if more {
                        return Ok(Cleaned { rows: changed, next: Some(int(group_no - 1, "group_no")?) });
                    }
                }
            }
            at = group_no;
        }
    }

    async fn group_facts(&mut self, group_no: GroupNo) -> Result<GroupFacts, sqlx::Error> {
        let devices = "SELECT device_id, standing, last_seen FROM devices WHERE group_no = ?";
        let rows = sqlx::query(devices).bind(group_no).fetch_all(&mut *self.db).await?;
        let device = |row: &SqliteRow| {
            Ok((device_id(row.try_get(0)?)?, standing(row.try_get(1)?)?, time(row.try_get(2)?)?))
        };
        let devices = rows.iter().map(device).collect::<Result<_, sqlx::Error>>()?;
        let has_blobs = "SELECT EXISTS (SELECT 1 FROM blobs WHERE group_no = ?)";
        let has_blobs = sqlx::query_scalar(has_blobs).bind(group_no).fetch_one(&mut *self.db).await?;
        Ok(GroupFacts { devices, has_blobs })
    }

    /// Erases stubs and deleted blobs that every device has, at most so many; says whether there may be
    /// more.
    async fn settle(&mut self, group_no: GroupNo, most: u64) -> Result<(u64, bool), sqlx::Error> {
        let acked = self.acked_by_all(group_no).await?;
        let rows = sqlx::query(SETTLED)
            .bind(group_no)
            .bind(acked.map_or(i64::MAX, sql_cursor))
            .bind(sql_int(most))
            .fetch_all(&mut *self.db)
            .await?;
        let going = fitting(&rows)?;
        self.erase(group_no, &going).await?;
        let settled = going.len() as u64;
        Ok((settled, going.len() < rows.len() || settled >= most))
    }

    async fn erase_dissolved(&mut self, op: &Cleanup) -> Result<Cleaned, sqlx::Error> {
        let next = "SELECT group_no FROM groups WHERE group_id IS NULL LIMIT 1";
        let next: Option<GroupNo> = sqlx::query_scalar(next).fetch_optional(&mut *self.db).await?;
        let Some(group_no) = next else {
            return Ok(Cleaned::default());
        };
        let rows =
            sqlx::query("SELECT id, coalesce(length(payload), 0) FROM blobs WHERE group_no = ? LIMIT ?")
                .bind(group_no)
                .bind(i64::from(op.most))
                .fetch_all(&mut *self.db)
                .await?;
        if rows.is_empty() {
            // Its devices go with it.
            let delete = sqlx::query("DELETE FROM groups WHERE group_no = ?").bind(group_no);
            delete.execute(&mut *self.db).await?;
            return Ok(Cleaned { rows: 1, next: Some(0) });
        }
        let going = fitting(&rows)?;
        self.erase(group_no, &going).await?;
        Ok(Cleaned { rows: going.len() as u64, next: Some(0) })
    }

    async fn vacuum(&mut self, op: &Cleanup) -> Result<Cleaned, sqlx::Error> {
        let free = "SELECT freelist_count FROM pragma_freelist_count()";
        let free: i64 = sqlx::query_scalar(free).fetch_one(&mut *self.db).await?;
        let free = int(free, "freelist_count")?;
        if free == 0 {
            return Ok(Cleaned::default());
        }
        sqlx::query(AssertSqlSafe(format!("PRAGMA incremental_vacuum({})", op.most)))
            .execute(&mut *self.db)
            .await?;
        let freed = free.min(op.most.into());
        Ok(Cleaned { rows: freed, next: (free > freed).then_some(0) })
    }
}

/// Of rows that begin with a blob's number and the length of its payload, as many as one piece may erase;
/// at least one.
fn fitting(rows: &[SqliteRow]) -> Result<Vec<Going>, sqlx::Error> {
    let (mut going, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        let length = int(row.try_get(1)?, "length")?;
        bytes += length;
        if bytes > MAX_BYTES && !going.is_empty() {
            break;
        }
        going.push(Going { row: row.try_get(0)?, length });
    }
    Ok(going)
}

/// A piece that is followed by another when it was a whole one.
fn piece(rows: u64, most: u32) -> Cleaned {
    Cleaned { rows, next: (rows >= most.into()).then_some(0) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan_of;
    use super::*;

    #[tokio::test]
    async fn a_cleanup_passes_over_no_blob_that_stays() {
        assert_eq!(plan_of(EXPIRED).await, ["SEARCH blobs USING INDEX blobs_by_expiry (expires_at<?)"]);
        assert_eq!(
            plan_of(SETTLED).await,
            ["SEARCH blobs USING INDEX blobs_to_go (group_no=? AND cursor<?)"]
        );
    }
}
