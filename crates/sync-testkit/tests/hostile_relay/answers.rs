//! Lies in answers and in what nobody asked for.

use sync_engine::{Break, Command, EngineError, Event, Refused, Reply};
use sync_testkit::liar::World;
use sync_types::{BlobId, Cursor, ErrorBody, ErrorCode, Message, Notify, PullResponse, UnixMs};

use crate::tools::{broken, cursor, forked, refused, says, says_only, truncated};

fn misbehaved(event: &Event) -> bool {
    *event == Event::RelayMisbehaved
}

#[test]
fn an_acknowledgement_of_nothing_that_was_sent_is_none() {
    for lie in 0..2 {
        let mut world = World::new(2);
        world.relay.lie(move |say| match say.message {
            Message::PushAck(mut ack) => {
                match lie {
                    0 => ack.cursor = Cursor::ZERO,
                    _ => ack.blob_id = BlobId([1; 16]),
                }
                vec![ack.into()]
            }
            message => vec![message],
        });
        let data = world.push(0);
        says_only(&mut world, 0, misbehaved);
        assert_eq!(world.devices[0].engine.status().pending_push, 1);
        world.relay.be_honest();
        world.wait(60);
        assert_eq!(world.devices[0].engine.status().pending_push, 0);
        assert_eq!(world.read(1), [data]);
        world.goes_on(&[]);
    }
}

#[test]
fn an_acknowledgement_of_half_a_batch_is_none() {
    let mut world = World::new(2);
    world.disconnect(0);
    let pushed = [world.push(0), world.push(0), world.push(0)];
    world.relay.lie(|say| match say.message {
        Message::PushBatchAck(mut ack) => {
            ack.stored.pop();
            vec![ack.into()]
        }
        message => vec![message],
    });
    world.connect(0);
    says_only(&mut world, 0, misbehaved);
    world.goes_on(&[]);
    assert!(pushed.iter().all(|data| world.has_read(1, data)));
}

/// The relay acknowledges what device 0 pushes, for some cursor, and does not store it.
fn swallow(world: &mut World, at: impl Fn(Cursor) -> Cursor + 'static) {
    world.relay.lie(move |say| match say.message {
        Message::PushAck(mut ack) if say.to == 0 => {
            ack.cursor = at(ack.cursor);
            vec![ack.into()]
        }
        Message::Notify(_) => Vec::new(),
        message => vec![message],
    });
    world.disconnect(1);
    // The answer is on its way when the blob is dropped.
    let log = world.relay.log.clone();
    world.relay.lie_about_log(move |_, _| log.clone());
    world.push(0);
    world.relay.log.pop();
    world.relay.be_honest();
    world.connect(1);
}

#[test]
fn a_push_that_is_acknowledged_and_not_there_is_noticed_when_another_one_is_in_its_place() {
    let mut world = World::new(2);
    swallow(&mut world, |at| at);
    world.push(1);
    says_only(&mut world, 0, misbehaved);
    world.wait(60);
    world.push(1);
    let is = forked(&world, 1);
    says(&mut world, 0, is);
    world.push(0);
    let is = forked(&world, 0);
    says(&mut world, 1, is);
    world.verdict().unwrap();
}

#[test]
fn a_push_that_is_acknowledged_for_later_and_not_there_is_missed() {
    let mut world = World::new(2);
    swallow(&mut world, |at| at.next().next());
    let alarms = world.alarms(0);
    assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
    world.goes_on(&[]);
}

#[test]
fn a_push_that_is_acknowledged_for_a_place_that_was_read_is_missed() {
    let mut world = World::new(2);
    swallow(&mut world, |_| cursor(2));
    let is = broken(&world, 0, Break::Missing { from: 2, to: 3 });
    says_only(&mut world, 0, is);
    world.goes_on(&[]);
}

