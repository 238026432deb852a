//! What there is in all.

use sqlx::SqliteConnection;

use super::SqliteStore;
use super::rows::int;

/// How much of everything a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Groups.
    pub groups: u64,
    /// Devices of all groups that were not removed.
    pub devices: u64,
    /// Blobs of all groups.
    pub blobs: u64,
    /// What they count for in their groups' storage, in bytes.
    pub stored_bytes: u64,
    /// Pages of the database that are in use, in bytes.
    pub used_bytes: u64,
    /// All of its pages, in bytes.
    pub file_bytes: u64,
}

impl SqliteStore {
    /// What there is. Costs a look at every group and device, but at no blob.
    pub async fn totals(&self) -> Result<Totals, sqlx::Error> {
        let mut snapshot = self.readers.begin().await?;
        totals(&mut snapshot).await
    }
}

pub(super) async fn totals(db: &mut SqliteConnection) -> Result<Totals, sqlx::Error> {
    let (groups, stored): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(stored_bytes), 0) FROM groups WHERE group_id IS NOT NULL",
    )
    .fetch_one(&mut *db)
    .await?;
    let devices = sqlx::query_scalar("SELECT count(*) FROM devices WHERE standing = 0");
    let devices = devices.fetch_one(&mut *db).await?;
    let blobs = sqlx::query_scalar("SELECT blobs FROM totals").fetch_one(&mut *db).await?;
    let (pages, free, size): (i64, i64, i64) = sqlx::query_as(
        "SELECT page_count, freelist_count, page_size
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
    )
    .fetch_one(db)
    .await?;
    Ok(Totals {
        groups: int(groups, "count")?,
        devices: int(devices, "count")?,
        blobs: int(blobs, "blobs")?,
        stored_bytes: int(stored, "stored_bytes")?,
        used_bytes: int((pages - free) * size, "page_count")?,
        file_bytes: int(pages * size, "page_count")?,
    })
}
