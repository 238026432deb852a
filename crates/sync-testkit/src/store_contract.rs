//! What every store must do, whatever it is made of.
//!
//! [`run_all`] takes a [`Fixture`] that makes empty stores, and panics at the first promise that a
//! store does not keep. The reference model and the real stores run the same promises.

mod invites;
mod members;
mod rotations;
mod time;
mod tools;

use core::future::Future;

use sync_relay_core::Policy;
use sync_relay_core::store::{
    Admit, Backlog, InviteStatus, NewBlob, Origin, PullPage, PushOp, ReadOp, ReadResult, Refusal, Seen,
    Stats, Store, WriteOp, WriteResult,
};
use sync_types::limits::MAX_INLINE_NOTIFY;
use sync_types::{AuthKey, Cursor, DeviceId, Epoch, KeyLink, KeyLog, StoreId, UnixMs};

use members::group_delete;
use tools::{
    GROUP, OTHER, TOKEN, ack, acked, admit, apply, backlog, blob, clean_up, come, cursor, cursors, device,
    devices, genesis, group, invite, leave, log, page, pair, placed, push, push_in, stats, status, write,
};

/// Makes the stores to be tested.
pub trait Fixture: Sync {
    /// What is tested.
    type Store: Store;

    /// An empty store, apart from all others.
    fn fresh(&self, policy: Policy) -> impl Future<Output = Self::Store> + Send;

    /// The same store after a restart.
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Self::Store> + Send;

    /// The store's id.
    fn store_id(&self, store: &Self::Store) -> StoreId;
}

/// Every promise, each on a store of its own.
pub async fn run_all<F: Fixture>(fixture: &F) {
    cursors_start_at_1_and_have_no_gaps(fixture).await;
    cursors_go_on_after_a_restart_and_after_all_blobs_are_gone(fixture).await;
    a_retry_gets_the_first_cursor_and_other_bytes_conflict(fixture).await;
    groups_do_not_touch_each_other(fixture).await;
    a_batch_is_stored_whole_or_not_at_all(fixture).await;
    a_refused_write_does_not_touch_its_neighbours(fixture).await;
    acknowledgements_move_forward_only(fixture).await;
    hello_acknowledges_only_under_the_same_store(fixture).await;
    groups_are_made_within_limits(fixture).await;
    what_groups_of_one_origin_take_is_bounded(fixture).await;
    epochs_are_checked_in_the_transaction(fixture).await;
    a_full_group_makes_room_only_of_what_everyone_has(fixture).await;
    a_full_store_refuses(fixture).await;
    pages_are_bounded_by_count_and_bytes(fixture).await;
    a_backlog_tells_the_newest(fixture).await;
    devices_are_listed(fixture).await;
    invites::an_invite_is_claimed_once(fixture).await;
    invites::an_invite_expires_and_is_taken_back(fixture).await;
    members::who_leaves_is_out_and_holds_nothing_up(fixture).await;
    members::a_deleted_group_is_gone_and_does_not_come_back_for_ninety_days(fixture).await;
    members::who_is_out_is_told_so_when_it_reads(fixture).await;
    rotations::a_rotation_removes_whom_it_has_no_lockbox_for(fixture).await;
    rotations::a_rotation_is_stored_once_and_stays(fixture).await;
    rotations::of_two_rotations_the_first_wins(fixture).await;
    rotations::what_is_in_one_batch_with_a_rotation_is_before_or_after_it(fixture).await;
    rotations::a_device_that_slept_comes_in_to_fetch_its_rotation(fixture).await;
    rotations::a_relay_that_was_wiped_gets_its_rotations_back(fixture).await;
    rotations::a_full_group_can_be_rotated_and_a_full_store_cannot(fixture).await;
    time::a_blob_is_deleted_when_every_device_has_it(fixture).await;
    time::what_expires_leaves_a_stub_until_every_device_has_it(fixture).await;
    time::stubs_make_room_first(fixture).await;
    time::devices_that_stay_away_are_not_waited_for(fixture).await;
    time::a_group_that_nobody_uses_goes_with_everything(fixture).await;
    time::a_relay_that_was_off_lets_devices_come_first(fixture).await;
    time::invites_and_tombstones_go_when_their_time_is_over(fixture).await;
    time::a_cleanup_in_a_batch_does_not_disturb_its_neighbours(fixture).await;
    everything_is_still_there_after_a_restart(fixture).await;
}

