//! What callers ask of a relay: everything that there is, with pushes in the first place.

use std::time::Duration;

use ed25519_dalek::Signer;
use sync_relay_core::store::{
    Acknowledge, Admit, Chore, ClaimInvite, Cleanup, CreateInvite, DeleteOp, GroupDeleteOp, LeaveOp, NewBlob,
    Payload, PushOp, RotateOp, Seen, WriteOp,
};
use sync_types::keylog::rotation_transcript;
use sync_types::rotation::LOCKBOX;
use sync_types::{BlobId, Cursor, Lockbox, Rotation, StoreId, UnixMs};

use super::model::{Group, Model, auth_key, device_id, group_id, signing_key};
use crate::Rng;

/// Groups at a time.
const GROUPS: usize = 4;
/// Devices of a group.
const DEVICES: usize = 3;
/// Where the clock starts, in milliseconds.
const START: u64 = 1_767_225_600_000;
/// What passes between two answers, in milliseconds.
const PACE: u64 = 1_000;

/// A few writes that wait at the same time.
pub(super) fn batch(model: &Model, rng: &mut Rng) -> Vec<WriteOp> {
    if model.groups.len() < GROUPS {
        return vec![admit(model, model.next_group, 1)];
    }
    let mut ops = Vec::new();
    for _ in 0..1 + rng.below(5) {
        let Some((number, group)) = some_group(model, rng) else { continue };
        ops.extend(one(model, number, group, rng));
    }
    ops
}

/// A push of something new, by some device of a group.
pub(super) fn push(model: &Model, number: u32, group: &Group, blobs: Vec<NewBlob>, rng: &mut Rng) -> WriteOp {
    let device = device_id(some_member(group, rng));
    WriteOp::Push(PushOp { group: group_id(number), device, epoch: group.epoch(), blobs, now: now(model) })
}

/// Something new.
pub(super) fn blob(model: &Model, rng: &mut Rng) -> NewBlob {
    let size = match rng.below(20) {
        0 => 20_000,
        1..5 => 3_000,
        _ => 300,
    };
    let size = rng.below(size);
    let payload = Payload::from(rng.some_bytes(size));
    // Most go soon, so that the database stays small.
    let life = Duration::from_secs(60 + rng.below(240) as u64);
    let expires_at = (!rng.one_in(20)).then(|| now(model).plus(life));
    NewBlob { blob_id: BlobId(rng.bytes()), hash: payload.hash(), payload, expires_at }
}

fn one(model: &Model, number: u32, group: &Group, rng: &mut Rng) -> Vec<WriteOp> {
    let (id, epoch, now) = (group_id(number), group.epoch(), now(model));
    let device = some_member(group, rng);
    match rng.below(40) {
        0..16 => vec![push(model, number, group, vec![blob(model, rng)], rng)],
        16..19 => {
            let blobs = (0..2 + rng.below(30)).map(|_| blob(model, rng)).collect();
            vec![push(model, number, group, blobs, rng)]
        }
        // A retry.
        19 => {
            let known: Vec<_> = group.blobs.values().collect();
            let again = rng.one_of(&known).map(|kept| kept.again());
            again.map(|blob| push(model, number, group, vec![blob], rng)).into_iter().collect()
        }
        20..26 => {
            let up_to =
                if rng.one_in(3) { group.newest as usize } else { rng.below(group.newest as usize + 1) };
            vec![acknowledge(model, number, device, up_to as u64)]
        }
        26..28 => {
            let all = group.members.keys();
            all.map(|device| acknowledge(model, number, *device, group.newest)).collect()
        }
        28..30 => vec![admit(model, number, 1 + rng.below(DEVICES * 2) as u8)],
        30 if rng.one_in(2) => vec![rotate(model, number, group, rng)],
        31 | 32 => {
            // The newest more often than others: its cursor must not be given again.
            let newest = group.blobs.values().next_back().filter(|_| !rng.one_in(3));
            let some: Vec<_> = group.blobs.values().collect();
            let victim = newest.or(rng.one_of(&some).copied()).map(|kept| kept.id);
            let delete = |blob_id| DeleteOp { group: id, device: device_id(device), epoch, blob_id, now };
            victim.map(|id| WriteOp::Delete(delete(id))).into_iter().collect()
        }
        33 if rng.one_in(4) && group.members.len() > 1 => {
            vec![WriteOp::Leave(LeaveOp { group: id, device: device_id(device), now })]
        }
        34 if rng.one_in(8) => {
            vec![WriteOp::GroupDelete(GroupDeleteOp { group: id, device: device_id(device), epoch, now })]
        }
        35 => vec![WriteOp::Seen(Seen { devices: vec![(id, device_id(device))], now })],
        36 => {
            let lookup = format!("{:032x}", u128::from_be_bytes(rng.bytes()));
            let (payload, revoke_hash) = (rng.some_bytes(200), [1; 32]);
            let expires_at = now.plus(Duration::from_secs(600));
            vec![WriteOp::CreateInvite(CreateInvite { lookup, payload, expires_at, revoke_hash, now })]
        }
        37 => {
            let lookup = rng.one_of(&model.invites).cloned();
            let claim = |lookup| ClaimInvite { lookup, claim_hash: None, now };
            lookup.map(|lookup| WriteOp::ClaimInvite(claim(lookup))).into_iter().collect()
        }
        38 | 39 => {
            let clean = |chore| WriteOp::Cleanup(Cleanup { chore, from: 0, most: 50, now });
            Chore::ALL.map(clean).into()
        }
        _ => Vec::new(),
    }
}

