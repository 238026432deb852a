//! What comes from the log, and what the app says of it.

use sync_engine::{Command, Event, Input, Refused, Reply};
use sync_types::{
    BlobId, Cursor, Message, Notify, Pull, PullResponse, PushBatchAck, Stored, StoredBlob, UnixMs, Welcome,
};

use crate::common::{Peer, cursor, welcome};
use crate::steps::{announced, entry, joined, notify, online, read, sealed_by};

#[test]
fn an_acknowledgement_leaves_only_after_it_is_durable() {
    let (mut device, mut peer) = online();
    device.disk_works = false;
    let id = device.command(Command::Ack { cursor: cursor(2), generation: Some(1) });
    assert!(device.sent.is_empty() && !device.replies.contains_key(&id));
    device.disk_works = true;
    device.input(Input::Tick);
    let (_, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Ack(sync_types::Ack { cursor: cursor(2) }));
    assert!(device.reply(id).is_ok());
}

#[test]
fn pages_out_of_order_are_refused() {
    for (cursors, max, has_more) in [
        (vec![4, 3], 3, false),
        (vec![3, 3], 3, false),
        (vec![2], 2, false),
        (vec![3], 9, false),
        (vec![], 2, true),
    ] {
        let (mut device, mut peer) = online();
        let notify = Notify {
            blob_id: BlobId([0; 16]),
            cursor: cursor(4),
            sender_id: sync_types::DeviceSecret::from_bytes([4; 32]).id(),
            timestamp: UnixMs(0),
            size: 1,
            payload: None,
        };
        peer.say(&mut device, notify);
        let (nonce, message) = peer.receive_one(&mut device);
        assert_eq!(message, Message::Pull(Pull { after_cursor: cursor(2), limit: 0 }));
        let blobs = cursors.iter().map(|n| entry(&device, *n, vec![1; 60])).collect();
        let page = PullResponse { blobs, has_more, max_cursor: cursor(max), oldest_cursor: cursor(1) };
        peer.answer(&mut device, nonce, page);
        assert!(device.take_events().contains(&Event::RelayMisbehaved), "{cursors:?}");
    }
}

#[test]
fn a_blob_that_no_member_sealed_is_reported_and_not_shown() {
    let (mut device, mut peer) = online();
    let forged = entry(&device, 3, vec![1; 300]);
    peer.say(
        &mut device,
        Notify {
            blob_id: forged.blob_id,
            cursor: forged.cursor,
            sender_id: forged.sender_id,
            timestamp: UnixMs(0),
            size: 300,
            payload: forged.payload.clone(),
        },
    );
    assert_eq!(
        device.take_events(),
        [Event::BlobRefused { cursor: cursor(3), sender: forged.sender_id, why: Refused::Unreadable }]
    );
    let id = device.command(Command::Read { limit: 0, has: None });
    let Ok(Reply::Page(page)) = device.reply(id) else { panic!() };
    assert_eq!((page.blobs.len(), page.max_cursor, page.has_more), (0, cursor(3), false));
}

#[test]
fn an_old_acknowledgement_does_not_count_after_a_reset() {
    let (mut device, _) = online();
    device.command(Command::Ack { cursor: cursor(2), generation: Some(1) });
    device.input(Input::Closed(None));
    device.wait(1_000);
    let other = sync_types::StoreId([4; 16]);
    let mut peer =
        Peer::welcome(&mut device, Welcome { store_id: other, max_cursor: cursor(5), ..welcome() });
    assert!(device.take_events().contains(&Event::RelayReset));
    let (nonce, _) = peer.receive_one(&mut device);
    let page = PullResponse {
        blobs: vec![entry(&device, 5, vec![1; 60])],
        has_more: false,
        max_cursor: cursor(5),
        oldest_cursor: cursor(1),
    };
    peer.answer(&mut device, nonce, page);
    device.command(Command::Ack { cursor: cursor(4), generation: Some(1) });
    assert_eq!(device.engine.status().last_cursor, Cursor::ZERO);
}

#[test]
fn a_flush_waits_for_what_a_reset_relay_has_to_be_given_again() {
    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    let other = sync_types::StoreId([4; 16]);
    let mut peer =
        Peer::welcome(&mut device, Welcome { store_id: other, max_cursor: cursor(5), ..welcome() });
    assert!(device.take_events().contains(&Event::RelayReset));
    let flush = device.command(Command::Flush);
    assert!(!device.replies.contains_key(&flush), "the new log is not read yet");
    let (nonce, message) = peer.receive_one(&mut device);
    assert!(matches!(message, Message::Pull(_)));
    let page = PullResponse {
        blobs: vec![entry(&device, 5, vec![1; 60])],
        has_more: false,
        max_cursor: cursor(5),
        oldest_cursor: cursor(1),
    };
    peer.answer(&mut device, nonce, page);
    assert!(!device.replies.contains_key(&flush), "the announcement has to come back");
    let (nonce, message) = peer.receive_one(&mut device);
    let Message::PushBatch(batch) = message else { panic!("{message:?}") };
    let stored =
        batch.blobs.iter().zip(6..).map(|(push, n)| Stored { blob_id: push.blob_id, cursor: cursor(n) });
    let acked = PushBatchAck { stored: stored.collect(), timestamp: UnixMs(0) };
    peer.answer(&mut device, nonce, acked);
    assert!(matches!(device.reply(flush), Ok(Reply::Done)));
}

