//! What tests do often.

use sync_engine::{Command, Reply};
use sync_types::{BlobId, Message, Notify, Push, PushAck, PushBatchAck, Stored, StoredBlob, UnixMs};

use crate::common::{Device, Peer, cursor, relay_secret, welcome};

/// A device that has a group and is on-line; its announcement is acknowledged as the first blob.
pub fn online() -> (Device, Peer) {
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

pub fn push_of(message: Message) -> Push {
    match message {
        Message::Push(push) => push,
        other => panic!("{other:?}"),
    }
}

pub fn ack(push: &Push, n: u64) -> PushAck {
    PushAck { blob_id: push.blob_id, cursor: cursor(n), timestamp: UnixMs(1) }
}

pub fn entry(device: &Device, n: u64, payload: Vec<u8>) -> StoredBlob {
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

/// A blob of another member, sealed as its engine would.
pub fn sealed_by(device: &Device, group: Option<&sync_e2ee::EpochKeys>, n: u64, body: &[u8]) -> StoredBlob {
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

/// What a device of this epoch's keys has sealed.
pub fn content_of(
    device: &Device,
    keys: &sync_e2ee::EpochKeys,
    epoch: u32,
    push: &Push,
) -> sync_e2ee::Content {
    let status = device.engine.status();
    let (group_id, sender) = (status.group_id.unwrap(), status.device_id);
    let context = sync_e2ee::BlobContext { group_id, epoch, sender, blob_id: push.blob_id };
    sync_e2ee::blob::open(keys, &context, &push.payload, 1 << 20).unwrap()
}

/// Bytes that no compression makes fewer.
pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([1; 32]);
    rand_core::RngCore::fill_bytes(&mut rng, &mut bytes);
    bytes
}

/// A device that joined a group whose keys the test has, too; its announcement is blob 1.
pub fn joined() -> (Device, Peer, sync_e2ee::EpochKeys) {
    let (device, peer, keys, _) = announced();
    (device, peer, keys)
}

/// The same, and its announcement.
pub fn announced() -> (Device, Peer, sync_e2ee::EpochKeys, Push) {
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
        history: std::collections::BTreeMap::new(),
        roster: vec![sync_e2ee::RosterEntry {
            device_id: sync_types::DeviceSecret::from_bytes([4; 32]).id(),
            name: sync_e2ee::DeviceName::new("bob"),
            platform: "test".to_owned(),
            tips: Vec::new(),
        }],
        seen: None,
        created_by: device.engine.status().device_id,
        expires: UnixMs(u64::MAX >> 12),
    };
    device.command(Command::Join(Box::new(invite)));
    device.command(Command::Connect);
    let mut peer = Peer::welcome(&mut device, welcome());
    let (nonce, message) = peer.receive_one(&mut device);
    let announcement = push_of(message);
    peer.answer(&mut device, nonce, ack(&announcement, 1));
    device.take_events();
    (device, peer, keys, announcement)
}

pub fn notify(blob: &StoredBlob) -> Notify {
    Notify {
        blob_id: blob.blob_id,
        cursor: blob.cursor,
        sender_id: blob.sender_id,
        timestamp: UnixMs(0),
        size: 1,
        payload: blob.payload.clone(),
    }
}

pub fn read(device: &mut Device, has: Option<sync_engine::PageEnd>) -> sync_engine::Page {
    let id = device.command(Command::Read { limit: 0, has });
    let Ok(Reply::Page(page)) = device.reply(id) else { panic!("no page") };
    page
}
