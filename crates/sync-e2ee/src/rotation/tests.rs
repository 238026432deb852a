use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sync_types::{BlobHash, ChainId, KeyLog};

use super::*;
use crate::{DeviceName, Tip};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

fn device(n: u8) -> DeviceSecret {
    DeviceSecret::from_bytes([n; 32])
}

fn secret(n: u8) -> EpochSecret {
    EpochSecret::from_bytes([n; 32])
}

fn context() -> RotationContext {
    let group_id = secret(7).keys().founds_group();
    RotationContext { group_id, epoch: 1, sender: device(1).id(), blob_id: BlobId([4; 16]) }
}

fn entry(n: u8) -> RosterEntry {
    RosterEntry {
        device_id: device(n).id(),
        name: DeviceName::new("ada"),
        platform: "linux".to_owned(),
        tips: vec![Tip { chain_id: ChainId([n; 16]), seq: 3, hash: BlobHash([n; 32]) }],
    }
}

fn entries(devices: &[u8]) -> Vec<RosterEntry> {
    let mut list: Vec<_> = devices.iter().copied().map(entry).collect();
    list.sort_by_key(|entry| entry.device_id);
    list
}

/// Devices 1 and 2 stay, device 3 goes.
pub(super) fn content() -> RotationContent {
    RotationContent { roster: entries(&[1, 2]), removed: entries(&[3]), history: true }
}

fn rotate(content: &RotationContent) -> Result<Rotation, SealError> {
    seal_rotation(&secret(7).keys(), &device(1), &secret(8), &context(), content, &mut rng())
}

/// A rotation of a member who does not keep to the rules: sealed and signed, but of its own making.
fn forged(lockboxes: Vec<Lockbox>, plaintext: &[u8]) -> Rotation {
    let keys = secret(8).keys();
    let mut inner = vec![FORMAT];
    aead::seal(&keys.blob, &associated_data(&context()), plaintext, &mut rng(), &mut inner).unwrap();
    Rotation { epoch: 1, auth_key: keys.auth_key(), lockboxes, inner, signature: [0; 64] }
}

fn forged_lockbox(from: u8, to: u8, payload: &[u8]) -> Lockbox {
    let prologue = lockbox_prologue(&context(), &secret(8).keys().auth_key(), &device(to).id());
    let sealed = seal_one_way(&prologue, &device(from), &device(to).id(), payload, [5; 32]).unwrap();
    Lockbox { device_id: device(to).id(), sealed: sealed.try_into().unwrap() }
}

#[test]
fn who_stays_gets_the_secret_and_who_goes_does_not() {
    let rotation = rotate(&content()).unwrap();
    for n in [1, 2] {
        let opened = open_lockbox(&rotation, &context(), &device(n)).unwrap().unwrap();
        assert_eq!(opened.expose_bytes(), secret(8).expose_bytes());
        assert_eq!(open_rotation(&rotation, &context(), &opened), Ok(content()));
    }
    assert!(open_lockbox(&rotation, &context(), &device(3)).unwrap().is_none());

    let mut log = KeyLog::new(secret(7).keys().auth_key());
    let RotationContext { group_id, sender, blob_id, .. } = context();
    log.links.push(rotation.verify(&group_id, &log.genesis, &sender, &blob_id).unwrap());
    assert_eq!(log.verify(&group_id), Ok(()));
    assert_eq!(Rotation::decode(&rotation.encode()), Ok(rotation));
}

#[test]
fn a_removed_device_opens_nothing_with_all_it_has() {
    let rotation = rotate(&content()).unwrap();
    for lockbox in &rotation.lockboxes {
        let moved = Rotation {
            lockboxes: vec![Lockbox { device_id: device(3).id(), ..lockbox.clone() }],
            ..rotation.clone()
        };
        assert_eq!(open_lockbox(&moved, &context(), &device(3)).err(), Some(SealError::Decrypt));
    }
    assert_eq!(open_rotation(&rotation, &context(), &secret(7)), Err(SealError::Decrypt));
    // Even when the old secret is passed off as the new one.
    let renamed = Rotation { auth_key: secret(7).keys().auth_key(), ..rotation };
    assert_eq!(open_rotation(&renamed, &context(), &secret(7)), Err(SealError::Decrypt));
}

