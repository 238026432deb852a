//! What goes with time: a relay that cleans up each second.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Group, Relay, push, soon};
use sync_relay::{Config, Seconds};
use sync_types::{Ack, Cursor, Delete, DeleteAck, Message, Push, StoredBlob};
use tempfile::TempDir;

async fn relay(folder: &TempDir) -> Relay {
    let mut config = Config::default();
    config.cleanup.interval = Seconds(1);
    config.limits.messages_per_minute = 100_000;
    Relay::start_with(folder, config).await
}

/// Reads again and again, until the log is as wanted.
async fn until(client: &mut Client, wanted: impl Fn(&[StoredBlob]) -> bool) {
    soon(async { while !wanted(&client.pull(0).await.blobs) {} }).await;
}

async fn ack(client: &mut Client, n: u64) {
    client.send(Ack { cursor: Cursor::new(n).unwrap() }).await;
    // An answer to what comes after it: the ACK is on its way to storage.
    client.pull(0).await;
}

#[tokio::test]
async fn a_blob_that_expires_leaves_a_stub_to_who_lacks_it_and_nothing_when_all_have_it() {
    let folder = TempDir::new().unwrap();
    let relay = relay(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let mut b = Client::join(relay.addr, 2, &group).await;
    let brief = Push { ttl: Some(1), ..push(1, *b"brief") };
    assert!(matches!(a.request(brief).await, Message::PushAck(_)));
    a.push(2, *b"longer").await;
    ack(&mut a, 2).await;
    until(&mut b, |blobs| blobs[0].payload.is_none()).await;
    let blobs = b.pull(0).await.blobs;
    assert_eq!((blobs[0].cursor.get(), blobs[0].sender_id, blobs.len()), (1, a.id(), 2));
    assert!(blobs[0].hash.is_some());
    assert_eq!(a.push(1, *b"brief").await.cursor.get(), 1, "a retry is known by its hash");
    ack(&mut b, 2).await;
    until(&mut b, |blobs| blobs.len() == 1).await;
    assert_eq!(b.pull(0).await.blobs[0].payload.as_deref(), Some(&b"longer"[..]));
}

#[tokio::test]
async fn a_deleted_blob_goes_when_every_device_has_it() {
    let folder = TempDir::new().unwrap();
    let relay = relay(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let mut b = Client::join(relay.addr, 2, &group).await;
    let blob_id = a.push(1, *b"a").await.blob_id;
    ack(&mut a, 1).await;
    assert_eq!(a.request(Delete { blob_id }).await, DeleteAck { blob_id, state: 1 }.into());
    assert_eq!(b.pull(0).await.blobs.len(), 1, "who lacks it fetches it");
    ack(&mut b, 1).await;
    until(&mut b, <[_]>::is_empty).await;
    assert_eq!(a.request(Delete { blob_id }).await, DeleteAck { blob_id, state: 0 }.into());
    assert_eq!(a.push(2, *b"b").await.cursor.get(), 2, "cursors go on");
}
