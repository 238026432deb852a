//! Keeps an app's data in step on several devices of one person, through a relay that can read nothing.
//!
//! An app pushes *blobs* (bytes of its own, up to 1 MiB), and reads those of its other devices in one
//! order that is the same for all. Everything is sealed before it leaves; pushes survive restarts and
//! lost connections; and what was acknowledged survives the power cut of the relay.
//!
//! [`SyncClient`] is the whole of it:
//!
//! ```no_run
//! use sync_client::{Event, SyncClient, SyncConfig};
//!
//! # async fn run() -> Result<(), sync_client::Error> {
//! let config = SyncConfig::new("https://relay.example")?.in_folder("/home/ada/.notes/sync");
//! let client = SyncClient::new(config).await?;
//!
//! // On the first device: make a group, and show the code.
//! let receipt = client.push("a first note").await?;
//! client.connect().await?;
//! println!("stored at {}", receipt.acked().await?);
//! println!("on the other device, type {}", client.create_invite().await?.code());
//!
//! // On every device: read what the others pushed, store it, then say so.
//! let mut events = client.subscribe();
//! while let Some(event) = events.next().await {
//!     if matches!(event, Event::Connected | Event::BlobAvailable { .. }) {
//!         loop {
//!             let page = client.pull_since_last_cursor(0).await?;
//!             for blob in &page.blobs { /* store blob.data */ }
//!             client.ack(page.max_cursor).await?;
//!             if !page.has_more { break; }
//!         }
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! The other device is made in the same way, and calls [`join`](SyncClient::join) with the code.
//!
//! # Who is in the group
//! [`devices`](SyncClient::devices) lists them. [`remove_device`](SyncClient::remove_device) shuts one out for
//! good, by a new key that it is not given; [`leave`](SyncClient::leave) is for the device itself.
//! [`export_recovery`](SyncClient::export_recovery) makes the file that brings the group back when every
//! device is lost. What a dishonest relay does shows in the [events](Event): show a person
//! [`UnknownDevice`](Event::UnknownDevice), [`InviteMisused`](Event::InviteMisused),
//! [`ChainBroken`](Event::ChainBroken), [`Forked`](Event::Forked) and
//! [`RestoreWaits`](Event::RestoreWaits), for something has to be done about each.
//!
//! What this crate is *not*: it decides nothing. Everything of the protocol is in `sync-engine`, which
//! the browser's client runs too; this crate brings sockets ([tokio]), a store ([SQLite](StoreError)),
//! the platform's keychain, and turns between processes that use one folder.
//!
//! # What is on the disk
//! In the configured folder, readable by its owner only: `client.db`, whose rows are sealed with a key
//! that is in the platform's keychain, or where there is none in `client.key` ([`KeyPlace`] says
//! which); and `client.lock` and `client.want`, by which processes take turns. One folder is one
//! device: to make another device, never copy it. [`wipe`](SyncClient::wipe) erases the key and the store.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod clock;
mod config;
mod driver;
mod error;
mod events;
#[cfg(feature = "faults")]
pub mod faults;
mod home;
mod http;
mod invite;
mod key;
mod left_acks;
mod membership;
mod passphrase;
mod receipt;
mod recovery;
mod request;
mod shared_group;
mod socket;
mod store;
mod wipe;

pub use client::SyncClient;
pub use config::SyncConfig;
pub use error::{Error, Fault};
pub use events::{Events, Statuses};
pub use invite::InviteHandle;
pub use key::{KeyPlace, Keychain};
pub use passphrase::{MIN_PASSPHRASE, PassphraseError, PassphraseGroup};
pub use receipt::PushReceipt;
pub use recovery::RecoveryFile;
pub use store::StoreError;

pub use sync_e2ee::{DeviceName, EpochSecret, PhraseError};
pub use sync_engine::{Blob, Break, DeviceInfo, Event, Page, PageEnd, Refused, Status, StopReason};
pub use sync_types::{
    AccessToken, BlobId, Cursor, DeviceId, DeviceSecret, Epoch, ErrorCode, GroupId, InviteTextError,
    RelayAddress, RelayKey, RelayUrl, RelayUrlError, StoreId, UnixMs,
};
