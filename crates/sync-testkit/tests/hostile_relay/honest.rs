//! No false alarm: what honest relays and unlucky devices do.

use sync_engine::{Command, Event, Reply, StopReason};
use sync_testkit::liar::{World, into_stub, renumber};
use sync_types::{Cursor, ErrorCode, Message};

use crate::tools::{cursor, no_alarms, only_truncated, roster};

#[test]
fn devices_of_an_honest_relay_have_nothing_to_say_against_it() {
    let mut world = World::new(3);
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, 2]);
}

#[test]
fn a_new_key_reaches_everybody() {
    let mut world = World::new(3);
    assert!(matches!(world.remove(1, &[]), Ok(Reply::Done)));
    for n in 0..3 {
        let by = world.id(1);
        assert!(world.events(n).contains(&Event::KeyRotated { epoch: 1, by }), "device {n}");
    }
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, 2]);
    let fingerprints: Vec<_> = (0..3).map(|n| world.devices[n].engine.status().fingerprint).collect();
    assert!(fingerprints.iter().all(|one| one.is_some() && *one == fingerprints[0]));
}

#[test]
fn a_removal_is_no_cause_for_alarm() {
    let mut world = World::new(3);
    let gone = world.id(2);
    assert!(matches!(world.remove(0, &[2]), Ok(Reply::Done)));
    assert!(
        matches!(world.devices[2].engine.status().stopped, Some(StopReason::Refused { code, .. }) if code == ErrorCode::DeviceRevoked)
    );
    for n in 0..2 {
        let removed = Event::DeviceRemoved { device_id: gone, by: Some(world.id(0)) };
        assert!(world.events(n).contains(&removed));
        assert!(!roster(&mut world, n).contains(&gone));
    }
    world.wait(1_000);
    world.goes_on(&[2]);
    no_alarms(&mut world, &[0, 1]);
}

#[test]
fn a_device_that_slept_through_rotations_catches_up() {
    let mut world = World::new(3);
    let mut pushed = vec![world.push(0)];
    world.disconnect(2);
    for n in 0..3 {
        pushed.push(world.push(0));
        assert!(matches!(world.remove(n % 2, &[]), Ok(Reply::Done)));
        pushed.push(world.push(1));
    }
    world.connect(2);
    world.wait(1);
    let read = world.read(2);
    assert!(pushed.iter().all(|data| read.contains(data)));
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, 2]);
}

#[test]
fn pushes_made_off_line_before_a_rotation_arrive_after_it() {
    let mut world = World::new(3);
    world.disconnect(1);
    let pushed = [world.push(1), world.push(1)];
    assert!(matches!(world.remove(0, &[2]), Ok(Reply::Done)));
    world.push(0);
    world.connect(1);
    world.wait(60);
    let read = world.read(0);
    assert!(pushed.iter().all(|data| read.contains(data)));
    world.goes_on(&[2]);
    no_alarms(&mut world, &[0, 1]);
}

#[test]
fn who_joins_after_rotations_reads_what_was_before() {
    let mut world = World::new(3);
    let mut pushed = Vec::new();
    for n in 0..3 {
        pushed.extend([world.push(0), world.push(1), world.push(2)]);
        assert!(matches!(world.remove(n, &[]), Ok(Reply::Done)));
    }
    pushed.push(world.push(2));
    assert!(matches!(world.remove(0, &[2]), Ok(Reply::Done)));
    pushed.extend([world.push(0), world.push(1)]);
    let joiner = world.join(1);
    let read = world.read(joiner);
    assert!(pushed.iter().all(|data| read.contains(data)));
    world.goes_on(&[2]);
    no_alarms(&mut world, &[0, 1, joiner]);
}

#[test]
fn who_joins_without_history_reads_what_comes() {
    let mut world = World::new(2);
    let before = world.push(0);
    assert!(matches!(
        world.ask(0, Command::Rotate { remove: Vec::new(), keep_history: false }),
        Ok(Reply::Done)
    ));
    let after = world.push(1);
    let joiner = world.join(1);
    let read = world.read(joiner);
    assert!(read.contains(&after) && !read.contains(&before));
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, joiner]);
}

#[test]
fn two_that_rotate_at_once_both_have_their_way() {
    let mut world = World::new(3);
    let mut refused = false;
    world.relay.refuse(move |_, request| match request {
        Message::Rotate(_) if !std::mem::replace(&mut refused, true) => Some(ErrorCode::Behind),
        _ => None,
    });
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    assert!(matches!(world.remove(1, &[2]), Ok(Reply::Done)));
    world.goes_on(&[2]);
    no_alarms(&mut world, &[0, 1]);
}

#[test]
fn blobs_that_expired_unread_are_missed_and_nobody_is_blamed() {
    let mut world = World::new(3);
    world.disconnect(2);
    let cursors: Vec<_> = (0..4)
        .map(|n| {
            world.push_for(n % 2, Some(3_600));
            world.relay.newest()
        })
        .collect();
    world.wait(10_000);
    world.relay.log.iter_mut().filter(|blob| cursors.contains(&blob.cursor)).for_each(into_stub);
    world.push(0);
    world.push(1);
    world.connect(2);
    world.wait(1);
    assert!(only_truncated(&mut world, 2, *cursors.last().unwrap()));
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, 2]);
}

