use sync_client::{Cursor, Error, Event, Fault, SyncClient, SyncConfig};
use tokio::time::timeout;

use crate::relay::Relay;
use crate::support::{Device, PATIENCE, Shortcuts, alarms, config, join, pair, texts, wait_for};

#[tokio::test]
async fn a_deleted_database_is_noticed_and_nothing_is_shown_twice() {
    notices(Relay::start(), Relay::delete_database).await;
}

#[tokio::test]
async fn a_database_from_an_old_backup_is_noticed_and_nothing_is_shown_twice() {
    let mut relay = Relay::start();
    // As its owner backed it up on the first day: its id is the same, and there is no group.
    relay.kill();
    let empty = relay.snapshot();
    relay.restart();
    notices(relay, |relay| relay.put_back(&empty)).await;
}

/// The relay loses something, and these devices notice it.
async fn lose(relay: &mut Relay, devices: &[&Device], lose: impl Fn(&Relay)) {
    let mut events: Vec<_> = devices.iter().map(|device| device.client.subscribe()).collect();
    relay.kill();
    lose(relay);
    relay.restart();
    for (device, events) in devices.iter().zip(&mut events) {
        device.client.woke();
        wait_for(events, |event| matches!(event, Event::RelayReset)).await;
    }
}

/// Two devices notice what `lose` does to their relay.
async fn notices(mut relay: Relay, lose: impl Fn(&Relay)) {
    let (a, b) = pair(&relay.url()).await;
    a.client.send("one").await;
    a.client.send("two").await;
    b.client.send("three").await;
    assert_eq!(b.client.read_until("two").await, ["one", "two"]);
    assert_eq!(a.client.read_until("three").await, ["three"]);

    self::lose(&mut relay, &[&a, &b], lose).await;
    // The group came back by itself, and only what is new is shown.
    a.client.send("four").await;
    assert_eq!(b.client.read_until("four").await, ["four"]);
    b.client.send("five").await;
    assert_eq!(a.client.read_until("five").await, ["five"]);

    // What was lost was pushed again, so a device that joins now reads all of it, each sender's in its
    // order.
    let c = join(&relay, &a, "tablet").await;
    let mut read = c.client.read_until("five").await;
    let of_a: Vec<_> = read.iter().filter(|text| ["one", "two", "four"].contains(&text.as_str())).collect();
    assert_eq!(of_a, ["one", "two", "four"]);
    read.sort();
    assert_eq!(read, ["five", "four", "one", "three", "two"]);
}

#[tokio::test]
async fn what_a_sleeping_device_lacked_comes_back_once_through_a_new_key_and_a_wiped_relay() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let c = join(&relay, &a, "tablet").await;
    a.client.send("one").await;
    for device in [&b, &c] {
        assert_eq!(device.client.read_until("one").await, ["one"]);
    }
    c.client.disconnect().await.unwrap();
    a.client.send("two").await;
    a.client.rotate(true).await.unwrap();
    a.client.send("three").await;
    assert_eq!(b.client.read_until("three").await, ["two", "three"]);
    b.client.send("four").await;
    assert_eq!(a.client.read_until("four").await, ["four"]);

    lose(&mut relay, &[&a, &b], Relay::delete_database).await;
    for device in [&a, &b] {
        device.client.flush(PATIENCE).await.unwrap();
    }
    let mut events = c.client.subscribe();
    c.client.connect().await.unwrap();
    a.client.send("end").await;
    let mut read = c.client.read_until("end").await;
    read.sort();
    assert_eq!(read, ["end", "four", "three", "two"], "what it had does not come again");
    assert_eq!(c.client.status().fingerprint, a.client.status().fingerprint);
    assert_eq!(alarms(&mut events), []);
    assert_eq!(b.client.read_until("end").await, ["end"]);
    assert_eq!(a.client.read_all().await, [""; 0]);
}

#[tokio::test]
async fn a_relay_that_loses_everything_twice_a_day_waits_for_a_person() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    a.client.send("kept").await;
    assert_eq!(b.client.read_until("kept").await, ["kept"]);
    lose(&mut relay, &[&a, &b], Relay::delete_database).await;
    a.client.flush(PATIENCE).await.unwrap();

    let mut at_a = a.client.subscribe();
    lose(&mut relay, &[&a, &b], Relay::delete_database).await;
    wait_for(&mut at_a, |event| matches!(event, Event::RestoreWaits)).await;
    let receipt = a.client.push("waits, too").await.unwrap();
    let refused = a.client.flush(PATIENCE).await.unwrap_err();
    assert!(matches!(refused, Error::RestoreWaits) && refused.fault() == Fault::Refused, "{refused:?}");
    assert_eq!(a.client.pull(Cursor::ZERO, 0).await.unwrap().blobs, [], "nothing was pushed");

    a.client.restore().await.unwrap();
    timeout(PATIENCE, receipt.acked()).await.unwrap().unwrap();
    let log = a.client.pull(Cursor::ZERO, 0).await.unwrap();
    assert_eq!(texts(&log), ["kept", "waits, too"]);
    assert_eq!(b.client.read_until("waits, too").await, ["waits, too"]);
}

#[tokio::test]
async fn a_device_that_keeps_nothing_brings_nothing_back() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let folder = b.folder;
    b.client.close().await;
    let keeps_nothing = SyncConfig { keep_sent: 0, ..config(&relay.url(), folder.path(), "ignored") };
    let client = SyncClient::open(keeps_nothing).await.unwrap();
    client.connect().await.unwrap();
    let b = Device { client, folder };
    b.client.send("not kept").await;
    a.client.send("kept").await;
    lose(&mut relay, &[&a, &b], Relay::delete_database).await;
    for device in [&a, &b] {
        device.client.flush(PATIENCE).await.unwrap();
    }
    let c = join(&relay, &a, "tablet").await;
    assert_eq!(c.client.read_until("kept").await, ["kept"]);
}
