//! Promises about what goes with time, on a clock that the test moves.

use sync_relay_core::Policy;
use sync_relay_core::store::{
    Admit, Chore, Cleanup, Deleted, InviteStatus, NewBlob, Refusal, Seen, Stats, Store, WriteOp,
    WriteOutcome, WriteResult,
};
use sync_types::{StoredBlob, UnixMs};

use super::tools::{
    GROUP, OTHER, TOKEN, ack, admit, apply, blob, claim, claimed, clean_up, come, cursor, cursors, delete,
    device, devices, group, invite, leave, log, page, pair, push, push_in, rotate, rotated, stats, status,
    write,
};
use super::{Fixture, room};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

fn expiring(n: u32, bytes: &[u8], at: u64) -> WriteOp {
    let blob = NewBlob { expires_at: Some(UnixMs(at)), ..blob(n, bytes) };
    WriteOp::Push(push_in(GROUP, 1, vec![blob]))
}

/// Cleans up again and again from one time to another, as a relay does.
async fn pass(store: &impl Store, from: u64, to: u64) {
    let mut now = from;
    while now < to {
        clean_up(store, UnixMs(now)).await;
        now += 23 * HOUR;
    }
    clean_up(store, UnixMs(to)).await;
}

async fn seen(store: &impl Store, devices: &[u8], now: u64) {
    let devices = devices.iter().map(|n| (group(GROUP), device(*n))).collect();
    write(store, WriteOp::Seen(Seen { devices, now: UnixMs(now) })).await.expect("noted");
}

async fn blobs(store: &impl Store) -> Vec<StoredBlob> {
    page(store, GROUP, 0, 1000, usize::MAX).await.blobs
}

/// Cursors, with a minus where only a stub is left.
async fn outline(store: &impl Store) -> Vec<i64> {
    let outline = |blob: StoredBlob| {
        assert_eq!(blob.payload.is_none(), blob.hash.is_some(), "a payload or a hash");
        let cursor = blob.cursor.get() as i64;
        if blob.payload.is_some() { cursor } else { -cursor }
    };
    blobs(store).await.into_iter().map(outline).collect()
}

fn gone() -> WriteOutcome {
    Ok(WriteResult::Deleted(Deleted::Gone))
}

fn marked() -> WriteOutcome {
    Ok(WriteResult::Deleted(Deleted::Marked))
}

pub(super) async fn a_blob_is_deleted_when_every_device_has_it<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a"), push(2, b"b"), push(3, b"c"), ack(1, 3), ack(2, 1)]).await;
    assert_eq!(write(&store, delete(2, 1)).await, gone(), "anybody's");
    assert_eq!(outline(&store).await, [2, 3]);
    assert_eq!(write(&store, delete(1, 1)).await, gone(), "a retry is safe");
    assert_eq!(write(&store, delete(1, 77)).await, gone(), "it was never there");
    assert_eq!(write(&store, delete(1, 2)).await, marked());
    assert_eq!(write(&store, delete(1, 2)).await, marked());
    assert_eq!(write(&store, delete(9, 2)).await, Err(Refusal::Revoked));
    clean_up(&store, UnixMs(100)).await;
    assert_eq!(log(&store, GROUP).await.len(), 2, "who lacks it can still fetch it");
    apply(&store, &[ack(2, 2)]).await;
    let store = fixture.reopen(store).await;
    clean_up(&store, UnixMs(200)).await;
    assert_eq!(outline(&store).await, [3]);
    assert_eq!(stats(&store).await, Stats { groups: 1, blobs: 1 });
    assert_eq!(page(&store, GROUP, 0, 10, 1000).await.oldest_cursor, cursor(1), "nobody lacks anything");
    let again = apply(&store, &[push(3, b"c"), push(1, b"a")]).await;
    assert_eq!(cursors(again), [3, 4], "cursors go on");
    let outcomes = apply(&store, &[ack(2, 3), delete(1, 3), push(3, b"c")]).await;
    assert_eq!(outcomes[1], gone());
    assert_eq!(cursors(vec![outcomes[2].clone()]), [5], "in the same batch, too");
}

