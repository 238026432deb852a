//! Blobs that go: for room, because somebody asked, because their time is over.

use sqlx::Row;
use sync_relay_core::decide::{DeleteFacts, DeletePlan, DoomedBlob, everybody_has, plan_delete};
use sync_relay_core::store::{DeleteOp, Deleted, NewBlob, Refusal, WriteOutcome, WriteResult};
use sync_types::rotation::ROTATION_FORMAT;
use sync_types::{BlobId, Cursor, DeviceId, GroupId};

use super::super::rows::{bytes, chunks, cursor, device_id, int, over_rows, sql_cursor, sql_int};
use super::{GroupNo, Work};

/// A row of a blob that goes.
pub(super) struct Going {
    pub(super) row: i64,
    /// The length of its payload.
    pub(super) length: u64,
}

impl Going {
    /// What it counts for, in bytes.
    fn cost(&self) -> u64 {
        self.length + NewBlob::OVERHEAD as u64
    }
}

/// The device of a group that has yet to acknowledge most.
struct Slowest {
    device: DeviceId,
    acked: Cursor,
}

/// Whether there is anything of `?1` after `?2` that goes, or may go, once every device has it.
const WAITING: &str = "SELECT EXISTS (
        SELECT 1 FROM blobs WHERE group_no = ?1 AND cursor > ?2 AND expires_at IS NOT NULL
    ) OR EXISTS (
        SELECT 1 FROM blobs WHERE group_no = ?1 AND cursor > ?2 AND (payload IS NULL OR marked = 1) AND marked = 1
    )";
/// Blobs that may go for room, the oldest first: of `?1` after `?2`, up to `?3`.
const STUBS: &str = "SELECT id, blob_id, 0, cursor FROM blobs
    WHERE group_no = ?1 AND cursor > ?2 AND cursor <= ?3
    AND (payload IS NULL OR marked = 1) AND payload IS NULL ORDER BY cursor LIMIT 64";
const EVERYBODYS: &str = "SELECT id, blob_id, length(payload), cursor FROM blobs
    WHERE group_no = ?1 AND cursor > ?2 AND cursor <= ?3 AND expires_at IS NOT NULL ORDER BY cursor LIMIT 64";

