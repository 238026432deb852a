//! What a relay's database holds, read past the relay.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};
use sync_client::{BlobId, Cursor};

/// A group's number in the database, which is nobody's business elsewhere.
type GroupNo = i64;

/// The logs of all groups.
#[derive(Debug, Default)]
pub struct RelayLog {
    /// The highest cursor that each group has given out.
    given: BTreeMap<GroupNo, u64>,
    rows: BTreeMap<(GroupNo, u64), BlobId>,
    places: HashMap<BlobId, (GroupNo, Cursor)>,
}

impl RelayLog {
    /// Reads a database while its relay works on it.
    pub async fn read(database: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(database).read_only(true);
        Self::of(SqliteConnection::connect_with(&options).await?, Cursor::ZERO).await
    }

    /// Reads what a relay has left when it was killed, from a cursor on; of a copy, since reading would mend it.
    pub async fn read_remains(database: &Path, from: Cursor) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let copy = scratch.path().join("relay.db");
        for end in ["", "-wal"] {
            let from = with_end(database, end);
            if from.exists() {
                std::fs::copy(&from, with_end(&copy, end))?;
            }
        }
        Self::of(SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&copy)).await?, from)
            .await
    }

    async fn of(mut db: SqliteConnection, from: Cursor) -> Result<Self> {
        let mut log = Self::default();
        // Of one moment, all of it.
        let mut db = db.begin().await?;
        for row in sqlx::query("SELECT group_no, max_cursor FROM groups").fetch_all(&mut *db).await? {
            let max: i64 = row.try_get(1)?;
            log.given.insert(row.try_get(0)?, max.try_into()?);
        }
        let blobs = sqlx::query("SELECT group_no, cursor, blob_id FROM blobs WHERE cursor >= ?");
        for row in blobs.bind(i64::try_from(from.get())?).fetch_all(&mut *db).await? {
            let (group, cursor, id): (GroupNo, i64, Vec<u8>) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let (id, cursor) = (BlobId::from_slice(&id).context("a blob's id")?, cursor.try_into()?);
            log.rows.insert((group, cursor), id);
            log.places.insert(id, (group, Cursor::new(cursor).context("a cursor")?));
        }
        Ok(log)
    }

    /// Where a blob is.
    pub fn place(&self, blob: &BlobId) -> Option<Cursor> {
        self.places.get(blob).map(|(_, cursor)| *cursor)
    }

    /// What is at a cursor of the group that a blob is in.
    pub fn beside(&self, blob: &BlobId, cursor: Cursor) -> Option<BlobId> {
        let (group, _) = self.places.get(blob)?;
        self.rows.get(&(*group, cursor.get())).copied()
    }

    /// Cursors that were given out and hold nothing, or hold something and were not given out.
    pub fn gaps(&self) -> Vec<u64> {
        let mut gaps = Vec::new();
        for (group, given) in &self.given {
            let rows: Vec<u64> =
                self.rows.range((*group, 0)..=(*group, u64::MAX)).map(|((_, c), _)| *c).collect();
            gaps.extend((1..=*given).filter(|cursor| rows.binary_search(cursor).is_err()));
            gaps.extend(rows.iter().filter(|cursor| *cursor > given));
        }
        gaps
    }

    /// Cursors that were given out, in all groups.
    pub fn cursors(&self) -> u64 {
        self.given.values().sum()
    }
}

/// When the relay last began to clean up, by its clock.
pub async fn cleanup_began(database: &Path) -> Result<Option<i64>> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let mut db = SqliteConnection::connect_with(&options).await?;
    Ok(sqlx::query_scalar("SELECT began_at FROM cleanup").fetch_one(&mut db).await?)
}

/// `relay.db` → `relay.db-wal`
pub fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
