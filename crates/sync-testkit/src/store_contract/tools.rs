//! Names, requests and answers that the promises are written with.
#![expect(clippy::wildcard_enum_match_arm, reason = "any other answer than the one asked for is wrong")]

use ed25519_dalek::{Signer, SigningKey};
use sync_relay_core::Policy;
use sync_relay_core::store::{
    Acknowledge, Admit, Admitted, Backlog, Chore, ClaimInvite, Cleanup, CreateInvite, DeleteOp, InviteStatus,
    LeaveOp, NewBlob, Payload, Placed, PullPage, PushOp, ReadOp, ReadResult, Refusal, RotateOp, Rotated,
    Stats, Store, WriteOp, WriteOutcome, WriteResult,
};
use sync_types::keylog::rotation_transcript;
use sync_types::rotation::LOCKBOX;
use sync_types::{
    AuthKey, BlobId, Cursor, DeviceId, DeviceRow, Epoch, GroupId, KeyLog, Lockbox, PullResponse, Rotation,
    StoreId, UnixMs,
};

use super::Fixture;

pub(super) const GROUP: u8 = 1;
pub(super) const OTHER: u8 = 2;

pub(super) fn group(n: u8) -> GroupId {
    GroupId::of(&genesis(n))
}

/// The key of a group in an epoch.
pub(super) fn signing_key(group_no: u8, epoch: Epoch) -> SigningKey {
    let mut seed = [group_no; 32];
    seed[..4].copy_from_slice(&epoch.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

pub(super) fn auth_key(group_no: u8, epoch: Epoch) -> AuthKey {
    AuthKey(signing_key(group_no, epoch).verifying_key().to_bytes())
}

pub(super) fn genesis(n: u8) -> AuthKey {
    auth_key(n, 0)
}

pub(super) fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 32]).expect("a small number is canonical")
}

pub(super) fn cursor(n: u64) -> Cursor {
    Cursor::new(n).expect("a small number")
}

pub(super) fn blob(n: u32, bytes: &[u8]) -> NewBlob {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let payload = Payload::from(bytes.to_vec());
    NewBlob { blob_id: BlobId(id), hash: payload.hash(), payload, expires_at: Some(UnixMs(1_000_000)) }
}

pub(super) fn admit(group_no: u8, device_no: u8) -> Admit {
    Admit {
        group: group(group_no),
        device: device(device_no),
        name: vec![device_no; 3],
        epoch: 0,
        key_log: Some(KeyLog::new(genesis(group_no))),
        last_cursor: Cursor::ZERO,
        store_id: StoreId::NONE,
        may_create: true,
        origin: None,
        now: UnixMs(10),
    }
}

pub(super) fn push_in(group_no: u8, device_no: u8, blobs: Vec<NewBlob>) -> PushOp {
    PushOp { group: group(group_no), device: device(device_no), epoch: 0, blobs, now: UnixMs(20) }
}

pub(super) fn push(n: u32, bytes: &[u8]) -> WriteOp {
    WriteOp::Push(push_in(GROUP, 1, vec![blob(n, bytes)]))
}

pub(super) fn ack(device_no: u8, n: u64) -> WriteOp {
    WriteOp::Acknowledge(Acknowledge {
        group: group(GROUP),
        device: device(device_no),
        cursor: cursor(n),
        now: UnixMs(30),
    })
}

pub(super) fn leave(device_no: u8) -> WriteOp {
    WriteOp::Leave(LeaveOp { group: group(GROUP), device: device(device_no), now: UnixMs(40) })
}

pub(super) fn delete(device_no: u8, n: u32) -> WriteOp {
    WriteOp::Delete(DeleteOp {
        group: group(GROUP),
        device: device(device_no),
        epoch: 0,
        blob_id: blob(n, b"").blob_id,
        now: UnixMs(50),
    })
}

