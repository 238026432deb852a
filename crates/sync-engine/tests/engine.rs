//! What an engine does when its relay, its disk or its user does something unusual.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm)]

mod common;

use common::{Device, Peer, cursor, relay_secret, welcome};
use sync_engine::{Command, EngineError, Event, Input, Reply, StopReason};
use sync_types::{
    BlobId, Cursor, ErrorBody, ErrorCode, Message, Notify, Presence, Pull, PullResponse, Push, PushAck,
    PushBatchAck, RelayAddress, RelaySecret, StoreId, Stored, StoredBlob, UnixMs, Welcome,
};

/// A device that has a group and is on-line; its announcement is acknowledged as the first blob.
fn online() -> (Device, Peer) {
    let mut device = Device::new();
    device.push(b"one");
    device.command(Command::Connect);
    let mut peer = Peer::welcome(&mut device, welcome());
    let (nonce, message) = peer.receive_one(&mut device);
    let Message::PushBatch(batch) = message else { panic!("{message:?}") };
    assert_eq!(batch.blobs.len(), 2, "the announcement and the push");
    let stored = batch.blobs.iter().zip(1..).map(|(b, n)| Stored { blob_id: b.blob_id, cursor: cursor(n) });
    let ack = PushBatchAck { stored: stored.collect(), timestamp: UnixMs(1) };
    peer.answer(&mut device, nonce, ack);
    device.take_events();
    (device, peer)
}

/// The store of `welcome()`.
const STORE: StoreId = StoreId([3; 16]);

fn push_of(message: Message) -> Push {
    match message {
        Message::Push(push) => push,
        other => panic!("{other:?}"),
    }
}

fn ack(push: &Push, n: u64) -> PushAck {
    PushAck { blob_id: push.blob_id, cursor: cursor(n), timestamp: UnixMs(1) }
}

#[test]
fn another_relay_key_is_noticed_before_the_device_says_who_it_is() {
    let expected = RelaySecret::from_bytes([6; 32]).key();
    let url = "https://relay.example".parse().unwrap();
    let mut device = Device::at(RelayAddress { url, key: Some(expected) });
    device.push(b"x");
    device.command(Command::Connect);
    device.input(Input::Connected);
    let first = device.sent.remove(0);
    let (_, second) = sync_types::channel::Responder::answer(&relay_secret(), [7; 32], &first).unwrap();
    device.input(Input::Frame(second));

    let found = relay_secret().key();
    assert!(device.sent.is_empty(), "the third message would have named the device");
    assert_eq!(device.disconnects, 1);
    let reason = StopReason::RelayKeyChanged { expected, found };
    assert_eq!(device.take_events(), [Event::Disconnected { stopped: Some(reason.clone()) }]);
    assert_eq!(device.engine.status().stopped.as_ref(), Some(&reason));
    let text = reason.to_string();
    assert!(text.contains(&expected.to_string()) && text.contains(&found.to_string()));
    device.wait(600_000);
    assert_eq!(device.connects, 1, "no second attempt by itself");

    device.command(Command::TrustRelay(found));
    assert_eq!(device.connects, 2);
    Peer::welcome(&mut device, welcome());
    assert!(device.engine.status().connected);
}

#[test]
fn a_push_is_promised_and_sent_only_after_it_is_durable() {
    let (mut device, mut peer) = online();
    device.disk_works = false;
    let id = device.push(b"two");
    assert!(!device.replies.contains_key(&id));
    assert!(device.sent.is_empty());
    device.disk_works = true;
    device.input(Input::Tick);
    assert!(matches!(device.reply(id), Ok(Reply::Queued(_))));
    push_of(peer.receive_one(&mut device).1);
}

#[test]
fn a_push_survives_a_restart_with_the_same_bytes() {
    let (mut device, mut peer) = online();
    device.push(b"two");
    let sent = push_of(peer.receive_one(&mut device).1);
    device.restart();
    assert_eq!(device.engine.status().pending_push, 1);
    device.command(Command::Connect);
    let mut peer = Peer::welcome(&mut device, Welcome { max_cursor: cursor(3), ..welcome() });
    let again: Vec<_> = peer.receive(&mut device).into_iter().map(|(_, m)| m).collect();
    assert!(again.contains(&Message::Push(sent)), "{again:?}");
}

