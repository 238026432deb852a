//! Reads: each from one snapshot, at a cost that follows what it returns.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use sync_relay_core::decide::{invite_status, may_read};
use sync_relay_core::store::{Backlog, News, Payload, PullPage, ReadOp, ReadResult, Refusal, Stats};
use sync_types::limits::MAX_INLINE_NOTIFY;
use sync_types::{BlobHash, BlobId, Cursor, DeviceId, DeviceRow, GroupId, KeyLog, PullResponse, StoredBlob};

use super::SqliteStore;
use super::rows::{bytes, cursor, device_id, int, key_log, sql_cursor, sql_int, standing, time};

impl SqliteStore {
    pub(super) async fn read_one(&self, op: &ReadOp) -> Result<ReadResult, sqlx::Error> {
        let mut snapshot = self.readers.begin().await?;
        let db = &mut *snapshot;
        Ok(match op {
            ReadOp::KeyLog { group } => ReadResult::KeyLog(log(db, group).await?),
            ReadOp::Backlog { group, device, last_cursor, limit, inline } => {
                match member(db, group, device).await? {
                    Ok(seen) => ReadResult::Backlog(backlog(db, &seen, *last_cursor, *limit, *inline).await?),
                    Err(refusal) => ReadResult::Refused(refusal),
                }
            }
            ReadOp::Pull(page) => match member(db, &page.group, &page.device).await? {
                Ok(seen) => ReadResult::Page(pull(db, &seen, page).await?),
                Err(refusal) => ReadResult::Refused(refusal),
            },
            ReadOp::Devices { group, device } => match member(db, group, device).await? {
                Ok(seen) => ReadResult::Devices(devices(db, &seen).await?),
                Err(refusal) => ReadResult::Refused(refusal),
            },
            ReadOp::Invite { lookup, revoke_hash, now } => {
                let facts = super::invites::facts(db, lookup).await?;
                ReadResult::Invite(invite_status(facts.as_ref(), revoke_hash, *now))
            }
            ReadOp::Stats => ReadResult::Stats(stats(db).await?),
        })
    }
}

async fn log(db: &mut SqliteConnection, group: &GroupId) -> Result<Option<KeyLog>, sqlx::Error> {
    let log: Option<Vec<u8>> = sqlx::query_scalar("SELECT key_log FROM groups WHERE group_id = ?")
        .bind(group.0.as_slice())
        .fetch_optional(db)
        .await?;
    log.map(|log| key_log(&log)).transpose()
}

/// A group, as one of its devices sees it.
struct Seen {
    group_no: i64,
    max_cursor: Cursor,
    oldest_cursor: Cursor,
}

/// Looks for a group, for a device of it.
async fn member(
    db: &mut SqliteConnection,
    group: &GroupId,
    device: &DeviceId,
) -> Result<Result<Seen, Refusal>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT group_no, max_cursor, oldest_cursor,
                (SELECT standing FROM devices WHERE devices.group_no = groups.group_no AND device_id = ?)
         FROM groups WHERE group_id = ?",
    )
    .bind(device.as_bytes().as_slice())
    .bind(group.0.as_slice())
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else {
        let deleted = "SELECT EXISTS (SELECT 1 FROM tombstones WHERE group_id = ?)";
        let deleted = sqlx::query_scalar(deleted).bind(group.0.as_slice()).fetch_one(db).await?;
        return Ok(Err(may_read(false, deleted, None).err().unwrap_or(Refusal::Unknown)));
    };
    let its_standing = row.try_get::<Option<i64>, _>(3)?.map(standing).transpose()?;
    if let Err(refusal) = may_read(true, false, its_standing) {
        return Ok(Err(refusal));
    }
    Ok(Ok(Seen {
        group_no: row.try_get(0)?,
        max_cursor: cursor(row.try_get(1)?)?,
        oldest_cursor: cursor(row.try_get(2)?)?,
    }))
}

async fn backlog(
    db: &mut SqliteConnection,
    seen: &Seen,
    last_cursor: Cursor,
    limit: u32,
    inline: bool,
) -> Result<Backlog, sqlx::Error> {
    let at: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT blob_id FROM blobs WHERE group_no = ? AND cursor = ?")
            .bind(seen.group_no)
            .bind(sql_cursor(last_cursor))
            .fetch_optional(&mut *db)
            .await?;
    let rows = sqlx::query(
        "SELECT blob_id, cursor, device_id, stored_at, coalesce(length(payload), 0),
                iif(? AND length(payload) <= ?, payload, NULL)
         FROM blobs JOIN devices USING (device_no)
         WHERE blobs.group_no = ? AND cursor > ? ORDER BY cursor DESC LIMIT ?",
    )
    .bind(inline)
    .bind(sql_int(MAX_INLINE_NOTIFY as u64))
    .bind(seen.group_no)
    .bind(sql_cursor(last_cursor))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    Ok(Backlog {
        max_cursor: seen.max_cursor,
        oldest_cursor: seen.oldest_cursor,
        at_cursor: at.map(|id| bytes(&id, "blob_id").map(BlobId)).transpose()?,
        newest: rows.iter().rev().map(news).collect::<Result<_, _>>()?,
    })
}

