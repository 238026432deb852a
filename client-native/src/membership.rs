//! Who is in the group: removing devices, changing its key, leaving it, and erasing it.

use std::time::Duration;

use sync_types::DeviceId;
use tokio::time::timeout;

use crate::request::Ask;
use crate::{Error, SyncClient};

/// What is still queued goes first, and may have to wait for the relay's rate limit.
const LEAVE_PATIENCE: Duration = Duration::from_secs(120);

impl SyncClient {
    /// Removes a device for good: the group gets a new key, which that device is not given, and the relay
    /// lets it in no more. What it has read it keeps. Devices that join later may read what was pushed
    /// before. Returns when this device has the new key; the others follow when they connect.
    /// [`connect`](Self::connect) first.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`]; [`Error::RemovesItself`], for which there is [`leave`](Self::leave).
    pub async fn remove_device(&self, device: DeviceId) -> Result<(), Error> {
        self.remove_devices(&[device], true).await
    }

    /// As [`remove_device`](Self::remove_device), for several at once, or for none. With `keep_history`
    /// set to `false`, devices that join later are not given the keys of what was pushed before; those
    /// that are in the group now keep them.
    pub async fn remove_devices(&self, devices: &[DeviceId], keep_history: bool) -> Result<(), Error> {
        self.done(Ask::Rotate { remove: devices.to_vec(), keep_history }).await
    }

    /// Gives the group a new key without removing anybody. Shuts out whoever has an invite, a passphrase
    /// or a recovery file and is not in the group yet: make a new recovery file afterwards.
    pub async fn rotate(&self, keep_history: bool) -> Result<(), Error> {
        self.remove_devices(&[], keep_history).await
    }

    /// Agrees to push again what the relay has lost, after
    /// [`Event::RestoreWaits`](crate::Event::RestoreWaits). Nothing happens when it has lost nothing. Needs
    /// no connection; [`flush`](Self::flush) waits until it is done.
    pub async fn restore(&self) -> Result<(), Error> {
        self.done(Ask::Restore).await
    }

    /// Leaves the group for good: sends what is queued, tells the others and the relay, then
    /// [wipes](Self::wipe) what is stored here. [`connect`](Self::connect) first. When it fails, nothing
    /// is wiped: call it again, or wipe without telling anybody, and let another device remove this one.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::NotConnected`] when the relay is not there to be told,
    /// [`Error::TimedOut`] when it takes more than two minutes.
    pub async fn leave(&self) -> Result<(), Error> {
        timeout(LEAVE_PATIENCE, self.done(Ask::Leave)).await.unwrap_or(Err(Error::TimedOut))?;
        self.wipe().await
    }

    /// Erases the group at the relay, with everything in it, for all its devices; it cannot be made again
    /// for 90 days. What is stored here, and on the other devices, stays until it is
    /// [wiped](Self::wipe). [`connect`](Self::connect) first.
    pub async fn delete_group(&self) -> Result<(), Error> {
        self.done(Ask::DeleteGroup).await
    }
}