/// The rotation of [`GROUP`] to `epoch` for some devices, by the first of them, who has read up to
/// `after`. Its blob id is `1000 + epoch`.
pub(super) fn rotate(epoch: Epoch, devices: &[u8], after: u64) -> RotateOp {
    let sender = device(devices[0]);
    let blob_id = blob(1000 + epoch, b"").blob_id;
    let mut ids: Vec<_> = devices.iter().map(|n| device(*n)).collect();
    ids.sort();
    let sealed = [7; LOCKBOX];
    let mut rotation = Rotation {
        epoch,
        auth_key: auth_key(GROUP, epoch),
        lockboxes: ids.into_iter().map(|device_id| Lockbox { device_id, sealed }).collect(),
        inner: b"sealed".to_vec(),
        signature: [0; 64],
    };
    let content = rotation.content_hash(&sender, &blob_id);
    let transcript = rotation_transcript(&group(GROUP), epoch, &rotation.auth_key, &content);
    rotation.signature = signing_key(GROUP, epoch - 1).sign(&transcript).to_bytes();
    let payload = Payload::from(rotation.encode());
    RotateOp {
        group: group(GROUP),
        device: sender,
        epoch: epoch - 1,
        after: cursor(after),
        blob: NewBlob { blob_id, hash: payload.hash(), payload, expires_at: None },
        rotation,
        now: UnixMs(60),
    }
}

/// The key log that these rotations make.
pub(super) fn log_of(rotations: &[&RotateOp]) -> KeyLog {
    let links = rotations.iter().map(|op| op.rotation.link(&op.device, &op.blob.blob_id));
    KeyLog { genesis: genesis(GROUP), links: links.collect() }
}

pub(super) fn rotation(op: &RotateOp) -> WriteOp {
    WriteOp::Rotate(Box::new(op.clone()))
}

pub(super) async fn rotated(store: &impl Store, op: &RotateOp) -> Result<Rotated, Refusal> {
    match write(store, rotation(op)).await? {
        WriteResult::Rotated(rotated) => Ok(rotated),
        other => panic!("a rotation gave {other:?}"),
    }
}

/// A whole cleanup, in as many pieces as it takes.
pub(super) async fn clean_up(store: &impl Store, now: UnixMs) {
    for chore in Chore::ALL {
        let mut from = Some(0);
        while let Some(start) = from {
            let op = WriteOp::Cleanup(Cleanup { chore, from: start, most: 3, now });
            let Ok(WriteResult::Cleaned(cleaned)) = write(store, op).await else {
                panic!("{chore:?} was not done");
            };
            from = cleaned.next;
        }
    }
}

pub(super) async fn apply(store: &impl Store, batch: &[WriteOp]) -> Vec<WriteOutcome> {
    let outcomes = store.apply(batch).await.expect("the store works");
    assert_eq!(outcomes.len(), batch.len(), "one outcome for each write");
    outcomes
}

pub(super) async fn write(store: &impl Store, op: WriteOp) -> WriteOutcome {
    apply(store, &[op]).await.remove(0)
}

pub(super) async fn come(store: &impl Store, op: Admit) -> Result<Admitted, Refusal> {
    match write(store, WriteOp::Admit(op)).await? {
        WriteResult::Admitted(admitted) => Ok(admitted),
        other => panic!("an admission gave {other:?}"),
    }
}

pub(super) fn placed(outcome: WriteOutcome) -> Result<Vec<Placed>, Refusal> {
    match outcome? {
        WriteResult::Pushed(pushed) => Ok(pushed.placed),
        other => panic!("a push gave {other:?}"),
    }
}

/// The cursors of the pushes of a batch, all of which succeed.
pub(super) fn cursors(outcomes: Vec<WriteOutcome>) -> Vec<u64> {
    let places = outcomes.into_iter().flat_map(|o| placed(o).expect("stored"));
    places.map(|placed| placed.cursor.get()).collect()
}

/// What a device of a group reads.
pub(super) async fn read_page(store: &impl Store, page: PullPage) -> Result<PullResponse, Refusal> {
    match store.read(&ReadOp::Pull(page)).await.expect("the store works") {
        ReadResult::Page(page) => Ok(page),
        ReadResult::Refused(refusal) => Err(refusal),
        other => panic!("a pull gave {other:?}"),
    }
}