async fn cursors_start_at_1_and_have_no_gaps<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    assert_eq!(page(&store, GROUP, 0, 10, 1000).await.max_cursor, Cursor::ZERO);
    assert_eq!(cursors(apply(&store, &[push(1, b"a")]).await), [1]);
    let both = PushOp { blobs: vec![blob(2, b"b"), blob(3, b"c")], ..push_in(GROUP, 2, vec![]) };
    let batch = [WriteOp::Push(both), push(4, b"")];
    assert_eq!(cursors(apply(&store, &batch).await), [2, 3, 4]);
    let expected = [(1, b"a".to_vec()), (2, b"b".to_vec()), (3, b"c".to_vec()), (4, vec![])];
    assert_eq!(log(&store, GROUP).await, expected);
    let page = page(&store, GROUP, 1, 1, 1000).await;
    assert_eq!((page.blobs[0].sender_id, page.blobs[0].timestamp), (device(2), UnixMs(20)));
    assert_eq!((page.max_cursor, page.oldest_cursor), (cursor(2), cursor(1)));
}

async fn cursors_go_on_after_a_restart_and_after_all_blobs_are_gone<F: Fixture>(fixture: &F) {
    let policy = Policy { max_group_storage: room(2, 10), ..Policy::default() };
    let store = pair(fixture, policy).await;
    assert_eq!(cursors(apply(&store, &[push(1, b"12345"), push(2, b"67890")]).await), [1, 2]);
    apply(&store, &[ack(1, 2), ack(2, 2)]).await;
    // Room for one of ten bytes is made of everything that there is.
    let store = fixture.reopen(store).await;
    assert_eq!(cursors(apply(&store, &[push(3, b"1234567890")]).await), [3]);
    assert_eq!(log(&store, GROUP).await, [(3, b"1234567890".to_vec())]);
    assert_eq!(stats(&store).await, Stats { groups: 1, blobs: 1 });
    let store = fixture.reopen(store).await;
    apply(&store, &[ack(1, 3), ack(2, 3)]).await;
    assert_eq!(cursors(apply(&store, &[push(4, b"1")]).await), [4]);
    let page = page(&store, GROUP, 0, 10, 1000).await;
    assert_eq!(page.oldest_cursor, cursor(1), "nothing was dropped that somebody lacked");
}

async fn a_retry_gets_the_first_cursor_and_other_bytes_conflict<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a"), push(2, b"b")]).await;
    let retry = PushOp { now: UnixMs(99), ..push_in(GROUP, 1, vec![blob(1, b"a")]) };
    let again = placed(write(&store, WriteOp::Push(retry)).await).expect("a retry is safe");
    assert_eq!((again[0].cursor, again[0].stored_at, again[0].fresh), (cursor(1), UnixMs(20), false));
    assert_eq!(write(&store, push(1, b"x")).await, Err(Refusal::BlobConflict));
    let batch = [push(3, b"c"), push(3, b"c"), push(3, b"x")];
    let mut outcomes = apply(&store, &batch).await;
    assert_eq!(outcomes.pop(), Some(Err(Refusal::BlobConflict)), "within one batch, too");
    assert_eq!(cursors(outcomes), [3, 3]);
    let twice = push_in(GROUP, 1, vec![blob(4, b"d"), blob(4, b"d"), blob(1, b"a")]);
    assert_eq!(cursors(apply(&store, &[WriteOp::Push(twice)]).await), [4, 4, 1]);
    assert_eq!(log(&store, GROUP).await.len(), 4);
}

