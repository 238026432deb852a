use sync_client::{Cursor, Error, Event, PageEnd, SyncClient};

use crate::proxy::{Line, Proxy};
use crate::relay::Relay;
use crate::support::{Shortcuts, config, device, pair, wait_for};

const MAX: usize = 1024 * 1024;

#[tokio::test]
async fn the_largest_and_the_empty_blob_go_round_and_one_byte_more_does_not() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    // What does not compress.
    let mut state = 1_u64;
    let large: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(MAX)
    .collect();
    a.client.send(large.clone()).await;
    a.client.send("").await;
    a.client.send("end").await;
    let mut events = b.client.subscribe();
    let mut found = Vec::new();
    while found.len() < 3 {
        let page = b.client.pull_since_last_cursor(0).await.unwrap();
        b.client.ack(page.max_cursor).await.unwrap();
        if page.blobs.is_empty() {
            wait_for(&mut events, |event| matches!(event, Event::BlobAvailable { .. })).await;
        }
        found.extend(page.blobs.into_iter().map(|blob| blob.data));
    }
    assert!(found[0] == large && found[1].is_empty() && found[2] == b"end");

    let too_large = a.client.push(vec![0; MAX + 1]).await;
    assert!(matches!(too_large, Err(Error::TooLarge { max: MAX })), "{too_large:?}");
    assert_eq!(a.client.status().pending_push, 0);
}

#[tokio::test]
async fn the_first_blob_of_a_group_is_in_a_first_pull_and_pulls_by_cursor_are_exact() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let mut cursors = Vec::new();
    for n in 0..20 {
        cursors.push(a.client.send(n.to_string()).await);
    }
    assert!(cursors.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gaps: {cursors:?}");
    let page = b.client.pull(Cursor::ZERO, 0).await.unwrap();
    let texts: Vec<_> = page.blobs.iter().map(|blob| blob.data.clone()).collect();
    assert_eq!(texts, (0..20).map(|n| n.to_string().into_bytes()).collect::<Vec<_>>());
    let half = Cursor::new(cursors[9]).unwrap();
    let page = a.client.pull(half, 5).await.unwrap();
    assert!(page.has_more);
    assert_eq!(page.blobs.iter().map(|blob| blob.cursor.get()).collect::<Vec<_>>(), cursors[10..15]);
    assert_eq!(b.client.last_cursor(), Cursor::ZERO, "nothing moved");
}

#[tokio::test]
async fn what_was_pushed_without_a_relay_survives_a_restart_and_is_sent() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    relay.kill();
    for n in 0..3 {
        a.client.push(format!("queued {n}")).await.unwrap();
    }
    let folder = a.folder;
    a.client.close().await;

    let again = SyncClient::open(config(&relay.url(), folder.path(), "ignored")).await.unwrap();
    assert_eq!((again.status().pending_push, again.status().name.as_str()), (3, "laptop"));
    assert!(matches!(again.connect().await, Err(Error::Unreachable(Some(_)))));
    relay.restart();
    again.connect().await.unwrap();
    again.flush(crate::support::PATIENCE).await.unwrap();
    assert_eq!(again.status().pending_push, 0);
    assert_eq!(b.client.read_until("queued 2").await, ["queued 0", "queued 1", "queued 2"]);
}

#[tokio::test]
async fn a_relay_killed_in_the_middle_loses_nothing_that_it_acknowledged() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let mut receipts = Vec::new();
    for n in 0..40 {
        receipts.push(a.client.push(format!("{n}")).await.unwrap());
        if n % 15 == 10 {
            relay.kill();
            relay.restart();
        }
    }
    let mut cursors = Vec::new();
    for receipt in receipts {
        cursors.push(
            tokio::time::timeout(crate::support::PATIENCE, receipt.acked()).await.unwrap().unwrap().get(),
        );
    }
    assert!(cursors.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gaps: {cursors:?}");
    let expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(b.client.read_until("39").await, expected);
}

#[tokio::test]
async fn pushes_past_the_rate_limit_wait_and_are_not_lost() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    // One by one, so that no batch helps: more than the 100 messages of a minute.
    let mut cursors = Vec::new();
    for n in 0..105 {
        cursors.push(a.client.send(n.to_string()).await);
    }
    assert!(cursors.windows(2).all(|pair| pair[1] == pair[0] + 1), "{cursors:?}");
    assert_eq!(b.client.read_until("104").await.len(), 105);
}