#[test]
fn data_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
    let (mut device, _) = online();
    let max = 1024 * 1024;
    let id = device.push(&vec![0xa5; max]);
    assert!(matches!(device.reply(id), Ok(Reply::Queued(_))));
    let id = device.push(&vec![0xa5; max + 1]);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::TooLarge { max });
    assert_eq!(device.engine.status().pending_push, 1);
}

#[test]
fn a_rejected_push_becomes_a_void_blob_and_the_next_ones_go_on() {
    let (mut device, mut peer) = online();
    let id = device.push(b"two");
    let Ok(Reply::Queued(blob_id)) = device.reply(id) else { panic!() };
    let (nonce, message) = peer.receive_one(&mut device);
    let refused = push_of(message);
    assert_eq!(refused.blob_id, blob_id);
    device.push(b"three");
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::Conflict));
    assert_eq!(device.take_events(), [Event::PushRejected { blob_id, code: ErrorCode::Conflict }]);
    let (nonce, message) = peer.receive_one(&mut device);
    let Message::PushBatch(batch) = message else { panic!("{message:?}") };
    assert_eq!(batch.blobs.len(), 2, "the void blob, and the next push");
    assert!(batch.blobs.iter().all(|b| b.blob_id != blob_id));
    let stored = batch.blobs.iter().zip(3..).map(|(b, n)| Stored { blob_id: b.blob_id, cursor: cursor(n) });
    peer.answer(&mut device, nonce, PushBatchAck { stored: stored.collect(), timestamp: UnixMs(1) });
    assert_eq!(device.engine.status().pending_push, 0);
}

#[test]
fn a_refused_batch_is_sent_one_by_one() {
    let (mut device, mut peer) = online();
    device.disk_works = false;
    device.push(b"two");
    device.push(b"three");
    device.disk_works = true;
    device.input(Input::Tick);
    let (mut nonce, mut message) = peer.receive_one(&mut device);
    let mut next = 3;
    if let Message::Push(first) = message {
        // The first became durable by itself: acknowledge it, and make a batch of the next two.
        device.push(b"four");
        peer.answer(&mut device, nonce, ack(&first, 3));
        next = 4;
        (nonce, message) = peer.receive_one(&mut device);
    }
    let Message::PushBatch(batch) = message else { panic!("{message:?}") };
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::BlobTooLarge));
    for (blob, n) in batch.blobs.iter().zip(next..) {
        let (nonce, message) = peer.receive_one(&mut device);
        let push = push_of(message);
        assert_eq!(push, *blob);
        peer.answer(&mut device, nonce, ack(&push, n));
    }
    assert_eq!(device.engine.status().pending_push, 0);
}

#[test]
fn a_rate_limit_is_waited_out_and_a_full_relay_is_reported() {
    let (mut device, mut peer) = online();
    device.push(b"two");
    let (nonce, message) = peer.receive_one(&mut device);
    let push = push_of(message);
    let limited = ErrorBody::new(ErrorCode::RateLimited).retry_after_ms(7_000);
    peer.answer(&mut device, nonce, limited);
    device.wait(6_900);
    assert!(device.sent.is_empty(), "too early");
    device.wait(200);
    let (nonce, message) = peer.receive_one(&mut device);
    assert_eq!(push_of(message), push, "the same bytes");

    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::GroupStorageFull));
    let events = device.take_events();
    assert!(matches!(events[..], [Event::RelayFull { code: ErrorCode::GroupStorageFull, .. }]), "{events:?}");
    assert_eq!(device.engine.status().pending_push, 1, "nothing is lost");
}

#[test]
fn an_acknowledgement_leaves_only_after_it_is_durable() {
    let (mut device, mut peer) = online();
    device.disk_works = false;
    let id = device.command(Command::Ack { cursor: cursor(2), store_id: Some(STORE) });
    assert!(device.sent.is_empty() && !device.replies.contains_key(&id));
    device.disk_works = true;
    device.input(Input::Tick);
    let (_, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Ack(sync_types::Ack { cursor: cursor(2) }));
    assert!(device.reply(id).is_ok());
}

#[test]
fn a_relay_that_does_not_know_the_epoch_gets_the_key_log() {
    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    let (mut peer, nonce, hello) = Peer::meet(&mut device, relay_secret());
    assert_eq!(hello.key_log, None, "the relay should have it");
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::EpochUnknown));
    let (nonce, message) = peer.receive_one(&mut device);
    let Message::Hello(again) = message else { panic!("{message:?}") };
    assert_eq!(again.key_log.unwrap().verify(&again.group_id), Ok(()));
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::EpochUnknown));
    assert!(!device.engine.status().connected, "it does not go on for ever");
}

