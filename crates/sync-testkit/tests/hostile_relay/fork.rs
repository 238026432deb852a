//! Two devices are shown two logs.

use sync_engine::Event;
use sync_testkit::liar::{World, renumber};
use sync_types::{Cursor, ErrorCode, Message, StoreId};

use crate::tools::{forked, no_alarms, says, says_only};

#[test]
fn two_blobs_at_one_cursor_are_a_fork() {
    let mut world = World::new(4);
    world.disconnect(2);
    world.disconnect(3);
    // Neither knows the other's when it pushes.
    world.disconnect(0);
    world.push(1);
    let at = world.relay.newest();
    world.push(0);
    // Until its push is stored, device 0 gets no news.
    world.relay.refuse(|from, request| match request {
        Message::Pull(_) if from == 0 => Some(ErrorCode::Unavailable),
        _ => None,
    });
    world.connect(0);
    world.relay.refuse = None;
    world.wait(5);
    // Device 3 is shown the two the other way round, after a tale of what has expired before them.
    world.relay.lie(|say| match say.message {
        Message::PullResponse(mut page) if say.to == 3 => {
            page.oldest_cursor = page.max_cursor.next();
            vec![page.into()]
        }
        message => vec![message],
    });
    world.relay.lie_about_log(move |to, mut log| {
        if to == 3 {
            let index = log.iter().position(|blob| blob.cursor == at).unwrap();
            log.swap(index, index + 1);
            (log[index].cursor, log[index + 1].cursor) = (at, at.next());
        }
        log
    });
    world.connect(2);
    world.connect(3);
    no_alarms(&mut world, &[0, 1, 2]);
    says_only(&mut world, 3, |event| matches!(event, Event::HistoryTruncated { .. }));
    world.push(3);
    for n in [0, 1, 2] {
        let is = forked(&world, 3);
        says_only(&mut world, n, is);
    }
    world.push(0);
    let is = forked(&world, 0);
    says_only(&mut world, 3, is);
    world.goes_on(&[]);
}

#[test]
fn a_log_that_lacks_a_blob_without_a_gap_is_a_fork() {
    let mut world = World::new(3);
    world.disconnect(2);
    world.push(0);
    let out = world.relay.newest();
    world.push(1);
    world.relay.lie_about_log(move |to, mut log| {
        if to == 2 {
            log.retain(|blob| blob.cursor != out);
            renumber(&mut log);
        }
        log
    });
    world.connect(2);
    // Whoever has seen more says so with everything that they push.
    world.push(1);
    let is = forked(&world, 1);
    says(&mut world, 2, is);
    world.relay.be_honest();
    world.disconnect(2);
    world.push(0);
    world.connect(2);
    world.wait(1);
    world.goes_on(&[]);
}

#[test]
fn a_device_that_is_given_a_store_of_its_own_is_told_and_tells() {
    let mut world = World::new(3);
    world.push(1);
    let other = StoreId([66; 16]);
    world.relay.lie(move |say| match say.message {
        Message::Welcome(mut welcome) if say.to == 1 => {
            welcome.store_id = other;
            vec![welcome.into()]
        }
        message => vec![message],
    });
    world.relay.close(1, None);
    world.wait(60);
    says(&mut world, 1, |event| *event == Event::RelayReset);
    world.push(1);
    for n in [0, 2] {
        let is = forked(&world, 1);
        says(&mut world, n, is);
    }
    world.goes_on(&[]);
}

#[test]
fn a_joiner_that_is_given_another_store_than_its_inviter_is_told() {
    let mut world = World::new(2);
    world.push(0);
    world.relay.lie(move |say| match say.message {
        Message::Welcome(mut welcome) if say.to == 2 => {
            welcome.store_id = StoreId([66; 16]);
            vec![welcome.into()]
        }
        message => vec![message],
    });
    let joiner = world.join(0);
    says(&mut world, joiner, |event| *event == Event::RelayReset);
    world.goes_on(&[]);
}

#[test]
fn a_log_that_the_inviter_saw_in_another_order_is_a_fork() {
    let mut world = World::new(2);
    world.push(0);
    let at = world.relay.newest();
    world.push(1);
    world.relay.lie_about_log(move |to, mut log| {
        if to == 2 {
            let index = log.iter().position(|blob| blob.cursor == at).unwrap();
            log.swap(index, index + 1);
            renumber(&mut log);
        }
        log
    });
    let joiner = world.join(0);
    let is = forked(&world, 0);
    says(&mut world, joiner, is);
}

#[test]
fn a_log_that_ends_before_what_the_inviter_saw_is_a_fork() {
    let mut world = World::new(2);
    world.push(0);
    let invite = world.invite(0);
    world.relay.lie_about_log(|to, mut log| {
        if to == 2 {
            log.pop();
        }
        log
    });
    let joiner = world.join_with(invite);
    let is = forked(&world, 0);
    says(&mut world, joiner, is);
    world.relay.be_honest();
    world.disconnect(joiner);
    world.goes_on(&[joiner]);
}

#[test]
fn a_history_that_the_inviter_did_not_see_is_a_fork() {
    let mut world = World::new(2);
    world.push(0);
    let out = world.relay.newest();
    world.push(1);
    let invite = world.invite(1);
    world.push(0);
    world.relay.lie_about_log(move |to, mut log| {
        if to == 2 {
            log.retain(|blob| blob.cursor != out);
            renumber(&mut log);
        }
        log
    });
    let joiner = world.join_with(invite);
    let is = forked(&world, 1);
    says(&mut world, joiner, is);
    assert_ne!(world.relay.newest(), Cursor::ZERO);
    world.verdict().unwrap();
}
