use sync_client::{Cursor, Error, Event, Fault, SyncClient};
use tokio::time::timeout;

use crate::relay::Relay;
use crate::support::{Device, PATIENCE, Shortcuts, alarms, config, device, join, pair, texts, wait_for};

/// Waits until a device has the key of an epoch.
async fn enters(device: &Device, epoch: u32) {
    let mut events = device.client.subscribe();
    while device.client.status().epoch < Some(epoch) {
        timeout(PATIENCE, events.next()).await.expect("the key comes").unwrap();
    }
}

fn id(device: &Device) -> sync_client::DeviceId {
    device.client.status().device_id
}

#[tokio::test]
async fn a_removed_device_is_out_at_once_and_for_good_and_the_others_go_on() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let c = join(&relay, &a, "tablet").await;
    a.client.send("before").await;
    assert_eq!(c.client.read_until("before").await, ["before"]);
    let (mut at_a, mut at_b, mut at_c) = (a.client.subscribe(), b.client.subscribe(), c.client.subscribe());

    a.client.remove_device(id(&c)).await.unwrap();
    assert_eq!(a.client.status().epoch, Some(1));
    let ended = wait_for(&mut at_c, |event| matches!(event, Event::Disconnected { .. })).await;
    let Event::Disconnected { stopped: Some(reason) } = ended else { panic!("it will try again: {ended:?}") };
    let reason = Error::from(reason);
    assert_eq!(reason.fault(), Fault::NotAMember, "{reason}");
    assert!(reason.to_string().contains("removed"), "{reason}");
    let gone = Event::DeviceRemoved { device_id: id(&c), by: Some(id(&a)) };
    for events in [&mut at_a, &mut at_b] {
        wait_for(events, |event| *event == gone).await;
        wait_for(events, |event| matches!(event, Event::KeyRotated { epoch: 1, .. })).await;
    }
    assert_eq!(b.client.status().fingerprint, a.client.status().fingerprint);

    // The others go on, and it can neither come back nor read on; nor as another process.
    a.client.send("after").await;
    assert_eq!(b.client.read_until("after").await, ["before", "after"]);
    b.client.send("answer").await;
    assert_eq!(a.client.read_until("answer").await, ["answer"]);
    let refused = c.client.connect().await.unwrap_err();
    assert_eq!(refused.fault(), Fault::NotAMember, "{refused}");
    c.client.push("from outside").await.unwrap();
    let folder = c.folder;
    c.client.close().await;
    let again = SyncClient::open(config(&relay.url(), folder.path(), "ignored")).await.unwrap();
    assert_eq!(again.connect().await.unwrap_err().fault(), Fault::NotAMember);
    assert_eq!(a.client.devices().await.unwrap().len(), 2);

    // A device that joins now reads also what was before.
    let d = join(&relay, &b, "desktop").await;
    assert_eq!(d.client.read_until("answer").await, ["before", "after", "answer"]);
    d.client.send("hello").await;
    assert_eq!(a.client.read_until("hello").await, ["hello"]);
    for events in [&mut at_a, &mut at_b] {
        assert_eq!(alarms(events), []);
    }
}

#[tokio::test]
async fn a_forgotten_history_is_closed_to_who_joins_later_and_open_to_who_was_there() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let c = join(&relay, &a, "tablet").await;
    a.client.send("before").await;
    a.client.remove_devices(&[id(&c)], false).await.unwrap();
    a.client.send("after").await;
    assert_eq!(b.client.read_until("after").await, ["before", "after"]);
    for inviter in [&a, &b] {
        let d = device(&relay.url(), "desktop").await;
        let mut at_d = d.client.subscribe();
        d.client.join(&inviter.client.create_invite().await.unwrap().code()).await.unwrap();
        d.client.connect().await.unwrap();
        assert_eq!(d.client.read_until("after").await, ["after"]);
        assert_eq!(texts(&d.client.pull(Cursor::ZERO, 0).await.unwrap()), ["after"]);
        assert_eq!(alarms(&mut at_d), []);
    }
    assert_eq!(texts(&b.client.pull(Cursor::ZERO, 0).await.unwrap()), ["before", "after"]);
}

