//! Rotations that are withheld, promised or forged.

use sync_e2ee::{DeviceName, RosterEntry};
use sync_engine::{Break, Command, EngineError, Event, Reply};
use sync_testkit::liar::{Forger, World};
use sync_types::limits::MAX_KEY_LINKS;
use sync_types::{BlobId, DeviceId, DeviceSecret, Epoch, ErrorCode, Message, Rotation};

use crate::tools::{broken, no_alarms, says, says_only};

fn refused(event: &Event) -> bool {
    matches!(event, Event::RotationRefused { .. })
}

fn withheld(event: &Event) -> bool {
    matches!(event, Event::RotationWithheld { epoch: 1 })
}

#[test]
fn a_rotation_that_is_not_shown_is_withheld() {
    let mut world = World::new(3);
    world.disconnect(1);
    world.remove(0, &[]).unwrap();
    let rotation =
        world.relay.log.iter().find(|blob| Rotation::is_one(blob.payload.as_ref().unwrap())).unwrap();
    let at = rotation.cursor;
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 1 || blob.cursor < at);
        log
    });
    world.connect(1);
    says_only(&mut world, 1, withheld);
    assert_eq!(world.devices[1].engine.status().epoch, Some(0));
    world.goes_on(&[]);
    assert_eq!(world.devices[1].engine.status().epoch, Some(1));
}

/// What came after it was read without it; when it turns up, all of that is read anew.
#[test]
fn a_rotation_that_is_passed_over_is_found_when_it_turns_up() {
    let mut world = World::new(3);
    world.disconnect(1);
    world.remove(0, &[]).unwrap();
    let is_one = |blob: &sync_types::StoredBlob| Rotation::is_one(blob.payload.as_ref().unwrap());
    let pushed = [world.push(0), world.push(2)];
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 1 || !is_one(blob));
        log
    });
    world.connect(1);
    let alarms = world.alarms(1);
    assert!(alarms.iter().any(withheld), "{alarms:?}");
    assert!(alarms.iter().any(|event| matches!(event, Event::BlobRefused { .. })), "{alarms:?}");
    assert_eq!(world.read(1), Vec::<Vec<u8>>::new());
    // It is looked for once for each connection, and not found.
    world.relay.close(1, None);
    world.wait(60);
    no_alarms(&mut world, &[1]);
    world.relay.be_honest();
    world.relay.close(1, None);
    world.wait(60);
    says_only(&mut world, 1, |event| *event == Event::RelayReset);
    assert_eq!(world.read(1), pushed);
    world.goes_on(&[]);
    no_alarms(&mut world, &[1]);
}

#[test]
fn a_rotation_that_is_put_after_what_it_does_not_know_is_noticed_and_nothing_is_lost() {
    let mut world = World::new(3);
    world.disconnect(2);
    // Device 0 rotates without having been shown what device 1 has pushed; the relay lets it.
    let before = world.relay.newest();
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| {
            to != 0 || blob.cursor <= before || Rotation::is_one(blob.payload.as_ref().unwrap())
        });
        log
    });
    let data = world.push(1);
    world.relay.any_after = true;
    world.remove(0, &[]).unwrap();
    let is = broken(&world, 1, Break::Missing { from: 1, to: 2 });
    says(&mut world, 1, is);
    world.relay.be_honest();
    world.wait(60);
    world.connect(2);
    world.wait(60);
    world.read(0);
    world.read(2);
    assert!(world.has_read(0, &data) && world.has_read(2, &data));
    world.goes_on(&[]);
}

#[test]
fn a_push_that_the_relay_takes_after_its_epoch_is_over_is_noticed_and_nothing_is_lost() {
    for answered in [true, false] {
        let mut world = World::new(3);
        world.disconnect(1);
        let data = world.push(1);
        world.remove(0, &[2]).unwrap();
        // The relay takes what is sealed under the old key, though the group has a new one.
        world.relay.helps_removed = true;
        world.relay.lie(move |say| match say.message {
            Message::PushAck(_) if !answered => Vec::new(),
            message => vec![message],
        });
        let mut pushes = 0;
        world.relay.refuse(move |from, request| match request {
            // Not before the push was sent.
            Message::Pull(_) if from == 1 && pushes == 0 => {
                pushes += 1;
                Some(ErrorCode::Unavailable)
            }
            _ => None,
        });
        world.connect(1);
        world.wait(5);
        let is = broken(&world, 1, Break::Missing { from: 1, to: 2 });
        says(&mut world, 1, is);
        world.relay.be_honest();
        world.relay.close(1, None);
        world.wait(60);
        world.read(0);
        assert!(world.has_read(0, &data), "answered: {answered}");
        world.goes_on(&[2]);
    }
}