#[test]
fn refusals_that_a_person_must_solve_stop_the_engine() {
    for code in [ErrorCode::Unauthenticated, ErrorCode::DeviceRevoked, ErrorCode::GroupCreationDenied] {
        let mut device = Device::new();
        device.push(b"x");
        device.command(Command::Connect);
        let flush = device.command(Command::Flush);
        let (mut peer, nonce, _) = Peer::meet(&mut device, relay_secret());
        peer.answer(&mut device, nonce, ErrorBody::new(code));
        device.wait(600_000);
        assert_eq!(device.connects, 1, "{code:?}");
        let reason = StopReason::Refused { code, message: code.to_string() };
        assert_eq!(device.reply(flush).unwrap_err(), EngineError::Stopped(reason));
        device.command(Command::Connect);
        assert_eq!(device.connects, 2, "asked by name, it tries again");
    }
}

#[test]
fn a_downgraded_relay_is_refused() {
    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    Peer::welcome(&mut device, Welcome { version: 0, ..welcome() });
    assert_eq!(device.engine.status().stopped, Some(StopReason::Downgraded { found: 0, floor: 1 }));
}

#[test]
fn what_is_garbage_ends_the_connection_and_another_one_is_made() {
    let (mut device, _) = online();
    device.input(Input::Frame(vec![1, 2, 3]));
    assert_eq!(device.take_events(), [Event::RelayMisbehaved, Event::Disconnected { stopped: None }]);
    let before = device.connects;
    device.wait(1_000);
    assert_eq!(device.connects, before + 1);
}

#[test]
fn acknowledgements_of_what_was_not_sent_are_refused() {
    for wrong in [
        PushAck { blob_id: BlobId([0; 16]), cursor: cursor(9), timestamp: UnixMs(0) },
        PushAck { blob_id: BlobId([1; 16]), cursor: Cursor::ZERO, timestamp: UnixMs(0) },
    ] {
        let (mut device, mut peer) = online();
        device.push(b"two");
        let (nonce, message) = peer.receive_one(&mut device);
        let push = push_of(message);
        let blob_id = if wrong.cursor == Cursor::ZERO { push.blob_id } else { wrong.blob_id };
        peer.answer(&mut device, nonce, PushAck { blob_id, ..wrong });
        assert!(device.take_events().contains(&Event::RelayMisbehaved));
        assert_eq!(device.engine.status().pending_push, 1, "nothing is lost");
    }
}

fn entry(device: &Device, n: u64, payload: Vec<u8>) -> StoredBlob {
    let _ = device;
    StoredBlob {
        blob_id: BlobId([n as u8; 16]),
        cursor: cursor(n),
        sender_id: sync_types::DeviceSecret::from_bytes([4; 32]).id(),
        payload: Some(payload),
        timestamp: UnixMs(0),
        hash: None,
    }
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
    assert_eq!(device.take_events(), [Event::BlobRefused { cursor: cursor(3), sender: forged.sender_id }]);
    let id = device.command(Command::Read { limit: 0, has: None });
    let Ok(Reply::Page(page)) = device.reply(id) else { panic!() };
    assert_eq!((page.blobs.len(), page.max_cursor, page.has_more), (0, cursor(3), false));
}

#[test]
fn a_silent_relay_is_asked_and_then_left() {
    let (mut device, mut peer) = online();
    device.wait(29_000);
    assert!(device.sent.is_empty());
    device.wait(1_500);
    let (nonce, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Presence(Presence::Own(1)));
    peer.answer(&mut device, nonce, Presence::Own(1));
    device.wait(25_000);
    assert!(device.engine.status().connected);
    device.wait(5_500);
    peer.receive_one(&mut device);
    device.wait(10_500);
    assert!(!device.engine.status().connected, "nobody answered within ten seconds");
}

#[test]
fn a_machine_that_slept_asks_at_once() {
    let (mut device, mut peer) = online();
    // The steady clock stands still while the machine sleeps; the wall clock does not.
    let mut now = device.now();
    now.unix = UnixMs(now.unix.0 + 3_600_000);
    device.engine.handle(now, Input::Tick);
    device.input(Input::Tick);
    let (_, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Presence(Presence::Own(1)));
}

