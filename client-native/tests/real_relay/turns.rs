use std::time::Duration;

use sync_client::{Cursor, Error, SyncClient};
use tokio::time::timeout;

use crate::relay::Relay;
use crate::support::{PATIENCE, Shortcuts, config, pair};

#[tokio::test]
async fn two_clients_of_one_folder_take_turns_and_use_one_chain() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    // Meanwhile the first one stays, as `watch` does.
    let second = SyncClient::open(config(&relay.url(), a.folder.path(), "ignored")).await.unwrap();
    assert_eq!(second.status().device_id, a.client.status().device_id);
    assert!(!a.client.status().connected, "who waits has no connection");
    second.connect().await.unwrap();
    let push_both = async |n: usize| {
        let from_first = a.client.push(format!("first {n}")).await.unwrap();
        let from_second = second.push(format!("second {n}")).await.unwrap();
        // Whoever's turn it is sends both, and both hear of it.
        let acked = async { (from_first.acked().await.unwrap(), from_second.acked().await.unwrap()) };
        timeout(PATIENCE, acked).await.expect("both are acknowledged")
    };
    for n in 0..3 {
        let (first, second) = push_both(n).await;
        assert_ne!(first, second);
    }
    second.close().await;
    a.client.send("end").await;
    let read = b.client.read_until("end").await;
    assert_eq!(read.len(), 7);
    let log = b.client.pull(Cursor::ZERO, 0).await.unwrap();
    assert!(log.blobs.iter().all(|blob| blob.sender == a.client.status().device_id));
}

#[tokio::test]
async fn a_client_that_waits_for_its_turn_reads_what_came_meanwhile() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let second = SyncClient::open(config(&relay.url(), b.folder.path(), "ignored")).await.unwrap();
    a.client.send("while others work").await;
    // It is the first one's turn again only after the second has let go.
    let reader = async { b.client.read_until("while others work").await };
    assert_eq!(timeout(PATIENCE, reader).await.unwrap(), ["while others work"]);
    drop(second);
}

#[tokio::test]
async fn who_cannot_get_in_is_told_why() {
    let relay = Relay::start();
    let (a, _b) = pair(&relay.url()).await;
    // Both locks in other hands: nobody will let go.
    let lock = std::fs::File::open(a.folder.path().join("client.want")).unwrap();
    lock.lock().unwrap();
    let mut config = config(&relay.url(), a.folder.path(), "ignored");
    config.open_timeout = Duration::from_millis(50);
    let refused = SyncClient::open(config).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    lock.unlock().unwrap();
}

#[tokio::test]
async fn one_folder_is_one_device() {
    let relay = Relay::start();
    let a = crate::support::device(&relay.url(), "laptop").await;
    let refused = SyncClient::create(config(&relay.url(), a.folder.path(), "another")).await;
    assert!(matches!(refused, Err(Error::DeviceExists(_))));
    let mut other = config(&relay.url(), a.folder.path(), "another");
    other.device_keypair = Some(sync_client::DeviceSecret::from_bytes([3; 32]));
    assert!(matches!(SyncClient::new(other).await, Err(Error::OtherDevice(_))));
    let nowhere = SyncClient::open(config(&relay.url(), &a.folder.path().join("nowhere"), "another")).await;
    assert!(matches!(nowhere, Err(Error::NoDevice(_))));
    assert!(!a.folder.path().join("nowhere").exists(), "looking makes nothing");
}