#[tokio::test]
async fn a_lost_ack_does_not_store_the_blob_twice() {
    let relay = Relay::start();
    let proxy = Proxy::start(relay.address()).await;
    let (a, b) = pair(&relay.url()).await;
    let folder = a.folder;
    a.client.close().await;
    // The same device, now through the proxy: a stored device keeps its relay, so a new one joins.
    let invite = b.client.create_invite().await.unwrap();
    drop(folder);
    let c = device(&proxy.url(), "behind the proxy").await;
    c.client.join(&invite.code()).await.unwrap();
    let own = sync_client::SyncConfig::new(&proxy.url()).unwrap().relay_url.unwrap().url;
    assert_eq!(c.client.status().relay, Some(own), "the address that works from here");
    c.client.connect().await.unwrap();
    c.client.flush(crate::support::PATIENCE).await.unwrap();

    let mut at_b = b.client.subscribe();
    let mut at_c = c.client.subscribe();
    proxy.set(Line::Deaf);
    let receipt = c.client.push("once").await.unwrap();
    let blob_id = receipt.blob_id();
    let event = wait_for(&mut at_b, |event| matches!(event, Event::BlobAvailable { .. })).await;
    proxy.cut().await;
    wait_for(&mut at_c, |event| matches!(event, Event::Disconnected { .. })).await;
    proxy.set(Line::Open);
    c.client.woke();
    let cursor = tokio::time::timeout(crate::support::PATIENCE, receipt.acked()).await.unwrap().unwrap();
    let Event::BlobAvailable { cursor: stored_at, blob_id: stored, .. } = event else { unreachable!() };
    assert_eq!((stored_at, stored), (cursor, blob_id));
    c.client.send("end").await;
    assert_eq!(b.client.read_until("end").await, ["once", "end"]);
    let log = b.client.pull(Cursor::ZERO, 0).await.unwrap();
    assert_eq!(log.blobs.iter().filter(|blob| blob.data == b"once").count(), 1);
}

#[tokio::test]
async fn a_read_that_was_given_up_loses_nothing() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    let mut at_b = b.client.subscribe();
    a.client.send("one").await;
    wait_for(&mut at_b, |event| matches!(event, Event::BlobAvailable { .. })).await;
    // It is asked for, and then nobody waits for it.
    let given_up = tokio::select! {
        biased;
        page = b.client.pull_since_last_cursor(0) => Some(page),
        () = std::future::ready(()) => None,
    };
    assert!(given_up.is_none());
    // By then it was answered.
    b.client.devices().await.unwrap();
    let first = b.client.pull_since_last_cursor(0).await.unwrap();
    assert_eq!(crate::support::texts(&first), ["one"]);
    assert_eq!(b.client.last_cursor(), Cursor::ZERO);
    // What did arrive is had by the next read, also by a clone's.
    a.client.send("two").await;
    wait_for(&mut at_b, |event| matches!(event, Event::BlobAvailable { .. })).await;
    let second = b.client.clone().pull_since_last_cursor(0).await.unwrap();
    assert_eq!(crate::support::texts(&second), ["two"]);
    assert_eq!(b.client.last_cursor(), first.max_cursor);
}

#[tokio::test]
async fn a_page_comes_again_until_it_is_said_to_have_arrived() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    a.client.send("one").await;
    let mut has = None;
    let first = loop {
        let page = b.client.pull_after_page(has, 0).await.unwrap();
        if page.blobs.is_empty() {
            has = Some(page.end());
        } else {
            break page;
        }
    };
    let again = b.client.pull_after_page(has, 0).await.unwrap();
    assert_eq!(again, first);
    assert!(b.client.last_cursor() < first.max_cursor);
    let next = b.client.pull_after_page(Some(first.end()), 0).await.unwrap();
    assert!(next.blobs.is_empty());
    assert_eq!(b.client.last_cursor(), first.max_cursor);
}

#[tokio::test]
async fn a_page_is_acknowledged_after_a_restart_and_for_its_own_log_only() {
    let relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    a.client.send("one").await;
    let page = loop {
        let page = b.client.pull_after_page(None, 0).await.unwrap();
        if !page.blobs.is_empty() {
            break page;
        }
    };
    let before = b.client.last_cursor();
    b.client.ack_page(PageEnd { generation: page.generation + 1, ..page.end() }).await.unwrap();
    assert_eq!(b.client.last_cursor(), before);
    b.client.close().await;
    let again = SyncClient::open(config(&relay.url(), b.folder.path(), "phone")).await.unwrap();
    again.ack_page(page.end()).await.unwrap();
    assert_eq!(again.last_cursor(), page.max_cursor);
}

#[tokio::test]
async fn every_other_status_is_told_and_the_end_of_the_client_too() {
    let relay = Relay::start();
    let a = device(&relay.url(), "laptop").await;
    let mut statuses = a.client.statuses();
    a.client.push("one").await.unwrap();
    while statuses.next().await.unwrap().pending_push == 0 {}
    a.client.connect().await.unwrap();
    while !statuses.next().await.unwrap().connected {}
    a.client.close().await;
    while statuses.next().await.is_some() {}
}
