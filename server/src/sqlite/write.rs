//! The one connection that writes, and how it comes back after a failure.
//!
//! Whatever fails, nothing of it was acknowledged. But what a failed commit, or a relay that was killed, has left
//! in the log may be there without being durable: the system may have given up making it so, and will not say it
//! twice. If it were found there later, who repeats a push would be told that it is stored. So a connection that has
//! failed is not used again, and a new one is used only once all that is in the log is durable in the database.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use sync_relay_core::store::{WriteOp, WriteOutcome};

use super::failure::Failure;
use super::SqliteStore;

impl SqliteStore {
    pub(super) async fn apply_batch(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, Failure> {
        let mut place = self.writer.lock().await;
        let mut writer = self.ready(place.take()).await?;
        let applied = self.transact(&mut writer, batch).await;
        *place = self.after(writer, applied.as_ref().err()).await;
        Ok(applied?)
    }

    /// Whether what is pushed could be stored: when the last write or read has failed, by trying.
    pub(crate) async fn can_write(&self) -> bool {
        self.condition.is_well() || self.try_to_write().await.is_ok()
    }

    async fn try_to_write(&self) -> Result<(), Failure> {
        let mut place = self.writer.lock().await;
        let mut writer = self.ready(place.take()).await?;
        // Changes nothing, and is written nevertheless.
        let written = sqlx::query("UPDATE totals SET blobs = blobs").execute(&mut writer).await;
        *place = self.after(writer, written.as_ref().err()).await;
        written?;
        Ok(())
    }

    /// A connection whose past is durable.
    async fn ready(&self, writer: Option<SqliteConnection>) -> Result<SqliteConnection, Failure> {
        if self.condition.is_damaged() {
            return Err(Failure::Damaged);
        }
        if let Some(writer) = writer {
            return Ok(writer);
        }
        let opened = connect(&self.options).await;
        if let Err(Failure::Database(failure)) = &opened {
            self.condition.fails(failure);
        }
        opened
    }

    /// The connection, if it may be used again.
    async fn after(&self, writer: SqliteConnection, failure: Option<&sqlx::Error>) -> Option<SqliteConnection> {
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

/// Opens a connection, and makes durable what others have left.
pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, Failure> {
    let mut writer = SqliteConnection::connect_with(options).await?;
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(FULL)").fetch_one(&mut writer).await?;
    if busy == 0 { Ok(writer) } else { Err(Failure::Read) }
}
