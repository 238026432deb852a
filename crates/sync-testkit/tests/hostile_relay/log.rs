//! Lies about what is in the log.

use sync_engine::{Break, Command, EngineError, Event, Refused, Reply};
use sync_testkit::liar::{World, into_stub};
use sync_types::{BlobId, Cursor, ErrorCode, Message, Notify, StoredBlob, UnixMs};

use crate::tools::{broken, cursor, refused, says, says_only, truncated};

/// A world of three in which device 0 and device 1 push while device 2 is away; what device 0 pushed, with
/// its place in the log.
fn two_pushes() -> (World, [(Vec<u8>, Cursor); 2]) {
    let mut world = World::new(3);
    world.disconnect(2);
    let mut push = || {
        let data = world.push(0);
        (data, world.relay.newest())
    };
    let pushes = [push(), push()];
    world.push(1);
    (world, pushes)
}

fn swap(log: &mut [StoredBlob], a: Cursor, b: Cursor) {
    let at = |log: &[StoredBlob], cursor| log.iter().position(|blob| blob.cursor == cursor).unwrap();
    let (i, j) = (at(log, a), at(log, b));
    log.swap(i, j);
    (log[i].cursor, log[j].cursor) = (a, b);
}

fn edit(blob: &mut StoredBlob, change: impl Fn(&mut Vec<u8>)) {
    change(blob.payload.as_mut().unwrap());
}

#[test]
fn a_blob_that_is_dropped_is_missed() {
    let (mut world, [(_, dropped), (kept, _)]) = two_pushes();
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor != dropped);
        log
    });
    world.connect(2);
    let alarms = world.alarms(2);
    assert!(alarms.iter().any(truncated(dropped)), "{alarms:?}");
    assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
    assert!(world.read(2).contains(&kept));
    world.goes_on(&[]);
}

#[test]
fn the_last_blob_of_a_device_is_missed_when_another_one_s_comes() {
    let (mut world, [_, (_, last)]) = two_pushes();
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 2 || blob.cursor != last);
        log
    });
    world.connect(2);
    says_only(&mut world, 2, truncated(last));
    world.goes_on(&[]);
}

#[test]
fn the_newest_blobs_are_missed_when_the_relay_has_named_them() {
    let (mut world, [_, (_, last)]) = two_pushes();
    let newest = world.relay.newest();
    world.relay.lie(move |say| match say.message {
        Message::PullResponse(mut page) if say.to == 2 => {
            page.blobs.retain(|blob| blob.cursor < last);
            page.max_cursor = page.blobs.last().map_or(last.prev(), |blob| blob.cursor);
            vec![page.into()]
        }
        message => vec![message],
    });
    world.connect(2);
    says_only(&mut world, 2, truncated(newest));
    world.goes_on(&[]);
    assert!(world.devices[2].read.len() >= 5, "what was withheld has come");
}

#[test]
fn two_blobs_of_a_device_in_the_wrong_order_are_noticed() {
    let (mut world, [(first, a), (second, b)]) = two_pushes();
    world.relay.lie_about_log(move |_, mut log| {
        swap(&mut log, a, b);
        log
    });
    world.connect(2);
    let is = broken(&world, 0, Break::Reordered { seq: 2 });
    says(&mut world, 2, is);
    let read = world.read(2);
    assert!(read.contains(&first) && read.contains(&second));
    world.goes_on(&[]);
}

#[test]
fn a_blob_that_comes_again_is_shown_once() {
    let mut world = World::new(3);
    let data = world.push(0);
    assert_eq!(world.read(1), [data]);
    let blob = world.relay.log.last().unwrap().clone();
    world.relay.append(blob.sender_id, blob.blob_id, blob.payload.unwrap());
    world.push(2);
    let is = broken(&world, 0, Break::Repeated { seq: 2 });
    says(&mut world, 1, is);
    world.read(1);
    world.goes_on(&[]);
}

