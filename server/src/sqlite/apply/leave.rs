//! Devices that leave, and groups that are deleted.

use sync_relay_core::decide::{Standing, plan_group_delete, plan_leave};
use sync_relay_core::store::{GroupDeleteOp, LeaveOp, WriteOutcome, WriteResult};

use super::super::rows::sql_time;
use super::{GroupNo, Work};

impl Work<'_> {
    pub(super) async fn leave(&mut self, op: &LeaveOp) -> Result<WriteOutcome, sqlx::Error> {
        let group = self.groups.get(&op.group);
        let device = group.and_then(|group| self.devices.get_mut(&(group.no, op.device)));
        if let Err(refusal) = plan_leave(device.as_ref().map(|device| device.standing)) {
            return Ok(Err(refusal));
        }
        if let Some(device) = device {
            let no = device.no;
            device.standing = Standing::Removed;
            self.flush().await?;
            sqlx::query("UPDATE devices SET standing = 1, last_seen = max(last_seen, ?) WHERE device_no = ?")
                .bind(sql_time(op.now))
                .bind(no)
                .execute(&mut *self.db)
                .await?;
        }
        Ok(Ok(WriteResult::Left))
    }

    pub(super) async fn group_delete(&mut self, op: &GroupDeleteOp) -> Result<WriteOutcome, sqlx::Error> {
        let group = self.groups.get(&op.group);
        let standing = |no| self.devices.get(&(no, op.device)).map(|device| device.standing);
        let facts = group.map(|group| (group.epoch, standing(group.no)));
        let until = match plan_group_delete(facts, op) {
            Ok(until) => until,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // What came before in the same batch counts until it is erased.
        self.flush().await?;
        if let Some(group) = self.groups.remove(&op.group) {
            sqlx::query("INSERT OR REPLACE INTO tombstones (group_id, until) VALUES (?, ?)")
                .bind(op.group.0.as_slice())
                .bind(sql_time(until))
                .execute(&mut *self.db)
                .await?;
            self.dissolve(group.no).await?;
        }
        Ok(Ok(WriteResult::GroupDeleted))
    }

    /// From now on nobody finds the group. What lies in it may be much, and is erased bit by bit.
    pub(super) async fn dissolve(&mut self, group_no: GroupNo) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE groups SET group_id = NULL, key_log = x'' WHERE group_no = ?")
            .bind(group_no)
            .execute(&mut *self.db)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};
    use sync_relay_core::Policy;
    use sync_relay_core::store::{Admit, NewBlob, Origin, Payload, PushOp, WriteOp};
    use sync_types::{AuthKey, BlobId, Cursor, DeviceId, GroupId, KeyLog, StoreId, UnixMs};

    use super::super::super::SqliteStore;
    use super::*;

    #[tokio::test]
    async fn what_was_pushed_just_before_a_group_is_deleted_counts_until_it_is_erased() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.db"), Policy::default()).await.unwrap();
        let log = KeyLog::new(AuthKey([1; 32]));
        let (group, device) = (GroupId::of(&log.genesis), DeviceId::from_bytes([2; 32]).unwrap());
        let (epoch, now) = (0, UnixMs(0));
        let admit = Admit {
            group,
            device,
            name: Vec::new(),
            epoch,
            key_log: Some(log),
            last_cursor: Cursor::ZERO,
            store_id: StoreId::NONE,
            may_create: true,
            origin: Some(Origin(7)),
            now,
        };
        let payload = Payload::from(vec![0; 1000]);
        let blob = NewBlob { blob_id: BlobId([3; 16]), hash: payload.hash(), payload, expires_at: None };
        let batch = [
            WriteOp::Admit(admit),
            WriteOp::Push(PushOp { group, device, epoch, blobs: vec![blob], now }),
            WriteOp::GroupDelete(GroupDeleteOp { group, device, epoch, now }),
        ];
        assert!(store.apply_batch(&batch).await.unwrap().iter().all(Result::is_ok));
        let mut db = SqliteConnection::connect_with(&store.options).await.unwrap();
        let origin = "SELECT groups, bytes FROM origins WHERE origin = 7";
        let origin: (i64, i64) = sqlx::query_as(origin).fetch_one(&mut db).await.unwrap();
        assert_eq!(origin, (0, NewBlob::cost(1000) as i64));
    }
}
