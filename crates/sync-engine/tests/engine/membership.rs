use sync_e2ee::{
    BlobContext, Content, Control, DeviceName, EpochKeys, EpochSecret, Kind, Place, RotationContent,
    RotationContext, SealOptions, blob, seal_rotation,
};
use sync_engine::{Command, EngineError, Event, Input, Refused, Reply, StopReason};
use sync_types::wire::encode;
use sync_types::{
    BlobHash, BlobId, ChainId, Cursor, DeviceRow, DeviceSecret, DevicesResponse, ErrorBody, ErrorCode,
    InviteKey, LeaveAck, LookupKey, Message, PullResponse, StoredBlob, UnixMs, Welcome,
};

use crate::common::{Device, Peer, cursor, relay_secret, welcome};
use crate::steps::{ack, announced, entry, joined, notify, online, push_of, sealed_by};

/// The announcement of a device that nobody knows yet, as blob `n` of the log.
fn announcement(device: &Device, keys: &EpochKeys, n: u64) -> StoredBlob {
    let sender = DeviceSecret::from_bytes([n as u8 + 100; 32]).id();
    let blob_id = BlobId([n as u8; 16]);
    let group_id = device.engine.status().group_id.unwrap();
    let context = BlobContext { group_id, epoch: 0, sender, blob_id };
    let announce = Control::Announce { name: DeviceName::new("new").unwrap(), platform: "test".to_owned() };
    let place = Place::first(ChainId([n as u8; 16]));
    let content = Content { kind: Kind::Control, place, body: encode(&announce) };
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([n as u8; 32]);
    let payload = blob::seal(keys, &context, &content, &SealOptions::default(), &mut rng).unwrap();
    StoredBlob {
        blob_id,
        cursor: cursor(n),
        sender_id: sender,
        payload: Some(payload),
        timestamp: UnixMs(0),
        hash: None,
    }
}

#[test]
fn leaving_without_a_connection_fails_and_leaves_nothing_behind() {
    let (mut device, _) = online();
    device.command(Command::Disconnect);
    let id = device.command(Command::Leave);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::NotConnected);
    assert_eq!(device.engine.status().pending_push, 0, "nobody will hear of it");
}

#[test]
fn who_leaves_says_so_once_also_when_the_line_breaks_in_between() {
    let (mut device, mut peer) = online();
    device.push(b"last words");
    let first = device.command(Command::Leave);
    let (nonce, message) = peer.receive_one(&mut device);
    peer.answer(&mut device, nonce, ack(&push_of(message), 3));
    // What was pushed before goes first.
    let (nonce, message) = peer.receive_one(&mut device);
    peer.answer(&mut device, nonce, ack(&push_of(message), 4));
    assert!(matches!(peer.receive_one(&mut device).1, Message::Leave(_)));
    device.input(Input::Closed(None));
    assert_eq!(device.reply(first).unwrap_err(), EngineError::Unreachable);

    device.input(Input::Woke);
    let again = device.command(Command::Leave);
    let known = sync_types::Welcome { max_cursor: cursor(4), ..welcome() };
    let mut peer = Peer::welcome(&mut device, known);
    let (nonce, message) = peer.receive_one(&mut device);
    assert!(matches!(message, Message::Leave(_)), "{message:?}");
    peer.answer(&mut device, nonce, LeaveAck);
    assert!(matches!(device.reply(again), Ok(Reply::Done)));
    assert_eq!(device.engine.status().stopped, Some(StopReason::Left));
}

#[test]
fn an_invite_is_misused_only_if_nobody_announces_himself_before_or_after_it_is_heard_of() {
    let misused = |device: &mut Device| {
        device.wait(121_000);
        device.take_events().contains(&Event::InviteMisused)
    };
    let (mut device, _, _) = joined();
    device.command(Command::InviteTaken);
    assert!(misused(&mut device));

    for before in [true, false] {
        let (mut device, mut peer, keys) = joined();
        let blob = announcement(&device, &keys, 2);
        if before {
            peer.say(&mut device, notify(&blob));
        }
        device.command(Command::InviteTaken);
        if !before {
            peer.say(&mut device, notify(&blob));
        }
        assert!(device.take_events().iter().any(|event| matches!(event, Event::DeviceJoined { .. })));
        assert!(!misused(&mut device), "announced before: {before}");
        // It has used that one invite, and no other.
        device.command(Command::InviteTaken);
        assert!(misused(&mut device));
    }
}

