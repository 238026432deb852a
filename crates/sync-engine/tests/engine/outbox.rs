//! Pushes.

use sync_engine::{Break, Command, EngineError, Event, Input, Reply};
use sync_types::{
    BlobId, Cursor, DevicesResponse, ErrorBody, ErrorCode, Message, Notify, PullResponse, PushAck,
    PushBatchAck, RotateAck, Stored, StoredBlob, UnixMs, Welcome,
};

use crate::common::{Device, Peer, cursor, welcome};
use crate::steps::{ack, content_of, joined, noise, notify, online, push_of, read, sealed_by};

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
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::BadRequest));
    assert_eq!(device.take_events(), [Event::PushRejected { blob_id, code: ErrorCode::BadRequest }]);
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

    let message = "\u{1b}[2Jfull".to_owned();
    let full = ErrorBody { message, ..ErrorBody::new(ErrorCode::GroupStorageFull) };
    peer.answer(&mut device, nonce, full);
    // Without what steers a terminal.
    let told = Event::RelayFull { code: ErrorCode::GroupStorageFull, message: "\u{fffd}[2Jfull".to_owned() };
    assert_eq!(device.take_events(), [told]);
    assert_eq!(device.engine.status().pending_push, 1, "nothing is lost");
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

#[test]
fn a_push_that_is_asked_for_twice_is_one_push() {
    let mut device = Device::new();
    let mut push = |token: u8| {
        let token = Some([token; 16]);
        let id = device.command(Command::Push { data: b"x".to_vec().into(), ttl: None, token });
        let Ok(Reply::Queued(blob_id)) = device.reply(id) else { panic!() };
        let pending = device.engine.status().pending_push;
        device.restart();
        (blob_id, pending)
    };
    let (first, _) = push(1);
    // The announcement is the other one.
    assert_eq!(push(1), (first, 2));
    let (other, pending) = push(2);
    assert_ne!(other, first);
    assert_eq!(pending, 3);
}

#[test]
fn a_relay_that_lowers_its_limit_blocks_neither_the_outbox_nor_what_is_stored() {
    let (mut device, _, keys) = joined();
    device.input(Input::Closed(None));
    let noise = noise(200_000);
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
                Message::Devices(_) => {
                    peer.answer(&mut device, envelope.nonce, DevicesResponse { devices: Vec::new() });
                }
                Message::Push(_) => return,
                _ => {}
            }
        }
    }
    panic!("the push was not tried again within five minutes");
}

