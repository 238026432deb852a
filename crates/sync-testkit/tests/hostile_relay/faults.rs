//! Bugs, planted one by one: what the attacks are measured with must notice each.
//!
//! A client's bug is planted in what it remembers: between two starts its disk is made to look as if the
//! check had never been made. Each scenario passes without the bug and fails with it.

use std::collections::BTreeSet;

use sync_e2ee::{Kind, RosterEntry, Tip};
use sync_testkit::liar::{Disk, Forger, PLAIN, Plan, World};
use sync_types::wire::{Reader, Wire, Writer, decode, encode, put_list, take_list};
use sync_types::{DeviceId, DeviceSecret, Rotation, StoredBlob, record};
use zeroize::Zeroizing;

use crate::tools::cursor;

/// First bytes of the rows that are tampered with, as the engine writes them.
const RELAY: u8 = 2;
const PEER: u8 = 7;
const CUT: u8 = 8;
const HEADS: u8 = 9;

type Plant = fn(&World, &mut Disk);

/// Starts a device again, with a bug.
fn plant(world: &mut World, n: usize, plant: Option<Plant>) {
    if let Some(plant) = plant {
        let mut disk = world.devices[n].disk.clone();
        plant(world, &mut disk);
        assert_ne!(disk, world.devices[n].disk, "the bug is not planted");
        world.devices[n].disk = disk;
    }
    world.restart(n);
    world.wait(5);
}

/// The scenario fails with the bug, and for this reason.
fn found(scenario: fn(Option<Plant>) -> Result<(), String>, bug: Plant, reason: &str) {
    scenario(None).unwrap();
    let why = scenario(Some(bug)).unwrap_err();
    assert!(why.contains(reason), "{why}");
}

fn put(disk: &mut Disk, key: Vec<u8>, value: Vec<u8>) {
    disk.insert(key, Zeroizing::new(value));
}

fn is_rotation(blob: &&StoredBlob) -> bool {
    Rotation::is_one(blob.payload.as_ref().unwrap())
}

/// Three devices, and the keys of the last one, which was removed.
fn removed() -> (World, Forger) {
    let mut world = World::new(3);
    for n in [2, 0, 1] {
        world.push(n);
    }
    for n in 0..3 {
        world.read(n);
    }
    let forger = world.forger(2);
    world.remove(0, &[2]).unwrap();
    world.relay.helps_removed = true;
    (world, forger)
}

// The check of tips.

record! {
    /// One end of a closed epoch, as it is stored.
    struct End {
        device_id: DeviceId,
        tip: Tip,
    }
}

fn a_blob_after_the_removal_reaches_nobody(bug: Option<Plant>) -> Result<(), String> {
    let (mut world, mut forger) = removed();
    plant(&mut world, 1, bug);
    let (me, rotation) = (forger.id(), world.relay.log.iter().position(|blob| is_rotation(&blob)).unwrap());
    let last = world.relay.log[..rotation].iter().rfind(|blob| blob.sender_id == me).unwrap();
    let (place, body) = (forger.after(last), [PLAIN, b"forged"].concat());
    let (blob_id, payload) = forger.seal(&Plan { epoch: 0, sender: me, place, kind: Kind::Data, body });
    world.relay.append(me, blob_id, payload);
    world.show();
    world.read(1);
    world.verdict()
}

fn no_check_of_tips(_: &World, disk: &mut Disk) {
    let cuts: Vec<_> = disk.keys().filter(|key| key[0] == CUT).cloned().collect();
    for key in cuts {
        let mut ends: Vec<End> = take_list(&mut Reader::new(&disk[&key]), 100).unwrap();
        ends.iter_mut().for_each(|end| end.tip.seq = u64::MAX);
        let mut w = Writer::default();
        put_list(&ends, &mut w);
        put(disk, key, w.finish());
    }
}

#[test]
fn a_skipped_check_of_tips_is_found() {
    found(a_blob_after_the_removal_reaches_nobody, no_check_of_tips, "forged");
}

// The roster.

fn shadow() -> DeviceId {
    DeviceSecret::from_bytes([99; 32]).id()
}

fn a_new_key_is_for_members_alone(bug: Option<Plant>) -> Result<(), String> {
    let mut world = World::new(2);
    plant(&mut world, 0, bug);
    world.remove(0, &[]).unwrap();
    let rotation = world.relay.log.iter().find(is_rotation).unwrap();
    let rotation = Rotation::decode(rotation.payload.as_ref().unwrap()).unwrap();
    let boxes: BTreeSet<_> = rotation.lockboxes.iter().map(|lockbox| lockbox.device_id).collect();
    if boxes == BTreeSet::from([world.id(0), world.id(1)]) {
        Ok(())
    } else {
        Err(format!("there are lockboxes for {boxes:?}"))
    }
}

/// The standing of a member, without a name or a chain.
fn member() -> Vec<u8> {
    let mut w = Writer::default();
    w.array(5);
    None::<String>.put(&mut w);
    String::new().put(&mut w);
    1_u8.put(&mut w);
    w.array(0);
    w.array(0);
    w.finish()
}

/// As if the client had taken the relay's word for who is there.
fn a_shadow_in_the_roster(_: &World, disk: &mut Disk) {
    put(disk, [&[PEER], &shadow().as_bytes()[..]].concat(), member());
}