fn admit(model: &Model, number: u32, device: u8) -> WriteOp {
    let group = model.groups.get(&number);
    let key_log = group.map(|group| group.key_log(number));
    WriteOp::Admit(Admit {
        group: group_id(number),
        device: device_id(device),
        name: vec![device; 40],
        epoch: group.map_or(0, Group::epoch),
        key_log: Some(key_log.unwrap_or_else(|| sync_types::KeyLog::new(auth_key(number, 0)))),
        last_cursor: Cursor::ZERO,
        store_id: StoreId::NONE,
        may_create: true,
        origin: None,
        now: now(model),
    })
}

fn acknowledge(model: &Model, number: u32, device: u8, up_to: u64) -> WriteOp {
    let cursor = Cursor::new(up_to).unwrap_or_default();
    let (group, device) = (group_id(number), device_id(device));
    WriteOp::Acknowledge(Acknowledge { group, device, cursor, now: now(model) })
}

/// A new key, for all devices or all but one.
fn rotate(model: &Model, number: u32, group: &Group, rng: &mut Rng) -> WriteOp {
    let sender = some_member(group, rng);
    let removed = some_member(group, rng);
    let stay = |device: &u8| *device == sender || *device != removed;
    let mut ids: Vec<_> = group.members.keys().copied().filter(stay).map(device_id).collect();
    ids.sort();
    let epoch = group.epoch() + 1;
    let blob_id = BlobId(rng.bytes());
    let mut rotation = Rotation {
        epoch,
        auth_key: auth_key(number, epoch),
        lockboxes: ids.into_iter().map(|device_id| Lockbox { device_id, sealed: [7; LOCKBOX] }).collect(),
        inner: b"sealed".to_vec(),
        signature: [0; 64],
    };
    let content = rotation.content_hash(&device_id(sender), &blob_id);
    let transcript = rotation_transcript(&group_id(number), epoch, &rotation.auth_key, &content);
    rotation.signature = signing_key(number, epoch - 1).sign(&transcript).to_bytes();
    let payload = Payload::from(rotation.encode());
    WriteOp::Rotate(Box::new(RotateOp {
        group: group_id(number),
        device: device_id(sender),
        epoch: epoch - 1,
        after: Cursor::new(group.newest).unwrap_or_default(),
        blob: NewBlob { blob_id, hash: payload.hash(), payload, expires_at: None },
        rotation,
        now: now(model),
    }))
}

fn some_group<'m>(model: &'m Model, rng: &mut Rng) -> Option<(u32, &'m Group)> {
    let (number, group) = model.groups.iter().nth(rng.below(model.groups.len()))?;
    Some((*number, group))
}

fn some_member(group: &Group, rng: &mut Rng) -> u8 {
    group.members.keys().nth(rng.below(group.members.len())).copied().unwrap_or(1)
}

fn now(model: &Model) -> UnixMs {
    UnixMs(START + PACE * model.now)
}
