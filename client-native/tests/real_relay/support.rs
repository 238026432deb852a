//! Devices for tests, and waiting for events.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use sync_client::{Error, Event, Events, Keychain, Page, SyncClient, SyncConfig};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::relay::Relay;

/// Far more than anything takes: only a test that would hang runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A device in a folder of its own.
pub(crate) struct Device {
    pub(crate) client: SyncClient,
    pub(crate) folder: TempDir,
}

/// Settings for tests. `RUST_LOG=debug` shows what the clients say.
pub(crate) fn config(relay: &str, folder: &Path, name: &str) -> SyncConfig {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let config = SyncConfig::new(relay).unwrap().in_folder(folder).named(name);
    SyncConfig { keychain: Keychain::Off, open_timeout: PATIENCE, ..config }
}

pub(crate) async fn device(relay: &str, name: &str) -> Device {
    let folder = TempDir::new().unwrap();
    let client = SyncClient::create(config(relay, folder.path(), name)).await.unwrap();
    Device { client, folder }
}

/// Two connected devices of one group; the first has read everything.
pub(crate) async fn pair(relay: &str) -> (Device, Device) {
    let (a, b) = (device(relay, "laptop").await, device(relay, "phone").await);
    let invite = a.client.create_invite_connected().await;
    b.client.join(&invite.code()).await.unwrap();
    let mut events = a.client.subscribe();
    b.client.connect().await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::DeviceJoined { .. })).await;
    // Others may hear of it before it hears that it is stored.
    b.client.flush(PATIENCE).await.unwrap();
    (a, b)
}

/// A connected device that a member has invited.
pub(crate) async fn join(relay: &Relay, member: &Device, name: &str) -> Device {
    let joiner = device(&relay.url(), name).await;
    let mut events = member.client.subscribe();
    let invite = member.client.create_invite_connected().await;
    joiner.client.join(&invite.code()).await.unwrap();
    joiner.client.connect().await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::DeviceJoined { .. })).await;
    joiner
}

/// What has come that a person would be frightened by.
pub(crate) fn alarms(events: &mut Events) -> Vec<Event> {
    let come = std::iter::from_fn(|| events.next().now_or_never().flatten());
    come.filter(|event| {
        matches!(
            event,
            Event::ChainBroken { .. }
                | Event::Forked { .. }
                | Event::BlobRefused { .. }
                | Event::HistoryTruncated { .. }
                | Event::RotationRefused { .. }
                | Event::RotationWithheld { .. }
                | Event::UnknownDevice { .. }
                | Event::InviteMisused
                | Event::PushRejected { .. }
                | Event::RelayMisbehaved
        )
    })
    .collect()
}

/// Waits for an event.
pub(crate) async fn wait_for(events: &mut Events, is: impl Fn(&Event) -> bool) -> Event {
    let find = async {
        loop {
            let event = events.next().await.unwrap();
            if is(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, find).await.expect("the event comes")
}

/// What a test does often.
pub(crate) trait Shortcuts {
    async fn create_invite_connected(&self) -> sync_client::InviteHandle;
    /// Pushes a text, and waits until the relay has it; gives the cursor.
    async fn send(&self, data: impl Into<Vec<u8>>) -> u64;
    /// Reads and acknowledges until there is `wanted`, which must be the last.
    async fn read_until(&self, wanted: &str) -> Vec<String>;
    /// Reads and acknowledges everything that is there now.
    async fn read_all(&self) -> Vec<String>;
}

impl Shortcuts for SyncClient {
    async fn create_invite_connected(&self) -> sync_client::InviteHandle {
        self.connect().await.unwrap();
        self.create_invite().await.unwrap()
    }

    async fn send(&self, data: impl Into<Vec<u8>>) -> u64 {
        let receipt = self.push(data).await.unwrap();
        timeout(PATIENCE, receipt.acked()).await.expect("the push is acknowledged").unwrap().get()
    }

    async fn read_until(&self, wanted: &str) -> Vec<String> {
        let mut events = self.subscribe();
        let read = async {
            let mut texts = Vec::new();
            loop {
                texts.extend(self.read_all().await);
                if texts.last().is_some_and(|last| last == wanted) {
                    return texts;
                }
                events.next().await.unwrap();
            }
        };
        timeout(PATIENCE, read).await.expect("the text comes")
    }

    async fn read_all(&self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let page = match self.pull_since_last_cursor(0).await {
                Ok(page) => page,
                // The connection is being made anew.
                Err(Error::Unreachable(_) | Error::RelayReset) => return texts,
                Err(error) => panic!("{error}"),
            };
            texts.extend(self::texts(&page));
            self.ack(page.max_cursor).await.unwrap();
            if !page.has_more {
                return texts;
            }
        }
    }
}

pub(crate) fn texts(page: &Page) -> Vec<String> {
    page.blobs.iter().map(|blob| String::from_utf8(blob.data.clone()).unwrap()).collect()
}