async fn groups_do_not_touch_each_other<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    come(&store, admit(OTHER, 1)).await.expect("a second group");
    let there = WriteOp::Push(push_in(OTHER, 1, vec![blob(1, b"theirs")]));
    let batch = [push(1, b"ours"), there, push(2, b"more")];
    assert_eq!(cursors(apply(&store, &batch).await), [1, 1, 2]);
    assert_eq!(log(&store, OTHER).await, [(1, b"theirs".to_vec())]);
    assert_eq!(log(&store, GROUP).await.len(), 2);
    let intruder = WriteOp::Push(push_in(OTHER, 2, vec![blob(9, b"")]));
    assert_eq!(write(&store, intruder).await, Err(Refusal::Revoked), "a device of another group");
    let nowhere = WriteOp::Push(push_in(77, 1, vec![blob(9, b"")]));
    assert_eq!(write(&store, nowhere).await, Err(Refusal::Unknown));
    assert_eq!(stats(&store).await, Stats { groups: 2, blobs: 3 });
}

async fn a_batch_is_stored_whole_or_not_at_all<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a")]).await;
    let bad = push_in(GROUP, 1, vec![blob(2, b"b"), blob(3, b"c"), blob(1, b"other")]);
    assert_eq!(write(&store, WriteOp::Push(bad)).await, Err(Refusal::BlobConflict));
    assert_eq!(log(&store, GROUP).await, [(1, b"a".to_vec())]);
    let many = (10..522).map(|n| blob(n, &n.to_be_bytes())).collect();
    let stored = cursors(apply(&store, &[WriteOp::Push(push_in(GROUP, 1, many))]).await);
    assert_eq!(stored, (2..514).collect::<Vec<_>>(), "512 in one, in their order");
    assert_eq!(log(&store, GROUP).await[512], (513, 521_u32.to_be_bytes().to_vec()));
}

async fn a_refused_write_does_not_touch_its_neighbours<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a")]).await;
    let stranger = WriteOp::Push(push_in(GROUP, 9, vec![blob(8, b"")]));
    let batch = [push(2, b"b"), push(1, b"x"), ack(1, 1), stranger, push(3, b"c")];
    let outcomes = apply(&store, &batch).await;
    assert_eq!(outcomes[1], Err(Refusal::BlobConflict));
    assert_eq!(outcomes[2], Ok(WriteResult::Acknowledged));
    assert_eq!(outcomes[3], Err(Refusal::Revoked));
    assert_eq!(cursors(vec![outcomes[0].clone(), outcomes[4].clone()]), [2, 3]);
}

async fn acknowledgements_move_forward_only<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a"), push(2, b"b"), push(3, b"c")]).await;
    for (claim, stands) in [(2, 2), (1, 2), (100, 3), (0, 3)] {
        apply(&store, &[ack(2, claim)]).await;
        assert_eq!(acked(&store, 2).await, stands, "after {claim}");
    }
    assert_eq!(acked(&store, 1).await, 0, "of the other device");
    assert_eq!(write(&store, ack(9, 1)).await, Ok(WriteResult::Acknowledged), "of nobody");
}

async fn hello_acknowledges_only_under_the_same_store<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let store_id = fixture.store_id(&store);
    assert_ne!(store_id, StoreId::NONE);
    apply(&store, &[push(1, b"a"), push(2, b"b")]).await;
    let hello = |last, store_id| Admit { last_cursor: cursor(last), store_id, ..admit(GROUP, 2) };
    for (op, stands) in [
        (hello(2, StoreId([9; 16])), 0),
        (hello(2, StoreId::NONE), 0),
        (hello(1, store_id), 1),
        (hello(0, store_id), 1),
        (hello(50, store_id), 2),
    ] {
        assert_eq!(come(&store, op).await.map(|a| a.acked.get()), Ok(stands));
        assert_eq!(acked(&store, 2).await, stands);
    }
}

