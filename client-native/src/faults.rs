//! The local store alone, for tests of what a disk may do to it. Not for use in programs.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sync_engine::Change;
use zeroize::Zeroizing;

use crate::StoreError;
use crate::store::{Rows, Store};

/// A device's store without a device.
pub struct LocalStore(Store);

impl LocalStore {
    /// Opens the store of a folder with other options than programs do; gives the rows of its engine. What is in the
    /// log is taken to be durable.
    ///
    /// # Errors
    /// As when a program opens it.
    pub async fn open(
        folder: &Path,
        key: [u8; 32],
        adjust: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<(Self, Rows), StoreError> {
        let (store, loaded) = Store::open_with(folder, Zeroizing::new(key), adjust).await?;
        Ok((Self(store), loaded.engine))
    }

    /// Makes changes durable, all or none.
    ///
    /// # Errors
    /// Nothing of them may be taken as done, or as not done.
    pub async fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.0.apply(changes).await
    }

    /// Closes the file.
    pub async fn close(self) {
        self.0.close().await;
    }
}

impl std::fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStore").finish_non_exhaustive()
    }
}
