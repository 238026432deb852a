//! What a system could not make durable is not acknowledged later, as if it had been.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use sync_faults_disk::{Disk, Illness, Journal, Mounted, Rng, Step, mount, on_disk, power_cut};
use sync_relay::sqlite::SqliteStore;
use sync_relay_core::Policy;
use sync_relay_core::store::{
    Admit, NewBlob, Payload, PushOp, ReadOp, ReadResult, Stats, Store, StoreError, WriteOp, WriteResult,
};
use sync_types::{AuthKey, BlobId, Cursor, DeviceId, GroupId, KeyLog, StoreId, UnixMs};

const GROUP: GroupId = GroupId([1; 32]);

fn device() -> DeviceId {
    DeviceId::from_bytes([2; 32]).unwrap()
}

fn admit() -> WriteOp {
    WriteOp::Admit(Admit {
        group: GROUP,
        device: device(),
        name: vec![],
        epoch: 0,
        key_log: Some(KeyLog::new(AuthKey([3; 32]))),
        last_cursor: Cursor::ZERO,
        store_id: StoreId::NONE,
        may_create: true,
        origin: None,
        now: UnixMs(0),
    })
}

fn push(n: u8) -> WriteOp {
    let payload = Payload::from(vec![n; 5000]);
    let blob = NewBlob { blob_id: BlobId([n; 16]), hash: payload.hash(), payload, expires_at: None };
    WriteOp::Push(PushOp { group: GROUP, device: device(), epoch: 0, blobs: vec![blob], now: UnixMs(1) })
}

async fn open(mounted: &Mounted) -> SqliteStore {
    mounted.renew_log("relay.db");
    SqliteStore::open_with(&mounted.folder().join("relay.db"), Policy::default(), on_disk).await.unwrap()
}

/// The cursor of a push, and whether it was stored just now.
async fn pushed(store: &SqliteStore, n: u8) -> Result<(u64, bool), StoreError> {
    match store.apply(&[push(n)]).await?.remove(0) {
        Ok(WriteResult::Pushed(pushed)) => Ok((pushed.placed[0].cursor.get(), pushed.placed[0].fresh)),
        other => panic!("{other:?}"),
    }
}

/// A relay with one blob, whose second push fails for the disk cannot make it durable.
async fn failed(folder: &Path) -> Arc<Disk> {
    let disk = Disk::new();
    let mounted = mount(folder, &disk);
    let store = open(&mounted).await;
    store.apply(&[admit()]).await.unwrap();
    assert_eq!(pushed(&store, 1).await.unwrap(), (1, true));
    disk.becomes(Illness::NoSync);
    pushed(&store, 2).await.unwrap_err();
    disk
}

/// Whether both blobs are there, whatever a power cut leaves.
async fn survive_every_power_cut(folder: &Path, journal: &Journal) {
    for seed in 0..40 {
        let mounted = mount(folder, &Disk::of(power_cut(journal, &mut Rng::new(seed))));
        let store = open(&mounted).await;
        let stats = store.read(&ReadOp::Stats).await.unwrap();
        assert_eq!(stats, ReadResult::Stats(Stats { groups: 1, blobs: 2 }), "cut {seed}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_push_that_is_repeated_after_a_failed_sync_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new();
    let mounted = mount(folder.path(), &disk);
    let store = open(&mounted).await;
    store.apply(&[admit()]).await.unwrap();
    pushed(&store, 1).await.unwrap();
    disk.becomes(Illness::NoSync);
    pushed(&store, 2).await.unwrap_err();
    pushed(&store, 2).await.unwrap_err();
    disk.becomes(Illness::None);
    assert_eq!(pushed(&store, 2).await.unwrap().0, 2);
    survive_every_power_cut(folder.path(), &disk.journal()).await;
}

#[tokio::test]
async fn a_relay_that_is_started_after_a_failed_sync_acknowledges_nothing_that_it_finds_in_the_log_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = failed(folder.path()).await.journal();
    let sync = journal.iter().position(|step| matches!(step, Step::SyncFailed(_))).unwrap();
    journal.truncate(sync + 1);
    let disk = Disk::after_kill(journal);
    let mounted = mount(folder.path(), &disk);
    let store = open(&mounted).await;
    assert_eq!(pushed(&store, 2).await.unwrap(), (2, false), "it is in the log");
    survive_every_power_cut(folder.path(), &disk.journal()).await;
}

#[tokio::test]
async fn a_relay_that_trusts_the_log_which_it_finds_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = failed(folder.path()).await.journal();
    let sync = journal.iter().position(|step| matches!(step, Step::SyncFailed(_))).unwrap();
    journal.truncate(sync + 1);
    let disk = Disk::after_kill(journal);
    let mounted = mount(folder.path(), &disk);
    let path = mounted.folder().join("relay.db");
    let store = SqliteStore::open_with(&path, Policy::default(), on_disk).await.unwrap();
    assert_eq!(pushed(&store, 2).await.unwrap(), (2, false));
    let journal = disk.journal();
    let mut least = 2;
    for seed in 0..40 {
        let mounted = mount(folder.path(), &Disk::of(power_cut(&journal, &mut Rng::new(seed))));
        let ReadResult::Stats(stats) = open(&mounted).await.read(&ReadOp::Stats).await.unwrap() else {
            panic!()
        };
        least = least.min(stats.blobs);
    }
    assert_eq!(least, 1, "what was acknowledged from the log alone is lost in some cut");
}
