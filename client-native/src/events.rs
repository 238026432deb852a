//! What happens, for whoever wants to know.

use sync_engine::{Event, Status};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// A subscription, from [`SyncClient::subscribe`](crate::SyncClient::subscribe): every event from then
/// on, in order.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` once the client is closed. Can be given up (in a `select!`) without
    /// losing one.
    ///
    /// Whoever does not ask for a long time misses the oldest: 1024 are kept. Events are hints, and
    /// what they point to is still there to be read.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a subscriber is too slow for the events")
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// How things stand, again and again, from [`SyncClient::statuses`](crate::SyncClient::statuses).
#[derive(Debug)]
pub struct Statuses(pub(crate) watch::Receiver<Status>);

impl Statuses {
    /// The status, once it is another one than this gave last; `None` once the client is closed. Several
    /// changes may be one. Can be given up without losing one.
    pub async fn next(&mut self) -> Option<Status> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
