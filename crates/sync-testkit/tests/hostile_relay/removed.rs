//! The removed device, with all keys that it ever had and a relay that helps it.

use sync_e2ee::{Content, Control, Kind, Place, RosterEntry};
use sync_engine::{Break, Command, Event, Refused, Reply, StopReason};
use sync_testkit::liar::{Forger, PLAIN, Plan, World, renumber};
use sync_types::wire::encode;
use sync_types::{Cursor, DeviceId, DeviceSecret, Message, Rotation, StoredBlob};

use crate::tools::{broken, names, refused, roster, says};

/// Three devices that know each other, and the keys of the last one, which is going to be removed. It has
/// read everything.
fn before_removal() -> (World, Forger) {
    let mut world = World::new(3);
    for n in [0, 1, 2, 1, 1] {
        world.push(n);
    }
    for n in 0..3 {
        world.read(n);
    }
    let forger = world.forger(2);
    (world, forger)
}

/// The same, after device 0 has removed it. The relay helps it from now on.
fn removed() -> (World, Forger) {
    let (mut world, forger) = before_removal();
    world.remove(0, &[2]).unwrap();
    world.relay.helps_removed = true;
    for n in 0..2 {
        world.events(n);
    }
    (world, forger)
}

/// Where the first rotation lies.
fn rotation_at(world: &World) -> Cursor {
    let is_one = |blob: &&StoredBlob| Rotation::is_one(blob.payload.as_ref().unwrap());
    world.relay.log.iter().find(is_one).unwrap().cursor
}

/// The last blob of a device before the first rotation.
fn last_of(world: &World, sender: &DeviceId) -> StoredBlob {
    let at = rotation_at(world);
    world.relay.log.iter().rfind(|blob| blob.sender_id == *sender && blob.cursor < at).unwrap().clone()
}

/// The app's data, forged.
fn data(sender: DeviceId, place: Place) -> Plan {
    let body = [PLAIN, b"forged"].concat();
    Plan { epoch: 0, sender, place, kind: Kind::Data, body }
}

#[test]
fn it_can_read_nothing_of_what_comes_later() {
    let (mut world, forger) = removed();
    for n in [0, 1, 0] {
        world.push(n);
    }
    world.remove(1, &[]).unwrap();
    let joiner = world.join(0);
    world.push(joiner);
    let at = rotation_at(&world);
    let later: Vec<_> = world.relay.log.iter().filter(|blob| blob.cursor >= at).collect();
    assert!(later.len() > 10, "{}", later.len());
    let learned: Vec<_> = later.into_iter().filter(|entry| forger.learns(entry)).collect();
    assert!(learned.is_empty(), "{learned:?}");
    assert!(world.relay.names().all(|(device, sealed)| !forger.reads_name(device, sealed)));
    // The test would notice: what was there before, it can read.
    let earlier: Vec<_> = world.relay.log.iter().filter(|blob| blob.cursor < at).collect();
    assert!(earlier.iter().all(|entry| forger.learns(entry)));
    world.goes_on(&[2]);
}

#[test]
fn its_client_stops_when_it_reads_that_it_is_removed() {
    let (mut world, _) = before_removal();
    world.relay.helps_removed = true;
    world.remove(0, &[2]).unwrap();
    assert_eq!(world.devices[2].engine.status().stopped, Some(StopReason::Removed));
    let (id, by) = (world.id(2), world.id(0));
    assert!(world.events(2).contains(&Event::DeviceRemoved { device_id: id, by: Some(by) }));
    world.goes_on(&[2]);
}

#[test]
fn an_honest_relay_does_not_let_it_in_again() {
    let (mut world, _) = removed();
    world.relay.helps_removed = false;
    world.restart(2);
    world.wait(60);
    assert!(matches!(world.devices[2].engine.status().stopped, Some(StopReason::Refused { .. })));
    world.goes_on(&[2]);
}

