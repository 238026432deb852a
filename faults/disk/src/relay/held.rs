//! What a relay's database holds after a power cut, against what was promised.

use std::hash::{DefaultHasher, Hash, Hasher};

use sqlx::{Connection, SqliteConnection};
use sync_relay_core::store::{PullPage, ReadOp, ReadResult};
use sync_types::{Cursor, DeviceId, GroupId, StoredBlob};

use super::model::{Group, Model, device_id, group_id};
use super::subject::Subject;
use crate::look::{connect, damaged};
use crate::{Mounted, Violation};

/// Everything that a database holds, but for the bytes of blobs.
const TABLES: [&str; 8] = [
    "SELECT quote(key) || quote(value) FROM meta ORDER BY key",
    "SELECT quote(blobs) FROM totals",
    "SELECT quote(began_at) || quote(patient_until) FROM cleanup",
    "SELECT concat_ws(',', group_no, quote(group_id), epoch, max_cursor, oldest_cursor, stored_bytes, created_at,
            quote(key_log)) FROM groups ORDER BY group_no",
    "SELECT concat_ws(',', device_no, group_no, quote(device_id), quote(sealed_name), acked_cursor, last_seen, epoch,
            standing) FROM devices ORDER BY device_no",
    "SELECT concat_ws(',', id, group_no, cursor, quote(blob_id), device_no, quote(hash), stored_at, quote(expires_at),
            marked, quote(length(payload))) FROM blobs ORDER BY id",
    "SELECT quote(group_id) || until FROM tombstones ORDER BY group_id",
    "SELECT concat_ws(',', lookup_key, expires_at, quote(revoke_token_hash), quote(claimed_at), quote(claim_id_hash),
            quote(payload)) FROM invites ORDER BY lookup_key",
];

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest(u64);

async fn open(mounted: &Mounted) -> Result<SqliteConnection, Violation> {
    connect(&mounted.folder().join("relay.db")).await
}

pub(super) async fn digest(mounted: &Mounted) -> Result<Digest, Violation> {
    let mut db = open(mounted).await?;
    let mut hasher = DefaultHasher::new();
    for table in TABLES {
        let rows: Vec<String> = sqlx::query_scalar(table).fetch_all(&mut db).await.map_err(damaged)?;
        rows.hash(&mut hasher);
    }
    db.close().await.map_err(damaged)?;
    Ok(Digest(hasher.finish()))
}

/// Plants a mistake: the newest cursor is that of the newest blob which is there, after the newest one has gone.
pub(super) async fn take_cursors_from_blobs(mounted: &Mounted) -> Result<(), Violation> {
    let mut db = open(mounted).await?;
    let sql = "DELETE FROM blobs WHERE (group_no, cursor) IN (SELECT group_no, max_cursor FROM groups);
        UPDATE groups SET max_cursor =
        (SELECT coalesce(max(cursor), 0) FROM blobs WHERE blobs.group_no = groups.group_no)";
    sqlx::raw_sql(sql).execute(&mut db).await.map_err(damaged)?;
    db.close().await.map_err(damaged)
}

/// Whether everything is there that was promised, but for what a batch under way may have changed.
pub(super) async fn promises(
    subject: &Subject,
    promised: &Model,
    under_way: Option<&Model>,
) -> Result<(), Violation> {
    for (number, group) in &promised.groups {
        let later = match under_way {
            Some(model) => match model.groups.get(number) {
                Some(later) => Some(later),
                None => continue, // It may have been deleted.
            },
            None => None,
        };
        let stays = |device: &&u8| later.is_none_or(|later| later.members.contains_key(*device));
        let Some(device) = group.members.keys().find(stays) else { continue };
        group_is_there(subject, *number, *device, group, later).await?;
    }
    Ok(())
}

async fn group_is_there(
    subject: &Subject,
    number: u32,
    device: u8,
    group: &Group,
    later: Option<&Group>,
) -> Result<(), Violation> {
    let (id, reader) = (group_id(number), device_id(device));
    let log = log(subject, id, reader).await?;
    for (cursor, kept) in &group.blobs {
        let may_be_gone = later.is_some_and(|later| !later.blobs.contains_key(cursor));
        let there = log.iter().find(|blob| blob.cursor.get() == *cursor);
        match there {
            Some(blob) if blob.blob_id != kept.id => {
                return Err(Violation::OtherPush { group: number, cursor: *cursor });
            }
            Some(blob) if blob.payload.as_deref() == Some(&*kept.payload) => {}
            Some(_) | None if may_be_gone => {}
            Some(blob) if blob.payload.is_some() => {
                return Err(Violation::OtherPush { group: number, cursor: *cursor });
            }
            Some(_) | None => return Err(Violation::LostPush { group: number, cursor: *cursor }),
        }
    }
    if let ReadResult::KeyLog(log) = subject.read(ReadOp::KeyLog { group: id }).await?
        && log.as_ref().map_or(0, sync_types::KeyLog::epoch) < group.epoch()
    {
        return Err(Violation::LostRotation { group: number, epoch: group.epoch() });
    }
    if let ReadResult::Devices(rows) = subject.read(ReadOp::Devices { group: id, device: reader }).await? {
        for row in rows {
            let device = row.device_id.as_bytes()[0];
            let now = row.acked_cursor.get();
            match group.members.get(&device) {
                Some(acked) if now < *acked => {
                    return Err(Violation::LostAck { group: number, device, acked: *acked, now });
                }
                None if group.out.contains(&device)
                    && later.is_none_or(|l| !l.members.contains_key(&device)) =>
                {
                    return Err(Violation::Revived { group: number, device });
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}

/// Everything in a group.
#[expect(clippy::wildcard_enum_match_arm, reason = "a pull gives a page, or something is wrong")]
async fn log(subject: &Subject, group: GroupId, device: DeviceId) -> Result<Vec<StoredBlob>, Violation> {
    let mut log = Vec::new();
    let mut after = Cursor::ZERO;
    loop {
        let page = PullPage { group, device, after, limit: 1000, max_bytes: usize::MAX };
        match subject.read(ReadOp::Pull(page)).await? {
            ReadResult::Page(page) => {
                after = page.max_cursor;
                log.extend(page.blobs);
                if !page.has_more {
                    return Ok(log);
                }
            }
            other => return Err(Violation::Stops(format!("a pull gave {other:?}"))),
        }
    }
}