#[test]
fn a_blob_that_comes_again_to_whoever_has_not_read_it_is_shown_once() {
    let (mut world, [(data, at), _]) = two_pushes();
    let blob = world.relay.log.iter().find(|blob| blob.cursor == at).unwrap().clone();
    world.relay.append(blob.sender_id, blob.blob_id, blob.payload.unwrap());
    world.push(1);
    world.connect(2);
    let is = broken(&world, 0, Break::Repeated { seq: 2 });
    says(&mut world, 2, is);
    assert_eq!(world.read(2).iter().filter(|read| **read == data).count(), 1);
    world.restart(2);
    assert_eq!(world.read(2), Vec::<Vec<u8>>::new());
    world.goes_on(&[]);
}

#[test]
fn an_own_blob_that_comes_again_is_noticed() {
    let mut world = World::new(2);
    world.push(0);
    let blob = world.relay.log.last().unwrap().clone();
    world.relay.append(blob.sender_id, blob.blob_id, blob.payload.unwrap());
    world.push(1);
    for n in [0, 1] {
        let is = broken(&world, 0, Break::Repeated { seq: 2 });
        says(&mut world, n, is);
    }
    world.goes_on(&[]);
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    for at in [0, 3, 5, 40, 200] {
        let (mut world, [(changed, place), (kept, _)]) = two_pushes();
        world.relay.lie_about_log(move |_, mut log| {
            let blob = log.iter_mut().find(|blob| blob.cursor == place).unwrap();
            edit(blob, |payload| payload[at] ^= 1);
            log
        });
        world.connect(2);
        let alarms = world.alarms(2);
        assert!(
            alarms
                .iter()
                .any(|event| matches!(event, Event::BlobRefused { .. } | Event::RotationRefused { .. })),
            "byte {at}: {alarms:?}"
        );
        assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
        let read = world.read(2);
        assert!(read.contains(&kept) && !read.contains(&changed));
        world.goes_on(&[]);
    }
}

#[test]
fn a_changed_epoch_hides_nothing_from_who_may_not_read_the_past() {
    let mut world = World::new(2);
    let rotate = Command::Rotate { remove: Vec::new(), keep_history: false };
    assert!(matches!(world.ask(0, rotate), Ok(Reply::Done)));
    let joiner = world.join(0);
    world.read(joiner);
    world.events(joiner);
    world.disconnect(joiner);
    world.push(0);
    let at = world.relay.newest();
    world.relay.lie_about_log(move |_, mut log| {
        let blob = log.iter_mut().find(|blob| blob.cursor == at).unwrap();
        edit(blob, |payload| payload[4] = 0);
        log
    });
    world.connect(joiner);
    let is = refused(&world, 0, Refused::Unreadable);
    says_only(&mut world, joiner, is);
    world.goes_on(&[]);
}

#[test]
fn a_blob_in_another_device_s_name_does_not_open() {
    for name in [1, 2] {
        let (mut world, [(moved, at), (kept, _)]) = two_pushes();
        let other = world.id(name);
        world.relay.lie_about_log(move |_, mut log| {
            log.iter_mut().find(|blob| blob.cursor == at).unwrap().sender_id = other;
            log
        });
        world.connect(2);
        let is = refused(&world, name, Refused::Unreadable);
        says(&mut world, 2, is);
        let read = world.read(2);
        assert!(read.contains(&kept) && !read.contains(&moved));
        world.goes_on(&[]);
    }
}

#[test]
fn blobs_under_each_other_s_ids_do_not_open() {
    let (mut world, [(_, a), (_, b)]) = two_pushes();
    world.relay.lie_about_log(move |_, mut log| {
        let ids: Vec<BlobId> =
            [b, a].iter().map(|at| log.iter().find(|blob| blob.cursor == *at).unwrap().blob_id).collect();
        for (at, id) in [a, b].iter().zip(ids) {
            log.iter_mut().find(|blob| blob.cursor == *at).unwrap().blob_id = id;
        }
        log
    });
    world.connect(2);
    let alarms = world.alarms(2);
    let is = refused(&world, 0, Refused::Unreadable);
    assert_eq!(alarms.iter().filter(|event| is(event)).count(), 2, "{alarms:?}");
    world.goes_on(&[]);
}