#[test]
fn what_its_client_pushes_after_all_reaches_nobody() {
    let (mut world, _) = before_removal();
    // The relay keeps the removal from it, and takes its pushes.
    world.disconnect(2);
    world.remove(0, &[2]).unwrap();
    world.relay.helps_removed = true;
    let at = rotation_at(&world);
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 2 || blob.cursor < at);
        log
    });
    world.relay.lie(|say| match say.message {
        Message::Welcome(mut welcome) if say.to == 2 => {
            welcome.epoch = 0;
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.connect(2);
    world.push(2);
    world.wait(10);
    assert_eq!(world.devices[2].engine.status().pending_push, 0, "the relay has taken it");
    for n in 0..2 {
        let is = refused(&world, 2, Refused::AfterRemoval);
        says(&mut world, n, is);
        assert_eq!(world.read(n), Vec::<Vec<u8>>::new());
    }
    let joiner = world.join(1);
    let read = world.read(joiner).len();
    assert_eq!(read, 6, "what was pushed before the removal");
    let is = refused(&world, 2, Refused::AfterRemoval);
    says(&mut world, joiner, is);
    world.goes_on(&[2]);
}

#[test]
fn a_forged_blob_of_its_own_reaches_nobody_wherever_it_is_put() {
    // At the end of its chain, or in a chain of its own making.
    for new_chain in [false, true] {
        let (mut world, mut forger) = removed();
        world.disconnect(1);
        let me = forger.id();
        let place = if new_chain { forger.new_chain() } else { forger.after(&last_of(&world, &me)) };
        let (blob_id, payload) = forger.seal(&data(me, place));
        world.relay.append(me, blob_id, payload);
        world.show();
        let is = refused(&world, 2, Refused::AfterRemoval);
        says(&mut world, 0, is);
        assert_eq!(world.read(0), Vec::<Vec<u8>>::new());
        // A device that was away, one that reads it again, and one that joins now.
        world.connect(1);
        let is = refused(&world, 2, Refused::AfterRemoval);
        says(&mut world, 1, is);
        world.restart(1);
        assert_eq!(world.read(1), Vec::<Vec<u8>>::new());
        let joiner = world.join(0);
        world.read(joiner);
        let is = refused(&world, 2, Refused::AfterRemoval);
        says(&mut world, joiner, is);
        world.goes_on(&[2]);
    }
}

/// A world in which device 1 sleeps through the removal, and the relay puts something before it.
fn backdated(plan: impl FnOnce(&World, &mut Forger) -> Plan, claimed_epoch: Option<u32>) -> (World, Forger) {
    let (mut world, mut forger) = before_removal();
    world.disconnect(1);
    world.remove(0, &[2]).unwrap();
    world.relay.helps_removed = true;
    let at = rotation_at(&world);
    let plan = plan(&world, &mut forger);
    let (blob_id, payload) = forger.seal(&plan);
    world.relay.insert(at, plan.sender, blob_id, payload);
    world.relay.lie(move |say| match say.message {
        Message::Welcome(mut welcome) => {
            welcome.epoch = claimed_epoch.unwrap_or(welcome.epoch);
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.events(1);
    world.connect(1);
    (world, forger)
}

#[test]
fn a_backdated_blob_of_its_own_reaches_no_device_that_slept() {
    for (new_chain, claimed) in [(false, None), (true, None), (false, Some(0)), (true, Some(0))] {
        let plan = |world: &World, forger: &mut Forger| {
            let me = forger.id();
            data(me, if new_chain { forger.new_chain() } else { forger.after(&last_of(world, &me)) })
        };
        let (mut world, _) = backdated(plan, claimed);
        let alarms = world.alarms(1);
        let sender = world.id(2);
        let named = |event: &Event| matches!(event, Event::ChainBroken { sender: of, .. } if *of == sender);
        assert!(alarms.iter().any(named), "{alarms:?}");
        assert_eq!(world.read(1), Vec::<Vec<u8>>::new());
        let is = refused(&world, 2, Refused::AfterRemoval);
        says(&mut world, 1, is);
        world.restart(1);
        assert_eq!(world.read(1), Vec::<Vec<u8>>::new());
        world.verdict().unwrap();
    }
}

#[test]
fn a_backdated_blob_of_its_own_is_not_announced_to_an_app() {
    let plan = |world: &World, forger: &mut Forger| {
        let me = forger.id();
        data(me, forger.after(&last_of(world, &me)))
    };
    let (mut world, forger) = backdated(plan, None);
    let told = |event: &Event| matches!(event, Event::BlobAvailable { sender, .. } if *sender == forger.id());
    assert!(!world.events(1).iter().any(told));
}

#[test]
fn a_backdated_blob_reaches_nobody_who_joins() {
    let (mut world, mut forger) = removed();
    let (at, me) = (rotation_at(&world), forger.id());
    let place = forger.after(&last_of(&world, &me));
    let (blob_id, payload) = forger.seal(&data(me, place));
    world.relay.insert(at, me, blob_id, payload);
    let joiner = world.join(0);
    let alarms = world.alarms(joiner);
    assert!(alarms.iter().any(|event| matches!(event, Event::ChainBroken { .. })), "{alarms:?}");
    assert!(!world.read(joiner).iter().any(|data| data.ends_with(b"forged")));
    world.verdict().unwrap();
}

#[test]
fn in_the_name_of_a_member_it_cannot_add_to_what_that_one_has_said() {
    for new_chain in [false, true] {
        let plan = |world: &World, forger: &mut Forger| {
            let member = world.id(0);
            data(member, if new_chain { forger.new_chain() } else { forger.after(&last_of(world, &member)) })
        };
        let (mut world, _) = backdated(plan, None);
        let alarms = world.alarms(1);
        assert!(alarms.iter().any(|event| matches!(event, Event::ChainBroken { .. })), "{alarms:?}");
        assert_eq!(world.read(1), Vec::<Vec<u8>>::new());
        let joiner = world.join(0);
        assert!(!world.read(joiner).iter().any(|data| data.ends_with(b"forged")));
        world.verdict().unwrap();
    }
}

/// Device 0's second but last blob of the first epoch gives way to a forged one in its name.
fn replace(world: &mut World, forger: &mut Forger, for_whom: usize) -> StoredBlob {
    let (member, at) = (world.id(1), rotation_at(world));
    let of_member = |blob: &&StoredBlob| blob.sender_id == member && blob.cursor < at;
    let real = world.relay.log.iter().filter(of_member).rev().nth(1).unwrap().clone();
    let place = forger.open(&real).unwrap().place;
    let (blob_id, payload) = forger.seal(&data(member, place));
    let cursor = real.cursor;
    world.relay.lie_about_log(move |to, mut log| {
        for blob in log.iter_mut().filter(|blob| to == for_whom && blob.cursor == cursor) {
            (blob.blob_id, blob.payload) = (blob_id, Some(payload.clone()));
        }
        log
    });
    real
}

#[test]
fn in_the_name_of_a_member_it_cannot_replace_what_that_one_has_said() {
    let (mut world, mut forger) = before_removal();
    world.disconnect(2);
    let sleeper = world.join(0);
    world.read(sleeper);
    world.disconnect(sleeper);
    for n in [1, 1, 0, 1] {
        world.push(n);
    }
    world.remove(0, &[2]).unwrap();
    replace(&mut world, &mut forger, sleeper);
    world.connect(sleeper);
    let member = world.id(1);
    let altered = |event: &Event| matches!(event, Event::ChainBroken { sender, how: Break::Altered { .. }, .. } if *sender == member);
    says(&mut world, sleeper, altered);
    world.read(sleeper);
    world.verdict().unwrap();
    // And not for who joins.
    let joiner = world.devices.len();
    replace(&mut world, &mut forger, joiner);
    world.join(0);
    says(&mut world, joiner, altered);
    world.read(joiner);
    world.verdict().unwrap();
}

#[test]
fn a_gap_before_it_does_not_help_it() {
    let (mut world, mut forger) = removed();
    let joiner = world.devices.len();
    replace(&mut world, &mut forger, joiner);
    // Without the beginning of the log nobody can compare heads.
    world.relay.lie(move |say| match say.message {
        Message::PullResponse(mut page) if say.to == joiner => {
            page.blobs.retain(|blob| blob.cursor > Cursor::new(2).unwrap());
            page.oldest_cursor = Cursor::new(3).unwrap();
            vec![page.into()]
        }
        message => vec![message],
    });
    world.join(0);
    says(&mut world, joiner, |event| matches!(event, Event::ChainBroken { how: Break::Altered { .. }, .. }));
    world.read(joiner);
    world.verdict().unwrap();
}

#[test]
fn it_cannot_announce_itself_again() {
    let (mut world, mut forger) = removed();
    let me = forger.id();
    let place = forger.after(&last_of(&world, &me));
    let body = Forger::announcement("nobody in particular");
    let plan = Plan { epoch: 0, sender: me, place, kind: Kind::Control, body };
    let (blob_id, payload) = forger.seal(&plan);
    world.relay.append(me, blob_id, payload);
    world.show();
    for n in 0..2 {
        let is = refused(&world, 2, Refused::AfterRemoval);
        says(&mut world, n, is);
        assert!(!roster(&mut world, n).contains(&me));
    }
    let joiner = world.join(1);
    assert!(!roster(&mut world, joiner).contains(&me));
    world.goes_on(&[2]);
}

#[test]
fn an_old_invite_brings_nobody_in() {
    let (mut world, _) = before_removal();
    let invite = world.invite(2);
    world.remove(0, &[2]).unwrap();
    world.relay.helps_removed = true;
    let again = world.join_with(invite);
    world.push(again);
    let id = world.id(again);
    for n in 0..2 {
        let is = refused(&world, again, Refused::AfterRemoval);
        says(&mut world, n, is);
        assert!(!roster(&mut world, n).contains(&id));
        assert_eq!(world.read(n), Vec::<Vec<u8>>::new());
    }
    world.wait(300);
    says(&mut world, 0, |event| *event == Event::UnknownDevice { device_id: id });
    world.goes_on(&[2, again]);
}

#[test]
fn its_own_rotation_is_refused_by_whoever_knows_the_real_one() {
    let (mut world, mut forger) = removed();
    let roster = forger.roster();
    let (blob_id, rotation, secret) = forger.rotate(0, roster);
    let me = forger.id();
    world.relay.append(me, blob_id, rotation.encode());
    // What it seals in its own epoch opens for nobody.
    forger.secrets.insert(1, secret);
    let place = forger.new_chain();
    let (blob_id, payload) = forger.seal(&Plan { epoch: 1, ..data(me, place) });
    world.relay.append(me, blob_id, payload);
    world.show();
    for n in 0..2 {
        let alarms = world.alarms(n);
        assert!(alarms.iter().any(|event| matches!(event, Event::RotationRefused { .. })), "{alarms:?}");
        assert!(alarms.iter().any(refused(&world, 2, Refused::Unreadable)), "{alarms:?}");
        assert_eq!(world.devices[n].engine.status().epoch, Some(1));
    }
    world.goes_on(&[2]);
}

#[test]
fn an_old_rotation_that_it_has_made_over_is_refused_by_whoever_joins() {
    let mut world = World::new(3);
    world.push(1);
    world.remove(0, &[]).unwrap();
    let mut forger = world.forger(2);
    world.remove(0, &[2]).unwrap();
    // The epoch's real key, in other words: nothing that members said before it counts.
    let roster = forger.roster().into_iter().map(|entry| RosterEntry { tips: Vec::new(), ..entry }).collect();
    let (blob_id, next) = (forger.blob_id(), forger.secrets[&1].clone());
    let rotation = forger.rotate_to(&next, 0, blob_id, roster);
    let at = rotation_at(&world);
    let entry = world.relay.log.iter_mut().find(|entry| entry.cursor == at).unwrap();
    (entry.blob_id, entry.sender_id, entry.payload) = (blob_id, forger.id(), Some(rotation.encode()));
    let joiner = world.join(0);
    let is = |event: &Event| *event == Event::RotationRefused { cursor: at, sender: forger.id() };
    says(&mut world, joiner, is);
}

/// The one thing that a removed device and a relay can do: keep a device that has not seen the removal.
/// Two people who compare what their devices show notice it, and so does the device when it sees the rest.
#[test]
fn a_device_that_is_kept_from_the_removal_shows_another_fingerprint() {
    let (mut world, mut forger) = before_removal();
    world.disconnect(1);
    world.remove(0, &[2]).unwrap();
    world.relay.helps_removed = true;
    let at = rotation_at(&world);
    let roster = forger.roster();
    let (blob_id, rotation, _) = forger.rotate(0, roster);
    let me = forger.id();
    world.relay.lie_about_log(move |to, mut log| {
        if to == 1 {
            log.truncate(log.iter().position(|blob| blob.cursor == at).unwrap());
            let mut forged = log.last().unwrap().clone();
            (forged.cursor, forged.sender_id, forged.blob_id) = (at, me, blob_id);
            forged.payload = Some(rotation.encode());
            log.push(forged);
        }
        log
    });
    world.connect(1);
    let shown: Vec<_> = (0..2).map(|n| world.devices[n].engine.status()).collect();
    assert_eq!((shown[0].epoch, shown[1].epoch), (Some(1), Some(1)));
    assert_ne!(shown[0].fingerprint, shown[1].fingerprint);
    // As soon as the relay shows anything of the others, it is noticed.
    world.relay.view = None;
    world.push(0);
    world.show();
    let alarms = world.alarms(1);
    assert!(alarms.iter().any(refused(&world, 0, Refused::Unreadable)), "{alarms:?}");
    world.verdict().unwrap();
}

#[test]
fn it_cannot_rename_members() {
    let (mut world, mut forger) = removed();
    let member = world.id(1);
    let before = names(&mut world, 0);
    // By what lies at the relay.
    let forged = forger.name(0, &member, "mallory");
    world.relay.lie(move |say| match say.message {
        Message::DevicesResponse(mut list) => {
            for row in list.devices.iter_mut().filter(|row| row.device_id == member) {
                row.device_name.clone_from(&forged);
            }
            vec![list.into()]
        }
        message => vec![message],
    });
    assert_eq!(names(&mut world, 0), before);
    // By an announcement in that member's name.
    let place = forger.after(&last_of(&world, &member));
    let body = Forger::announcement("mallory");
    let plan = Plan { epoch: 0, sender: member, place, kind: Kind::Control, body };
    let (blob_id, payload) = forger.seal(&plan);
    world.relay.append(member, blob_id, payload);
    world.show();
    let is = refused(&world, 1, Refused::AfterRemoval);
    says(&mut world, 0, is);
    assert_eq!(names(&mut world, 0), before);
    // Nor for a device that sleeps until the removal is over.
    let plan = |world: &World, forger: &mut Forger| {
        let member = world.id(0);
        let place = forger.after(&last_of(world, &member));
        let body = Forger::announcement("mallory");
        Plan { epoch: 0, sender: member, place, kind: Kind::Control, body }
    };
    for claimed in [None, Some(0)] {
        let (mut world, _) = backdated(plan, claimed);
        let names = names(&mut world, 1);
        assert!(!names.iter().any(|(_, name)| name.as_deref() == Some("mallory")), "{names:?}");
    }
}

#[test]
fn it_cannot_make_members_leave() {
    let plan = |world: &World, forger: &mut Forger| {
        let member = world.id(0);
        let place = forger.after(&last_of(world, &member));
        Plan { epoch: 0, sender: member, place, kind: Kind::Control, body: encode(&Control::Leave) }
    };
    let (mut world, mut forger) = backdated(plan, None);
    let member = world.id(0);
    assert!(roster(&mut world, 1).contains(&member));
    let place = forger.after(&last_of(&world, &member));
    let leave = Plan { epoch: 0, sender: member, place, kind: Kind::Control, body: encode(&Control::Leave) };
    let (blob_id, payload) = forger.seal(&leave);
    world.relay.append(member, blob_id, payload);
    world.show();
    let is = refused(&world, 0, Refused::AfterRemoval);
    says(&mut world, 1, is);
    assert!(roster(&mut world, 1).contains(&member));
    // A device that is told nothing of the new key before may believe it: then it does not follow whoever
    // has left, and says so.
    let (mut world, _) = backdated(plan, Some(0));
    says(&mut world, 1, |event| matches!(event, Event::RotationRefused { .. }));
    world.verdict().unwrap();
}

#[test]
fn what_it_pushed_before_stays_and_comes_but_once() {
    let (mut world, forger) = removed();
    let me = forger.id();
    let old = last_of(&world, &me);
    world.relay.append(me, old.blob_id, old.payload.unwrap());
    world.show();
    let seq = forger.open(&last_of(&world, &me)).unwrap().place.seq;
    for n in 0..2 {
        let is = broken(&world, 2, Break::Repeated { seq });
        says(&mut world, n, is);
        assert_eq!(world.read(n), Vec::<Vec<u8>>::new());
    }
    world.goes_on(&[2]);
}

#[test]
fn a_thief_with_the_key_and_no_seat_at_the_table_is_heard_by_nobody() {
    let (mut world, forger) = before_removal();
    let mut thief = forger.in_hands_of(DeviceSecret::from_bytes([99; 32]));
    let me = thief.id();
    let place = thief.new_chain();
    let (blob_id, payload) = thief.seal(&data(me, place));
    world.relay.append(me, blob_id, payload);
    world.show();
    for n in 0..3 {
        let said = |event: &Event| matches!(event, Event::BlobRefused { sender, why: Refused::NotAMember, .. } if *sender == me);
        says(&mut world, n, said);
        assert_eq!(world.read(n), Vec::<Vec<u8>>::new());
    }
    assert!(matches!(world.ask(0, Command::Rotate { remove: vec![], keep_history: true }), Ok(Reply::Done)));
    world.goes_on(&[]);
}

#[test]
fn a_renumbered_log_does_not_hide_what_it_has_put_there() {
    let (mut world, mut forger) = removed();
    let (at, me) = (rotation_at(&world), forger.id());
    let place = forger.after(&last_of(&world, &me));
    let (blob_id, payload) = forger.seal(&data(me, place));
    let joiner = world.devices.len();
    // In place of another blob, so that nothing moves.
    world.relay.lie_about_log(move |to, mut log| {
        if to == joiner {
            let mut forged = log.iter().find(|blob| blob.cursor == at.prev()).unwrap().clone();
            (forged.blob_id, forged.sender_id, forged.payload) = (blob_id, me, Some(payload.clone()));
            log.remove(5);
            log.insert(at.get() as usize - 2, forged);
            renumber(&mut log);
        }
        log
    });
    world.join(0);
    let alarms = world.alarms(joiner);
    assert!(alarms.iter().any(|event| matches!(event, Event::Forked { .. })), "{alarms:?}");
    assert!(alarms.iter().any(|event| matches!(event, Event::ChainBroken { .. })), "{alarms:?}");
    world.read(joiner);
    world.verdict().unwrap();
}

#[test]
fn contents_are_told_by_their_length_alone() {
    let body = [PLAIN, b"x"].concat();
    let place = Place::first(sync_types::ChainId([1; 16]));
    let text = format!("{:?}", Content { kind: Kind::Data, place, body });
    assert!(!text.contains("plain"), "{text}");
}