#[test]
fn a_limit_that_falls_before_a_chain_starts_over_is_told_push_by_push() {
    let (mut device, mut peer, keys) = joined();
    let noise = noise(20_000);
    let id = device.push(&noise);
    let Ok(Reply::Queued(large)) = device.reply(id) else { panic!() };
    let (pushed, _) = peer.receive_one(&mut device);
    let id = device.push(b"small");
    let Ok(Reply::Queued(small)) = device.reply(id) else { panic!() };
    // Nothing more is sent for minutes, and the chain has to start over.
    let blob = sealed_by(&device, Some(&keys), 2, b"news");
    peer.say(&mut device, Notify { payload: None, ..notify(&blob) });
    let (pulled, _) = peer.receive_one(&mut device);
    peer.answer(&mut device, pulled, ErrorBody::new(ErrorCode::RateLimited).retry_after_ms(300_000));
    peer.answer(&mut device, pushed, ErrorBody::new(ErrorCode::Conflict));
    assert_eq!(peer.receive(&mut device), []);
    device.input(Input::Closed(None));
    device.wait(1_000);
    let low = Welcome { max_blob_size: 4_096, max_cursor: cursor(2), ..welcome() };
    let mut peer = Peer::welcome(&mut device, low);
    let events = device.take_events();
    assert!(
        events.contains(&Event::PushRejected { blob_id: large, code: ErrorCode::BlobTooLarge }),
        "{events:?}"
    );
    let renamed = |event: &Event| match event {
        Event::PushRenamed { from, to } if *from == small => Some(*to),
        _ => None,
    };
    let to = events.iter().find_map(renamed).expect("the small one goes out under another id");
    let renames = events.iter().filter(|event| matches!(event, Event::PushRenamed { .. })).count();
    assert_eq!(renames, 1, "what is refused is not renamed: {events:?}");
    // What goes out opens, the void blob too, also after a restart.
    for restarted in [false, true] {
        if restarted {
            device.restart();
            device.command(Command::Connect);
            peer = Peer::welcome(&mut device, Welcome { max_cursor: cursor(2), ..welcome() });
        }
        let got = peer.receive(&mut device);
        let batch = got.iter().find_map(|(_, message)| match message {
            Message::PushBatch(batch) => Some(batch.clone()),
            _ => None,
        });
        let blobs = batch.expect("a batch").blobs;
        assert!(
            blobs.iter().any(|blob| blob.blob_id == to) && blobs.iter().all(|blob| blob.blob_id != large)
        );
        let contents: Vec<_> = blobs.iter().map(|blob| content_of(&device, &keys, 0, blob)).collect();
        assert_eq!(contents[0].kind, sync_e2ee::Kind::Void);
        assert_eq!((contents[1].kind, &contents[1].body[..]), (sync_e2ee::Kind::Data, &b"small"[..]));
        // Each refers to the one before it.
        for (seq, pair) in (1..).zip(contents.windows(2).zip(&blobs)) {
            let (pair, before) = pair;
            let link = sync_e2ee::chain::link_hash(&pair[0], sync_e2ee::blob::hash(&before.payload));
            assert_eq!((pair[1].place.seq, pair[1].place.prev), (seq, link));
        }
    }
}

#[test]
fn an_acknowledgement_for_a_place_that_was_passed_over_is_missed() {
    let (mut device, mut peer, keys) = joined();
    let blob = sealed_by(&device, Some(&keys), 9, b"after a gap");
    peer.say(&mut device, Notify { payload: None, ..notify(&blob) });
    let (nonce, _) = peer.receive_one(&mut device);
    let page =
        PullResponse { blobs: vec![blob], has_more: false, max_cursor: cursor(9), oldest_cursor: cursor(9) };
    peer.answer(&mut device, nonce, page);
    device.take_events();
    device.push(b"swallowed");
    let (nonce, message) = peer.receive_one(&mut device);
    peer.answer(&mut device, nonce, ack(&push_of(message), 5));
    let broken = |event: &Event| {
        let missing = Break::Missing { from: 1, to: 2 };
        matches!(event, Event::ChainBroken { how, cursor: at, .. } if *how == missing && *at == cursor(5))
    };
    let events = device.take_events();
    assert!(events.iter().any(broken), "{events:?}");
}

#[test]
fn no_log_reaches_the_last_of_all_cursors() {
    let last = cursor((1 << 53) - 1);
    let (mut device, mut peer) = online();
    device.push(b"two");
    let (nonce, message) = peer.receive_one(&mut device);
    peer.answer(&mut device, nonce, PushAck { cursor: last, ..ack(&push_of(message), 3) });
    assert!(device.take_events().contains(&Event::RelayMisbehaved));
    assert_eq!(device.engine.status().pending_push, 1);

    let (mut device, mut peer, keys) = joined();
    let blob = StoredBlob { cursor: last, ..sealed_by(&device, Some(&keys), 2, b"x") };
    peer.say(&mut device, notify(&blob));
    assert!(device.take_events().contains(&Event::RelayMisbehaved));

    let (mut device, mut peer, keys) = joined();
    let blob = sealed_by(&device, Some(&keys), 2, b"x");
    peer.say(&mut device, Notify { payload: None, ..notify(&blob) });
    let (nonce, _) = peer.receive_one(&mut device);
    let blobs = vec![StoredBlob { cursor: last, ..blob }];
    let page = PullResponse { blobs, has_more: false, max_cursor: last, oldest_cursor: cursor(1) };
    peer.answer(&mut device, nonce, page);
    assert!(device.take_events().contains(&Event::RelayMisbehaved));

    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    Peer::welcome(&mut device, Welcome { max_cursor: last, ..welcome() });
    assert!(device.take_events().contains(&Event::RelayMisbehaved));
}

