//! Promises about rotations: who is in, who is out, and what is stored.

use sync_relay_core::Policy;
use sync_relay_core::store::{
    Admit, DeleteOp, PullPage, PushOp, ReadOp, ReadResult, Refusal, RotateOp, Rotated, Store, WriteOp,
    WriteResult,
};
use sync_types::{StoreId, UnixMs};

use super::tools::{
    GROUP, ack, acked, admit, apply, blob, clean_up, come, cursor, cursors, device, devices, group, log,
    log_of, page, pair, push, push_in, read_page, rotate, rotated, rotation, stats, write,
};
use super::{Fixture, room};

/// A push by a session of a later epoch.
fn push_at(epoch: u32, device_no: u8, n: u32) -> WriteOp {
    WriteOp::Push(PushOp { epoch, ..push_in(GROUP, device_no, vec![blob(n, b"new")]) })
}

/// A HELLO of a later epoch.
fn hello(epoch: u32, device_no: u8, rotations: &[&RotateOp]) -> Admit {
    Admit { epoch, key_log: Some(log_of(rotations)), ..admit(GROUP, device_no) }
}

async fn listed(store: &impl Store, device_no: u8) -> Vec<u8> {
    let rows = devices(store, GROUP, device_no).await.expect("a member");
    rows.iter().map(|row| row.device_id.as_bytes()[0]).collect()
}

pub(super) async fn a_rotation_removes_whom_it_has_no_lockbox_for<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    come(&store, admit(GROUP, 3)).await.expect("a third device");
    apply(&store, &[push(1, b"a"), ack(1, 1)]).await;
    let op = rotate(1, &[1, 2, 8], 1);
    let done = rotated(&store, &op).await.expect("stored");
    assert_eq!((done.epoch, done.placed.cursor, done.placed.fresh), (1, cursor(2), true));
    assert_eq!(done.removed, [device(3)]);
    assert_eq!(log(&store, GROUP).await[1], (2, op.blob.payload.to_vec()));
    assert_eq!(listed(&store, 1).await, [1, 2, 8], "8 is a member before it has come in");
    assert_eq!((acked(&store, 1).await, acked(&store, 8).await), (1, 0));

    let store = fixture.reopen(store).await;
    let key_log = store.read(&ReadOp::KeyLog { group: group(GROUP) }).await.expect("the store works");
    assert_eq!(key_log, ReadResult::KeyLog(Some(log_of(&[&op]))));
    // With every log that it ever had, or could make up, and whatever it proves.
    for epoch in [0, 1] {
        let its_own = Admit { epoch, key_log: None, ..admit(GROUP, 3) };
        let newest = Admit { epoch, ..hello(1, 3, &[&op]) };
        let oldest = Admit { epoch: 0, ..admit(GROUP, 3) };
        for op in [its_own, newest, oldest] {
            assert_eq!(come(&store, op).await, Err(Refusal::Revoked));
        }
    }
    let forked = hello(1, 3, &[&rotate(1, &[3, 1], 1)]);
    assert_eq!(come(&store, forked).await, Err(Refusal::KeyLogConflict));
    let new_key = Admit { key_log: None, ..admit(GROUP, 4) };
    assert_eq!(come(&store, new_key).await, Err(Refusal::EpochStale), "as another device with the old key");
    for write_op in [push_at(0, 3, 5), push_at(1, 3, 5)] {
        assert_eq!(write(&store, write_op).await, Err(Refusal::Revoked));
    }
    let mut revenge = rotate(2, &[3], 2);
    assert_eq!(rotated(&store, &revenge).await, Err(Refusal::Revoked));
    revenge = rotate(2, &[1, 2, 3], 2);
    assert_eq!(rotated(&store, &revenge).await, Err(Refusal::RotationRevives { device: device(3) }));
    apply(&store, &[ack(3, 2), ack(1, 2), ack(2, 2), ack(8, 2)]).await;
    assert_eq!(cursors(apply(&store, &[push_at(1, 2, 5)]).await), [3]);
}