async fn groups_are_made_within_limits<F: Fixture>(fixture: &F) {
    let policy = Policy { max_groups: 1, max_devices_per_group: 2, ..Policy::default() };
    let store = pair(fixture, policy).await;
    assert_eq!(come(&store, admit(GROUP, 3)).await, Err(Refusal::TooManyDevices));
    assert!(come(&store, admit(GROUP, 2)).await.is_ok(), "a device that is known");
    assert_eq!(come(&store, admit(OTHER, 1)).await, Err(Refusal::TooManyGroups));
    let denied = Admit { may_create: false, ..admit(OTHER, 1) };
    assert_eq!(come(&store, denied).await, Err(Refusal::CreationDenied));
    assert_eq!(stats(&store).await.groups, 1, "who was refused has made nothing");
    let logless = Admit { key_log: None, ..admit(OTHER, 1) };
    assert_eq!(come(&store, logless).await, Err(Refusal::EpochUnknown));
    assert_eq!(write(&store, leave(2)).await, Ok(WriteResult::Left));
    assert!(come(&store, admit(GROUP, 3)).await.is_ok(), "in the place of one that left");
}

async fn what_groups_of_one_origin_take_is_bounded<F: Fixture>(fixture: &F) {
    // Of the 16 groups 4, of the 4 MiB one.
    let policy = Policy { max_groups: 16, max_db_size: 4 << 20, ..Policy::default() };
    let store = fixture.fresh(policy).await;
    let from = |group_no, origin: u8| Admit { origin: Some(Origin(origin)), ..admit(group_no, 1) };
    for group_no in 1..=4 {
        come(&store, from(group_no, 7)).await.expect("one of four");
    }
    assert_eq!(come(&store, from(5, 7)).await, Err(Refusal::OriginFull));
    come(&store, from(1, 7)).await.expect("it is there");
    come(&store, from(5, 9)).await.expect("from elsewhere");
    come(&store, admit(6, 1)).await.expect("from nowhere");

    let large = |group_no, n| push_in(group_no, 1, vec![blob(n, &vec![0; 400 * 1024])]);
    let batch = [1, 2].map(|group_no| WriteOp::Push(large(group_no, 1)));
    assert_eq!(cursors(apply(&store, &batch).await), [1, 1]);
    let store = fixture.reopen(store).await;
    let full = Refusal::GroupFull { held_by: None };
    assert_eq!(
        write(&store, WriteOp::Push(large(3, 1))).await,
        Err(full),
        "there is nothing of its own to go"
    );
    let held = Refusal::GroupFull { held_by: Some(device(1)) };
    assert_eq!(write(&store, WriteOp::Push(large(1, 2))).await, Err(held));
    for group_no in [5, 6] {
        let others = WriteOp::Push(large(group_no, 1));
        assert_eq!(cursors(vec![write(&store, others).await]), [1], "what is not of it goes on");
    }
    // A group makes room for itself, and no other.
    apply(&store, &[ack(1, 1)]).await;
    let batch = [large(3, 1), large(1, 2), large(3, 1)].map(WriteOp::Push);
    let outcomes = apply(&store, &batch).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Err(full), &Err(full)));
    assert_eq!(cursors(vec![outcomes[1].clone()]), [2]);

    // What is gone does not count.
    assert_eq!(write(&store, group_delete(2, 1, 0)).await, Ok(WriteResult::GroupDeleted));
    come(&store, from(7, 7)).await.expect("in its place");
    assert_eq!(come(&store, from(8, 7)).await, Err(Refusal::OriginFull));
    clean_up(&store, UnixMs(300)).await;
    assert_eq!(cursors(vec![write(&store, WriteOp::Push(large(3, 1))).await]), [1]);
    assert_eq!(come(&store, from(8, 7)).await, Err(Refusal::OriginFull));
}

