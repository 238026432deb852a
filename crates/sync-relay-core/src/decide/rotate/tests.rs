//! Every rule about rotations, and their order.

use ed25519_dalek::{Signer, SigningKey};
use sync_types::rotation::LOCKBOX;
use sync_types::{
    AuthKey, BlobId, Epoch, GroupId, KeyLogError, Lockbox, Rotation, UnixMs, keylog::rotation_transcript,
};

use super::*;
use crate::store::Payload;

const ME: u8 = 1;

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 32]).unwrap()
}

fn cursor(n: u64) -> Cursor {
    Cursor::new(n).unwrap()
}

/// The key of an epoch.
fn key(epoch: Epoch) -> SigningKey {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&epoch.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

fn auth_key(epoch: Epoch) -> AuthKey {
    AuthKey(key(epoch).verifying_key().to_bytes())
}

fn group() -> GroupId {
    GroupId::of(&auth_key(0))
}

/// The rotation to `epoch` for some devices, sent by the first of them under a blob id of its own.
fn rotate(epoch: Epoch, devices: &[u8]) -> RotateOp {
    let (sender, blob_id) = (device(devices[0]), BlobId([epoch as u8; 16]));
    let lockboxes = devices.iter().map(|n| Lockbox { device_id: device(*n), sealed: [*n; LOCKBOX] });
    let rotation = Rotation {
        epoch,
        auth_key: auth_key(epoch),
        lockboxes: lockboxes.collect(),
        inner: b"sealed".to_vec(),
        signature: [0; 64],
    };
    signed(RotateOp {
        group: group(),
        device: sender,
        epoch: epoch - 1,
        after: cursor(7),
        blob: NewBlob {
            blob_id,
            hash: Payload::from(vec![]).hash(),
            payload: vec![].into(),
            expires_at: None,
        },
        rotation,
        now: UnixMs(77),
    })
}

/// Signs whatever the rotation says by now, and makes its bytes anew.
fn signed(mut op: RotateOp) -> RotateOp {
    let content = op.rotation.content_hash(&op.device, &op.blob.blob_id);
    let transcript = rotation_transcript(&op.group, op.rotation.epoch, &op.rotation.auth_key, &content);
    op.rotation.signature = key(op.rotation.epoch - 1).sign(&transcript).to_bytes();
    op.blob.payload = Payload::from(op.rotation.encode());
    op.blob.hash = op.blob.payload.hash();
    op
}

fn member(epoch: Epoch) -> DeviceFacts {
    DeviceFacts { acked: cursor(3), epoch, standing: Standing::Present }
}

/// A group of devices 1, 2 and 3 that has gone through these rotations.
fn facts(rotations: &[&RotateOp]) -> RotateFacts {
    let mut key_log = KeyLog::new(auth_key(0));
    key_log.links = rotations.iter().map(|op| op.rotation.link(&op.device, &op.blob.blob_id)).collect();
    assert_eq!(key_log.verify(&group()), Ok::<(), KeyLogError>(()));
    let epoch = key_log.epoch();
    RotateFacts {
        key_log,
        max_cursor: cursor(7),
        known: None,
        devices: [1, 2, 3].into_iter().map(|n| (device(n), member(epoch))).collect(),
        stored: StoredBytes::default(),
        used_bytes: 0,
    }
}

fn plan(facts: &RotateFacts, op: &RotateOp) -> Result<RotatePlan, Refusal> {
    plan_rotate(&Policy::default(), Some(facts), op)
}

fn stored(facts: &RotateFacts, op: &RotateOp) -> NewRotation {
    match plan(facts, op) {
        Ok(RotatePlan::Store(new)) => new,
        other => panic!("instead of storing it: {other:?}"),
    }
}

fn with(facts: RotateFacts, n: u8, device_facts: DeviceFacts) -> RotateFacts {
    let mut facts = facts;
    facts.devices.insert(device(n), device_facts);
    facts
}

fn gone(standing: Standing) -> DeviceFacts {
    DeviceFacts { standing, ..member(0) }
}

fn devices(ids: &[u8]) -> Vec<DeviceId> {
    ids.iter().map(|n| device(*n)).collect()
}

#[test]
fn a_full_group_takes_some_rotations_more() {
    let policy =
        Policy { max_group_storage: 4000, max_db_size: 40_000, max_blob_size: 700, ..Policy::default() };
    let op = rotate(1, &[ME, 2]);
    let plan = |group, origin| {
        let stored = StoredBytes { group, origin };
        plan_rotate(&policy, Some(&RotateFacts { stored, ..facts(&[]) }), &op)
    };
    let room = 5000 - NewBlob::cost(op.blob.payload.len()) as u64;
    assert!(plan(room, None).is_ok());
    assert_eq!(plan(room + 1, None), Err(Refusal::GroupFull { held_by: None }));
    // Others of its origin do not stand in the way of a small one that is of its first.
    assert!(plan(0, Some(1 << 30)).is_ok());
    let mut large = op.clone();
    large.rotation.inner = vec![0; 40_000];
    let large = signed(large);
    let policy = Policy { max_group_storage: 1 << 20, max_db_size: 4 << 20, ..policy };
    let plan = |origin| {
        let stored = StoredBytes { group: 0, origin: Some(origin) };
        plan_rotate(&policy, Some(&RotateFacts { stored, ..facts(&[]) }), &large)
    };
    let room = (1 << 20) + (1 << 18) - NewBlob::cost(large.blob.payload.len()) as u64;
    assert!(plan(room).is_ok());
    assert_eq!(plan(room + 1), Err(Refusal::GroupFull { held_by: None }));
}

#[test]
fn a_group_does_not_remember_more_devices_for_being_told_of_them_by_rotations() {
    let policy = Policy::default();
    let most = policy.max_devices_per_group + MAX_GONE_DEVICES;
    let mut worn = facts(&[]);
    let others = (0_u16..).filter_map(|n| {
        let mut id = [9; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        DeviceId::from_bytes(id)
    });
    for id in others {
        if worn.devices.len() as u64 == most - 1 {
            break;
        }
        worn.devices.insert(id, gone(Standing::Removed));
    }
    assert!(plan(&worn, &rotate(1, &[ME, 2, 77])).is_ok());
    let op = rotate(1, &[ME, 2, 77, 78]);
    assert_eq!(plan(&worn, &op), Err(Refusal::TooManyDevices));
    assert!(plan(&worn, &rotate(1, &[ME])).is_ok(), "whom it knows it can always remove");
}

#[test]
fn the_recipients_stay_and_everybody_else_is_removed() {
    let op = rotate(1, &[ME, 2, 8]);
    let facts = with(with(facts(&[]), 4, gone(Standing::Removed)), 5, gone(Standing::Expired));
    let new = stored(&facts, &op);
    assert_eq!((new.placed.cursor, new.placed.fresh, new.placed.stored_at), (cursor(8), true, UnixMs(77)));
    assert_eq!(new.link, Some(op.rotation.link(&op.device, &op.blob.blob_id)));
    assert_eq!(new.members, devices(&[ME, 2, 8]), "8 is new to the relay");
    assert_eq!(new.removed, devices(&[3, 5]), "4 was removed before");
    assert_eq!(new.added, NewBlob::cost(op.blob.payload.len()) as u64);
}

#[test]
fn a_device_that_was_let_go_for_its_age_is_no_member_again_by_a_lockbox() {
    let facts = with(facts(&[]), 2, gone(Standing::Expired));
    let new = stored(&facts, &rotate(1, &[ME, 2]));
    assert_eq!((new.members, new.removed), (devices(&[ME]), devices(&[3])));
}

#[test]
fn the_same_again_gets_the_same_answer_whatever_else_has_changed() {
    let op = rotate(1, &[ME]);
    let known = Known { cursor: cursor(5), hash: op.blob.hash, stored_at: UnixMs(50) };
    let mut changed = with(facts(&[&op, &rotate(2, &[2])]), ME, gone(Standing::Removed));
    (changed.known, changed.used_bytes) = (Some(known), u64::MAX);
    let Ok(RotatePlan::Repeat(placed)) = plan(&changed, &op) else { panic!() };
    assert_eq!((placed.cursor, placed.stored_at, placed.fresh), (cursor(5), UnixMs(50), false));
}

/// Each step says what is refused, and then takes that reason away; all others are there from the start.
#[test]
fn the_first_rule_that_applies_decides() {
    type Fix = fn(&mut RotateFacts, &mut RotateOp, &mut Policy);
    let mut op = rotate(1, &[2, 4]);
    (op.device, op.epoch, op.after) = (device(ME), 7, cursor(6));
    let mut facts = with(with(facts(&[]), ME, gone(Standing::Removed)), 4, gone(Standing::Removed));
    let filler = facts.key_log.links.len()..MAX_KEY_LINKS;
    facts.known =
        Some(Known { cursor: cursor(5), hash: Payload::from(vec![1]).hash(), stored_at: UnixMs(0) });
    facts.used_bytes = 1000;
    let mut policy = Policy { max_devices_per_group: 1, max_db_size: 1000, ..Policy::default() };
    // A full key log, of which the last key signs.
    for epoch in filler {
        let previous = rotate(epoch as Epoch + 1, &[ME]);
        facts.key_log.links.push(previous.rotation.link(&previous.device, &previous.blob.blob_id));
    }
    op.rotation.epoch = MAX_KEY_LINKS as Epoch + 1;
    let steps: [(Refusal, Fix); 10] = [
        (Refusal::BlobConflict, |facts, _, _| facts.known = None),
        (Refusal::Revoked, |facts, _, _| facts.devices.extend([(device(ME), member(0))])),
        (Refusal::Behind, |facts, op, _| op.after = facts.max_cursor),
        (Refusal::RotationForged, |_, op, _| *op = signed(op.clone())),
        (Refusal::RotationOfOthers, |_, op, _| {
            let mine = Lockbox { device_id: device(ME), sealed: [0; LOCKBOX] };
            op.rotation.lockboxes.insert(0, mine);
            *op = signed(op.clone());
        }),
        (Refusal::TooManyDevices, |_, _, policy| policy.max_devices_per_group = 3),
        (Refusal::TooManyRotations, |facts, op, _| {
            facts.key_log.links.pop();
            op.rotation.epoch -= 1;
            *op = signed(op.clone());
        }),
        (Refusal::EpochStale, |facts, op, _| op.epoch = facts.key_log.epoch()),
        (Refusal::RotationRevives { device: device(4) }, |facts, _, _| {
            facts.devices.retain(|id, _| *id != device(4));
        }),
        (Refusal::StoreFull, |facts, _, _| facts.used_bytes = 0),
    ];
    for (refusal, fix) in steps {
        assert_eq!(plan_rotate(&policy, Some(&facts), &op), Err(refusal));
        fix(&mut facts, &mut op, &mut policy);
    }
    assert!(matches!(plan_rotate(&policy, Some(&facts), &op), Ok(RotatePlan::Store(_))));
    assert_eq!(plan_rotate(&policy, None, &op), Err(Refusal::Unknown));
}

#[test]
fn who_has_no_place_rotates_nothing() {
    let op = rotate(1, &[ME]);
    for (standing, refusal) in [(Standing::Removed, Refusal::Revoked), (Standing::Expired, Refusal::Expired)]
    {
        assert_eq!(plan(&with(facts(&[]), ME, gone(standing)), &op), Err(refusal));
    }
    let mut strange = facts(&[]);
    strange.devices.remove(&device(ME));
    assert_eq!(plan(&strange, &op), Err(Refusal::Revoked));
}

#[test]
fn of_two_at_once_the_second_is_stale_or_behind() {
    let (first, second) = (rotate(1, &[2, 3]), rotate(1, &[ME, 2]));
    let after = facts(&[&first]);
    assert_eq!(plan(&after, &second), Err(Refusal::EpochStale), "its epoch is taken");
    let mut grown = facts(&[]);
    grown.max_cursor = cursor(8);
    assert_eq!(plan(&grown, &second), Err(Refusal::Behind), "somebody pushed");
    assert_eq!(plan(&after, &rotate(3, &[ME])), Err(Refusal::EpochStale), "an epoch is left out");
    assert_eq!(plan(&after, &rotate(Epoch::MAX, &[ME])), Err(Refusal::EpochStale));
}

#[test]
fn a_signature_by_another_key_or_over_other_content_is_refused() {
    let spoils: [fn(&mut RotateOp); 7] = [
        |op| op.rotation.signature[0] ^= 1,
        |op| op.rotation.auth_key = auth_key(5),
        |op| op.rotation.inner.push(0),
        |op| op.rotation.lockboxes[1].sealed[0] ^= 1,
        |op| op.rotation.lockboxes.truncate(1),
        |op| op.blob.blob_id = BlobId([8; 16]),
        |op| op.device = device(2),
    ];
    for (n, spoil) in spoils.into_iter().enumerate() {
        let mut op = rotate(1, &[ME, 2]);
        spoil(&mut op);
        assert_eq!(plan(&facts(&[]), &op), Err(Refusal::RotationForged), "case {n}");
    }
}

#[test]
fn a_group_that_is_full_can_still_remove_a_device() {
    let policy = Policy { max_group_storage: 0, ..Policy::default() };
    assert!(matches!(plan_rotate(&policy, Some(&facts(&[])), &rotate(1, &[ME])), Ok(RotatePlan::Store(_))));
}

/// The relay lost its database and learned the key log from a HELLO.
mod after_a_reset {
    use super::*;

    #[test]
    fn the_newest_rotation_is_stored_wherever_the_log_stands_and_removes_who_has_proven_nothing() {
        let (first, second) = (rotate(1, &[ME, 2, 3, 4]), rotate(2, &[ME, 2, 8]));
        let mut facts = facts(&[&first, &second]);
        for (n, standing, epoch) in [
            (3, Standing::Present, 1),
            (4, Standing::Present, 2),
            (5, Standing::Expired, 0),
            (6, Standing::Removed, 0),
        ] {
            facts.devices.insert(device(n), DeviceFacts { standing, ..member(epoch) });
        }
        let mut again = second.clone();
        (again.after, again.epoch) = (cursor(0), 0);
        let new = stored(&facts, &again);
        assert_eq!((new.placed.cursor, new.link), (cursor(8), None));
        assert_eq!(new.members, devices(&[ME, 2, 8]));
        assert_eq!(new.removed, devices(&[3, 5]), "4 joined later and has proven its membership");
    }

    #[test]
    fn an_older_rotation_is_only_stored() {
        let (first, second) = (rotate(1, &[ME, 2]), rotate(2, &[ME, 2]));
        let facts = with(facts(&[&first, &second]), 3, member(0));
        let new = stored(&facts, &first);
        assert_eq!((new.members, new.removed, new.link), (vec![], vec![], None));
    }

    #[test]
    fn a_recipient_that_is_gone_by_now_stays_gone_and_is_no_obstacle() {
        let op = rotate(1, &[ME, 2]);
        let new = stored(&with(facts(&[&op]), 2, gone(Standing::Removed)), &op);
        assert_eq!(new.members, devices(&[ME]));
    }

    #[test]
    fn another_rotation_of_that_epoch_and_another_sender_are_refused() {
        let op = rotate(1, &[ME, 2]);
        let facts = facts(&[&op]);
        let mut other = op.clone();
        other.rotation.inner.push(0);
        assert_eq!(plan(&facts, &signed(other)), Err(Refusal::EpochStale));
        let stolen = RotateOp { device: device(2), ..op.clone() };
        assert_eq!(plan(&facts, &stolen), Err(Refusal::EpochStale));
        let full = RotateFacts { used_bytes: 1 << 30, ..facts.clone() };
        assert_eq!(plan(&full, &op), Err(Refusal::StoreFull));
        let policy = Policy { max_devices_per_group: 1, ..Policy::default() };
        assert_eq!(plan_rotate(&policy, Some(&facts), &op), Err(Refusal::TooManyDevices));
    }
}