#[test]
fn a_blob_of_another_group_does_not_open() {
    let (mut world, [(_, at), _]) = two_pushes();
    let mut other = World::other(1, 2);
    other.push(0);
    let foreign = other.relay.log.last().unwrap().clone();
    world.relay.lie_about_log(move |_, mut log| {
        let blob = log.iter_mut().find(|blob| blob.cursor == at).unwrap();
        (blob.payload, blob.blob_id) = (foreign.payload.clone(), foreign.blob_id);
        log
    });
    world.connect(2);
    let is = refused(&world, 0, Refused::Unreadable);
    says(&mut world, 2, is);
    world.goes_on(&[]);
}

#[test]
fn a_stub_of_what_has_not_expired_is_noticed() {
    let (mut world, [(_, at), (kept, _)]) = two_pushes();
    world.relay.lie_about_log(move |_, mut log| {
        into_stub(log.iter_mut().find(|blob| blob.cursor == at).unwrap());
        log
    });
    world.connect(2);
    let alarms = world.alarms(2);
    assert!(alarms.iter().any(truncated(at)), "{alarms:?}");
    assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
    assert!(world.read(2).contains(&kept));
    world.goes_on(&[]);
}

#[test]
fn what_is_said_to_have_expired_and_has_not_is_noticed() {
    let (mut world, [(_, at), (kept, _)]) = two_pushes();
    world.relay.lie(move |say| match say.message {
        Message::PullResponse(mut page) if say.to == 2 => {
            page.blobs.retain(|blob| blob.cursor > at);
            page.oldest_cursor = at.next();
            vec![page.into()]
        }
        message => vec![message],
    });
    world.connect(2);
    let alarms = world.alarms(2);
    assert!(alarms.iter().any(truncated(at)), "{alarms:?}");
    assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
    assert!(world.read(2).contains(&kept));
    world.goes_on(&[]);
}

#[test]
fn everything_is_said_to_have_expired_and_what_comes_is_still_read() {
    let (mut world, _) = two_pushes();
    world.relay.lie(move |say| match say.message {
        Message::PullResponse(mut page) if say.to == 2 => {
            let Some(Message::Pull(pull)) = say.request else { panic!() };
            page.blobs.clear();
            (page.max_cursor, page.has_more) = (pull.after_cursor, false);
            page.oldest_cursor = cursor(1 << 40);
            vec![page.into()]
        }
        message => vec![message],
    });
    world.connect(2);
    says(&mut world, 2, |event| matches!(event, Event::HistoryTruncated { .. }));
    world.goes_on(&[]);
}

/// A device reads the log twice when its app is behind: once for the chains, and again for the app.
fn read_by_the_engine() -> (World, Vec<Vec<u8>>, Cursor) {
    let mut world = World::new(2);
    let pushed: Vec<_> = (0..5).map(|_| world.push(0)).collect();
    let newest = world.relay.newest();
    world.restart(1);
    (world, pushed, newest)
}

#[test]
fn what_is_left_out_when_it_is_read_again_is_missed() {
    let (mut world, pushed, newest) = read_by_the_engine();
    let out = newest.prev().prev();
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor != out);
        log
    });
    assert_eq!(world.read(1), [&pushed[..2], &pushed[3..]].concat());
    says_only(&mut world, 1, truncated(out));
    world.goes_on(&[]);
}

#[test]
fn the_end_that_is_left_out_when_it_is_read_again_is_missed() {
    let (mut world, pushed, newest) = read_by_the_engine();
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor != newest);
        log
    });
    assert_eq!(world.read(1), pushed[..4]);
    says_only(&mut world, 1, truncated(newest));
    world.goes_on(&[]);
}

