//! Promises about devices that go, and groups that do.

use sync_relay_core::Policy;
use sync_relay_core::store::{
    Acknowledge, Admit, GroupDeleteOp, PullPage, ReadOp, ReadResult, Refusal, Stats, Store, WriteOp,
    WriteResult,
};
use sync_types::{Cursor, UnixMs};

use super::tools::{
    GROUP, OTHER, ack, admit, apply, blob, clean_up, come, cursor, cursors, device, devices, group, leave,
    log, pair, push, push_in, read_page, rotate, rotated, stats, write,
};
use super::{Fixture, room};

const NINETY_DAYS: u64 = 90 * 24 * 60 * 60 * 1000;

pub(super) fn group_delete(group_no: u8, device_no: u8, epoch: u32) -> WriteOp {
    WriteOp::GroupDelete(GroupDeleteOp {
        group: group(group_no),
        device: device(device_no),
        epoch,
        now: UnixMs(100),
    })
}

pub(super) async fn who_leaves_is_out_and_holds_nothing_up<F: Fixture>(fixture: &F) {
    let policy = Policy { max_group_storage: room(2, 10), ..Policy::default() };
    let store = pair(fixture, policy).await;
    apply(&store, &[push(1, b"12345"), push(2, b"67890"), ack(1, 2)]).await;
    let full = Refusal::GroupFull { held_by: Some(device(2)) };
    assert_eq!(write(&store, push(3, b"a")).await, Err(full));
    assert_eq!(write(&store, leave(9)).await, Err(Refusal::Revoked), "it was never there");
    let theirs = WriteOp::Push(push_in(GROUP, 2, vec![blob(4, b"")]));
    let outcomes = apply(&store, &[leave(2), theirs.clone(), push(3, b"a"), ack(2, 2)]).await;
    assert_eq!(outcomes[0], Ok(WriteResult::Left));
    assert_eq!(outcomes[1], Err(Refusal::Revoked), "in the same batch already");
    assert_eq!(cursors(vec![outcomes[2].clone()]), [3], "which has the room, too");

    let store = fixture.reopen(store).await;
    assert_eq!(come(&store, admit(GROUP, 2)).await, Err(Refusal::Revoked));
    assert_eq!(write(&store, leave(2)).await, Err(Refusal::Revoked));
    assert_eq!(write(&store, theirs).await, Err(Refusal::Revoked));
    let listed = devices(&store, GROUP, 1).await.expect("a member");
    assert_eq!(listed.iter().map(|row| row.device_id).collect::<Vec<_>>(), [device(1)]);
}

pub(super) async fn a_deleted_group_is_gone_and_does_not_come_back_for_ninety_days<F: Fixture>(fixture: &F) {
    let policy = Policy { max_groups: 2, ..Policy::default() };
    let store = pair(fixture, policy).await;
    come(&store, admit(OTHER, 1)).await.expect("another group");
    let elsewhere = WriteOp::Push(push_in(OTHER, 1, vec![blob(1, b"theirs")]));
    let many = WriteOp::Push(push_in(GROUP, 2, (1..20).map(|n| blob(n, b"ours")).collect()));
    apply(&store, &[many, elsewhere]).await;
    assert_eq!(write(&store, group_delete(GROUP, 9, 0)).await, Err(Refusal::Revoked), "a stranger");
    assert_eq!(write(&store, group_delete(77, 1, 0)).await, Err(Refusal::Unknown));
    rotated(&store, &rotate(1, &[1, 2], 19)).await.expect("stored");
    assert_eq!(write(&store, group_delete(GROUP, 1, 0)).await, Err(Refusal::EpochStale));

    let outcomes = apply(&store, &[group_delete(GROUP, 1, 1), push(50, b"late"), leave(1)]).await;
    assert_eq!(outcomes[0], Ok(WriteResult::GroupDeleted));
    assert_eq!(outcomes[1], Err(Refusal::Unknown), "there is nothing to push to, in the same batch");
    assert!(outcomes[2].is_err());
    let store = fixture.reopen(store).await;
    let back = |now| Admit { now: UnixMs(now), ..admit(GROUP, 1) };
    assert_eq!(come(&store, back(100 + NINETY_DAYS - 1)).await, Err(Refusal::GroupDeleted));
    let key_log = store.read(&ReadOp::KeyLog { group: group(GROUP) }).await.expect("the store works");
    assert_eq!(key_log, ReadResult::KeyLog(None));
    assert!(come(&store, admit(3, 1)).await.is_ok(), "its place is free at once");
    clean_up(&store, UnixMs(200)).await;
    assert_eq!(stats(&store).await, Stats { groups: 2, blobs: 1 }, "nothing is left of it");
    assert_eq!(come(&store, back(300)).await, Err(Refusal::GroupDeleted), "but the memory");
    assert_eq!(log(&store, OTHER).await, [(1, b"theirs".to_vec())]);
    assert_eq!(write(&store, group_delete(3, 1, 0)).await, Ok(WriteResult::GroupDeleted));
    assert_eq!(come(&store, back(100 + NINETY_DAYS)).await.map(|a| a.epoch), Ok(0));
    assert_eq!(log(&store, GROUP).await, []);
    assert_eq!(cursors(apply(&store, &[push(1, b"new")]).await), [1]);
}

pub(super) async fn who_is_out_is_told_so_when_it_reads<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a"), leave(2)]).await;
    for (group_no, device_no, expected) in [
        (GROUP, 1, None),
        (GROUP, 2, Some(Refusal::Revoked)),
        (GROUP, 9, Some(Refusal::Revoked)),
        (OTHER, 1, Some(Refusal::Unknown)),
    ] {
        assert_eq!(refusals(&store, group_no, device_no).await, [expected; 3], "device {device_no}");
    }
    write(&store, group_delete(GROUP, 1, 0)).await.expect("deleted");
    assert_eq!(refusals(&store, GROUP, 1).await, [Some(Refusal::GroupDeleted); 3]);

    // Nor does an acknowledgement of one that is out count for anything.
    let gone = WriteOp::Acknowledge(Acknowledge {
        group: group(GROUP),
        device: device(1),
        cursor: cursor(1),
        now: UnixMs(0),
    });
    assert_eq!(write(&store, gone).await, Ok(WriteResult::Acknowledged));
}

/// What each kind of read says to a device.
async fn refusals(store: &impl Store, group_no: u8, device_no: u8) -> [Option<Refusal>; 3] {
    let (group, device) = (group(group_no), device(device_no));
    let page = PullPage { group, device, after: Cursor::ZERO, limit: 10, max_bytes: 1000 };
    let backlog = ReadOp::Backlog { group, device, last_cursor: Cursor::ZERO, limit: 10, inline: true };
    let backlog = store.read(&backlog).await.expect("the store works");
    [
        read_page(store, page).await.err(),
        devices(store, group_no, device_no).await.err(),
        match backlog {
            ReadResult::Refused(refusal) => Some(refusal),
            ReadResult::Backlog(_) => None,
            other @ (ReadResult::KeyLog(_)
            | ReadResult::Page(_)
            | ReadResult::Devices(_)
            | ReadResult::Invite(_)
            | ReadResult::Stats(_)) => panic!("a backlog gave {other:?}"),
        },
    ]
}