#[test]
fn attempts_back_off_to_a_minute_and_a_wake_up_tries_at_once() {
    let mut device = Device::new();
    device.push(b"x");
    device.command(Command::Connect);
    let mut longest = 0;
    for _ in 0..40 {
        let before = device.ms;
        let connects = device.connects;
        device.input(Input::Closed(None));
        while device.connects == connects {
            device.ms = device.engine.poll_timeout().unwrap().0;
            device.input(Input::Tick);
        }
        longest = longest.max(device.ms - before);
    }
    assert!((20_000..=60_000).contains(&longest), "{longest}");
    device.input(Input::Closed(None));
    let connects = device.connects;
    device.input(Input::Woke);
    assert_eq!(device.connects, connects + 1);
}

#[test]
fn a_replaced_connection_stays_away_for_a_minute() {
    let (mut device, _) = online();
    let connects = device.connects;
    device.input(Input::Closed(Some(ErrorCode::Replaced.close_code())));
    device.wait(59_000);
    assert_eq!(device.connects, connects);
    device.wait(3_000);
    assert_eq!(device.connects, connects + 1);
}

#[test]
fn commands_that_need_the_relay_say_why_they_cannot_be_done() {
    let mut device = Device::new();
    let id = device.command(Command::Devices);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::NoGroup);
    device.push(b"x");
    let id = device.command(Command::Devices);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::NotConnected);
    device.command(Command::Connect);
    let id = device.command(Command::Devices);
    device.input(Input::Closed(None));
    assert_eq!(device.reply(id).unwrap_err(), EngineError::Unreachable);
}

#[test]
fn an_old_acknowledgement_does_not_count_after_a_reset() {
    let (mut device, _) = online();
    device.command(Command::Ack { cursor: cursor(2), store_id: Some(STORE) });
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
    device.command(Command::Ack { cursor: cursor(4), store_id: Some(STORE) });
    assert_eq!(device.engine.status().last_cursor, Cursor::ZERO);
}

#[test]
fn a_close_code_from_outside_the_channel_stops_nothing() {
    for code in [ErrorCode::DeviceRevoked, ErrorCode::Unauthenticated, ErrorCode::GroupDeleted] {
        let (mut device, _) = online();
        for _ in 0..3 {
            let connects = device.connects;
            device.input(Input::Closed(Some(code.close_code())));
            assert_eq!(device.engine.status().stopped, None);
            device.wait(60_000);
            assert!(device.connects > connects, "{code:?}");
        }
    }
}

/// A blob of another member, sealed as its engine would.
fn sealed_by(device: &Device, group: Option<&sync_e2ee::EpochKeys>, n: u64, body: &[u8]) -> StoredBlob {
    let keys = group.unwrap();
    let sender = sync_types::DeviceSecret::from_bytes([4; 32]).id();
    let blob_id = BlobId([n as u8; 16]);
    let context = sync_e2ee::BlobContext {
        group_id: device.engine.status().group_id.unwrap(),
        epoch: 0,
        sender,
        blob_id,
    };
    let place = sync_e2ee::Place { seq: n, ..sync_e2ee::Place::first(sync_types::ChainId([9; 16])) };
    let content = sync_e2ee::Content { kind: sync_e2ee::Kind::Data, place, body: body.to_vec() };
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([n as u8; 32]);
    let options = sync_e2ee::SealOptions::default();
    let payload = sync_e2ee::blob::seal(keys, &context, &content, &options, &mut rng).unwrap();
    StoredBlob { sender_id: sender, payload: Some(payload), ..entry(device, n, vec![]) }
}

/// A device that joined a group whose keys the test has, too; its announcement is blob 1.
fn joined() -> (Device, Peer, sync_e2ee::EpochKeys) {
    let secret = sync_e2ee::EpochSecret::from_bytes([7; 32]);
    let keys = secret.keys();
    let mut device = Device::new();
    let invite = sync_e2ee::Invite {
        relay: "https://relay.example".parse().unwrap(),
        relay_key: relay_secret().key(),
        group_id: keys.founds_group(),
        key_log: sync_types::KeyLog::new(keys.auth_key()),
        epoch: 0,
        secret,
        roster: Vec::new(),
        seen: None,
        created_by: device.engine.status().device_id,
        expires: UnixMs(u64::MAX >> 12),
    };
    device.command(Command::Join(Box::new(invite)));
    device.command(Command::Connect);
    let mut peer = Peer::welcome(&mut device, welcome());
    let (nonce, message) = peer.receive_one(&mut device);
    peer.answer(&mut device, nonce, ack(&push_of(message), 1));
    device.take_events();
    (device, peer, keys)
}