#[test]
fn what_is_swapped_or_changed_when_it_is_read_again_reaches_nobody() {
    for change in 0..3 {
        let (mut world, pushed, newest) = read_by_the_engine();
        world.relay.lie_about_log(move |_, mut log| {
            match change {
                0 => swap(&mut log, newest, newest.prev()),
                1 => edit(log.last_mut().unwrap(), |payload| payload[60] ^= 1),
                _ => {
                    let first = log[4].clone();
                    *log.last_mut().unwrap() = StoredBlob { cursor: newest, ..first };
                }
            }
            log
        });
        assert_eq!(world.read(1), Vec::<Vec<u8>>::new(), "change {change}");
        says_only(&mut world, 1, |event| *event == Event::RelayMisbehaved);
        world.relay.be_honest();
        world.wait(60);
        assert_eq!(world.read(1), pushed);
        world.goes_on(&[]);
    }
}

#[test]
fn what_expires_only_when_it_is_read_again_is_missed() {
    let (mut world, pushed, newest) = read_by_the_engine();
    world.relay.lie_about_log(move |_, mut log| {
        into_stub(log.last_mut().unwrap());
        log
    });
    assert_eq!(world.read(1), pushed[..4]);
    says_only(&mut world, 1, truncated(newest));
    world.goes_on(&[]);
}

#[test]
fn a_page_by_cursor_shows_what_was_read_before_or_nothing() {
    let (mut world, pushed, newest) = read_by_the_engine();
    let pull = || Command::Pull { after: cursor(3), limit: 0 };
    let data = |reply| match reply {
        Ok(Reply::Page(page)) => page.blobs.into_iter().map(|blob| blob.data).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(data(world.ask(1, pull())), pushed);
    let past = Command::Pull { after: cursor(10_000), limit: 0 };
    assert_eq!(data(world.ask(1, past)), Vec::<Vec<u8>>::new());
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor != newest.prev());
        log
    });
    assert_eq!(data(world.ask(1, pull())), [&pushed[..3], &pushed[4..]].concat());
    says_only(&mut world, 1, truncated(newest.prev()));
    world.relay.lie_about_log(move |_, mut log| {
        swap(&mut log, newest, newest.prev());
        log
    });
    assert_eq!(world.ask(1, pull()).unwrap_err(), EngineError::RelayMisbehaved);
    says_only(&mut world, 1, |event| *event == Event::RelayMisbehaved);
    world.goes_on(&[]);
}

#[test]
fn something_else_under_an_own_id_is_noticed() {
    let mut world = World::new(2);
    world.disconnect(0);
    world.push(0);
    // Its next blob's id, as the relay can guess: they count.
    let mut id = world.relay.log[1].blob_id;
    id.0[15] += 1;
    let (me, forged) = (world.id(0), world.relay.log[1].payload.clone().unwrap());
    world.relay.append(me, id, forged);
    world.connect(0);
    world.wait(60);
    let alarms = world.alarms(0);
    assert!(alarms.iter().any(refused(&world, 0, Refused::Unreadable)), "{alarms:?}");
    world.goes_on(&[]);
}

#[test]
fn what_turns_up_after_it_was_missed_breaks_nothing() {
    let (mut world, [(late, dropped), (kept, _)]) = two_pushes();
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor != dropped);
        log
    });
    world.connect(2);
    says(&mut world, 2, truncated(dropped));
    world.relay.be_honest();
    // The log is read again for an app that is behind, and there is more in it than before.
    world.restart(2);
    world.wait(1);
    let read = world.read(2);
    assert!(read.contains(&kept) && !read.contains(&late));
    assert!(matches!(world.ask(2, Command::Pull { after: Cursor::ZERO, limit: 0 }), Ok(Reply::Page(_))));
    assert_eq!(world.alarms(2), []);
    world.goes_on(&[]);
}