#[test]
fn lists_that_do_not_ascend_are_not_sealed() {
    let backwards = RotationContent { roster: content().roster.into_iter().rev().collect(), ..content() };
    assert_eq!(rotate(&backwards), Err(SealError::Malformed));
}

#[test]
fn what_contradicts_itself_is_not_sealed() {
    let refused = |roster: &[u8], removed: &[u8]| {
        let lists = RotationContent { roster: entries(roster), removed: entries(removed), history: true };
        rotate(&lists).err()
    };
    assert_eq!(refused(&[1, 2], &[]), None);
    assert_eq!(refused(&[2, 4], &[3]), Some(SealError::Malformed), "the sender would remove itself");
    assert_eq!(refused(&[1, 2], &[2]), Some(SealError::Malformed), "device 2 stays and goes");
    assert_eq!(refused(&[1, 2, 2], &[3]), Some(SealError::Malformed), "device 2 twice");
    assert_eq!(refused(&[1, 2], &[3, 3]), Some(SealError::Malformed), "device 3 twice");

    let seal = |sender: &DeviceSecret, context: &RotationContext, content: &RotationContent| {
        seal_rotation(&secret(7).keys(), sender, &secret(8), context, content, &mut rng()).err()
    };
    assert_eq!(seal(&device(2), &context(), &content()), Some(SealError::WrongSender));
    let zeroth = RotationContext { epoch: 0, ..context() };
    assert_eq!(seal(&device(1), &zeroth, &content()), Some(SealError::Malformed));
    let crowd = RotationContent { roster: vec![entry(1); MAX_LOCKBOXES + 1], ..content() };
    assert_eq!(seal(&device(1), &context(), &crowd), Some(SealError::TooLarge));
    let nobodys = DeviceId::from_bytes([0; 32]).unwrap();
    let mut low = content();
    low.roster.insert(0, RosterEntry { device_id: nobodys, ..entry(2) });
    assert_eq!(seal(&device(1), &context(), &low), Some(SealError::Decrypt));
}

#[test]
fn a_rotation_is_bound_to_group_epoch_sender_and_id() {
    let rotation = rotate(&content()).unwrap();
    let right = context();
    for wrong in [
        RotationContext { group_id: GroupId([0; 32]), ..right },
        RotationContext { sender: device(2).id(), ..right },
        RotationContext { blob_id: BlobId([0; 16]), ..right },
    ] {
        assert_eq!(open_rotation(&rotation, &wrong, &secret(8)), Err(SealError::Decrypt));
    }
    let wrong = RotationContext { epoch: 2, ..right };
    assert_eq!(open_rotation(&rotation, &wrong, &secret(8)), Err(SealError::WrongEpoch));
    assert_eq!(open_lockbox(&rotation, &wrong, &device(2)).err(), Some(SealError::WrongEpoch));
    let renumbered = Rotation { epoch: 2, ..rotation.clone() };
    assert_eq!(open_rotation(&renumbered, &wrong, &secret(8)), Err(SealError::Decrypt));
    assert_eq!(open_lockbox(&renumbered, &wrong, &device(2)).err(), Some(SealError::Decrypt));
    let elsewhere = RotationContext { group_id: GroupId([0; 32]), ..right };
    assert_eq!(open_lockbox(&rotation, &elsewhere, &device(2)).err(), Some(SealError::Decrypt));
    let rekeyed = Rotation { auth_key: secret(9).keys().auth_key(), ..rotation.clone() };
    assert_eq!(open_lockbox(&rekeyed, &right, &device(2)).err(), Some(SealError::Decrypt));
    let claimed = RotationContext { sender: device(2).id(), ..right };
    assert_eq!(open_lockbox(&rotation, &claimed, &device(2)).err(), Some(SealError::WrongSender));
}

