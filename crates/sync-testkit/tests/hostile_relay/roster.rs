//! Lies about who is there.

use std::collections::BTreeSet;

use sync_engine::{Command, EngineError, Event, Reply};
use sync_testkit::liar::World;
use sync_types::{
    Cursor, DeviceId, DeviceRow, DeviceSecret, ErrorCode, Message, PeerPresence, Presence, Rotation, UnixMs,
};

use crate::tools::{names, no_alarms, roster, says_only};

fn shadow() -> DeviceId {
    DeviceSecret::from_bytes([99; 32]).id()
}

fn row(device_id: DeviceId) -> DeviceRow {
    DeviceRow {
        device_id,
        device_name: Vec::new(),
        acked_cursor: Cursor::ZERO,
        last_seen: UnixMs(0),
        online: true,
    }
}

fn unknown(event: &Event) -> bool {
    *event == Event::UnknownDevice { device_id: shadow() }
}

/// Who could open the newest rotation.
fn with_lockbox(world: &World) -> BTreeSet<DeviceId> {
    let rotation =
        world.relay.log.iter().rev().find_map(|blob| Rotation::decode(blob.payload.as_ref()?).ok());
    rotation.unwrap().lockboxes.iter().map(|lockbox| lockbox.device_id).collect()
}

#[test]
fn a_device_that_the_relay_has_made_up_is_no_member_and_gets_no_key() {
    let mut world = World::new(2);
    world.relay.lie(|say| match say.message {
        Message::DevicesResponse(mut list) => {
            list.devices.push(row(shadow()));
            vec![list.into()]
        }
        message => vec![message],
    });
    assert!(!roster(&mut world, 0).contains(&shadow()));
    assert!(names(&mut world, 0).iter().any(|(device, name)| *device == shadow() && name.is_none()));
    no_alarms(&mut world, &[0]);
    world.wait(300);
    for n in 0..2 {
        says_only(&mut world, n, unknown);
    }
    // It is said once, and a new key goes past it.
    world.wait(2_000);
    no_alarms(&mut world, &[0, 1]);
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    assert_eq!(with_lockbox(&world), BTreeSet::from([world.id(0), world.id(1)]));
    // It can be removed by name, so that the relay's own list is right again.
    let remove = vec![shadow()];
    assert!(matches!(world.ask(0, Command::Rotate { remove, keep_history: true }), Ok(Reply::Done)));
    world.goes_on(&[]);
}

#[test]
fn a_device_that_the_relay_has_made_up_is_noticed_when_it_comes_and_goes() {
    let mut world = World::new(2);
    let presence = PeerPresence { device_id: shadow(), status: 1, last_seen: UnixMs(0) };
    world.say(0, Presence::Peer(presence));
    world.wait(130);
    says_only(&mut world, 0, unknown);
    world.goes_on(&[]);
}

#[test]
fn a_device_that_a_new_key_shuts_out_is_named_only_if_it_is_still_there() {
    let mut world = World::new(2);
    let presence = PeerPresence { device_id: shadow(), status: 1, last_seen: UnixMs(0) };
    world.say(0, Presence::Peer(presence.clone()));
    world.wait(60);
    world.ask(1, Command::Rotate { remove: Vec::new(), keep_history: true }).unwrap();
    world.wait(130);
    no_alarms(&mut world, &[0]);
    world.say(0, Presence::Peer(presence));
    world.wait(130);
    says_only(&mut world, 0, unknown);
    world.goes_on(&[]);
}

#[test]
fn devices_without_number_fill_no_memory() {
    let mut world = World::new(2);
    for n in 0..3_000_u16 {
        let mut id = [7; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let device_id = DeviceId::from_bytes(id).unwrap();
        world.say(0, Presence::Peer(PeerPresence { device_id, status: 1, last_seen: UnixMs(0) }));
    }
    world.wait(600);
    let named = world.alarms(0).iter().filter(|event| matches!(event, Event::UnknownDevice { .. })).count();
    assert_eq!(named, 1_000);
    // One that joins is still told apart from them.
    let joiner = world.join(1);
    assert!(roster(&mut world, 0).contains(&world.id(joiner)));
    world.goes_on(&[]);
}

#[test]
fn an_invite_that_somebody_takes_who_never_shows_himself_is_misused() {
    let mut world = World::new(2);
    // Nobody has joined of late.
    world.wait(1_000);
    let thief = world.invite(0);
    assert!(matches!(world.ask(0, Command::InviteTaken), Ok(Reply::Done)));
    world.wait(60);
    no_alarms(&mut world, &[0]);
    world.wait(90);
    says_only(&mut world, 0, |event| *event == Event::InviteMisused);
    // A new key shuts him out.
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    let late = world.join_with(thief);
    world.wait(30);
    assert!(!world.devices[late].engine.status().connected);
    assert!(!roster(&mut world, 0).contains(&world.id(late)));
    world.goes_on(&[late]);
}

#[test]
fn names_that_the_relay_swaps_stay_with_their_devices() {
    let mut world = World::new(3);
    let before = names(&mut world, 0);
    world.relay.lie(|say| match say.message {
        Message::DevicesResponse(mut list) => {
            let first = list.devices[0].device_name.clone();
            let count = list.devices.len();
            for n in 0..count {
                list.devices[n].device_name =
                    list.devices.get(n + 1).map_or_else(|| first.clone(), |row| row.device_name.clone());
            }
            vec![list.into()]
        }
        message => vec![message],
    });
    assert_eq!(names(&mut world, 0), before);
    world.goes_on(&[]);
}

#[test]
fn a_member_that_the_relay_does_not_name_is_still_one_and_gets_the_new_key() {
    let mut world = World::new(3);
    let hidden = world.id(1);
    world.relay.lie(move |say| match say.message {
        Message::DevicesResponse(mut list) => {
            list.devices.retain(|row| row.device_id != hidden);
            vec![list.into()]
        }
        message => vec![message],
    });
    assert!(roster(&mut world, 0).contains(&hidden));
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    assert!(with_lockbox(&world).contains(&hidden));
    world.goes_on(&[]);
}

#[test]
fn a_newcomer_that_is_kept_from_a_device_is_not_locked_out_by_it() {
    let mut world = World::new(2);
    // Device 0 never hears of the newcomer, and rotates.
    let before = world.relay.newest();
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 0 || blob.cursor <= before);
        log
    });
    let joiner = world.join(1);
    world.push(joiner);
    let reply = world.remove(0, &[]).unwrap_err();
    assert!(matches!(reply, EngineError::Refused { code: ErrorCode::Behind, .. }), "{reply:?}");
    world.relay.view = None;
    world.wait(10);
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    assert!(with_lockbox(&world).contains(&world.id(joiner)));
    world.goes_on(&[]);
}

#[test]
fn presence_is_what_the_relay_says_and_nothing_more() {
    let mut world = World::new(2);
    let member = world.id(1);
    world.say(0, Presence::Peer(PeerPresence { device_id: member, status: 0, last_seen: UnixMs(0) }));
    assert!(world.events(0).contains(&Event::PresenceChanged { device_id: member, online: false }));
    assert!(roster(&mut world, 0).contains(&member));
    world.goes_on(&[]);
}