#[test]
fn a_blob_that_is_shown_late_is_shown_if_the_one_after_it_names_it() {
    let (mut world, [(first, dropped), (second, _)]) = two_pushes();
    let real = world.relay.log.iter().find(|blob| blob.cursor == dropped).unwrap().clone();
    world.relay.lie_about_log(move |_, mut log| {
        log.retain(|blob| blob.cursor != dropped);
        let cursor = log.last().unwrap().cursor.next();
        log.push(StoredBlob { cursor, ..real.clone() });
        log
    });
    world.connect(2);
    let is = broken(&world, 0, Break::Reordered { seq: 2 });
    says(&mut world, 2, is);
    let read = world.read(2);
    assert!(read.contains(&first) && read.contains(&second));
    world.verdict().unwrap();
}

/// What is left out after a tale of what has expired is told all the same.
fn excuses_nothing(tell: impl FnOnce(&mut World)) {
    let mut world = World::new(2);
    tell(&mut world);
    world.relay.be_honest();
    let data = world.push(0);
    assert_eq!(world.read(1).last(), Some(&data));
    world.events(1);
    world.relay.lie(|say| match say.message {
        Message::Notify(_) if say.to == 1 => Vec::new(),
        message => vec![message],
    });
    // What is over at once, as far as its sender knows.
    world.push_for(0, Some(1));
    let dropped = world.relay.newest();
    world.relay.be_honest();
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 1 || blob.cursor != dropped);
        log
    });
    world.push(0);
    says_only(&mut world, 1, truncated(dropped));
    world.goes_on(&[]);
}

#[test]
fn a_tale_about_the_end_excuses_nothing_that_is_left_out_later() {
    excuses_nothing(|world| {
        world.relay.lie(|say| match say.message {
            Message::Welcome(mut welcome) if say.to == 1 => {
                welcome.max_cursor = cursor(1_000_000);
                vec![welcome.into()]
            }
            message => vec![message],
        });
        world.relay.close(1, None);
        world.wait(60);
        says_only(world, 1, truncated(cursor(1_000_000)));
        // A smaller one after it makes it no truer.
        let notice = Notify {
            blob_id: BlobId([1; 16]),
            cursor: world.relay.newest().next().next(),
            sender_id: world.id(0),
            timestamp: UnixMs(0),
            size: 9,
            payload: None,
        };
        world.say(1, notice);
    });
}

#[test]
fn a_tale_in_a_page_of_another_session_excuses_nothing_that_is_left_out_later() {
    excuses_nothing(|world| {
        world.disconnect(1);
        world.push(0);
        world.relay.lie(|say| match say.message {
            Message::Welcome(mut welcome) if say.to == 1 => {
                welcome.max_cursor = cursor(1_000_000);
                vec![welcome.into()]
            }
            Message::PullResponse(mut page) if say.to == 1 && !page.blobs.is_empty() => {
                (page.has_more, page.oldest_cursor) = (true, cursor(1_000_001));
                vec![page.into()]
            }
            Message::PullResponse(_) if say.to == 1 => Vec::new(),
            message => vec![message],
        });
        world.connect(1);
        says_only(world, 1, truncated(cursor(1_000_000)));
        world.relay.be_honest();
        world.relay.close(1, None);
        world.wait(60);
    });
}

#[test]
fn a_tale_in_a_page_for_the_app_excuses_nothing_that_is_left_out_later() {
    excuses_nothing(|world| {
        world.push(0);
        world.relay.lie(|say| match say.message {
            Message::PullResponse(mut page) if say.to == 1 => {
                page.oldest_cursor = cursor(1_000_001);
                vec![page.into()]
            }
            message => vec![message],
        });
        world.ask(1, Command::Pull { after: Cursor::ZERO, limit: 0 }).unwrap();
    });
}