#[test]
fn pages_that_are_out_of_order_or_reach_elsewhere_are_refused() {
    let lies: [fn(&mut PullResponse); 6] = [
        |page| page.blobs.reverse(),
        |page| page.max_cursor = cursor(99),
        |page| page.max_cursor = cursor(1),
        |page| {
            page.blobs.clear();
            page.has_more = true;
        },
        |page| page.blobs[0].cursor = cursor(1),
        |page| {
            page.blobs.clear();
            page.max_cursor = cursor(99);
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut world = World::new(2);
        world.disconnect(1);
        let pushed = [world.push(0), world.push(0)];
        world.relay.lie(move |say| match say.message {
            Message::PullResponse(mut page) if say.to == 1 => {
                lie(&mut page);
                vec![page.into()]
            }
            message => vec![message],
        });
        world.connect(1);
        says_only(&mut world, 1, misbehaved);
        world.goes_on(&[]);
        assert!(pushed.iter().all(|data| world.has_read(1, data)), "lie {number}");
    }
}

#[test]
fn a_blob_and_a_stub_at_once_is_refused() {
    let mut world = World::new(2);
    world.disconnect(1);
    world.push(0);
    world.relay.lie(move |say| match say.message {
        Message::PullResponse(mut page) if say.to == 1 => {
            for blob in &mut page.blobs {
                blob.hash = Some(sync_types::BlobHash([1; 32]));
            }
            vec![page.into()]
        }
        message => vec![message],
    });
    world.connect(1);
    says_only(&mut world, 1, misbehaved);
    world.goes_on(&[]);
}

#[test]
fn a_cursor_that_never_was_is_missed_and_hides_nothing() {
    let mut world = World::new(2);
    let sender_id = world.id(0);
    let notify = Notify {
        blob_id: BlobId([1; 16]),
        cursor: cursor(1_000),
        sender_id,
        timestamp: UnixMs(0),
        size: 9,
        payload: None,
    };
    world.say(1, notify);
    says_only(&mut world, 1, truncated(cursor(1_000)));
    let data = world.push(0);
    assert_eq!(world.read(1), [data]);
    world.goes_on(&[]);
}

#[test]
fn a_newest_cursor_that_never_was_is_missed_and_hides_nothing() {
    let mut world = World::new(2);
    world.relay.lie(|say| match say.message {
        Message::Welcome(mut welcome) if say.to == 1 => {
            welcome.max_cursor = cursor(1_000);
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.relay.close(1, None);
    world.wait(60);
    says_only(&mut world, 1, truncated(cursor(1_000)));
    let data = world.push(0);
    assert_eq!(world.read(1), [data]);
    world.goes_on(&[]);
}

#[test]
fn another_blob_in_a_notice_than_in_the_log_is_noticed() {
    let mut world = World::new(3);
    world.push(0);
    let old = world.relay.log.last().unwrap().clone();
    // What the notice carries is an old blob; the log has the new one there.
    world.relay.lie(move |say| match say.message {
        Message::Notify(mut notify) if say.to == 1 => {
            (notify.blob_id, notify.payload) = (old.blob_id, old.payload.clone());
            vec![notify.into()]
        }
        message => vec![message],
    });
    world.push(0);
    let is = broken(&world, 0, Break::Repeated { seq: 2 });
    says_only(&mut world, 1, is);
    world.relay.be_honest();
    world.push(2);
    let is = broken(&world, 0, Break::Missing { from: 3, to: 4 });
    world.push(0);
    says(&mut world, 1, is);
    world.goes_on(&[]);
}

#[test]
fn garbage_in_a_notice_is_refused() {
    let mut world = World::new(2);
    world.relay.lie(move |say| match say.message {
        Message::Notify(mut notify) if say.to == 1 => {
            notify.payload = Some(vec![1; 300]);
            vec![notify.into()]
        }
        message => vec![message],
    });
    world.push(0);
    let is = refused(&world, 0, Refused::Unreadable);
    says_only(&mut world, 1, is);
    world.goes_on(&[]);
}

#[test]
fn an_answer_that_never_comes_ends_the_connection() {
    for mute in [0x21_u8, 0x11, 0x51] {
        let mut world = World::new(2);
        world.relay.lie(move |say| {
            let is_mute = say.to == 0 && say.message.msg_type() == mute;
            if is_mute { Vec::new() } else { vec![say.message] }
        });
        world.push(0);
        let asked = [
            world.command(0, Command::Devices),
            world.command(0, Command::Pull { after: Cursor::ZERO, limit: 0 }),
        ];
        // It says all the while that it is there.
        world.wait(400);
        says(&mut world, 0, misbehaved);
        for id in asked {
            let reply = world.devices[0].reply(id);
            assert!(matches!(reply, Some(Ok(_) | Err(EngineError::Unreachable))), "{mute:#x}: {reply:?}");
        }
        world.goes_on(&[]);
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let mut world = World::new(2);
    world.relay.lie(|say| match (&say.request, say.message) {
        (Some(Message::Devices(_)), _) => vec![sync_types::LeaveAck.into()],
        (_, message) => vec![message],
    });
    assert_eq!(world.ask(0, Command::Devices).unwrap_err(), EngineError::RelayMisbehaved);
    says_only(&mut world, 0, misbehaved);
    assert_eq!(world.devices[0].engine.status().stopped, None);
    world.goes_on(&[]);
}

#[test]
fn who_rotates_is_answered_once_also_when_the_relay_answers_another_question() {
    let mut world = World::new(2);
    world.relay.lie(|say| match (&say.request, say.message) {
        (Some(Message::Rotate(_)), _) => vec![sync_types::LeaveAck.into()],
        (_, message) => vec![message],
    });
    // A second answer would end the test: see how a device's replies are kept.
    assert_eq!(world.remove(0, &[]).unwrap_err(), EngineError::RelayMisbehaved);
    says_only(&mut world, 0, misbehaved);
    world.goes_on(&[]);
    assert_eq!(world.devices[0].engine.status().epoch, Some(1), "the relay had done it");
}

#[test]
fn a_flood_of_refusals_delays_and_loses_nothing() {
    let mut world = World::new(2);
    world.relay.refuse(|from, request| match request {
        Message::Hello(_) => None,
        _ => (from == 0).then_some(ErrorCode::Unavailable),
    });
    world.relay.lie(|say| match say.message {
        Message::Error(error) => vec![error.retry_after_ms(u32::MAX).into()],
        message => vec![message],
    });
    let data = world.push(0);
    assert_eq!(world.devices[0].engine.status().pending_push, 1);
    // However long the relay asks to wait, it is minutes.
    world.wait(310);
    world.relay.be_honest();
    world.wait(310);
    assert_eq!(world.read(1), [data]);
    for _ in 0..50 {
        world.say(0, ErrorBody::new(ErrorCode::Unavailable).retry_after_ms(u32::MAX));
        world.wait(1);
    }
    let events = world.events(0);
    assert!(events.contains(&Event::Disconnected { stopped: None }), "{events:?}");
    world.goes_on(&[]);
}

#[test]
fn a_relay_that_answers_every_pull_with_a_refusal_is_told_apart_from_an_empty_one() {
    let mut world = World::new(2);
    world.disconnect(1);
    world.push(0);
    world.relay.refuse(|_, request| match request {
        Message::Pull(_) => Some(ErrorCode::Unavailable),
        _ => None,
    });
    world.connect(1);
    let id = world.command(1, Command::Read { limit: 0, has: None });
    world.wait(60);
    assert!(world.devices[1].reply(id).is_none(), "it does not say that there is nothing");
    let status = world.devices[1].engine.status();
    assert!(status.last_cursor < status.max_cursor);
    world.relay.be_honest();
    world.wait(60);
    assert!(matches!(world.devices[1].reply(id), Some(Ok(Reply::Page(_)))));
}

#[test]
fn a_push_that_is_acknowledged_for_later_is_missed_also_when_everybody_is_said_to_have_it() {
    let mut world = World::new(2);
    // Nothing that is sent again, either.
    world.devices[0].engine.keep_sent(0);
    swallow(&mut world, |at| at.next().next());
    let alarms = world.alarms(0);
    assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
    world.goes_on(&[]);
}

#[test]
fn another_blob_where_a_push_was_acknowledged_is_never_an_expired_one() {
    let mut world = World::new(2);
    // What is over at once, as its sender is told.
    world.relay.lie(|say| match say.message {
        Message::Welcome(mut welcome) if say.to == 0 => {
            welcome.default_ttl = 60;
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.relay.close(0, None);
    world.wait(30);
    world.relay.be_honest();
    // It does not get to the end of the log meanwhile.
    world.relay.refuse(|from, request| match request {
        Message::Pull(_) if from == 0 => Some(ErrorCode::RateLimited),
        _ => None,
    });
    swallow(&mut world, Cursor::next);
    world.push(1);
    world.push(1);
    let alarms = world.alarms(0);
    assert!(alarms.iter().any(broken(&world, 0, Break::Missing { from: 2, to: 3 })), "{alarms:?}");
    world.verdict().unwrap();
}

#[test]
fn what_is_swallowed_is_kept_whoever_is_said_to_have_it() {
    let mut world = World::new(2);
    world.relay.lie(|say| match say.message {
        Message::PushAck(mut ack) if say.to == 0 => {
            ack.cursor = ack.cursor.next().next();
            vec![ack.into()]
        }
        Message::DevicesResponse(mut list) => {
            list.devices.iter_mut().for_each(|row| row.acked_cursor = cursor(1 << 40));
            vec![list.into()]
        }
        Message::Notify(_) => Vec::new(),
        // It does not get to the end of the log meanwhile.
        Message::PullResponse(_) if say.to == 0 => Vec::new(),
        message => vec![message],
    });
    let data = world.push(0);
    world.ask(0, Command::Devices).unwrap();
    world.relay.log.pop();
    world.relay.be_honest();
    world.relay.wipe(9);
    (0..2).for_each(|n| world.relay.close(n, None));
    world.wait(120);
    world.read(1);
    assert!(world.has_read(1, &data), "the relay has lost it, and its sender has not");
    world.goes_on(&[]);
}