async fn epochs_are_checked_in_the_transaction<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a")]).await;
    let link = |n| KeyLink { auth_key: AuthKey([n; 32]), content_hash: [n; 32], signature: [n; 64] };
    let rotated = |epoch: Epoch, links: &[u8], device_no| Admit {
        epoch,
        key_log: Some(KeyLog { genesis: genesis(GROUP), links: links.iter().map(|n| link(*n)).collect() }),
        ..admit(GROUP, device_no)
    };
    assert_eq!(come(&store, rotated(1, &[5], 2)).await.map(|a| a.epoch), Ok(1));
    let op = ReadOp::KeyLog { group: group(GROUP) };
    let log_now = store.read(&op).await.expect("the store works");
    assert!(matches!(log_now, ReadResult::KeyLog(Some(log)) if log.links == [link(5)]));
    assert_eq!(come(&store, rotated(1, &[6], 2)).await, Err(Refusal::KeyLogConflict));
    for device_no in [1, 3] {
        let old = Admit { key_log: None, ..admit(GROUP, device_no) };
        assert_eq!(come(&store, old).await, Err(Refusal::EpochStale), "nobody says that it is still in");
    }
    assert_eq!(write(&store, push(2, b"b")).await, Err(Refusal::EpochStale), "whose session goes on");
    assert_eq!(cursors(apply(&store, &[push(1, b"a")]).await), [1], "a retry may be late");
    let new = PushOp { epoch: 1, ..push_in(GROUP, 2, vec![blob(2, b"b")]) };
    assert_eq!(cursors(apply(&store, &[WriteOp::Push(new)]).await), [2]);
    assert_eq!(come(&store, admit(GROUP, 2)).await.map(|a| a.epoch), Ok(1), "it has proven the newest");
}

/// Room for so many blobs of so many bytes in all.
fn room(blobs: usize, bytes: usize) -> u64 {
    (blobs * NewBlob::OVERHEAD + bytes) as u64
}

async fn a_full_group_makes_room_only_of_what_everyone_has<F: Fixture>(fixture: &F) {
    let policy = Policy { max_group_storage: room(3, 10), ..Policy::default() };
    let store = pair(fixture, policy).await;
    apply(&store, &[push(1, b"1234"), push(2, b"5678")]).await;
    apply(&store, &[ack(1, 2)]).await;
    let full = Refusal::GroupFull { held_by: Some(device(2)) };
    assert_eq!(write(&store, push(3, b"abcd")).await, Err(full));
    assert_eq!(cursors(apply(&store, &[push(1, b"1234"), push(3, b"ab")]).await), [1, 3]);
    apply(&store, &[ack(2, 1)]).await;
    assert_eq!(cursors(apply(&store, &[push(4, b"cdef")]).await), [4]);
    let left: Vec<u64> = log(&store, GROUP).await.into_iter().map(|(cursor, _)| cursor).collect();
    assert_eq!(left, [2, 3, 4], "the oldest that both have made room");
    let huge = Refusal::GroupFull { held_by: None };
    assert_eq!(write(&store, push(5, &[0; 300])).await, Err(huge));

    // What never expires is never dropped for room.
    let policy = Policy { max_group_storage: room(2, 10), ..Policy::default() };
    let store = pair(fixture, policy).await;
    let for_ever = NewBlob { expires_at: None, ..blob(1, b"12345678") };
    apply(&store, &[WriteOp::Push(push_in(GROUP, 1, vec![for_ever]))]).await;
    apply(&store, &[ack(1, 1), ack(2, 1)]).await;
    let full = Refusal::GroupFull { held_by: None };
    assert_eq!(write(&store, push(2, b"1234")).await, Err(full));
    // Nor is a device to blame that has yet to acknowledge it.
    come(&store, admit(GROUP, 3)).await.expect("a new device");
    assert_eq!(write(&store, push(2, b"1234")).await, Err(full));
}

async fn a_full_store_refuses<F: Fixture>(fixture: &F) {
    let policy = Policy { max_db_size: 1 << 20, ..Policy::default() };
    let store = pair(fixture, policy).await;
    apply(&store, &[push(1, &[1; 1000])]).await;
    assert_eq!(write(&store, push(2, &vec![0; 1 << 20])).await, Err(Refusal::StoreFull));
    assert_eq!(cursors(apply(&store, &[push(1, &[1; 1000]), push(3, b"small")]).await), [1, 2]);
}