#[test]
fn a_member_that_the_relay_does_not_name_is_listed_all_the_same() {
    let (mut device, mut peer, _) = joined();
    let id = device.command(Command::Devices);
    let (nonce, message) = peer.receive_one(&mut device);
    assert!(matches!(message, Message::Devices(_)));
    let stranger = DeviceSecret::from_bytes([77; 32]).id();
    let row = |device_id| DeviceRow {
        device_id,
        device_name: vec![],
        acked_cursor: Cursor::ZERO,
        last_seen: UnixMs(7),
        online: true,
    };
    let mut rows = [device.engine.status().device_id, stranger].map(row).to_vec();
    rows.sort_by_key(|row| row.device_id);
    peer.answer(&mut device, nonce, DevicesResponse { devices: rows });
    let Ok(Reply::Devices(devices)) = device.reply(id) else { panic!("no devices") };
    let member = DeviceSecret::from_bytes([4; 32]).id();
    let of = |id| devices.iter().find(|device| device.device_id == id).unwrap();
    assert!(devices.len() == 3 && devices.is_sorted_by_key(|device| device.device_id));
    assert!(of(member).member && !of(member).online && of(member).last_seen == UnixMs(0));
    assert!(!of(stranger).member && of(stranger).online);
}

/// A device that comes back to a log that has grown by one blob, up to its question for it.
fn back_to_a_longer_log(epoch: u32) -> (Device, Peer, sync_types::Nonce, StoredBlob) {
    let (mut device, _, keys) = joined();
    let blob = announcement(&device, &keys, 2);
    device.restart();
    device.command(Command::Connect);
    let grown = sync_types::Welcome { max_cursor: cursor(2), epoch, ..welcome() };
    let mut peer = Peer::welcome(&mut device, grown);
    let (nonce, message) = peer.receive_one(&mut device);
    assert!(matches!(message, Message::Pull(_)), "{message:?}");
    (device, peer, nonce, blob)
}

fn page(blobs: Vec<StoredBlob>) -> PullResponse {
    PullResponse { blobs, has_more: false, max_cursor: cursor(2), oldest_cursor: cursor(1) }
}

#[test]
fn who_joined_a_moment_ago_is_listed_as_a_member() {
    let (mut device, mut peer, nonce, blob) = back_to_a_longer_log(0);
    let newcomer = blob.sender_id;
    let id = device.command(Command::Devices);
    assert!(peer.receive(&mut device).is_empty(), "the announcement may be in the log");
    peer.answer(&mut device, nonce, page(vec![blob]));
    let (nonce, message) = peer.receive_one(&mut device);
    assert!(matches!(message, Message::Devices(_)), "{message:?}");
    peer.answer(&mut device, nonce, DevicesResponse { devices: vec![] });
    let Ok(Reply::Devices(devices)) = device.reply(id) else { panic!("no devices") };
    assert!(devices.iter().any(|device| device.device_id == newcomer && device.member));
}

#[test]
fn an_invite_waits_for_the_key_that_the_relay_speaks_of() {
    let (mut device, mut peer, nonce, blob) = back_to_a_longer_log(1);
    let (lookup, key) = (LookupKey([1; 16]), InviteKey::from_bytes([2; 32]));
    let id = device.command(Command::SealInvite { lookup, key });
    assert!(!device.replies.contains_key(&id));
    // It does not show it: then it is the relay that is wrong.
    peer.answer(&mut device, nonce, page(vec![blob]));
    assert!(device.take_events().contains(&Event::RotationWithheld { epoch: 1 }));
    assert!(matches!(device.reply(id), Ok(Reply::Invite(_))));
}

