use sync_e2ee::{BlobContext, Content, Control, DeviceName, EpochKeys, Kind, Place, SealOptions, blob};
use sync_engine::{Command, EngineError, Event, Input, Reply, StopReason};
use sync_types::wire::encode;
use sync_types::{
    BlobId, ChainId, Cursor, DeviceRow, DeviceSecret, DevicesResponse, ErrorBody, ErrorCode, InviteKey,
    LeaveAck, LookupKey, Message, PullResponse, StoredBlob, UnixMs,
};

use crate::common::{Device, Peer, cursor, relay_secret, welcome};
use crate::steps::{ack, joined, notify, online, push_of};

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