#[tokio::test]
async fn of_two_devices_that_remove_somebody_at_once_both_get_their_way() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let (c, d) = (join(&relay, &a, "tablet").await, join(&relay, &b, "desktop").await);
    let (mut at_a, mut at_b) = (a.client.subscribe(), b.client.subscribe());
    let both = async { tokio::join!(a.client.remove_device(id(&c)), b.client.remove_device(id(&d))) };
    let (first, second) = timeout(PATIENCE, both).await.expect("neither waits for ever");
    first.unwrap();
    second.unwrap();
    for device in [&a, &b] {
        enters(device, 2).await;
    }
    assert_eq!(a.client.status().fingerprint, b.client.status().fingerprint);
    for device in [&c, &d] {
        assert_eq!(device.client.connect().await.unwrap_err().fault(), Fault::NotAMember);
    }
    a.client.send("from a").await;
    assert_eq!(b.client.read_until("from a").await, ["from a"]);
    b.client.send("from b").await;
    assert_eq!(a.client.read_until("from b").await, ["from b"]);
    for events in [&mut at_a, &mut at_b] {
        assert_eq!(alarms(events), []);
    }
}

#[tokio::test]
async fn who_slept_through_three_new_keys_reads_everything_and_what_it_wrote_arrives_once() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let c = join(&relay, &a, "tablet").await;
    b.client.disconnect().await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..3 {
        receipts.push(b.client.push(format!("written asleep {n}")).await.unwrap());
    }
    for n in 0..3 {
        a.client.send(format!("with key {n}")).await;
        if n == 1 {
            a.client.remove_device(id(&c)).await.unwrap();
        } else {
            a.client.rotate(true).await.unwrap();
        }
    }
    a.client.send("with key 3").await;
    let (mut at_a, mut at_b) = (a.client.subscribe(), b.client.subscribe());
    b.client.connect().await.unwrap();
    assert_eq!(
        b.client.read_until("with key 3").await,
        ["with key 0", "with key 1", "with key 2", "with key 3"]
    );
    for receipt in receipts {
        timeout(PATIENCE, receipt.acked()).await.unwrap().unwrap();
    }
    let written = ["written asleep 0", "written asleep 1", "written asleep 2"];
    assert_eq!(a.client.read_until(written[2]).await, written);
    assert_eq!((b.client.status().epoch, a.client.status().epoch), (Some(3), Some(3)));
    assert_eq!(b.client.status().fingerprint, a.client.status().fingerprint);
    b.client.send("awake").await;
    assert_eq!(a.client.read_until("awake").await, ["awake"]);
    for events in [&mut at_a, &mut at_b] {
        assert_eq!(alarms(events), []);
    }
}

#[tokio::test]
async fn only_devices_of_the_group_are_removed_and_none_removes_itself() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    assert!(matches!(a.client.remove_device(id(&a)).await, Err(Error::RemovesItself)));
    let nobody = sync_client::DeviceSecret::from_bytes([42; 32]).id();
    let refused = a.client.remove_device(nobody).await;
    assert!(matches!(refused, Err(Error::NoSuchDevice(id)) if id == nobody), "{refused:?}");
    assert_eq!(a.client.status().epoch, Some(0));
    a.client.disconnect().await.unwrap();
    assert!(matches!(a.client.remove_device(id(&b)).await, Err(Error::NotConnected)));
}

#[tokio::test]
async fn a_device_whose_folder_was_restored_from_a_backup_goes_on_and_frightens_nobody() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let mut at_a = a.client.subscribe();
    b.client.send("one").await;
    let folder = b.folder;
    b.client.close().await;
    let store = folder.path().join("client.db");
    let backup = std::fs::read(&store).unwrap();
    let open = async || SyncClient::open(config(&relay.url(), folder.path(), "ignored")).await.unwrap();
    let later = open().await;
    later.connect().await.unwrap();
    later.send("two").await;
    later.send("three").await;
    later.close().await;

    std::fs::write(&store, backup).unwrap();
    let restored = open().await;
    let mut at_restored = restored.subscribe();
    // Before it has seen how far it had come.
    let receipt = restored.push("four").await.unwrap();
    restored.connect().await.unwrap();
    timeout(PATIENCE, receipt.acked()).await.expect("under whatever id").unwrap();
    restored.send("five").await;
    assert_eq!(a.client.read_until("five").await, ["one", "two", "three", "four", "five"]);
    a.client.send("six").await;
    assert_eq!(restored.read_until("six").await, ["six"]);
    for events in [&mut at_a, &mut at_restored] {
        assert_eq!(alarms(events), []);
    }
}
