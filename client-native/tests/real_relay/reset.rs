use sync_client::Event;

use crate::relay::Relay;
use crate::support::{Shortcuts, device, wait_for};

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

/// Two devices notice what `lose` does to their relay.
async fn notices(mut relay: Relay, lose: impl Fn(&Relay)) {
    let (a, b) = crate::support::pair(&relay.url()).await;
    let first = a.client.send("one").await;
    a.client.send("two").await;
    b.client.send("three").await;
    assert_eq!(b.client.read_until("two").await, ["one", "two"]);
    assert_eq!(a.client.read_until("three").await, ["three"]);

    let (mut at_a, mut at_b) = (a.client.subscribe(), b.client.subscribe());
    relay.kill();
    lose(&relay);
    relay.restart();
    for (client, events) in [(&a.client, &mut at_a), (&b.client, &mut at_b)] {
        client.woke();
        wait_for(events, |event| matches!(event, Event::RelayReset)).await;
    }
    // The group came back by itself, its cursors start over, and only what is new is shown.
    let again = a.client.send("four").await;
    assert!(again <= first, "{again} is not before {first}");
    assert_eq!(b.client.read_until("four").await, ["four"]);
    b.client.send("five").await;
    assert_eq!(a.client.read_until("five").await, ["five"]);

    // A device that joins now reads what there is now.
    let c = device(&relay.url(), "tablet").await;
    let invite = a.client.create_invite_connected().await;
    c.client.join(&invite.code()).await.unwrap();
    c.client.connect().await.unwrap();
    assert_eq!(c.client.read_until("five").await, ["four", "five"]);
}