/// An old copy of the relay's store has the store's id: cursors that start over are not told by it.
#[test]
fn a_page_of_before_a_reset_says_nothing_of_the_log_after_it() {
    let (mut device, mut peer, keys) = joined();
    let old = sealed_by(&device, Some(&keys), 2, b"old");
    peer.say(&mut device, notify(&old));
    let page = read(&mut device, None);
    assert_eq!(page.blobs[0].data, b"old");

    device.input(Input::Closed(None));
    device.wait(1_000);
    device.take_events();
    let mut peer = Peer::welcome(&mut device, Welcome { max_cursor: Cursor::ZERO, ..welcome() });
    assert!(device.take_events().contains(&Event::RelayReset));
    let new = StoredBlob { cursor: cursor(1), ..sealed_by(&device, Some(&keys), 3, b"new") };
    peer.say(&mut device, notify(&new));
    assert_eq!(read(&mut device, Some(page.end())).blobs[0].data, b"new");
}

#[test]
fn a_page_that_did_not_reach_the_app_is_given_again() {
    let (mut device, mut peer, keys, announcement) = announced();
    let blob = sealed_by(&device, Some(&keys), 2, b"precious");
    peer.say(&mut device, notify(&blob));
    let lost = read(&mut device, None);
    assert_eq!(lost.blobs.len(), 1);
    assert_eq!(device.engine.status().last_cursor, Cursor::ZERO);
    // Nobody says that it arrived: it is fetched once more.
    let id = device.command(Command::Read { limit: 0, has: None });
    let (nonce, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Pull(Pull { after_cursor: Cursor::ZERO, limit: 100 }));
    let own = StoredBlob {
        sender_id: device.engine.status().device_id,
        blob_id: announcement.blob_id,
        ..entry(&device, 1, announcement.payload)
    };
    let page = PullResponse {
        blobs: vec![own, blob],
        has_more: false,
        max_cursor: cursor(2),
        oldest_cursor: cursor(1),
    };
    peer.answer(&mut device, nonce, page);
    let Ok(Reply::Page(again)) = device.reply(id) else { panic!() };
    assert_eq!(again, lost);
    assert!(read(&mut device, Some(again.end())).blobs.is_empty());
    assert_eq!(device.engine.status().last_cursor, cursor(2));
}

#[test]
fn what_outlived_its_neighbours_is_still_read() {
    let (mut device, mut peer, keys) = joined();
    let kept = sealed_by(&device, Some(&keys), 3, b"for ever");
    peer.say(&mut device, Notify { cursor: cursor(6), payload: None, ..notify(&kept) });
    let (nonce, _) = peer.receive_one(&mut device);
    // 2, 4, 5 and 6 are gone; 3 had no end.
    let page =
        PullResponse { blobs: vec![kept], has_more: false, max_cursor: cursor(3), oldest_cursor: cursor(7) };
    peer.answer(&mut device, nonce, page);
    assert!(device.take_events().contains(&Event::HistoryTruncated { up_to: cursor(6) }));
    let page = read(&mut device, None);
    assert_eq!((page.blobs.len(), page.max_cursor, page.has_more), (1, cursor(3), false));
    let page_end = page.end();
    // Whatever comes next is told by its own cursor, not by what the relay says of the end.
    let next = StoredBlob { cursor: cursor(7), ..sealed_by(&device, Some(&keys), 4, b"next") };
    peer.say(&mut device, Notify { payload: None, ..notify(&next) });
    let (nonce, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Pull(Pull { after_cursor: cursor(3), limit: 0 }));
    let page =
        PullResponse { blobs: vec![next], has_more: false, max_cursor: cursor(7), oldest_cursor: cursor(7) };
    peer.answer(&mut device, nonce, page);
    assert_eq!(read(&mut device, Some(page_end)).max_cursor, cursor(7));
}

#[test]
fn what_is_gone_is_told_once_however_often_the_line_drops() {
    let (mut device, _, keys) = joined();
    let held = Welcome { max_cursor: cursor(200), oldest_cursor: cursor(101), ..welcome() };
    let mut told = 0;
    for n in [50, 60, 70] {
        let before = device.connects;
        device.input(Input::Closed(None));
        while device.connects == before {
            device.wait(100);
        }
        let mut peer = Peer::welcome(&mut device, held.clone());
        let got = peer.receive(&mut device);
        let pull = got.iter().find(|(_, message)| matches!(message, Message::Pull(_))).expect("a PULL");
        let blobs = vec![sealed_by(&device, Some(&keys), n, b"lives longer")];
        let page = PullResponse { blobs, has_more: true, max_cursor: cursor(n), oldest_cursor: cursor(101) };
        peer.answer(&mut device, pull.0.nonce, page);
        let gone = Event::HistoryTruncated { up_to: cursor(100) };
        told += device.take_events().iter().filter(|event| **event == gone).count();
    }
    assert_eq!(told, 1);
}