pub(super) async fn a_rotation_is_stored_once_and_stays<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let op = rotate(1, &[1, 2], 0);
    let first = rotated(&store, &op).await.expect("stored");
    let again = rotated(&store, &RotateOp { now: UnixMs(99), ..op.clone() }).await.expect("a retry is safe");
    assert_eq!((again.epoch, again.placed.cursor), (1, first.placed.cursor));
    assert_eq!((again.placed.stored_at, again.placed.fresh), (UnixMs(60), false));
    assert_eq!(again.removed, []);
    let mut other = rotate(2, &[1], 1);
    (other.epoch, other.blob.blob_id) = (1, op.blob.blob_id);
    assert_eq!(rotated(&store, &other).await, Err(Refusal::BlobConflict));
    assert_eq!(rotated(&store, &RotateOp { group: group(77), ..op.clone() }).await, Err(Refusal::Unknown));

    // Neither age nor anybody's wish removes it.
    apply(&store, &[ack(1, 1), ack(2, 1)]).await;
    let delete = DeleteOp {
        group: group(GROUP),
        device: device(1),
        epoch: 1,
        blob_id: op.blob.blob_id,
        now: UnixMs(0),
    };
    assert_eq!(write(&store, WriteOp::Delete(delete)).await, Err(Refusal::RotationStays));
    clean_up(&store, UnixMs(1_000_000_000)).await;
    assert_eq!(log(&store, GROUP).await, [(1, op.blob.payload.to_vec())]);
    assert_eq!(stats(&store).await.blobs, 1);
}

pub(super) async fn of_two_rotations_the_first_wins<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a")]).await;
    assert_eq!(rotated(&store, &rotate(1, &[1, 2], 0)).await, Err(Refusal::Behind));
    let (first, second) = (rotate(1, &[1, 2], 1), rotate(1, &[2, 1], 1));
    let batch = [rotation(&first), rotation(&second)];
    let outcomes = apply(&store, &batch).await;
    assert!(matches!(&outcomes[0], Ok(WriteResult::Rotated(Rotated { epoch: 1, .. }))));
    // Both have the same blob id here.
    assert_eq!(outcomes[1], Err(Refusal::BlobConflict));
    let mut second = second;
    second.blob.blob_id = blob(7, b"").blob_id;
    assert_eq!(rotated(&store, &second).await, Err(Refusal::EpochStale));
    let mut late = rotate(2, &[2, 1], 1);
    assert_eq!(rotated(&store, &late).await, Err(Refusal::Behind));
    late = rotate(2, &[2, 1], 2);
    late.epoch = 0;
    assert_eq!(rotated(&store, &late).await, Err(Refusal::EpochStale), "by an old session");
    late.epoch = 1;
    late.rotation.inner.push(0);
    assert_eq!(rotated(&store, &late).await, Err(Refusal::RotationForged));
    assert_eq!(rotated(&store, &rotate(2, &[2, 1], 2)).await.map(|done| done.epoch), Ok(2));
}

pub(super) async fn what_is_in_one_batch_with_a_rotation_is_before_or_after_it<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    come(&store, admit(GROUP, 3)).await.expect("a third device");
    let theirs = |n| WriteOp::Push(push_in(GROUP, 3, vec![blob(n, b"c")]));
    let batch = [
        push(1, b"a"),
        theirs(2),
        rotation(&rotate(1, &[1, 2], 2)),
        push(3, b"b"),
        theirs(4),
        push_at(1, 2, 5),
        ack(3, 3),
        rotation(&rotate(2, &[2], 4)),
        push_at(2, 2, 6),
    ];
    let outcomes = apply(&store, &batch).await;
    assert_eq!(outcomes[3], Err(Refusal::EpochStale));
    assert_eq!(outcomes[4], Err(Refusal::Revoked));
    let refused = [3, 4, 6];
    let stored = outcomes.iter().enumerate().filter(|(n, _)| !refused.contains(n));
    assert!(stored.clone().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    let store = fixture.reopen(store).await;
    assert_eq!(listed(&store, 2).await, [2]);
    // Through the eyes of the one who is left.
    let all =
        PullPage { group: group(GROUP), device: device(2), after: cursor(0), limit: 100, max_bytes: 9999 };
    let all = read_page(&store, all).await.expect("a member");
    let ids: Vec<_> = all.blobs.iter().map(|stored| (stored.cursor.get(), stored.blob_id)).collect();
    let expected = [1, 2, 1001, 5, 1002, 6].map(|n| blob(n, b"").blob_id);
    assert_eq!(ids, (1..).zip(expected).collect::<Vec<_>>());
}

pub(super) async fn a_device_that_slept_comes_in_to_fetch_its_rotation<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let (first, second) = (rotate(1, &[1, 2], 0), rotate(2, &[1, 2], 1));
    rotated(&store, &first).await.expect("stored");
    rotated(&store, &RotateOp { epoch: 1, ..second.clone() }).await.expect("stored");
    let slept = Admit { key_log: None, ..admit(GROUP, 2) };
    assert_eq!(come(&store, slept).await.map(|a| a.epoch), Ok(2), "told of the newest");
    assert_eq!(write(&store, push_at(0, 2, 5)).await, Err(Refusal::EpochStale), "but it only reads");
    assert_eq!(come(&store, hello(2, 2, &[&first, &second])).await.map(|a| a.epoch), Ok(2));
    assert_eq!(cursors(apply(&store, &[push_at(2, 2, 5)]).await), [3]);
}

