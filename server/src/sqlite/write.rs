//! The one connection that writes, and how it comes back after a failure.
//!
//! Whatever fails, nothing of it was acknowledged, and a connection that has failed is not used again. But what it has
//! left in the log may not be durable, even if the system says later that it is: a system that could not write
//! something gives it up and says so once. If it were found in the log, who repeats a push would be told that it is
//! stored. While the relay runs it is not found, for the log's index, which another connection keeps, ends before it,
//! and the next commit takes its place. When the relay starts, a durable copy takes the log's place before anybody reads it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use sync_relay_core::store::{WriteOp, WriteOutcome};
use tokio::time::Instant;

use super::SqliteStore;
use super::backup::with_end;
use super::failure::Failure;

/// Bytes that must find room before a disk that was full counts as well.
const ATTEMPT: i64 = 1 << 20;
/// From the beginning of one attempt to the next.
const AGAIN: Duration = Duration::from_secs(1);

impl SqliteStore {
    pub(super) async fn apply_batch(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, Failure> {
        let mut place = self.writer.lock().await;
        let mut writer = self.ready(place.take()).await?;
        let applied = self.transact(&mut writer, batch).await;
        *place = self.after(writer, applied.as_ref().err()).await;
        Ok(applied?)
    }

    /// Whether what is pushed could be stored: when the last write or read has failed, by trying. Anybody may ask,
    /// so it is tried once a second at most, and once at a time. Not to be dropped before it is ready.
    pub(crate) async fn can_write(&self) -> bool {
        if self.condition.is_well() {
            return true;
        }
        if let Ok(mut tried) = self.tried.try_lock()
            && tried.is_none_or(|at| at.elapsed() >= AGAIN)
        {
            *tried = Some(Instant::now());
            // What comes of it is the condition's.
            let _ = self.try_to_write().await;
        }
        self.condition.is_well()
    }

    async fn try_to_write(&self) -> Result<(), Failure> {
        let mut place = self.writer.lock().await;
        let mut writer = self.ready(place.take()).await?;
        let written = there_and_back(&mut writer).await;
        *place = self.after(writer, written.as_ref().err()).await;
        Ok(written?)
    }

    /// A connection that has not failed.
    async fn ready(&self, writer: Option<SqliteConnection>) -> Result<SqliteConnection, Failure> {
        if self.condition.is_damaged() {
            return Err(Failure::Damaged);
        }
        if let Some(writer) = writer {
            return Ok(writer);
        }
        let opened = SqliteConnection::connect_with(&self.options).await;
        Ok(opened.inspect_err(|failure| self.condition.fails(failure))?)
    }

    /// The connection, if it may be used again.
    async fn after(
        &self,
        writer: SqliteConnection,
        failure: Option<&sqlx::Error>,
    ) -> Option<SqliteConnection> {
        let Some(failure) = failure else {
            self.condition.works();
            return Some(writer);
        };
        self.condition.fails(failure);
        // It may not even close; nothing depends on that.
        let _ = writer.close_hard().await;
        None
    }
}

/// Writes as much as a large push does, and takes it away again.
async fn there_and_back(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let there = "INSERT OR REPLACE INTO meta (key, value) VALUES ('attempt', zeroblob(?))";
    sqlx::query(there).bind(ATTEMPT).execute(&mut *writer).await?;
    sqlx::query("DELETE FROM meta WHERE key = 'attempt'").execute(writer).await?;
    Ok(())
}

/// Makes durable what is in a database's log, if there is one: a relay that was killed may have written it without
/// waiting for the disk, or without success. A copy takes its place, for the system has to write that; the log
/// itself is not written over, for the power may go meanwhile.
pub(super) fn renew_log(database: &Path) -> io::Result<()> {
    let log = with_end(database, "-wal");
    let copy = with_end(database, "-wal.new");
    let from = match File::open(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create(true).truncate(true).mode(0o600).open(&copy)?;
    io::copy(&mut &from, &mut to)?;
    to.sync_all()?;
    std::fs::rename(&copy, &log)?;
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::pin::pin;

    use futures_util::FutureExt;
    use sync_relay_core::Policy;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_makes_no_more_than_one_attempt_a_second() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.db"), Policy::default()).await.unwrap();
        let failure = sqlx::Error::WorkerCrashed;
        store.condition.fails(&failure);
        assert!(store.can_write().await, "it was tried, and works");
        assert!(store.tried.lock().await.is_some());
        tokio::time::pause();
        *store.tried.lock().await = Some(Instant::now());
        store.condition.fails(&failure);
        assert!(!store.can_write().await, "not so soon after");
        tokio::time::advance(AGAIN).await;
        assert!(store.can_write().await);
    }

    #[tokio::test]
    async fn while_one_tries_nobody_else_does_nor_waits_for_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.db"), Policy::default()).await.unwrap();
        store.condition.fails(&sqlx::Error::WorkerCrashed);
        let busy = store.writer.lock().await;
        let mut first = pin!(store.can_write());
        assert_eq!(first.as_mut().now_or_never(), None);
        assert_eq!(pin!(store.can_write()).now_or_never(), Some(false));
        drop(busy);
        assert!(first.await);
    }

    #[test]
    fn another_file_with_the_same_bytes_takes_the_place_of_a_log() {
        let folder = tempfile::TempDir::new().unwrap();
        let database = folder.path().join("relay.db");
        renew_log(&database).unwrap();
        assert!(!folder.path().join("relay.db-wal").exists(), "none was made");
        let log = folder.path().join("relay.db-wal");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&log, &bytes).unwrap();
        // So that its number is not free for the other one.
        let old = File::open(&log).unwrap();
        renew_log(&database).unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), bytes);
        let new = log.metadata().unwrap();
        assert_ne!(new.ino(), old.metadata().unwrap().ino());
        assert_eq!(new.mode() & 0o777, 0o600);
    }
}