pub(super) async fn what_expires_leaves_a_stub_until_every_device_has_it<F: Fixture>(fixture: &F) {
    // Room for three blobs of ten bytes, or as much.
    let policy = Policy { max_group_storage: room(4, 30), ..Policy::default() };
    let store = pair(fixture, policy).await;
    let for_ever = WriteOp::Push(push_in(GROUP, 1, vec![NewBlob { expires_at: None, ..blob(4, b"") }]));
    apply(&store, &[expiring(1, &[1; 10], 1000), expiring(2, &[2; 10], 1000), expiring(3, &[3; 10], 2000)])
        .await;
    apply(&store, &[for_ever, ack(1, 4), ack(2, 1)]).await;
    clean_up(&store, UnixMs(999)).await;
    assert_eq!(outline(&store).await, [1, 2, 3, 4]);
    clean_up(&store, UnixMs(1000)).await;
    assert_eq!(outline(&store).await, [-2, 3, 4], "1 is everybody's");
    let stub = &blobs(&store).await[0];
    assert_eq!(stub.hash, Some(blob(2, &[2; 10]).hash));
    assert_eq!((stub.sender_id, stub.timestamp, stub.blob_id), (device(1), UnixMs(20), blob(2, b"").blob_id));
    assert_eq!(cursors(apply(&store, &[push(2, &[2; 10])]).await), [2], "a retry knows it by its hash");
    assert_eq!(write(&store, push(2, &[3; 10])).await, Err(Refusal::BlobConflict));
    assert_eq!(stats(&store).await.blobs, 3);
    // What the payloads took is free, what the stub takes is not.
    assert_eq!(cursors(apply(&store, &[push(5, &[5; 20])]).await), [5]);

    let store = fixture.reopen(store).await;
    apply(&store, &[ack(2, 2)]).await;
    clean_up(&store, UnixMs(2000)).await;
    assert_eq!(outline(&store).await, [-3, 4, 5]);
    apply(&store, &[ack(2, 5), ack(1, 5)]).await;
    clean_up(&store, UnixMs(2001)).await;
    assert_eq!(outline(&store).await, [4, 5]);
    assert_eq!(page(&store, GROUP, 0, 10, 1000).await.oldest_cursor, cursor(1));
    clean_up(&store, UnixMs(3_000_000)).await;
    assert_eq!(outline(&store).await, [4], "what never expires stays");
}

pub(super) async fn stubs_make_room_first<F: Fixture>(fixture: &F) {
    let policy = Policy { max_group_storage: room(4, 4), ..Policy::default() };
    let store = pair(fixture, policy).await;
    apply(&store, &[push(1, b"a"), expiring(2, b"b", 500), expiring(3, b"c", 500), push(4, b"d")]).await;
    apply(&store, &[ack(1, 4), ack(2, 1)]).await;
    clean_up(&store, UnixMs(500)).await;
    assert_eq!(outline(&store).await, [1, -2, -3, 4]);
    assert_eq!(cursors(apply(&store, &[push(5, b"e")]).await), [5]);
    assert_eq!(outline(&store).await, [1, -3, 4, 5]);
    let page = page(&store, GROUP, 0, 10, 1000).await;
    assert_eq!(page.oldest_cursor, cursor(3), "device 2 lacked it and will not hear of it");
    assert_eq!(cursors(apply(&store, &[push(6, b"f"), push(7, b"")]).await), [6, 7]);
    assert_eq!(outline(&store).await, [4, 5, 6, 7], "then what everybody has");
    let full = Refusal::GroupFull { held_by: Some(device(2)) };
    assert_eq!(write(&store, push(8, b"h")).await, Err(full));
    assert_eq!(stats(&store).await.blobs, 4);
}

pub(super) async fn devices_that_stay_away_are_not_waited_for<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[push(1, b"a"), push(2, b"b"), ack(1, 2)]).await;
    assert_eq!(write(&store, delete(1, 1)).await, marked(), "2 lacks it");
    // Device 1 is heard of each month, device 2 last at 10.
    for month in 1..=3 {
        pass(&store, (month - 1) * 30 * DAY, month * 30 * DAY).await;
        seen(&store, &[1], month * 30 * DAY).await;
    }
    assert_eq!(devices(&store, GROUP, 1).await.map(|rows| rows.len()), Ok(2), "not ninety days yet");
    let ready = come(&store, Admit { now: UnixMs(90 * DAY), ..admit(GROUP, 3) }).await;
    assert!(ready.is_ok());
    apply(&store, &[ack(3, 2)]).await;
    clean_up(&store, UnixMs(90 * DAY + HOUR)).await;
    assert_eq!(devices(&store, GROUP, 1).await.map(|rows| rows.len()), Ok(2));
    assert_eq!(devices(&store, GROUP, 2).await, Err(Refusal::Expired));
    assert_eq!(come(&store, admit(GROUP, 2)).await, Err(Refusal::Expired));
    let theirs = WriteOp::Push(push_in(GROUP, 2, vec![blob(9, b"")]));
    assert_eq!(write(&store, theirs).await, Err(Refusal::Expired));
    assert_eq!(outline(&store).await, [] as [i64; 0], "what only it lacked is gone");

    // A rotation that still names it does not bring it back, one that does not removes it.
    rotated(&store, &rotate(1, &[1, 2, 3], 2)).await.expect("it is no obstacle");
    assert_eq!(come(&store, admit(GROUP, 2)).await, Err(Refusal::Expired));
    let second = rotate(2, &[1, 3], 3);
    assert_eq!(rotated(&store, &second).await.map(|done| done.removed), Ok(vec![device(2)]));
    assert_eq!(come(&store, admit(GROUP, 2)).await, Err(Refusal::Revoked));
}