#[test]
fn a_tale_of_what_has_expired_makes_nobody_forget_what_was_seen() {
    let (mut device, mut peer, keys) = joined();
    let blob = sealed_by(&device, Some(&keys), 2, b"not the first");
    peer.say(&mut device, Notify { payload: None, ..notify(&blob) });
    let (nonce, _) = peer.receive_one(&mut device);
    let page =
        PullResponse { blobs: vec![blob], has_more: false, max_cursor: cursor(2), oldest_cursor: cursor(99) };
    peer.answer(&mut device, nonce, page);
    assert!(device.take_events().contains(&Event::HistoryTruncated { up_to: cursor(2) }));
    device.push(b"what I have seen");
    let push = push_of(peer.receive_one(&mut device).1);
    let content = content_of(&device, &keys, 0, &push);
    assert_eq!(content.place.seen.map(|seen| seen.cursor), Some(cursor(2)));
}

#[test]
fn a_limit_that_falls_before_a_new_key_leaves_the_chain_whole() {
    let (mut device, mut peer) = online();
    // A rotation of its own is on its way when it writes a small one, a large one and a small one.
    device.command(Command::Rotate { remove: Vec::new(), keep_history: true });
    let (nonce, message) = peer.receive_one(&mut device);
    let Message::Rotate(rotate) = message else { panic!("{message:?}") };
    let noise = noise(20_000);
    for data in [&b"small"[..], &noise, b"behind it"] {
        device.push(data);
    }
    peer.answer(&mut device, nonce, RotateAck { epoch: 1, cursor: cursor(3) });
    device.input(Input::Closed(None));
    device.wait(1_000);
    let low = Welcome { max_blob_size: 4_096, max_cursor: cursor(3), epoch: 1, ..welcome() };
    let mut peer = Peer::welcome(&mut device, low);
    let got = peer.receive(&mut device);
    let pull = got.iter().find(|(_, message)| matches!(message, Message::Pull(_))).expect("a PULL");
    let rotation = StoredBlob {
        blob_id: rotate.blob_id,
        cursor: cursor(3),
        sender_id: device.engine.status().device_id,
        payload: Some(rotate.payload),
        timestamp: UnixMs(0),
        hash: None,
    };
    let page = PullResponse {
        blobs: vec![rotation],
        has_more: false,
        max_cursor: cursor(3),
        oldest_cursor: cursor(1),
    };
    peer.answer(&mut device, pull.0.nonce, page);
    device.wait(1_000);
    let low = Welcome { max_blob_size: 4_096, max_cursor: cursor(3), epoch: 1, ..welcome() };
    let mut peer = Peer::welcome(&mut device, low);
    let got = peer.receive(&mut device);
    let batch = got.iter().find_map(|(_, message)| match message {
        Message::PushBatch(batch) => Some(batch.clone()),
        _ => None,
    });
    let blobs = batch.expect("a batch").blobs;
    let id = device.command(Command::Membership);
    let Ok(Reply::Membership(membership)) = device.reply(id) else { panic!() };
    let keys = membership.secret.keys();
    let contents: Vec<_> = blobs.iter().map(|blob| content_of(&device, &keys, 1, blob)).collect();
    let kinds: Vec<_> = contents.iter().map(|content| content.kind).collect();
    assert!(
        kinds.starts_with(&[sync_e2ee::Kind::Data, sync_e2ee::Kind::Void, sync_e2ee::Kind::Data]),
        "{kinds:?}"
    );
    for (pair, before) in contents.windows(2).zip(&blobs) {
        let link = sync_e2ee::chain::link_hash(&pair[0], sync_e2ee::blob::hash(&before.payload));
        assert_eq!((pair[1].place.seq, pair[1].place.prev), (pair[0].place.seq + 1, link));
    }
}
