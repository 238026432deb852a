//! The store on SQLite: one writer connection, several readers, one file to back up.

mod apply;
mod backup;
mod invites;
mod open;
mod read;
mod rows;
mod totals;

pub use backup::{BackupError, Overview, Restored, backup, overview, restore};
pub use open::{OpenError, Settings, SqliteStore};
pub use totals::Totals;

use sync_relay_core::store::{ReadOp, ReadResult, Store, StoreError, WriteOp, WriteOutcome};

impl Store for SqliteStore {
    async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.apply_batch(batch).await.map_err(StoreError::new)
    }

    async fn read(&self, op: &ReadOp) -> Result<ReadResult, StoreError> {
        self.read_one(op).await.map_err(StoreError::new)
    }
}