/// What device 1 of a group reads.
pub(super) async fn page(
    store: &impl Store,
    group_no: u8,
    after: u64,
    limit: u32,
    max_bytes: usize,
) -> PullResponse {
    let page = PullPage { group: group(group_no), device: device(1), after: cursor(after), limit, max_bytes };
    read_page(store, page).await.expect("a member")
}

/// Cursors and payloads of everything in a group.
pub(super) async fn log(store: &impl Store, group_no: u8) -> Vec<(u64, Vec<u8>)> {
    let page = page(store, group_no, 0, 1000, usize::MAX).await;
    let blobs = page.blobs.into_iter();
    blobs.map(|blob| (blob.cursor.get(), blob.payload.unwrap_or_default())).collect()
}

pub(super) async fn devices(
    store: &impl Store,
    group_no: u8,
    device_no: u8,
) -> Result<Vec<DeviceRow>, Refusal> {
    let op = ReadOp::Devices { group: group(group_no), device: device(device_no) };
    match store.read(&op).await.expect("the store works") {
        ReadResult::Devices(rows) => Ok(rows),
        ReadResult::Refused(refusal) => Err(refusal),
        other => panic!("a list of devices gave {other:?}"),
    }
}

pub(super) async fn acked(store: &impl Store, device_no: u8) -> u64 {
    let rows = devices(store, GROUP, 1).await.expect("a member");
    let row = rows.iter().find(|row| row.device_id == device(device_no));
    row.expect("the device is there").acked_cursor.get()
}

pub(super) async fn stats(store: &impl Store) -> Stats {
    match store.read(&ReadOp::Stats).await.expect("the store works") {
        ReadResult::Stats(stats) => stats,
        other => panic!("totals gave {other:?}"),
    }
}

pub(super) async fn backlog(store: &impl Store, last: u64, limit: u32, inline: bool) -> Backlog {
    let (group, device) = (group(GROUP), device(1));
    let op = ReadOp::Backlog { group, device, last_cursor: cursor(last), limit, inline };
    match store.read(&op).await.expect("the store works") {
        ReadResult::Backlog(backlog) => backlog,
        other => panic!("a backlog gave {other:?}"),
    }
}

/// A store with one group of two devices.
pub(super) async fn pair<F: Fixture>(fixture: &F, policy: Policy) -> F::Store {
    let store = fixture.fresh(policy).await;
    come(&store, admit(GROUP, 1)).await.expect("the first device makes the group");
    come(&store, admit(GROUP, 2)).await.expect("the second joins");
    store
}

pub(super) const TOKEN: [u8; 32] = [7; 32];

pub(super) fn invite(lookup: &str, now: u64) -> WriteOp {
    WriteOp::CreateInvite(CreateInvite {
        lookup: lookup.to_owned(),
        payload: lookup.as_bytes().to_vec(),
        expires_at: UnixMs(now + 600_000),
        revoke_hash: TOKEN,
        now: UnixMs(now),
    })
}

pub(super) fn claim(lookup: &str, claim_hash: Option<[u8; 32]>, now: u64) -> WriteOp {
    WriteOp::ClaimInvite(ClaimInvite { lookup: lookup.to_owned(), claim_hash, now: UnixMs(now) })
}

pub(super) async fn claimed(store: &impl Store, op: WriteOp) -> Result<Vec<u8>, Refusal> {
    match write(store, op).await? {
        WriteResult::InviteClaimed(claimed) => Ok(claimed.payload),
        other => panic!("a claim gave {other:?}"),
    }
}

pub(super) async fn status(
    store: &impl Store,
    lookup: &str,
    revoke_hash: [u8; 32],
    now: u64,
) -> InviteStatus {
    let op = ReadOp::Invite { lookup: lookup.to_owned(), revoke_hash, now: UnixMs(now) };
    match store.read(&op).await.expect("the store works") {
        ReadResult::Invite(status) => status,
        other => panic!("an invite's status gave {other:?}"),
    }
}