/// A blob of the member `[4; 32]` under any epoch's key, the `seq`th of its new chain.
fn of_member(device: &Device, keys: &EpochKeys, epoch: u32, n: u64, seq: u64, prev: BlobHash) -> StoredBlob {
    let sender = DeviceSecret::from_bytes([4; 32]).id();
    let blob_id = BlobId([n as u8; 16]);
    let group_id = device.engine.status().group_id.unwrap();
    let place = Place { seq, prev, ..Place::first(ChainId([8; 16])) };
    let content = Content { kind: Kind::Data, place, body: format!("blob {n}").into_bytes() };
    let context = BlobContext { group_id, epoch, sender, blob_id };
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([n as u8; 32]);
    let payload = blob::seal(keys, &context, &content, &SealOptions::default(), &mut rng).unwrap();
    let (payload, timestamp) = (Some(payload), UnixMs(0));
    StoredBlob { blob_id, cursor: cursor(n), sender_id: sender, payload, timestamp, hash: None }
}

#[test]
fn what_a_new_key_has_sealed_may_come_before_that_key_in_a_log_that_comes_back() {
    let (mut device, _, keys) = joined();
    let next = EpochSecret::from_bytes([8; 32]);
    let early = of_member(&device, &next.keys(), 1, 2, 0, BlobHash([0; 32]));
    let id = device.command(Command::Membership);
    let Ok(Reply::Membership(invite)) = device.reply(id) else { panic!("no membership") };
    let content = RotationContent { roster: invite.roster, removed: vec![], history: true };
    let (sender, blob_id) = (DeviceSecret::from_bytes([4; 32]), BlobId([3; 16]));
    let context = RotationContext { group_id: invite.group_id, epoch: 1, sender: sender.id(), blob_id };
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([3; 32]);
    let rotation = seal_rotation(&keys, &sender, &next, &context, &content, &mut rng).unwrap();
    let payload = Some(rotation.encode());
    let rotation = StoredBlob { blob_id, cursor: cursor(3), payload, ..early.clone() };

    // Both in one page, for at its end there is nothing more to wait for.
    device.restart();
    device.command(Command::Connect);
    let grown = sync_types::Welcome { max_cursor: cursor(3), epoch: 1, ..welcome() };
    let mut peer = Peer::welcome(&mut device, grown.clone());
    let (nonce, _) = peer.receive_one(&mut device);
    let hash = blob::hash(early.payload.as_ref().unwrap());
    let blobs = vec![early, rotation];
    peer.answer(&mut device, nonce, PullResponse { max_cursor: cursor(3), ..page(blobs.clone()) });
    assert_eq!(device.engine.status().epoch, Some(1));
    let late = of_member(&device, &next.keys(), 1, 4, 1, hash);
    let mut peer = Peer::welcome(&mut device, grown);
    peer.receive(&mut device);
    peer.say(&mut device, notify(&late));
    let events = device.take_events();
    let bad = |event: &&Event| {
        matches!(
            event,
            Event::BlobRefused { .. } | Event::ChainBroken { .. } | Event::HistoryTruncated { .. }
        )
    };
    assert_eq!(events.iter().find(bad), None);
    let available = events.iter().filter_map(|event| match event {
        Event::BlobAvailable { cursor, .. } => Some(cursor.get()),
        _ => None,
    });
    assert_eq!(available.collect::<Vec<_>>(), [2, 4]);

    let id = device.command(Command::Read { limit: 0, has: None });
    let asked = peer.receive(&mut device);
    let (again, _) = asked.iter().rfind(|(_, message)| matches!(message, Message::Pull(_))).unwrap();
    let blobs = [blobs, vec![late]].concat();
    peer.answer(&mut device, again.nonce, PullResponse { max_cursor: cursor(4), ..page(blobs) });
    let Ok(Reply::Page(read)) = device.reply(id) else { panic!("no page") };
    let texts: Vec<_> = read.blobs.iter().map(|blob| blob.data.as_slice()).collect();
    assert_eq!(texts, [b"blob 2", b"blob 4"]);
}

#[test]
fn what_no_key_opens_is_refused_at_the_end_of_the_log() {
    let (mut device, mut peer, _) = joined();
    let strange = EpochSecret::from_bytes([66; 32]).keys();
    let blob = of_member(&device, &strange, 1, 2, 0, BlobHash([0; 32]));
    peer.say(&mut device, notify(&blob));
    let why = Refused::Unreadable;
    let refused = Event::BlobRefused { cursor: cursor(2), sender: blob.sender_id, why };
    assert!(device.take_events().contains(&refused));
    device.wait(1_000);
    assert!(!device.take_events().contains(&refused), "once");
}

