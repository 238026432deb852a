//! Absurd promises, refusals for good, and what is not the relay at all.

use sync_engine::{Break, Command, EngineError, Event, StopReason};
use sync_testkit::liar::World;
use sync_types::{DeviceSecret, Envelope, ErrorBody, ErrorCode, Message, StoreId};

use crate::tools::{broken, no_alarms, says, says_only};

/// A world in which device 1 is welcomed with other words.
fn welcomed(change: impl Fn(&mut sync_types::Welcome) + 'static) -> World {
    let mut world = World::new(2);
    world.relay.lie(move |say| match say.message {
        Message::Welcome(mut welcome) if say.to == 1 => {
            change(&mut welcome);
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.relay.close(1, None);
    world.wait(30);
    world
}

#[test]
fn another_protocol_than_before_is_refused() {
    for version in [0, 2, u16::MAX] {
        let mut world = welcomed(move |welcome| welcome.version = version);
        let stopped = world.devices[1].engine.status().stopped;
        assert_eq!(stopped, Some(StopReason::Downgraded { found: version, floor: 1 }));
        world.relay.be_honest();
        world.connect(1);
        world.goes_on(&[]);
    }
}

#[test]
fn another_key_is_refused_before_the_device_says_who_it_is() {
    let mut world = World::new(2);
    let expected = world.relay.key();
    world.relay.close(1, None);
    world.relay.change_key();
    let heard = world.relay.heard.len();
    world.wait(30);
    let found = world.relay.key();
    let stopped = world.devices[1].engine.status().stopped;
    assert_eq!(stopped, Some(StopReason::RelayKeyChanged { expected, found }));
    assert_eq!(world.relay.heard.len(), heard, "not a word");
    let id = world.command(1, Command::Flush);
    assert!(world.devices[1].reply(id).is_some());
    world.verdict().unwrap();
}

#[test]
fn a_relay_that_takes_nothing_is_refused() {
    for size in [0, 1_025, 4_095] {
        let mut world = welcomed(move |welcome| welcome.max_blob_size = size);
        says(&mut world, 1, |event| *event == Event::RelayMisbehaved);
        assert!(!world.devices[1].engine.status().connected);
        world.goes_on(&[]);
    }
}

#[test]
fn a_store_without_a_name_is_refused() {
    let mut world = welcomed(|welcome| welcome.store_id = StoreId::NONE);
    says(&mut world, 1, |event| *event == Event::RelayMisbehaved);
    world.goes_on(&[]);
}

#[test]
fn a_relay_that_takes_next_to_nothing_refuses_pushes_by_name() {
    let mut world = welcomed(|welcome| welcome.max_blob_size = 4_096);
    // What fits no more is refused at once, and not lost on the way.
    let data = vec![b'x'; 4_000];
    let push = Command::Push { data: zeroize::Zeroizing::new(data), ttl: None, token: None };
    assert_eq!(world.ask(1, push).unwrap_err(), EngineError::TooLarge { max: 3_072 });
    world.relay.be_honest();
    world.relay.close(1, None);
    world.wait(60);
    world.goes_on(&[]);
}

#[test]
fn a_limit_that_falls_below_what_waits_is_told_push_by_push() {
    let mut world = World::new(2);
    world.disconnect(1);
    let noise: Vec<u8> = (0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let push = Command::Push { data: zeroize::Zeroizing::new(noise), ttl: None, token: None };
    world.ask(1, push).unwrap();
    world.relay.lie(|say| match say.message {
        Message::Welcome(mut welcome) if say.to == 1 => {
            welcome.max_blob_size = 4_100;
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.connect(1);
    says_only(&mut world, 1, |event| {
        matches!(event, Event::PushRejected { code: ErrorCode::BlobTooLarge, .. })
    });
    // Its place is held: nobody takes it for withheld.
    world.goes_on(&[]);
    no_alarms(&mut world, &[0]);
}

#[test]
fn limits_without_bounds_are_not_believed() {
    let mut world = welcomed(|welcome| {
        welcome.max_blob_size = u32::MAX;
        welcome.default_ttl = u32::MAX;
        welcome.features = u32::MAX;
        welcome.pending_count = u32::MAX;
    });
    no_alarms(&mut world, &[1]);
    let data = vec![0; 65 << 20];
    let push = Command::Push { data: zeroize::Zeroizing::new(data), ttl: None, token: None };
    assert!(matches!(world.ask(1, push).unwrap_err(), EngineError::TooLarge { max } if max < 65 << 20));
    world.goes_on(&[]);
}

#[test]
fn refusals_for_good_stop_a_device_with_a_reason_and_delete_nothing() {
    for code in
        [ErrorCode::DeviceRevoked, ErrorCode::GroupDeleted, ErrorCode::Unauthenticated, ErrorCode::Conflict]
    {
        let mut world = World::new(2);
        world.disconnect(0);
        let data = world.push(0);
        world.relay.refuse(move |from, _| (from == 0).then_some(code));
        world.connect(0);
        let stopped = world.devices[0].engine.status().stopped;
        assert!(matches!(stopped, Some(StopReason::Refused { code: is, .. }) if is == code), "{stopped:?}");
        world.relay.be_honest();
        world.restart(0);
        world.wait(10);
        assert_eq!(world.read(1), [data]);
        world.goes_on(&[]);
    }
}

#[test]
fn a_device_that_is_told_that_it_is_removed_asks_nobody_else_to_believe_it() {
    let mut world = World::new(2);
    world.say(0, ErrorBody::new(ErrorCode::DeviceRevoked));
    let stopped = world.devices[0].engine.status().stopped;
    assert!(matches!(stopped, Some(StopReason::Refused { code: ErrorCode::DeviceRevoked, .. })));
    let is = world.id(0);
    assert!(!world.events(0).iter().any(|event| matches!(event, Event::DeviceRemoved { .. })));
    assert!(
        !world
            .events(1)
            .iter()
            .any(|event| matches!(event, Event::DeviceRemoved { device_id, .. } if *device_id == is))
    );
    world.connect(0);
    world.goes_on(&[]);
}

#[test]
fn conflicts_without_end_are_told_push_by_push() {
    let mut world = World::new(2);
    world.relay.refuse(|from, request| match request {
        Message::Push(_) | Message::PushBatch(_) if from == 0 => Some(ErrorCode::Conflict),
        _ => None,
    });
    world.push(0);
    world.wait(600);
    let alarms = world.alarms(0);
    assert!(alarms.iter().any(|event| matches!(event, Event::PushRenamed { .. })), "{alarms:?}");
    assert!(alarms.iter().any(|event| matches!(event, Event::PushRejected { .. })), "{alarms:?}");
    world.goes_on(&[]);
}

#[test]
fn chains_that_a_relay_makes_a_device_give_up_cannot_be_played_again() {
    let mut world = World::new(2);
    let first = world.relay.log[0].clone();
    let second = world.relay.log[1].clone();
    for _ in 0..20 {
        // One conflict, and the device goes on in a new chain.
        let mut once = true;
        world.relay.refuse(move |from, request| match request {
            Message::Push(_) if from == 0 && std::mem::take(&mut once) => Some(ErrorCode::Conflict),
            _ => None,
        });
        world.push(0);
        world.wait(5);
        world.push(0);
        world.wait(60);
        world.read(1);
    }
    says(&mut world, 0, |event| matches!(event, Event::PushRenamed { .. }));
    world.events(1);
    for old in [first, second] {
        world.relay.append(old.sender_id, old.blob_id, old.payload.unwrap());
    }
    world.show();
    let is = broken(&world, 0, Break::Repeated { seq: 1 });
    says(&mut world, 1, is);
    world.restart(1);
    assert_eq!(world.read(1), Vec::<Vec<u8>>::new());
    world.goes_on(&[]);
}

#[test]
fn words_of_another_relay_or_for_another_group_are_refused() {
    for change in 0..2 {
        let mut world = World::new(2);
        world.relay.forge_envelopes(move |envelope: &mut Envelope| match change {
            0 => envelope.sender_id = DeviceSecret::from_bytes([99; 32]).id(),
            _ => envelope.group_id = sync_types::GroupId([9; 32]),
        });
        world.push(0);
        for n in 0..2 {
            says(&mut world, n, |event| *event == Event::RelayMisbehaved);
        }
        world.goes_on(&[]);
    }
}