#[test]
fn lockboxes_that_a_member_forged_are_refused() {
    let open = |lockbox: Lockbox| {
        let rotation = forged(vec![lockbox], &content().encode());
        open_lockbox(&rotation, &context(), &device(2)).map(|opened| opened.is_some())
    };
    assert_eq!(open(forged_lockbox(1, 2, &[8; 32])), Ok(true));
    assert_eq!(open(forged_lockbox(1, 2, &[9; 32])), Err(SealError::Malformed), "another secret");
    assert_eq!(open(forged_lockbox(3, 2, &[8; 32])), Err(SealError::WrongSender));
    let mut damaged = forged_lockbox(1, 2, &[8; 32]);
    damaged.sealed[0] ^= 1;
    assert_eq!(open(damaged), Err(SealError::Decrypt));
}

#[test]
fn inner_parts_that_a_member_forged_are_refused() {
    let lockboxes = rotate(&content()).unwrap().lockboxes;
    let open = |lockboxes: &[Lockbox], plaintext: &[u8]| {
        open_rotation(&forged(lockboxes.to_vec(), plaintext), &context(), &secret(8)).err()
    };
    let refused = |change: fn(&mut RotationContent)| {
        let mut changed = content();
        change(&mut changed);
        open(&lockboxes, &changed.encode())
    };
    assert_eq!(refused(|_| ()), None);
    for change in [
        (|c| c.roster.reverse()) as fn(&mut RotationContent),
        |c| c.roster.push(entry(4)),
        |c| c.roster.truncate(1),
        |c| c.roster.retain(|entry| entry.device_id != device(1).id()),
        |c| c.removed = vec![entry(2)],
        |c| c.removed = vec![entry(3), entry(3)],
        |c| c.roster[0].tips = vec![c.roster[0].tips[0].clone(); 2],
        |c| c.roster[0].platform = "x".repeat(33),
    ] {
        assert_eq!(refused(change), Some(SealError::Malformed));
    }
    assert_eq!(open(&lockboxes[..1], &content().encode()), Some(SealError::Malformed), "fewer lockboxes");
    let padded = |end: &[u8]| [content().encode().as_slice(), &[0; 9], end].concat();
    assert_eq!(open(&lockboxes, &padded(&[])), None);
    assert_eq!(open(&lockboxes, &padded(&[1])), Some(SealError::Malformed), "padding that is not zero");
    assert_eq!(open(&lockboxes, &[]), Some(SealError::Malformed));

    let mut unknown = forged(lockboxes.clone(), &content().encode());
    unknown.inner[0] = 2;
    assert_eq!(open_rotation(&unknown, &context(), &secret(8)), Err(SealError::UnknownFormat));
    let rekeyed =
        Rotation { auth_key: secret(9).keys().auth_key(), ..forged(lockboxes, &content().encode()) };
    assert_eq!(
        open_rotation(&rekeyed, &context(), &secret(8)),
        Err(SealError::Decrypt),
        "not the key's secret"
    );
    unknown.inner.clear();
    assert_eq!(open_rotation(&unknown, &context(), &secret(8)), Err(SealError::Decrypt));
}

#[test]
fn every_changed_byte_is_noticed() {
    let RotationContext { group_id, sender, blob_id, .. } = context();
    let payload = rotate(&content()).unwrap().encode();
    let signer = secret(7).keys().auth_key();
    for i in 0..payload.len() {
        let mut changed = payload.clone();
        changed[i] ^= 1;
        let verified = Rotation::decode(&changed)
            .is_ok_and(|rotation| rotation.verify(&group_id, &signer, &sender, &blob_id).is_ok());
        assert!(!verified, "byte {i}");
    }
}

#[test]
fn the_inner_part_is_padded_like_a_blob() {
    let alone = RotationContent { roster: entries(&[1]), removed: Vec::new(), history: false };
    let encoded = alone.encode().len();
    assert!(encoded < 256);
    assert_eq!(rotate(&alone).unwrap().inner.len(), 1 + aead::OVERHEAD + 256);
    let inner = rotate(&content()).unwrap().inner;
    let padded = padded_len(content().encode().len(), usize::MAX);
    assert_eq!(inner.len(), 1 + aead::OVERHEAD + padded);
}
