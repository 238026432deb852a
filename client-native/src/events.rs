//! What happens, for whoever wants to know.

use sync_engine::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

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