#[test]
fn a_key_that_does_not_exist_is_withheld() {
    let mut world = World::new(2);
    world.relay.lie(|say| match say.message {
        Message::Welcome(mut welcome) if say.to == 1 => {
            welcome.epoch = u32::MAX;
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.relay.close(1, None);
    world.wait(10);
    says_only(&mut world, 1, |event| *event == Event::RotationWithheld { epoch: u32::MAX });
    // What comes is read all the same.
    let data = world.push(0);
    assert_eq!(world.read(1), [data]);
    world.goes_on(&[]);
}

#[test]
fn a_push_that_is_refused_for_a_key_that_is_not_shown_waits_and_says_so() {
    let mut world = World::new(2);
    world.relay.refuse(|_, request| match request {
        Message::Push(_) => Some(ErrorCode::EpochStale),
        _ => None,
    });
    let data = world.push(0);
    says_only(&mut world, 0, withheld);
    world.wait(600);
    no_alarms(&mut world, &[0]);
    assert_eq!(world.devices[0].engine.status().pending_push, 1, "nothing is lost");
    world.goes_on(&[]);
    assert!(world.has_read(1, &data));
}

#[test]
fn a_device_that_is_not_let_in_for_a_key_that_is_not_shown_is_told_why() {
    let mut world = World::new(2);
    world.relay.refuse(|from, request| match request {
        Message::Hello(_) if from == 1 => Some(ErrorCode::EpochStale),
        _ => None,
    });
    world.disconnect(1);
    let id = world.command(1, Command::Connect);
    let reply = world.devices[1].reply(id).unwrap().unwrap_err();
    assert!(matches!(reply, EngineError::Refused { code: ErrorCode::EpochStale, .. }), "{reply:?}");
    world.goes_on(&[]);
}

#[test]
fn a_rotation_for_which_the_log_never_stands_still_is_given_up() {
    let mut world = World::new(3);
    world.relay.refuse(|_, request| match request {
        Message::Rotate(_) => Some(ErrorCode::Behind),
        _ => None,
    });
    let reply = world.remove(0, &[2]).unwrap_err();
    assert!(matches!(reply, EngineError::Refused { code: ErrorCode::Behind, .. }), "{reply:?}");
    world.goes_on(&[]);
}

#[test]
fn a_rotation_that_is_acknowledged_and_not_there_has_not_happened() {
    let mut world = World::new(3);
    world.relay.lie(|say| match say.request {
        Some(Message::Rotate(_)) => {
            vec![sync_types::RotateAck { epoch: 1, cursor: sync_types::Cursor::new(50).unwrap() }.into()]
        }
        _ => vec![say.message],
    });
    // The relay stores it, in truth, and hides it.
    let hidden = world.relay.newest();
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor <= hidden);
        log
    });
    let reply = world.remove(0, &[2]).unwrap_err();
    assert_eq!(reply, EngineError::Unreachable);
    says(&mut world, 0, |event| *event == Event::RelayMisbehaved);
    assert_eq!(world.devices[0].engine.status().epoch, Some(0));
    // Pushing is not held up by it.
    world.relay.words = None;
    world.goes_on(&[2]);
    assert_eq!(world.devices[1].engine.status().epoch, Some(1), "it is in the log after all");
}

/// The relay shows a rotation of somebody's; nobody may take it for one.
fn show_forged(world: &mut World, sender: DeviceId, blob_id: BlobId, payload: Vec<u8>) {
    let before: Vec<_> = (0..2).map(|n| world.devices[n].engine.status().fingerprint).collect();
    world.relay.append(sender, blob_id, payload);
    world.show();
    for (n, before) in before.into_iter().enumerate() {
        says(world, n, refused);
        let status = world.devices[n].engine.status();
        assert_eq!((status.fingerprint, status.stopped), (before, None), "device {n}");
    }
}

/// A world of two devices and the keys of the first one, in the hands of whoever forges.
fn forging() -> (World, Forger) {
    let mut world = World::new(2);
    world.push(0);
    world.push(1);
    let forger = world.forger(0);
    (world, forger)
}