pub(super) async fn a_group_that_nobody_uses_goes_with_everything<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    come(&store, admit(OTHER, 1)).await.expect("another group");
    let for_ever = |n| NewBlob { expires_at: None, ..blob(n, b"x") };
    apply(&store, &[WriteOp::Push(push_in(GROUP, 1, (0..20).map(for_ever).collect()))]).await;
    // One leaves, the other falls silent later: it is not shut out of a group that still waits for it.
    pass(&store, 0, 10 * DAY).await;
    apply(&store, &[leave(1)]).await;
    seen(&store, &[1], 10 * DAY).await;
    pass(&store, 10 * DAY, 99 * DAY).await;
    assert!(come(&store, Admit { now: UnixMs(10), ..admit(GROUP, 2) }).await.is_ok());
    assert_eq!(stats(&store).await, Stats { groups: 1, blobs: 20 }, "the other group was empty");
    pass(&store, 99 * DAY, 100 * DAY).await;
    assert_eq!(stats(&store).await, Stats { groups: 0, blobs: 0 });
    let back = come(&store, Admit { now: UnixMs(100 * DAY), ..admit(GROUP, 2) }).await;
    assert!(back.is_ok(), "and it may begin anew");
    assert_eq!(cursors(apply(&store, &[WriteOp::Push(push_in(GROUP, 2, vec![blob(1, b"")]))]).await), [1]);

    // A group that all have left goes at once when nothing lies in it.
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[leave(1), leave(2)]).await;
    clean_up(&store, UnixMs(100)).await;
    assert_eq!(stats(&store).await.groups, 0);
}

pub(super) async fn a_relay_that_was_off_lets_devices_come_first<F: Fixture>(fixture: &F) {
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[expiring(1, b"a", HOUR), push(2, b"b"), ack(1, 2)]).await;
    clean_up(&store, UnixMs(1000)).await;
    let year = 365 * DAY;
    let store = fixture.reopen(store).await;
    pass(&store, year, year + DAY - HOUR).await;
    assert_eq!(outline(&store).await, [1, 2], "nobody could come to fetch it");
    assert_eq!(devices(&store, GROUP, 1).await.map(|rows| rows.len()), Ok(2));
    seen(&store, &[1], year + DAY - HOUR).await;
    clean_up(&store, UnixMs(year + DAY)).await;
    assert_eq!(devices(&store, GROUP, 1).await.map(|rows| rows.len()), Ok(1), "it had its day");
    assert_eq!(outline(&store).await, [] as [i64; 0]);

    // A clock that was a year ahead, and is put right: the day counts from then.
    let store = pair(fixture, Policy::default()).await;
    apply(&store, &[expiring(1, b"a", 2 * DAY)]).await;
    for now in [HOUR, year, year + HOUR, 2 * HOUR] {
        clean_up(&store, UnixMs(now)).await;
    }
    assert_eq!(outline(&store).await, [1]);
    pass(&store, 3 * HOUR, 2 * DAY - 1).await;
    assert_eq!(outline(&store).await, [1]);
    clean_up(&store, UnixMs(2 * DAY)).await;
    assert_eq!(outline(&store).await, [-1]);
}

pub(super) async fn invites_and_tombstones_go_when_their_time_is_over<F: Fixture>(fixture: &F) {
    let store = fixture.fresh(Policy::default()).await;
    for lookup in ["one", "two", "three", "four", "five"] {
        write(&store, invite(lookup, 0)).await.expect("laid down");
    }
    claimed(&store, claim("two", Some([1; 32]), 599_000)).await.expect("given");
    clean_up(&store, UnixMs(600_000)).await;
    assert_eq!(claimed(&store, claim("two", Some([1; 32]), 600_001)).await, Ok(b"two".to_vec()), "again");
    assert_eq!(status(&store, "two", TOKEN, 600_001).await, InviteStatus::Claimed);
    clean_up(&store, UnixMs(700_000)).await;
    assert_eq!(status(&store, "two", TOKEN, 600_001).await, InviteStatus::Gone);
}

pub(super) async fn a_cleanup_in_a_batch_does_not_disturb_its_neighbours<F: Fixture>(fixture: &F) {
    let policy = Policy { max_group_storage: room(3, 30), ..Policy::default() };
    let store = pair(fixture, policy).await;
    apply(&store, &[expiring(1, &[1; 10], 1000), expiring(2, &[2; 10], 1000), push(3, &[3; 10])]).await;
    let clean = |chore| WriteOp::Cleanup(Cleanup { chore, from: 0, most: 100, now: UnixMs(1000) });
    let full = Refusal::GroupFull { held_by: Some(device(1)) };
    let outcomes = apply(
        &store,
        &[
            push(4, b"4"),
            ack(1, 3),
            ack(2, 1),
            clean(Chore::Expired),
            push(5, &[5; 10]),
            push(1, &[1; 10]),
            clean(Chore::Groups),
            ack(2, 3),
            push(2, &[2; 10]),
        ],
    )
    .await;
    assert_eq!(outcomes[0], Err(full));
    // 1 was everybody's and went; 2 is a stub. So 5 finds room, and 1, which is new, that of the stub.
    assert_eq!(cursors([4, 5].map(|n| outcomes[n].clone()).to_vec()), [4, 5]);
    assert!(outcomes[3].is_ok() && outcomes[6].is_ok());
    let store = fixture.reopen(store).await;
    let before = (outline(&store).await, stats(&store).await.blobs);
    assert_eq!(before.0.len() as u64, before.1, "counted right");
}