#[test]
fn who_has_only_an_old_key_hears_that_from_the_relay_and_goes_on_trying() {
    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    let id = device.command(Command::Connect);
    let (mut peer, nonce, _) = Peer::meet(&mut device, relay_secret());
    let code = ErrorCode::EpochStale;
    let body = ErrorBody { code: code.as_u16(), message: "too old".to_owned(), retry_after_ms: None };
    peer.answer(&mut device, nonce, body);
    let refused = EngineError::Refused { code, message: "too old".to_owned() };
    assert_eq!(device.reply(id).unwrap_err(), refused);
    let connects = device.connects;
    device.wait(11_000);
    assert_eq!(device.connects, connects + 1);
    let id = device.command(Command::Connect);
    device.input(Input::Closed(None));
    device.input(Input::Closed(None));
    assert_eq!(device.reply(id).unwrap_err(), EngineError::Unreachable);
}

#[test]
fn who_was_never_let_in_needs_another_invite() {
    let mut device = Device::new();
    device.push(b"x");
    let id = device.command(Command::Connect);
    let (mut peer, nonce, _) = Peer::meet(&mut device, relay_secret());
    let code = ErrorCode::EpochStale;
    peer.answer(
        &mut device,
        nonce,
        ErrorBody { code: code.as_u16(), message: "too old".to_owned(), retry_after_ms: None },
    );
    let stopped = StopReason::Refused { code, message: "too old".to_owned() };
    assert_eq!(device.reply(id).unwrap_err(), EngineError::Stopped(stopped));
}

/// What a member says when it goes, as blob `n` of the log.
fn farewell(device: &Device, keys: &EpochKeys, n: u64) -> StoredBlob {
    let data = sealed_by(device, Some(keys), n, b"");
    let group_id = device.engine.status().group_id.unwrap();
    let context = BlobContext { group_id, epoch: 0, sender: data.sender_id, blob_id: data.blob_id };
    let place = Place { seq: n, ..Place::first(ChainId([9; 16])) };
    let content = Content { kind: Kind::Control, place, body: encode(&Control::Leave) };
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([n as u8; 32]);
    let payload = blob::seal(keys, &context, &content, &SealOptions::default(), &mut rng).unwrap();
    StoredBlob { payload: Some(payload), ..data }
}

#[test]
fn what_a_device_pushed_before_it_left_is_read_also_later_and_nothing_else() {
    let (mut device, mut peer, keys, announcement) = announced();
    let before = sealed_by(&device, Some(&keys), 2, b"before");
    let goes = farewell(&device, &keys, 3);
    let after = sealed_by(&device, Some(&keys), 4, b"after");
    for blob in [&before, &goes, &after] {
        peer.say(&mut device, notify(blob));
    }
    let events = device.take_events();
    assert!(events.contains(&Event::DeviceRemoved { device_id: before.sender_id, by: None }), "{events:?}");
    let refused = Event::BlobRefused { cursor: cursor(4), sender: after.sender_id, why: Refused::NotAMember };
    assert!(events.contains(&refused), "{events:?}");

    // The device starts anew before its app has read anything, and asks for the log once more.
    device.restart();
    device.command(Command::Connect);
    let mut peer = Peer::welcome(&mut device, Welcome { max_cursor: cursor(4), ..welcome() });
    device.sent.clear();
    let id = device.command(Command::Read { limit: 0, has: None });
    let pull = peer.receive(&mut device).into_iter().find(|(_, message)| matches!(message, Message::Pull(_)));
    let own = StoredBlob {
        sender_id: device.engine.status().device_id,
        blob_id: announcement.blob_id,
        ..entry(&device, 1, announcement.payload)
    };
    let page = PullResponse {
        blobs: vec![own, before, goes, after],
        has_more: false,
        max_cursor: cursor(4),
        oldest_cursor: cursor(1),
    };
    peer.answer(&mut device, pull.unwrap().0.nonce, page);
    let Ok(Reply::Page(page)) = device.reply(id) else { panic!() };
    let texts: Vec<_> = page.blobs.iter().map(|blob| blob.data.as_slice()).collect();
    assert_eq!(texts, [b"before"]);
}
