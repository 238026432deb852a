use sync_client::{Error, Event, Fault, SyncClient};

use crate::relay::Relay;
use crate::support::{Shortcuts, alarms, config, device, join, pair, wait_for};

/// What is in a device's folder.
fn files(folder: &tempfile::TempDir) -> Vec<String> {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn who_leaves_tells_everybody_and_takes_everything_along() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let mut at_a = a.client.subscribe();
    let (left, handle) = (b.client.status().device_id, b.client.clone());
    b.client.push("last words").await.unwrap();
    b.client.leave().await.unwrap();
    assert_eq!(files(&b.folder), ["client.lock", "client.want"], "no store and no key");
    assert!(matches!(handle.push("more").await, Err(Error::Closed)));
    let gone = Event::DeviceRemoved { device_id: left, by: None };
    wait_for(&mut at_a, |event| *event == gone).await;
    assert_eq!(a.client.read_all().await, ["last words"]);
    let devices = a.client.devices().await.unwrap();
    assert!(devices.len() == 1 && devices[0].this_device);
    assert_eq!(alarms(&mut at_a), []);

    // The folder is as good as new.
    let client = SyncClient::create(config(&relay.url(), b.folder.path(), "again")).await.unwrap();
    assert_ne!(client.status().device_id, left);
    client.join(&a.client.create_invite().await.unwrap().code()).await.unwrap();
    client.connect().await.unwrap();
    client.send("back").await;
    assert_eq!(a.client.read_until("back").await, ["back"]);
}

#[tokio::test]
async fn who_leaves_without_the_relay_is_told_and_loses_nothing() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    b.client.disconnect().await.unwrap();
    assert!(matches!(b.client.leave().await, Err(Error::NotConnected)));
    relay.kill();
    assert!(b.client.connect().await.is_err());
    let refused = b.client.leave().await.unwrap_err();
    assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
    assert_eq!(b.client.status().pending_push, 0);
    relay.restart();
    b.client.connect().await.unwrap();
    b.client.send("still here").await;
    a.client.connect().await.unwrap();
    assert_eq!(a.client.read_until("still here").await, ["still here"]);

    // Without a word, for whoever wants that.
    b.client.wipe().await.unwrap();
    assert_eq!(files(&b.folder), ["client.lock", "client.want"]);
    assert_eq!(a.client.devices().await.unwrap().len(), 2, "nobody was told");
}

#[tokio::test]
async fn a_wiped_folder_is_empty_for_other_processes_and_wiping_needs_no_store_that_opens() {
    let relay = Relay::start();
    let a = device(&relay.url(), "laptop").await;
    let settings = || config(&relay.url(), a.folder.path(), "ignored");
    let second = SyncClient::open(settings()).await.unwrap();
    a.client.wipe().await.unwrap();
    let refused = second.push("text").await.unwrap_err();
    assert!(matches!(refused, Error::NoDevice(_) | Error::Closed), "{refused:?}");
    assert_eq!(files(&a.folder), ["client.lock", "client.want"], "it has made nothing again");
    assert!(matches!(SyncClient::wipe_folder(&settings()).await, Err(Error::NoDevice(_))));
    assert!(matches!(SyncClient::open(settings()).await, Err(Error::NoDevice(_))));

    std::fs::write(a.folder.path().join("client.db"), "damaged").unwrap();
    assert!(SyncClient::open(settings()).await.is_err());
    SyncClient::wipe_folder(&settings()).await.unwrap();
    assert_eq!(files(&a.folder), ["client.lock", "client.want"]);
}

#[tokio::test]
async fn an_erased_group_is_gone_for_all_its_devices_and_does_not_come_back() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let c = join(&relay, &a, "tablet").await;
    c.client.disconnect().await.unwrap();
    a.client.send("text").await;
    let mut at_b = b.client.subscribe();
    a.client.delete_group().await.unwrap();
    let ended = wait_for(&mut at_b, |event| matches!(event, Event::Disconnected { .. })).await;
    let Event::Disconnected { stopped: Some(reason) } = ended else { panic!("it will try again: {ended:?}") };
    assert_eq!(Error::from(reason).fault(), Fault::NotAMember);
    for device in [&a, &b, &c] {
        let refused = device.client.connect().await.unwrap_err();
        assert_eq!(refused.fault(), Fault::NotAMember, "{refused}");
        assert!(refused.to_string().contains("deleted"), "{refused}");
    }
    let health = relay.health();
    assert!(health.contains("\"groups\":0") && health.contains("\"blobs_stored\":0"), "{health}");
}
