//! The store on SQLite: one writer connection, several readers, one file to back up.

mod apply;
mod backup;
mod failure;
mod invites;
mod open;
mod read;
mod rows;
mod totals;
mod write;

pub use backup::{BackupError, Overview, Restored, backup, overview, restore};
pub use open::{OpenError, Settings, SqliteStore};
pub use totals::Totals;

use sync_relay_core::store::{ReadOp, ReadResult, Store, StoreError, WriteOp, WriteOutcome};

impl Store for SqliteStore {
    async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
        Ok(self.apply_batch(batch).await?)
    }

    async fn read(&self, op: &ReadOp) -> Result<ReadResult, StoreError> {
        let read = self.read_one(op).await;
        if let Err(failure) = &read {
            self.condition.fails(failure);
        }
        read.map_err(StoreError::new)
    }
}