pub(super) async fn a_relay_that_was_wiped_gets_its_rotations_back<F: Fixture>(fixture: &F) {
    let store = fixture.fresh(Policy::default()).await;
    let (first, second) = (rotate(1, &[1, 2, 3], 500), rotate(2, &[1, 2], 501));
    // 3, which was removed, is the first to come, with what it last knew. 2 sleeps.
    come(&store, hello(1, 3, &[&first])).await.expect("nobody knows better yet");
    assert_eq!(cursors(apply(&store, &[push_at(1, 3, 9)]).await), [1]);
    assert_eq!(come(&store, hello(2, 1, &[&first, &second])).await.map(|a| a.epoch), Ok(2));
    assert_eq!(write(&store, push_at(1, 3, 10)).await, Err(Refusal::EpochStale));
    for device_no in [2, 3] {
        let old = Admit { key_log: None, ..hello(1, device_no, &[]) };
        assert_eq!(come(&store, old).await, Err(Refusal::EpochStale));
    }
    come(&store, hello(2, 4, &[&first, &second])).await.expect("it joined after the rotations");

    let back = |op: &RotateOp| RotateOp { epoch: 2, ..op.clone() };
    let done = rotated(&store, &back(&first)).await.expect("stored");
    assert_eq!((done.epoch, done.placed.cursor, done.removed), (1, cursor(2), vec![]));
    let done = rotated(&store, &back(&second)).await.expect("stored");
    assert_eq!((done.epoch, done.placed.cursor, done.removed), (2, cursor(3), vec![device(3)]));
    let store = fixture.reopen(store).await;
    let slept = Admit { key_log: None, ..hello(1, 2, &[]) };
    assert_eq!(come(&store, slept).await.map(|a| a.epoch), Ok(2), "the rotation is for it");
    let removed = Admit { key_log: None, ..hello(1, 3, &[]) };
    assert_eq!(come(&store, removed).await, Err(Refusal::Revoked));
    assert_eq!(listed(&store, 1).await, [1, 2, 4]);
    let other = RotateOp { device: device(4), ..back(&rotate(2, &[4, 1], 3)) };
    let mut other = other;
    other.blob.blob_id = blob(7, b"").blob_id;
    assert_eq!(rotated(&store, &other).await, Err(Refusal::EpochStale), "another one of that epoch");
    assert_ne!(fixture.store_id(&store), StoreId::NONE);
    assert_eq!(page(&store, GROUP, 0, 10, usize::MAX).await.blobs.len(), 3);
}

pub(super) async fn a_full_group_can_be_rotated_and_a_full_store_cannot<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy { max_group_storage: room(1, 10), ..Policy::default() }).await;
    apply(&store, &[push(1, b"1234567890"), ack(1, 1)]).await;
    let full = Refusal::GroupFull { held_by: Some(device(2)) };
    assert_eq!(write(&store, push(2, b"")).await, Err(full));
    let done = rotated(&store, &rotate(1, &[1], 1)).await.expect("removing 2 must be possible");
    assert_eq!(done.removed, [device(2)]);
    // It goes for no other blob, however full the group is.
    let op = rotate(1, &[1], 1);
    let policy = Policy { max_group_storage: room(3, 10 + op.blob.payload.len()), ..Policy::default() };
    let store = pair(fixture, policy).await;
    apply(&store, &[push(1, b"12345")]).await;
    rotated(&store, &op).await.expect("stored");
    let big = |n| WriteOp::Push(PushOp { epoch: 1, ..push_in(GROUP, 1, vec![blob(n, &[7; 10])]) });
    assert_eq!(cursors(apply(&store, &[ack(1, 2), big(2), ack(1, 3), big(3)]).await[1..2].to_vec()), [3]);
    assert_eq!(log(&store, GROUP).await.len(), 2, "3 has taken the place of 2, which took that of 1");
    assert_eq!(log(&store, GROUP).await[0], (2, op.blob.payload.to_vec()));

    let store = pair(fixture, Policy { max_db_size: 1, ..Policy::default() }).await;
    assert_eq!(rotated(&store, &rotate(1, &[1], 0)).await, Err(Refusal::StoreFull));
    assert_eq!(come(&store, admit(GROUP, 2)).await.map(|a| a.epoch), Ok(0), "nothing of it was done");
    let store = pair(fixture, Policy { max_devices_per_group: 2, ..Policy::default() }).await;
    assert_eq!(rotated(&store, &rotate(1, &[1, 2, 8], 0)).await, Err(Refusal::TooManyDevices));
}