/// Device 1 is not shown one blob of device 0's, and never the end of the log; what it has to say of that.
fn never_at_the_end() -> (World, Break) {
    let mut world = World::new(2);
    world.relay.refuse(|from, request| match request {
        Message::Pull(_) if from == 1 => Some(ErrorCode::RateLimited),
        _ => None,
    });
    let mut left_out = None;
    world.relay.lie(move |say| match say.message {
        Message::Error(error) => vec![error.retry_after_ms(u32::MAX).into()],
        Message::Notify(mut notify) if say.to == 1 => {
            let dropped = *left_out.get_or_insert(notify.cursor);
            if notify.cursor == dropped {
                // There is always more to come.
                (notify.cursor, notify.payload) = (cursor(1_000_000), None);
            } else {
                notify.cursor = notify.cursor.prev();
            }
            vec![notify.into()]
        }
        message => vec![message],
    });
    world.push(0);
    world.push(0);
    let missing = Break::Missing { from: 2, to: 3 };
    let alarms = world.alarms(1);
    assert!(!alarms.iter().any(broken(&world, 0, missing)), "it may still come: {alarms:?}");
    (world, missing)
}

#[test]
fn what_was_missing_before_a_restart_is_told_after_it() {
    let (mut world, missing) = never_at_the_end();
    world.restart(1);
    world.wait(10);
    let is = broken(&world, 0, missing);
    says(&mut world, 1, is);
}

#[test]
fn what_is_missing_is_told_also_when_the_relay_never_shows_the_end() {
    let (mut world, missing) = never_at_the_end();
    world.wait(660);
    let is = broken(&world, 0, missing);
    says(&mut world, 1, is);
}

#[test]
fn holes_without_number_are_told() {
    let mut world = World::new(2);
    world.disconnect(1);
    let from = world.relay.newest();
    (0..60).for_each(|_| drop(world.push(0)));
    world.relay.lie_about_log(move |to, mut log| {
        log.retain(|blob| to != 1 || blob.cursor <= from || blob.cursor.get() % 2 == from.get() % 2);
        log
    });
    world.connect(1);
    let alarms = world.alarms(1);
    let told = alarms.iter().filter(|event| {
        matches!(event, Event::ChainBroken { how: Break::Missing { from, to }, .. } if from + 1 == *to)
    });
    assert_eq!(told.count(), 30, "{alarms:?}");
    world.goes_on(&[]);
}

#[test]
fn a_tale_about_the_end_excuses_nothing_that_is_left_out_when_it_is_read_again() {
    // It is found out by what turns up, or given up with its session.
    for turns_up in [true, false] {
        let mut world = World::new(2);
        // Shown to device 1, and not read by its app.
        world.push(0);
        let dropped = world.relay.newest();
        world.push(0);
        world.relay.lie(move |say| match say.message {
            Message::Welcome(mut welcome) if say.to == 1 => {
                welcome.max_cursor = cursor(1_000_000);
                vec![welcome.into()]
            }
            Message::PullResponse(mut page) if say.to == 1 && !turns_up => {
                (page.has_more, page.oldest_cursor) = (true, cursor(1_000_001));
                vec![page.into()]
            }
            message => vec![message],
        });
        if turns_up {
            world.relay.close(1, None);
        } else {
            world.disconnect(1);
            world.push(0);
            world.connect(1);
        }
        world.wait(60);
        says(&mut world, 1, |event| matches!(event, Event::HistoryTruncated { .. }));
        world.relay.be_honest();
        world.relay.close(1, None);
        world.wait(60);
        world.push(0);
        world.events(1);
        world.relay.lie_about_log(move |to, mut log| {
            log.retain(|blob| to != 1 || blob.cursor != dropped);
            log
        });
        world.ask(1, Command::Pull { after: Cursor::ZERO, limit: 0 }).unwrap();
        says_only(&mut world, 1, truncated(dropped));
        world.goes_on(&[]);
    }
}