#[test]
fn blobs_that_were_dropped_unread_are_missed_and_nobody_is_blamed() {
    let mut world = World::new(3);
    world.disconnect(2);
    world.push_for(0, Some(3_600));
    world.push_for(1, Some(3_600));
    let newest = world.relay.newest();
    world.wait(10_000);
    world.relay.log.retain(|blob| blob.cursor < cursor(5));
    world.relay.oldest = newest.next();
    world.push(0);
    world.push(1);
    world.connect(2);
    world.wait(1);
    assert!(only_truncated(&mut world, 2, newest));
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, 2]);
}

#[test]
fn a_joiner_misses_what_made_room_and_blames_nobody() {
    let mut world = World::new(2);
    for _ in 0..4 {
        world.push(0);
        world.push(1);
    }
    // Everybody has them, so the relay may drop them before their time.
    let dropped = world.relay.log.len();
    world.relay.log.drain(5..dropped - 2);
    let joiner = world.join(1);
    world.wait(1);
    world.read(joiner);
    assert!(only_truncated(&mut world, joiner, cursor(dropped as u64 - 2)));
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1, joiner]);
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again() {
    let mut world = World::new(2);
    // The relay stores, and the line breaks before it can say so.
    world.relay.lie(|say| match say.message {
        Message::PushAck(_) => Vec::new(),
        _ => vec![say.message],
    });
    let data = world.push(0);
    world.relay.close(0, None);
    world.run();
    world.wait(10);
    assert_eq!(world.devices[0].engine.status().pending_push, 0, "it is in the log");
    world.relay.be_honest();
    world.relay.close(0, None);
    world.push(1);
    world.wait(10);
    assert_eq!(world.read(1), [data]);
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1]);
}

#[test]
fn a_device_restored_from_a_backup_goes_on_in_a_new_chain() {
    let mut world = World::new(3);
    let backup = world.devices[1].disk.clone();
    let lost = [world.push(1), world.push(1)];
    world.read(0);
    world.devices[1].disk = backup;
    world.restart(1);
    let new = world.push(1);
    world.wait(60);
    for n in [0, 2] {
        world.read(n);
        assert!(lost.iter().chain([&new]).all(|data| world.has_read(n, data)));
    }
    // A rotation by the restored device must not disown what it pushed before.
    world.disconnect(2);
    let unread = world.push(1);
    assert!(matches!(world.remove(1, &[]), Ok(Reply::Done)));
    world.connect(2);
    world.wait(1);
    assert_eq!(world.read(2), [unread]);
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 2]);
    world.events(1).retain(|event| !matches!(event, Event::PushRenamed { .. }));
}

#[test]
fn what_a_restored_device_pushed_before_counts_after_its_own_rotation() {
    let mut world = World::new(3);
    world.disconnect(2);
    let backup = world.devices[1].disk.clone();
    let before = [world.push(1), world.push(1)];
    world.devices[1].disk = backup;
    world.restart(1);
    world.push(1);
    world.wait(60);
    assert!(matches!(world.remove(1, &[]), Ok(Reply::Done)));
    world.connect(2);
    world.wait(1);
    world.read(2);
    assert!(before.iter().all(|data| world.has_read(2, data)));
    no_alarms(&mut world, &[0, 2]);
}

#[test]
fn a_wiped_relay_gets_back_what_it_lost() {
    let mut world = World::new(3);
    world.disconnect(2);
    let pushed = [world.push(0), world.push(1)];
    world.read(0);
    for n in 0..2 {
        world.relay.close(n, None);
    }
    world.run();
    world.relay.wipe(9);
    world.wait(60);
    world.connect(2);
    world.wait(60);
    let read = world.read(2);
    assert!(pushed.iter().all(|data| read.contains(data)));
    world.goes_on(&[]);
    for n in 0..3 {
        assert_eq!(world.alarms(n), [Event::RelayReset], "device {n}");
    }
}

#[test]
fn a_wiped_relay_gets_back_rotations_too() {
    let mut world = World::new(3);
    world.disconnect(2);
    let mut pushed = vec![world.push(0), world.push(1)];
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    pushed.extend([world.push(0), world.push(1)]);
    for n in 0..2 {
        world.relay.close(n, None);
    }
    world.run();
    world.relay.wipe(9);
    world.wait(120);
    world.connect(2);
    world.wait(120);
    let read = world.read(2);
    assert!(pushed.iter().all(|data| read.contains(data)));
    world.goes_on(&[]);
    for n in 0..3 {
        assert_eq!(world.alarms(n), [Event::RelayReset], "device {n}");
    }
}