#[test]
fn a_rotation_with_a_wrong_signature_is_refused() {
    let (mut world, mut forger) = forging();
    let roster = forger.roster();
    let (blob_id, mut rotation, _) = forger.rotate(0, roster);
    rotation.signature[0] ^= 1;
    show_forged(&mut world, forger.id(), blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_rotation_with_a_changed_lockbox_or_inner_part_is_refused() {
    for change in 0..3 {
        let (mut world, mut forger) = forging();
        let roster = forger.roster();
        let (blob_id, mut rotation, _) = forger.rotate(0, roster);
        match change {
            0 => rotation.lockboxes[0].sealed[40] ^= 1,
            1 => drop(rotation.lockboxes.pop()),
            _ => rotation.inner[30] ^= 1,
        }
        show_forged(&mut world, forger.id(), blob_id, rotation.encode());
        world.goes_on(&[]);
    }
}

#[test]
fn garbage_that_looks_like_a_rotation_is_refused() {
    let (mut world, mut forger) = forging();
    let blob_id = forger.blob_id();
    show_forged(&mut world, forger.id(), blob_id, vec![2; 300]);
    world.goes_on(&[]);
}

#[test]
fn a_rotation_by_a_stranger_is_refused() {
    let (mut world, forger) = forging();
    let mut stranger = forger.in_hands_of(DeviceSecret::from_bytes([99; 32]));
    let mut roster = stranger.roster();
    roster.push(sync_e2ee::RosterEntry {
        device_id: stranger.id(),
        name: None,
        platform: String::new(),
        tips: Vec::new(),
    });
    let (blob_id, rotation, _) = stranger.rotate(0, roster);
    show_forged(&mut world, stranger.id(), blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_rotation_whose_lockboxes_somebody_else_has_sealed_is_refused() {
    let (mut world, mut forger) = forging();
    // The thief has the group's key and not the device's: in its name it cannot seal a lockbox.
    let mut thief = forger.in_hands_of(DeviceSecret::from_bytes([99; 32]));
    let (sender, roster) = (forger.id(), forger.roster());
    let (blob_id, mut rotation, next) = forger.rotate(0, roster.clone());
    let mut with_thief = roster;
    with_thief.push(sync_e2ee::RosterEntry {
        device_id: thief.id(),
        name: None,
        platform: String::new(),
        tips: Vec::new(),
    });
    let boxes = thief.rotate_to(&next, 0, blob_id, with_thief).lockboxes;
    rotation.lockboxes = boxes.into_iter().filter(|lockbox| lockbox.device_id != thief.id()).collect();
    thief.sign(0, &mut rotation, &sender, &blob_id);
    show_forged(&mut world, sender, blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_rotation_whose_roster_is_not_that_of_its_lockboxes_is_refused() {
    let (mut world, mut forger) = forging();
    let roster = forger.roster();
    let (blob_id, mut rotation, next) = forger.rotate(0, roster.clone());
    let secret_member = sync_e2ee::RosterEntry {
        device_id: DeviceSecret::from_bytes([99; 32]).id(),
        name: None,
        platform: String::new(),
        tips: Vec::new(),
    };
    let with_one_more = [roster, vec![secret_member]].concat();
    rotation.lockboxes = forger.rotate_to(&next, 0, blob_id, with_one_more).lockboxes;
    let sender = forger.id();
    forger.sign(0, &mut rotation, &sender, &blob_id);
    show_forged(&mut world, sender, blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_rotation_that_skips_an_epoch_is_refused() {
    let (mut world, mut forger) = forging();
    let roster = forger.roster();
    let (blob_id, mut rotation, _) = forger.rotate(0, roster);
    rotation.epoch = 2;
    let sender = forger.id();
    forger.sign(0, &mut rotation, &sender, &blob_id);
    show_forged(&mut world, sender, blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_second_rotation_of_an_epoch_that_is_over_is_refused() {
    let (mut world, mut forger) = forging();
    let roster = forger.roster();
    let (blob_id, rotation, _) = forger.rotate(0, roster);
    world.remove(1, &[]).unwrap();
    show_forged(&mut world, forger.id(), blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_rotation_under_another_id_or_in_another_name_is_refused() {
    for change in 0..3 {
        let mut world = World::new(2);
        world.remove(0, &[]).unwrap();
        let is_one = |blob: &&sync_types::StoredBlob| Rotation::is_one(blob.payload.as_ref().unwrap());
        let rotation = world.relay.log.iter().find(is_one).unwrap().clone();
        let (mut sender, mut blob_id) = (rotation.sender_id, rotation.blob_id);
        match change {
            0 => blob_id = BlobId([9; 16]),
            1 => sender = world.id(1),
            _ => sender = DeviceSecret::from_bytes([99; 32]).id(),
        }
        show_forged(&mut world, sender, blob_id, rotation.payload.unwrap());
        world.goes_on(&[]);
    }
}

#[test]
fn a_rotation_that_was_never_sent_to_a_sleeping_device_under_another_id_is_refused_there_too() {
    let mut world = World::new(3);
    world.disconnect(2);
    world.remove(0, &[]).unwrap();
    world.relay.lie_about_log(|to, mut log| {
        for blob in log.iter_mut().filter(|blob| to == 2 && Rotation::is_one(blob.payload.as_ref().unwrap()))
        {
            blob.blob_id = BlobId([9; 16]);
        }
        log
    });
    world.connect(2);
    says(&mut world, 2, refused);
    assert_eq!(world.devices[2].engine.status().epoch, Some(0));
    world.verdict().unwrap();
}

#[test]
fn a_rotation_that_is_made_up_removes_nobody() {
    let (mut world, forger) = forging();
    // Whoever has the group's key could sign that device 1 is out; a relay alone cannot.
    let mut other = World::other(1, 2);
    let mut stranger = other.forger(0).in_hands_of(DeviceSecret::from_bytes([1; 32]));
    let roster = stranger.roster();
    let (blob_id, rotation, _) = stranger.rotate(0, roster.into_iter().take(1).collect::<Vec<_>>());
    assert_eq!(stranger.id(), forger.id());
    show_forged(&mut world, forger.id(), blob_id, rotation.encode());
    world.goes_on(&[]);
}

#[test]
fn a_rotation_that_is_read_before_its_answer_is_made_once() {
    let mut world = World::new(3);
    // The answer comes late, after another device has pushed.
    world.relay.lie(|say| match say.message {
        Message::RotateAck(_) => Vec::new(),
        message => vec![message],
    });
    let id = world.command(0, Command::Rotate { remove: Vec::new(), keep_history: true });
    world.push(1);
    world.show();
    world.wait(30);
    assert!(matches!(world.devices[0].reply(id), Some(Ok(Reply::Done))));
    assert_eq!(world.relay.epoch(), 1);
    world.goes_on(&[]);
    assert_eq!(world.relay.epoch(), 1);
}

#[test]
fn a_device_that_a_rotation_brings_in_is_told() {
    for name in [DeviceName::new("second one"), None] {
        brings_in(name);
    }
}

fn brings_in(name: Option<DeviceName>) {
    let nameless = name.is_none();
    let (mut world, mut forger) = forging();
    let shadow = DeviceSecret::from_bytes([99; 32]).id();
    let mut roster = forger.roster();
    let entry = RosterEntry { device_id: shadow, name, platform: "test".to_owned(), tips: Vec::new() };
    roster.insert(roster.partition_point(|known| known.device_id < shadow), entry);
    let (blob_id, rotation, _) = forger.rotate(0, roster);
    world.relay.append(forger.id(), blob_id, rotation.encode());
    world.events(1);
    world.show();
    let joined = |event: &Event| match event {
        Event::DeviceJoined { device_id, .. } => *device_id == shadow && !nameless,
        Event::UnknownDevice { device_id } => *device_id == shadow && nameless,
        _ => false,
    };
    let events = world.events(1);
    assert_eq!(events.iter().filter(|event| joined(event)).count(), 1, "{events:?}");
    // Whoever takes earlier warnings back when there is a new key keeps this one.
    let at = |what: &dyn Fn(&Event) -> bool| events.iter().position(what);
    assert!(at(&joined) > at(&|event| matches!(event, Event::KeyRotated { .. })), "{events:?}");
    world.verdict().unwrap();
}

#[test]
fn a_group_has_no_more_rotations_than_its_key_log_holds() {
    let mut world = World::new(2);
    for _ in 0..MAX_KEY_LINKS {
        world.remove(0, &[]).unwrap();
    }
    // As if the relay had let one more through.
    let mut forger = world.forger(0);
    let roster = forger.roster();
    let (blob_id, rotation, _) = forger.rotate(MAX_KEY_LINKS as Epoch, roster);
    show_forged(&mut world, forger.id(), blob_id, rotation.encode());
    world.restart(0);
    assert_eq!(world.devices[0].engine.status().epoch, Some(MAX_KEY_LINKS as Epoch));
}