fn news(row: &SqliteRow) -> Result<News, sqlx::Error> {
    Ok(News {
        blob_id: BlobId(bytes(row.try_get(0)?, "blob_id")?),
        cursor: cursor(row.try_get(1)?)?,
        sender: device_id(row.try_get(2)?)?,
        stored_at: time(row.try_get(3)?)?,
        size: u32::try_from(row.try_get::<i64, _>(4)?).unwrap_or(u32::MAX),
        payload: row.try_get::<Option<Vec<u8>>, _>(5)?.map(Payload::from),
    })
}

/// First the sizes, then as many payloads as fit: nothing is read that is not sent.
async fn pull(db: &mut SqliteConnection, seen: &Seen, page: &PullPage) -> Result<PullResponse, sqlx::Error> {
    let mut response = PullResponse {
        blobs: Vec::new(),
        has_more: false,
        max_cursor: page.after,
        oldest_cursor: seen.oldest_cursor,
    };
    let sizes: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT cursor, coalesce(length(payload), 0) FROM blobs
         WHERE group_no = ? AND cursor > ? ORDER BY cursor LIMIT ?",
    )
    .bind(seen.group_no)
    .bind(sql_cursor(page.after))
    .bind(i64::from(page.limit) + 1)
    .fetch_all(&mut *db)
    .await?;
    let mut total = 0;
    let fits = |(_, size): &&(i64, i64)| {
        total += usize::try_from(*size).unwrap_or(usize::MAX) + PullPage::BLOB_OVERHEAD;
        total <= page.max_bytes
    };
    let fitting = sizes.iter().take(page.limit as usize).take_while(fits).count();
    let count = fitting.max(1).min(sizes.len());
    let Some((last, _)) = count.checked_sub(1).and_then(|last| sizes.get(last)) else {
        return Ok(response);
    };
    let rows = sqlx::query(
        "SELECT blob_id, cursor, device_id, payload, stored_at, iif(payload IS NULL, hash, NULL)
         FROM blobs JOIN devices USING (device_no)
         WHERE blobs.group_no = ? AND cursor > ? AND cursor <= ? ORDER BY cursor",
    )
    .bind(seen.group_no)
    .bind(sql_cursor(page.after))
    .bind(last)
    .fetch_all(db)
    .await?;
    response.blobs = rows.iter().map(stored).collect::<Result<_, _>>()?;
    response.has_more = sizes.len() > count;
    response.max_cursor = cursor(*last)?;
    Ok(response)
}

fn stored(row: &SqliteRow) -> Result<StoredBlob, sqlx::Error> {
    let hash: Option<&[u8]> = row.try_get(5)?;
    Ok(StoredBlob {
        blob_id: BlobId(bytes(row.try_get(0)?, "blob_id")?),
        cursor: cursor(row.try_get(1)?)?,
        sender_id: device_id(row.try_get(2)?)?,
        payload: row.try_get(3)?,
        timestamp: time(row.try_get(4)?)?,
        hash: hash.map(|hash| bytes(hash, "hash").map(BlobHash)).transpose()?,
    })
}

async fn devices(db: &mut SqliteConnection, seen: &Seen) -> Result<Vec<DeviceRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT device_id, sealed_name, acked_cursor, last_seen FROM devices
         WHERE group_no = ? AND standing = 0 ORDER BY device_id",
    )
    .bind(seen.group_no)
    .fetch_all(db)
    .await?;
    let device = |row: &SqliteRow| {
        Ok(DeviceRow {
            device_id: device_id(row.try_get(0)?)?,
            device_name: row.try_get(1)?,
            acked_cursor: cursor(row.try_get(2)?)?,
            last_seen: time(row.try_get(3)?)?,
            online: false,
        })
    };
    rows.iter().map(device).collect()
}

async fn stats(db: &mut SqliteConnection) -> Result<Stats, sqlx::Error> {
    let (groups, blobs): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM groups WHERE group_id IS NOT NULL), blobs
                         FROM totals",
    )
    .fetch_one(db)
    .await?;
    Ok(Stats { groups: int(groups, "count")?, blobs: int(blobs, "blobs")? })
}