#[test]
fn a_shadow_device_is_found() {
    found(a_new_key_is_for_members_alone, a_shadow_in_the_roster, "lockboxes");
}

// Keys.

/// What the removed device can do, with a key more or less.
fn the_removed_device_learns_nothing(leak: impl FnOnce(&mut World, &mut Forger)) -> Result<(), String> {
    let (mut world, mut forger) = removed();
    leak(&mut world, &mut forger);
    world.push(0);
    world.push(1);
    let rotation = world.relay.log.iter().position(|blob| is_rotation(&blob)).unwrap();
    match world.relay.log[rotation..].iter().find(|entry| forger.learns(entry)) {
        Some(entry) => Err(format!("the removed device can read what lies at {}", entry.cursor)),
        None => Ok(()),
    }
}

#[test]
fn a_leaked_key_is_found() {
    the_removed_device_learns_nothing(|_, _| {}).unwrap();
    let leak = |world: &mut World, forger: &mut Forger| {
        let invite = world.invite(0);
        forger.secrets.insert(invite.epoch, invite.secret);
    };
    assert!(the_removed_device_learns_nothing(leak).unwrap_err().contains("can read"));
}

/// A remover that does not leave out whom it removes.
#[test]
fn a_lockbox_for_the_removed_device_is_found() {
    let leak = |world: &mut World, forger: &mut Forger| {
        let mut remover = world.forger(0);
        let mut roster = remover.roster();
        roster.push(RosterEntry {
            device_id: forger.id(),
            name: None,
            platform: String::new(),
            tips: Vec::new(),
        });
        let (blob_id, rotation, _) = remover.rotate(1, roster);
        world.relay.append(remover.id(), blob_id, rotation.encode());
        world.show();
    };
    assert!(the_removed_device_learns_nothing(leak).unwrap_err().contains("can read"));
}

/// Whoever has the new key can speak for members: the comparison of what apps were given notices that.
#[test]
fn words_that_are_put_into_a_member_s_mouth_are_found() {
    let (mut world, mut forger) = removed();
    let invite = world.invite(0);
    forger.secrets.insert(invite.epoch, invite.secret);
    let sender = world.id(0);
    let last = world.relay.log.iter().rfind(|blob| blob.sender_id == sender && !is_rotation(blob)).unwrap();
    let (place, body) = (forger.after(last), [PLAIN, b"forged"].concat());
    let (blob_id, payload) = forger.seal(&Plan { epoch: 1, sender, place, kind: Kind::Data, body });
    world.relay.append(sender, blob_id, payload);
    world.show();
    world.read(1);
    assert!(world.verdict().unwrap_err().contains("forged"));
}

// Chains, heads and the pin.

fn a_blob_that_comes_again_is_shown_once(bug: Option<Plant>) -> Result<(), String> {
    let mut world = World::new(2);
    world.push(0);
    world.read(1);
    plant(&mut world, 1, bug);
    let blob = world.relay.log[1].clone();
    world.relay.append(blob.sender_id, blob.blob_id, blob.payload.unwrap());
    world.show();
    world.read(1);
    world.verdict()
}

fn no_chains(world: &World, disk: &mut Disk) {
    put(disk, [&[PEER], &world.id(0).as_bytes()[..]].concat(), member());
}

#[test]
fn forgotten_chains_are_found() {
    found(a_blob_that_comes_again_is_shown_once, no_chains, "twice");
}

fn what_is_left_out_the_second_time_is_missed(bug: Option<Plant>) -> Result<(), String> {
    let mut world = World::new(2);
    (0..3).for_each(|_| drop(world.push(0)));
    plant(&mut world, 1, bug);
    world.relay.lie_about_log(|_, mut log| {
        log.retain(|blob| blob.cursor != cursor(5));
        log
    });
    world.events(1);
    world.read(1);
    if world.alarms(1).is_empty() { Err("a blob was lost without a word".to_owned()) } else { Ok(()) }
}

fn no_heads(_: &World, disk: &mut Disk) {
    disk.retain(|key, _| key[0] != HEADS);
}

#[test]
fn a_second_reading_that_is_not_compared_is_found() {
    found(what_is_left_out_the_second_time_is_missed, no_heads, "without a word");
}

record! {
    /// What is stored of the relay.
    struct RelayRow {
        url: Option<String>,
        pin: Option<sync_types::RelayKey>,
        version_floor: u16,
        default_ttl: Option<u32>,
        max_blob: u32,
        max_seen_blob: u32,
    }
}

fn another_key_is_refused(bug: Option<Plant>) -> Result<(), String> {
    let mut world = World::new(2);
    world.relay.close(1, None);
    world.relay.change_key();
    plant(&mut world, 1, bug);
    world.wait(30);
    if world.devices[1].engine.status().stopped.is_some() {
        Ok(())
    } else {
        Err("another relay was taken for the one that is pinned".to_owned())
    }
}

fn no_pin(_: &World, disk: &mut Disk) {
    let row: RelayRow = decode(&disk[&vec![RELAY]]).unwrap();
    put(disk, vec![RELAY], encode(&RelayRow { pin: None, ..row }));
}

#[test]
fn a_pin_that_is_not_looked_at_is_found() {
    found(another_key_is_refused, no_pin, "another relay");
}