async fn pages_are_bounded_by_count_and_bytes<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let writes: Vec<_> = (1..=6).map(|n| push(n, &[n as u8; 100])).collect();
    apply(&store, &writes).await;
    let each = 100 + PullPage::BLOB_OVERHEAD;
    for (after, limit, max_bytes, expected, has_more) in [
        (0, 6, usize::MAX, vec![1, 2, 3, 4, 5, 6], false),
        (0, 5, usize::MAX, vec![1, 2, 3, 4, 5], true),
        (2, 2, usize::MAX, vec![3, 4], true),
        (4, 2, usize::MAX, vec![5, 6], false),
        (0, 10, 3 * each, vec![1, 2, 3], true),
        (0, 10, 3 * each - 1, vec![1, 2], true),
        (0, 10, 1, vec![1], true),
        (5, 10, 1, vec![6], false),
        (6, 10, usize::MAX, vec![], false),
        (60, 10, usize::MAX, vec![], false),
    ] {
        let page = page(&store, GROUP, after, limit, max_bytes).await;
        let got: Vec<u64> = page.blobs.iter().map(|blob| blob.cursor.get()).collect();
        let context = format!("after {after}, at most {limit} blobs and {max_bytes} bytes");
        assert_eq!((&got, page.has_more), (&expected, has_more), "{context}");
        let max = expected.last().copied().unwrap_or(after);
        assert_eq!(page.max_cursor.get(), max, "{context}");
    }
}

async fn a_backlog_tells_the_newest<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let empty = backlog(&store, 0, 32, true).await;
    assert_eq!((empty.max_cursor, empty.oldest_cursor), (cursor(0), cursor(1)));
    assert_eq!((empty.at_cursor, empty.newest), (None, vec![]));
    let mut writes: Vec<_> = (1..=4).map(|n| push(n, b"small")).collect();
    writes.push(push(5, &[0; MAX_INLINE_NOTIFY + 1]));
    apply(&store, &writes).await;
    let told = |backlog: &Backlog| -> Vec<(u64, u32, bool)> {
        let news = backlog.newest.iter();
        news.map(|n| (n.cursor.get(), n.size, n.payload.is_some())).collect()
    };
    let inline = backlog(&store, 1, 3, true).await;
    assert_eq!(told(&inline), [(3, 5, true), (4, 5, true), (5, 4097, false)]);
    assert_eq!(inline.at_cursor, Some(blob(1, b"").blob_id));
    assert_eq!(inline.max_cursor, cursor(5));
    let plain = backlog(&store, 4, 3, false).await;
    assert_eq!(told(&plain), [(5, 4097, false)]);
    let ahead = backlog(&store, 9, 3, false).await;
    assert_eq!((told(&ahead), ahead.at_cursor), (vec![], None));
}

async fn devices_are_listed<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let devices_seen = [(GROUP, 2), (GROUP, 9), (OTHER, 1)].map(|(g, d)| (group(g), device(d))).to_vec();
    let seen = Seen { devices: devices_seen, now: UnixMs(500) };
    write(&store, WriteOp::Seen(seen)).await.expect("noted");
    let renamed = Admit { name: b"new".to_vec(), ..admit(GROUP, 1) };
    come(&store, renamed).await.expect("let in");
    let listed = devices(&store, GROUP, 1).await.expect("a member");
    let rows: Vec<_> =
        listed.iter().map(|r| (r.device_id, r.device_name.as_slice(), r.last_seen.0, r.online)).collect();
    let expected: [(DeviceId, &[u8], u64, bool); 2] =
        [(device(1), b"new", 10, false), (device(2), &[2; 3], 500, false)];
    assert_eq!(rows, expected);
    assert_eq!(devices(&store, OTHER, 1).await, Err(Refusal::Unknown));
}

async fn everything_is_still_there_after_a_restart<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    let id = fixture.store_id(&store);
    apply(&store, &[push(1, b"a"), push(2, &[9; 70_000]), ack(2, 1), invite("one", 0)]).await;
    let before = (log(&store, GROUP).await, devices(&store, GROUP, 1).await, stats(&store).await);
    let store = fixture.reopen(store).await;
    assert_eq!(fixture.store_id(&store), id);
    let after = (log(&store, GROUP).await, devices(&store, GROUP, 1).await, stats(&store).await);
    assert_eq!(before, after);
    assert_eq!(status(&store, "one", TOKEN, 1).await, InviteStatus::Pending);
    assert_eq!(cursors(apply(&store, &[push(1, b"a"), push(3, b"c")]).await), [1, 3]);
}