#[test]
fn what_others_have_seen_goes_out_as_it_was_also_for_a_relay_that_lost_it_and_under_a_new_key() {
    let mut world = World::new(3);
    // Device 0 never hears that the relay has taken what it pushes.
    world.relay.lie(|say| match say.message {
        Message::PushAck(_) | Message::PushBatchAck(_) if say.to == 0 => Vec::new(),
        message => vec![message],
    });
    let pushed = [world.push(0), world.push(0)];
    world.disconnect(0);
    world.relay.be_honest();
    for n in 1..3 {
        world.relay.close(n, None);
    }
    world.run();
    world.relay.wipe(9);
    world.wait(60);
    // The new key's maker knows how far device 0 was heard; what comes differently is another's.
    assert!(matches!(world.remove(1, &[]), Ok(Reply::Done)));
    world.connect(0);
    world.wait(120);
    for n in 1..3 {
        let read = world.read(n);
        assert!(pushed.iter().all(|data| read.contains(data)), "device {n}");
    }
    world.goes_on(&[]);
    for n in 0..3 {
        assert_eq!(world.alarms(n), [Event::RelayReset], "device {n}");
    }
}

#[test]
fn a_relay_that_is_trusted_anew_gets_back_what_it_lost() {
    let mut world = World::new(2);
    world.disconnect(1);
    let pushed = world.push(0);
    world.relay.close(0, None);
    world.relay.change_key();
    world.relay.wipe(9);
    world.run();
    world.wait(60);
    assert!(matches!(world.devices[0].engine.status().stopped, Some(StopReason::RelayKeyChanged { .. })));
    for n in 0..2 {
        let key = world.relay.key();
        assert!(matches!(world.ask(n, Command::TrustRelay(key)), Ok(Reply::Done)));
        world.connect(n);
    }
    world.wait(60);
    assert!(world.read(1).contains(&pushed));
    world.goes_on(&[]);
}

#[test]
fn devices_that_come_leave_and_go_are_no_strangers() {
    let mut world = World::new(4);
    world.disconnect(1);
    assert!(matches!(world.ask(2, Command::Leave), Ok(Reply::Done)));
    assert!(matches!(world.remove(0, &[3]), Ok(Reply::Done)));
    world.wait(2_000);
    world.connect(1);
    world.wait(2_000);
    no_alarms(&mut world, &[0, 1]);
    world.goes_on(&[2, 3]);
}

#[test]
fn what_is_read_again_after_a_restart_is_what_was_read_before() {
    let mut world = World::new(2);
    let pushed: Vec<_> = (0..300).map(|_| world.push(0)).collect();
    world.restart(1);
    assert_eq!(world.read(1), pushed);
    no_alarms(&mut world, &[0, 1]);
    // Also when some of it has expired meanwhile.
    let pushed: Vec<_> = (0..10).map(|_| world.push(0)).collect();
    let newest = world.relay.newest();
    world.restart(1);
    world.relay.log.iter_mut().filter(|blob| blob.cursor == newest).for_each(into_stub);
    assert_eq!(world.read(1), pushed[..9]);
    assert_eq!(world.alarms(1), [Event::HistoryTruncated { up_to: newest }]);
    world.goes_on(&[]);
    no_alarms(&mut world, &[0, 1]);
}

#[test]
fn an_old_copy_of_the_relays_database_is_a_reset() {
    let mut world = World::new(2);
    let kept = world.push(0);
    world.read(1);
    let copy = world.relay.log.clone();
    let lost = world.push(0);
    for n in 0..2 {
        world.relay.close(n, None);
    }
    world.run();
    world.relay.log = copy;
    renumber(&mut world.relay.log);
    world.wait(60);
    world.read(1);
    assert!(world.has_read(1, &kept) && world.has_read(1, &lost));
    assert_eq!(world.alarms(0), [Event::RelayReset]);
    // By the time that the other one comes, all is as it was.
    no_alarms(&mut world, &[1]);
    world.goes_on(&[]);
    assert_ne!(world.relay.newest(), Cursor::ZERO);
}

#[test]
fn what_is_restored_of_an_older_chain_does_not_stand_in_the_way_of_the_newer_one() {
    let mut world = World::new(2);
    world.disconnect(1);
    let mut pushed: Vec<_> = (0..5).map(|_| world.push(0)).collect();
    // A device that was restored from a backup has its chain start over, and keeps what went before.
    let mut first = true;
    world.relay.refuse(move |from, request| match request {
        Message::Push(_) if from == 0 && std::mem::take(&mut first) => Some(ErrorCode::Conflict),
        _ => None,
    });
    pushed.extend([world.push(0), world.push(0)]);
    world.relay.refuse = None;
    world.relay.wipe(9);
    world.relay.close(0, None);
    world.wait(120);
    assert!(matches!(world.remove(0, &[]), Ok(Reply::Done)));
    pushed.extend((0..8).map(|_| world.push(0)));
    world.connect(1);
    world.wait(120);
    let read = world.read(1);
    let missing: Vec<_> = pushed.iter().filter(|data| !read.contains(data)).collect();
    assert!(missing.is_empty(), "{} of {} are missing", missing.len(), pushed.len());
    world.goes_on(&[]);
    for n in 0..2 {
        let mut alarms = world.alarms(n);
        alarms.retain(|event| !matches!(event, Event::PushRenamed { .. }));
        assert_eq!(alarms, [Event::RelayReset], "device {n}");
    }
}
