//! What a batch has changed, written in statements of many rows.

use super::super::rows::{Query, chunks, over_rows, sql_cursor, sql_int, sql_time};
use super::{NewRow, Work};

impl Work<'_> {
    pub(super) async fn flush(&mut self) -> Result<(), sqlx::Error> {
        self.flush_blobs().await?;
        self.flush_groups().await?;
        self.flush_devices().await?;
        if self.more_blobs != 0 {
            let more = std::mem::take(&mut self.more_blobs);
            let update = sqlx::query("UPDATE totals SET blobs = blobs + ?").bind(more);
            update.execute(&mut *self.db).await?;
        }
        Ok(())
    }

    async fn flush_blobs(&mut self) -> Result<(), sqlx::Error> {
        let rows = std::mem::take(&mut self.new_blobs);
        for chunk in chunks(&rows) {
            let head = "INSERT INTO blobs
                (group_no, cursor, blob_id, device_no, hash, stored_at, expires_at, payload) VALUES";
            let mut query = sqlx::query(over_rows(head, 8, chunk.len(), ""));
            for row in chunk {
                query = bind_blob(query, row);
            }
            query.execute(&mut *self.db).await?;
        }
        Ok(())
    }

    async fn flush_groups(&mut self) -> Result<(), sqlx::Error> {
        let changed = std::mem::take(&mut self.changed_groups);
        let rows: Vec<_> = changed.iter().filter_map(|id| self.groups.get(id)).collect();
        for chunk in chunks(&rows) {
            let head = "WITH new (no, newest, bytes) AS (VALUES";
            let tail = ") UPDATE groups SET max_cursor = newest, stored_bytes = bytes
                         FROM new WHERE group_no = no";
            let mut query = sqlx::query(over_rows(head, 3, chunk.len(), tail));
            for group in chunk {
                query =
                    query.bind(group.no).bind(sql_cursor(group.max_cursor)).bind(sql_int(group.stored_bytes));
            }
            query.execute(&mut *self.db).await?;
        }
        Ok(())
    }

    async fn flush_devices(&mut self) -> Result<(), sqlx::Error> {
        let changed = std::mem::take(&mut self.changed_devices);
        let rows: Vec<_> = changed.iter().filter_map(|id| self.devices.get(id)).collect();
        for chunk in chunks(&rows) {
            let head = "WITH new (no, acked, seen) AS (VALUES";
            let tail = ") UPDATE devices SET acked_cursor = acked, last_seen = seen
                         FROM new WHERE device_no = no";
            let mut query = sqlx::query(over_rows(head, 3, chunk.len(), tail));
            for device in chunk {
                query = query.bind(device.no).bind(sql_cursor(device.acked)).bind(sql_time(device.last_seen));
            }
            query.execute(&mut *self.db).await?;
        }
        Ok(())
    }
}

fn bind_blob<'q>(query: Query<'q>, row: &NewRow) -> Query<'q> {
    let blob = &row.blob;
    query
        .bind(row.group_no)
        .bind(sql_cursor(row.cursor))
        .bind(blob.blob_id.0.to_vec())
        .bind(row.device_no)
        .bind(blob.hash.0.to_vec())
        .bind(sql_time(row.stored_at))
        .bind(blob.expires_at.map(sql_time))
        .bind(blob.payload.to_vec())
}
