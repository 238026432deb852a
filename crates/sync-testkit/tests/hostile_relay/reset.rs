//! Old copies of the log, and logs that start over again and again.

use std::collections::BTreeSet;

use sync_engine::{Command, EngineError, Event, Reply};
use sync_testkit::liar::World;
use sync_types::{Message, Notify, StoreId, StoredBlob};

use crate::tools::{no_alarms, says};

/// Every connection breaks.
fn cut(world: &mut World) {
    for n in 0..world.devices.len() {
        world.relay.close(n, None);
    }
    world.run();
}

#[test]
fn an_old_copy_with_the_same_id_is_noticed_and_made_whole() {
    let mut world = World::new(3);
    let old = world.push(0);
    let copy = world.relay.log.clone();
    let lost = [world.push(0), world.push(1), world.push(2)];
    for n in 0..3 {
        world.read(n);
    }
    cut(&mut world);
    world.relay.log = copy;
    world.wait(300);
    let resets = (0..3).filter(|n| world.events(*n).contains(&Event::RelayReset)).count();
    assert!(resets > 0, "somebody knows more than the copy");
    // Whoever comes now finds everything.
    let joiner = world.join(1);
    let read = world.read(joiner);
    assert!(lost.iter().chain([&old]).all(|data| read.contains(data)));
    for n in 0..3 {
        assert_eq!(world.read(n), Vec::<Vec<u8>>::new(), "device {n} has it all");
    }
    world.goes_on(&[]);
}

#[test]
fn an_old_copy_that_has_grown_in_another_way_is_noticed() {
    let mut world = World::new(3);
    let copy = world.relay.log.clone();
    world.push(0);
    let newest = world.relay.newest();
    world.read(1);
    world.disconnect(0);
    world.disconnect(1);
    cut(&mut world);
    // By the time that device 1 comes back, the old copy has as many blobs, and other ones.
    world.relay.log = copy;
    world.wait(60);
    while world.relay.newest() <= newest {
        world.push(2);
    }
    world.events(1);
    world.connect(1);
    says(&mut world, 1, |event| *event == Event::RelayReset);
    world.connect(0);
    world.goes_on(&[]);
}

#[test]
fn an_old_copy_that_has_grown_in_another_way_is_noticed_by_who_knew_more_than_its_app() {
    let mut world = World::new(3);
    let copy = world.relay.log.clone();
    let lost = world.push(0);
    let newest = world.relay.newest();
    // Its app has read nothing, so WELCOME says nothing of what it was shown.
    world.disconnect(0);
    world.disconnect(1);
    cut(&mut world);
    world.relay.log = copy;
    world.wait(60);
    let mut pushed = Vec::new();
    while world.relay.newest() <= newest {
        pushed.push(world.push(2));
    }
    for n in [0, 1] {
        world.events(n);
        world.connect(n);
        // As a relay names what is pending whenever a device comes in.
        let is_newest = |blob: &&StoredBlob| blob.cursor == newest;
        let StoredBlob { blob_id, cursor, sender_id, timestamp, payload, .. } =
            world.relay.log.iter().find(is_newest).unwrap().clone();
        for _ in 0..5 {
            let payload = payload.clone();
            world.say(n, Notify { blob_id, cursor, sender_id, timestamp, size: 0, payload });
            world.wait(60);
        }
        let events = world.events(n);
        let count = |wanted: Event| events.iter().filter(|event| **event == wanted).count();
        assert_eq!((count(Event::RelayMisbehaved), count(Event::RelayReset)), (3, 1), "{events:?}");
    }
    // What was lost came back with who pushed it, and nothing is read twice.
    pushed.push(lost);
    let read = world.read(1);
    assert_eq!(read.len(), pushed.len());
    assert_eq!(BTreeSet::from_iter(read), BTreeSet::from_iter(pushed));
    world.goes_on(&[]);
}

#[test]
fn nothing_that_was_read_is_read_again_after_a_reset() {
    let mut world = World::new(3);
    let pushed: Vec<_> = (0..6).map(|n| world.push(n % 2)).collect();
    world.read(2);
    // The relay pretends to have started over, and serves the same log once more.
    let mut store = 66;
    for _ in 0..3 {
        store += 1;
        world.relay.store_id = StoreId([store; 16]);
        cut(&mut world);
        world.wait(60);
        says(&mut world, 2, |event| *event == Event::RelayReset);
        assert_eq!(world.read(2), Vec::<Vec<u8>>::new());
    }
    assert!(pushed.iter().all(|data| world.has_read(2, data)));
    world.goes_on(&[]);
}

#[test]
fn endless_resets_make_nobody_push_without_end() {
    let mut world = World::new(2);
    for _ in 0..5 {
        world.push(0);
    }
    world.disconnect(1);
    let mut sent = Vec::new();
    for store in 100..120 {
        cut(&mut world);
        world.relay.wipe(store);
        let before = world.relay.heard.len();
        world.wait(120);
        sent.push(world.relay.heard[before..].iter().map(Vec::len).sum::<usize>());
    }
    // It was pushed again once; since then the device asks.
    assert!(sent[0] > 2_000 && sent[1..].iter().all(|bytes| *bytes < 2_000), "{sent:?}");
    says(&mut world, 0, |event| *event == Event::RestoreWaits);
    let id = world.command(0, Command::Flush);
    world.push(0);
    let late = world.command(0, Command::Flush);
    assert_eq!(world.devices[0].reply(id).unwrap().unwrap_err(), EngineError::RestoreWaits);
    assert_eq!(world.devices[0].reply(late).unwrap().unwrap_err(), EngineError::RestoreWaits);
    assert!(matches!(world.ask(0, Command::Restore), Ok(Reply::Done)));
    world.connect(1);
    world.wait(60);
    world.ask(1, Command::Restore).unwrap();
    world.goes_on(&[]);
    let all: BTreeSet<_> = world.devices[1].read.iter().map(|blob| blob.data.clone()).collect();
    assert_eq!(all.len(), world.devices[1].read.len());
}

#[test]
fn a_relay_that_says_that_everybody_has_everything_hides_no_loss() {
    let mut world = World::new(3);
    world.disconnect(2);
    // It says that all is delivered, so that nobody keeps anything, and loses it then.
    world.relay.lie(|say| match say.message {
        Message::DevicesResponse(mut list) => {
            list.devices
                .iter_mut()
                .for_each(|row| row.acked_cursor = sync_types::Cursor::new(1 << 40).unwrap());
            vec![list.into()]
        }
        message => vec![message],
    });
    world.push(0);
    world.push(1);
    world.wait(2_000);
    cut(&mut world);
    world.relay.wipe(77);
    world.relay.be_honest();
    world.wait(60);
    world.push(0);
    world.push(1);
    world.connect(2);
    world.wait(60);
    let alarms = world.alarms(2);
    assert!(alarms.contains(&Event::RelayReset), "{alarms:?}");
    assert!(alarms.iter().any(|event| matches!(event, Event::HistoryTruncated { .. })), "{alarms:?}");
    world.goes_on(&[]);
    no_alarms(&mut world, &[]);
}