fn notify(blob: &StoredBlob) -> Notify {
    Notify {
        blob_id: blob.blob_id,
        cursor: blob.cursor,
        sender_id: blob.sender_id,
        timestamp: UnixMs(0),
        size: 1,
        payload: blob.payload.clone(),
    }
}

fn read(device: &mut Device, has: Option<sync_engine::PageEnd>) -> sync_engine::Page {
    let id = device.command(Command::Read { limit: 0, has });
    let Ok(Reply::Page(page)) = device.reply(id) else { panic!("no page") };
    page
}

#[test]
fn a_page_that_did_not_reach_the_app_is_given_again() {
    let (mut device, mut peer, keys) = joined();
    let blob = sealed_by(&device, Some(&keys), 2, b"precious");
    peer.say(&mut device, notify(&blob));
    let lost = read(&mut device, None);
    assert_eq!(lost.blobs.len(), 1);
    assert_eq!(device.engine.status().last_cursor, Cursor::ZERO);
    // Nobody says that it arrived: it is fetched once more.
    let id = device.command(Command::Read { limit: 0, has: None });
    let (nonce, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Pull(Pull { after_cursor: Cursor::ZERO, limit: 100 }));
    let own = StoredBlob { sender_id: device.engine.status().device_id, ..entry(&device, 1, vec![1; 60]) };
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
    assert_eq!((page.blobs.len(), page.max_cursor), (1, cursor(6)));
}

#[test]
fn a_relay_that_lowers_its_limit_blocks_neither_the_outbox_nor_what_is_stored() {
    let (mut device, _, keys) = joined();
    device.input(Input::Closed(None));
    let mut noise = vec![0; 200_000];
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([1; 32]);
    rand_core::RngCore::fill_bytes(&mut rng, &mut noise);
    let id = device.push(&noise);
    let Ok(Reply::Queued(blob_id)) = device.reply(id) else { panic!() };
    device.wait(1_000);
    let low = Welcome { max_blob_size: 20_000, max_cursor: cursor(2), ..welcome() };
    let mut peer = Peer::welcome(&mut device, low);
    assert!(device.take_events().contains(&Event::PushRejected { blob_id, code: ErrorCode::BlobTooLarge }));
    // The push's place is held, and a large blob of earlier days is read.
    let got = peer.receive(&mut device);
    assert!(got.iter().any(|(_, message)| matches!(message, Message::Push(_))), "the void blob");
    let pull = got.iter().find(|(_, message)| matches!(message, Message::Pull(_)));
    let (envelope, _) = pull.unwrap();
    let large = sealed_by(&device, Some(&keys), 2, &vec![b'x'; 500_000]);
    let page =
        PullResponse { blobs: vec![large], has_more: false, max_cursor: cursor(2), oldest_cursor: cursor(1) };
    peer.answer(&mut device, envelope.nonce, page);
    assert_eq!(read(&mut device, None).blobs[0].data.len(), 500_000);
}

#[test]
fn a_full_relay_is_still_read_from_and_cannot_ask_for_more_than_minutes() {
    let (mut device, mut peer, keys) = joined();
    device.push(b"does not fit");
    let (nonce, _) = peer.receive_one(&mut device);
    let full = ErrorBody::new(ErrorCode::GroupStorageFull).retry_after_ms(u32::MAX);
    peer.answer(&mut device, nonce, full);
    let blob = sealed_by(&device, Some(&keys), 2, b"makes room");
    peer.say(&mut device, Notify { payload: None, ..notify(&blob) });
    let (nonce, message) = peer.receive_one(&mut device);
    assert!(matches!(message, Message::Pull(_)), "reading goes on");
    let page =
        PullResponse { blobs: vec![blob], has_more: false, max_cursor: cursor(2), oldest_cursor: cursor(1) };
    peer.answer(&mut device, nonce, page);
    for _ in 0..61 {
        device.wait(5_000);
        for (envelope, message) in peer.receive(&mut device) {
            match message {
                Message::Presence(own) => peer.answer(&mut device, envelope.nonce, own),
                Message::Push(_) => return,
                _ => {}
            }
        }
    }
    panic!("the push was not tried again within five minutes");
}