impl Work<'_> {
    /// Drops the oldest stubs, then the oldest blobs that may expire and that every device has, until
    /// `wanted` bytes are free.
    pub(super) async fn make_room(
        &mut self,
        id: GroupId,
        wanted: u64,
    ) -> Result<Result<(), Refusal>, sqlx::Error> {
        self.flush().await?;
        let Some(group) = self.groups.get(&id) else {
            return Ok(Err(Refusal::Unknown));
        };
        let (group_no, max_cursor) = (group.no, group.max_cursor);
        let slowest = self.slowest(group_no).await?;
        let acked = slowest.as_ref().map(|slowest| slowest.acked);
        let (mut free, mut going, mut ids, mut unheard) = (0, Vec::new(), Vec::new(), None);
        for (candidates, last) in [(STUBS, max_cursor), (EVERYBODYS, acked.unwrap_or(Cursor::ZERO))] {
            let mut after = Cursor::ZERO;
            while free < wanted {
                let rows = sqlx::query(candidates)
                    .bind(group_no)
                    .bind(sql_cursor(after))
                    .bind(sql_cursor(last))
                    .fetch_all(&mut *self.db)
                    .await?;
                if rows.is_empty() {
                    break;
                }
                for row in rows {
                    if free >= wanted {
                        break;
                    }
                    let blob = Going { row: row.try_get(0)?, length: int(row.try_get(2)?, "length")? };
                    free += blob.cost();
                    after = cursor(row.try_get(3)?)?;
                    going.push(blob);
                    ids.push(BlobId(bytes(row.try_get(1)?, "blob_id")?));
                    if !everybody_has(after, acked) {
                        unheard = unheard.max(Some(after));
                    }
                }
            }
        }
        if free < wanted {
            let held_by = match slowest {
                Some(slowest) if self.waits_for(group_no, slowest.acked).await? => Some(slowest.device),
                Some(_) | None => None,
            };
            return Ok(Err(Refusal::GroupFull { held_by }));
        }
        self.erase(group_no, &going).await?;
        if let Some(unheard) = unheard {
            sqlx::query("UPDATE groups SET oldest_cursor = max(oldest_cursor, ?) WHERE group_no = ?")
                .bind(sql_cursor(unheard.next()))
                .bind(group_no)
                .execute(&mut *self.db)
                .await?;
        }
        self.forget(id, &ids, free);
        Ok(Ok(()))
    }

    async fn waits_for(&mut self, group_no: GroupNo, acked: Cursor) -> Result<bool, sqlx::Error> {
        let waiting = sqlx::query_scalar(WAITING).bind(group_no).bind(sql_cursor(acked));
        waiting.fetch_one(&mut *self.db).await
    }

    /// What the rest of the batch should know of blobs that went.
    fn forget(&mut self, group: GroupId, blobs: &[BlobId], freed: u64) {
        let Some(group) = self.groups.get_mut(&group) else {
            return;
        };
        group.stored_bytes = group.stored_bytes.saturating_sub(freed);
        if let Some(bytes) = group.origin.and_then(|origin| self.origins.get_mut(&origin)) {
            *bytes = bytes.saturating_sub(freed);
        }
        if let Some(known) = self.known.get_mut(&group.no) {
            for id in blobs {
                known.remove(id);
            }
        }
    }

    pub(super) async fn delete(&mut self, op: &DeleteOp) -> Result<WriteOutcome, sqlx::Error> {
        self.flush().await?;
        let (facts, row) = match self.groups.get(&op.group) {
            Some(group) => {
                let (no, epoch) = (group.no, group.epoch);
                let asks = self.devices.get(&(no, op.device)).map(|device| device.standing);
                let found = self.doomed(no, &op.blob_id).await?;
                let blob = found.as_ref().map(|(blob, _)| *blob);
                let acked = self.acked_by_all(no).await?;
                (Some(DeleteFacts { epoch, asks, blob, acked }), found.map(|(_, going)| (no, going)))
            }
            None => (None, None),
        };
        let plan = match plan_delete(facts.as_ref(), op) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let deleted = match (plan, row) {
            (DeletePlan::Nothing, _) | (_, None) => Deleted::Gone,
            (DeletePlan::Erase, Some((group_no, going))) => {
                self.forget(op.group, &[op.blob_id], going.cost());
                self.erase(group_no, &[going]).await?;
                Deleted::Gone
            }
            (DeletePlan::Mark, Some((_, going))) => {
                let mark = sqlx::query("UPDATE blobs SET marked = 1 WHERE id = ?").bind(going.row);
                mark.execute(&mut *self.db).await?;
                Deleted::Marked
            }
        };
        Ok(Ok(WriteResult::Deleted(deleted)))
    }

    async fn doomed(
        &mut self,
        group_no: GroupNo,
        id: &BlobId,
    ) -> Result<Option<(DoomedBlob, Going)>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT id, cursor, coalesce(length(payload), 0), coalesce(substr(payload, 1, 1) = ?, 0)
             FROM blobs WHERE group_no = ? AND blob_id = ?",
        )
        .bind([ROTATION_FORMAT].as_slice())
        .bind(group_no)
        .bind(id.0.as_slice())
        .fetch_optional(&mut *self.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let blob = DoomedBlob { cursor: cursor(row.try_get(1)?)?, rotation: row.try_get(3)? };
        Ok(Some((blob, Going { row: row.try_get(0)?, length: int(row.try_get(2)?, "length")? })))
    }

    async fn slowest(&mut self, group_no: GroupNo) -> Result<Option<Slowest>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT device_id, acked_cursor FROM devices WHERE group_no = ? AND standing = 0
             ORDER BY acked_cursor, device_id LIMIT 1",
        )
        .bind(group_no)
        .fetch_optional(&mut *self.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Slowest { device: device_id(row.try_get(0)?)?, acked: cursor(row.try_get(1)?)? }))
    }

    /// Up to here every present device has acknowledged; `None`: there is none.
    pub(super) async fn acked_by_all(&mut self, group_no: GroupNo) -> Result<Option<Cursor>, sqlx::Error> {
        Ok(self.slowest(group_no).await?.map(|slowest| slowest.acked))
    }

    /// Erases blobs of one group, and counts what that frees.
    pub(super) async fn erase(&mut self, group_no: GroupNo, going: &[Going]) -> Result<(), sqlx::Error> {
        for chunk in chunks(going) {
            let mut query =
                sqlx::query(over_rows("DELETE FROM blobs WHERE id IN (VALUES", 1, chunk.len(), ")"));
            for blob in chunk {
                query = query.bind(blob.row);
            }
            query.execute(&mut *self.db).await?;
        }
        self.more_blobs -= sql_int(going.len() as u64);
        let freed = going.iter().map(Going::cost).sum();
        self.free(group_no, freed).await
    }

    /// Counts what a group does not take any more.
    pub(super) async fn free(&mut self, group_no: GroupNo, bytes: u64) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE groups SET stored_bytes = max(0, stored_bytes - ?) WHERE group_no = ?")
            .bind(sql_int(bytes))
            .bind(group_no)
            .execute(&mut *self.db)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan_of;
    use super::*;

    #[tokio::test]
    async fn looking_for_room_passes_over_no_blob_that_stays() {
        assert_eq!(
            plan_of(STUBS).await,
            ["SEARCH blobs USING INDEX blobs_to_go (group_no=? AND cursor>? AND cursor<?)"]
        );
        assert_eq!(
            plan_of(EVERYBODYS).await,
            ["SEARCH blobs USING INDEX blobs_for_room (group_no=? AND cursor>? AND cursor<?)"]
        );
        let waiting = plan_of(WAITING).await.join("; ");
        assert!(!waiting.contains("SCAN blobs") && !waiting.contains("autoindex"), "{waiting}");
    }
}
