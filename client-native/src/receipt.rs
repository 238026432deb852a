//! What a push gives back.

use sync_types::{BlobId, Cursor};
use tokio::sync::oneshot;

use crate::Error;

/// A push that is durable on this device. It will reach the relay, whether or not anybody waits for
/// that, and also after a restart.
#[derive(Debug)]
pub struct PushReceipt {
    blob_id: BlobId,
    acked: oneshot::Receiver<Result<Cursor, Error>>,
}

impl PushReceipt {
    pub(crate) fn new(blob_id: BlobId, acked: oneshot::Receiver<Result<Cursor, Error>>) -> Self {
        Self { blob_id, acked }
    }

    /// The blob's id when it was pushed. It changes only after this device's store was restored from a
    /// backup, and [`Event::PushRenamed`](crate::Event::PushRenamed) says so; [`acked`](Self::acked) waits
    /// for the same push all the same.
    pub fn blob_id(&self) -> BlobId {
        self.blob_id
    }

    /// Waits until the relay has stored the blob durably; gives its place in the log. Waits through
    /// lost connections and restarts of the relay, so give it a time-out of your own.
    ///
    /// # Errors
    /// [`Error::Refused`] when the relay will never take it; [`Error::Closed`] when the client is
    /// closed first.
    pub async fn acked(self) -> Result<Cursor, Error> {
        self.acked.await.unwrap_or(Err(Error::Closed))
    }
}
