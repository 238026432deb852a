//! What a person should hear of, whatever the command.

use sync_client::{Event, Events, SyncClient};

use crate::output;

/// Tells stderr of what happens, as long as the client is in use.
pub(crate) fn spawn(client: &SyncClient) {
    tokio::spawn(tell(client.subscribe()));
}

async fn tell(mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            Event::RelayReset => {
                output::note("the relay started over: it lost what it stored, or has another key")
            }
            Event::HistoryTruncated { up_to } => {
                output::note(&format!("blobs up to cursor {up_to} expired before they were read"));
            }
            Event::BlobRefused { cursor, .. } => {
                output::note(&format!("the blob at cursor {cursor} does not open: it was changed or moved"));
            }
            Event::PushRejected { code, .. } => output::note(&format!("the relay refused a push: {code}")),
            Event::RelayMisbehaved => output::note("the relay breaks the protocol; connecting again"),
            Event::Connected
            | Event::Disconnected { .. }
            | Event::BlobAvailable { .. }
            | Event::PushAcked { .. }
            | Event::RelayFull { .. }
            | Event::DeviceJoined { .. }
            | Event::DeviceRemoved { .. }
            | Event::PresenceChanged { .. } => {}
        }
    }
}
