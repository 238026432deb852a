//! Erasing a device from this machine.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use crate::client::KEYCHAIN_PATIENCE;
use crate::home::Home;
use crate::key::{self, Keychain};
use crate::store::{self, StoreError};
use crate::{Error, SyncClient, SyncConfig};

/// Where a device's files and its key are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    folder: PathBuf,
    keychain: Keychain,
    open_timeout: Duration,
}

impl SyncClient {
    /// Erases this device from this machine: closes it and all its clones, deletes the key of the local
    /// store, wherever it is, and then the store. Tells nobody: the others still list the device, and
    /// should remove it; [`leave`](Self::leave) does both.
    ///
    /// # Errors
    /// As [`wipe_folder`](Self::wipe_folder).
    pub async fn wipe(&self) -> Result<(), Error> {
        self.shut().await;
        self.place().erase().await
    }

    /// As [`wipe`](Self::wipe), for a device that is not open, or cannot be opened any more. Other
    /// processes that use the folder find no device when it is their turn. Two empty lock files stay.
    ///
    /// # Errors
    /// [`Error::NoDevice`]; [`Error::Busy`]; and when the keychain does not let go of the key, or a file
    /// cannot be deleted.
    pub async fn wipe_folder(config: &SyncConfig) -> Result<(), Error> {
        Place::of(config).erase().await
    }
}

impl Place {
    pub(crate) fn of(config: &SyncConfig) -> Self {
        Self { folder: config.folder.clone(), keychain: config.keychain, open_timeout: config.open_timeout }
    }

    /// The key first: should the rest fail, it cannot be read any more.
    async fn erase(&self) -> Result<(), Error> {
        let Self { folder, keychain, open_timeout } = self.clone();
        if !store::path(&folder).exists() && !key::path(&folder).exists() {
            return Err(Error::NoDevice(folder));
        }
        let _turn = Home::prepare(&folder)?.enter(open_timeout).await?;
        let erase = tokio::task::spawn_blocking(move || {
            key::forget(&folder, keychain)?;
            Ok(store::erase(&folder)?)
        });
        match timeout(KEYCHAIN_PATIENCE, erase).await {
            Ok(Ok(erased)) => erased,
            Ok(Err(_)) => Err(Error::Machine("the task that erases the store failed")),
            Err(_) => Err(StoreError::Keychain.into()),
        }
    }
}
