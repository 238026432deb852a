//! SQLite keeps the same contract as the reference model, and is set up as it must be.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use sqlx::{Connection, SqliteConnection};
use sync_relay::sqlite::{OpenError, SqliteStore};
use sync_relay_core::Policy;
use sync_relay_core::store::{
    Acknowledge, Admit, Chore, Cleanup, GroupDeleteOp, NewBlob, Payload, PushOp, ReadOp, ReadResult, Stats,
    Store, StoreError, WriteOp, WriteOutcome, WriteResult,
};
use sync_testkit::store_contract::{Fixture, run_all};
use sync_types::{AuthKey, BlobId, Cursor, DeviceId, GroupId, KeyLog, StoreId, UnixMs};
use tempfile::TempDir;

/// A store that knows where it lies, so that it can be opened again.
struct Kept {
    store: SqliteStore,
    path: PathBuf,
    policy: Policy,
}

impl Store for Kept {
    async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.store.apply(batch).await
    }
    async fn read(&self, op: &ReadOp) -> Result<ReadResult, StoreError> {
        self.store.read(op).await
    }
}

#[derive(Default)]
struct Folders(Mutex<Vec<TempDir>>);

impl Fixture for Folders {
    type Store = Kept;

    async fn fresh(&self, policy: Policy) -> Kept {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("relay.db");
        self.0.lock().unwrap().push(folder);
        let store = SqliteStore::open(&path, policy.clone()).await.unwrap();
        Kept { store, path, policy }
    }

    async fn reopen(&self, kept: Kept) -> Kept {
        let Kept { store, path, policy } = kept;
        store.close().await.unwrap();
        let store = SqliteStore::open(&path, policy.clone()).await.unwrap();
        Kept { store, path, policy }
    }

    fn store_id(&self, kept: &Kept) -> StoreId {
        kept.store.store_id()
    }
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    run_all(&Folders::default()).await;
}

#[tokio::test]
async fn the_database_is_private_durable_and_can_shrink() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data/relay.db");
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    let settings = store.settings().await.unwrap();
    assert_eq!(settings.auto_vacuum, 2, "incremental");
    assert_eq!(settings.synchronous, 2, "full");
    assert_eq!(settings.journal_mode, "wal");
    assert!(settings.foreign_keys);
    for file in ["relay.db", "relay.db-wal", "relay.db-shm", "relay.lock", "relay.key"] {
        let mode = path.with_file_name(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    store.close().await.unwrap();
    let ours = ["relay.db", "relay.lock", "relay.key"];
    for file in ours {
        std::fs::set_permissions(path.with_file_name(file), Permissions::from_mode(0o644)).unwrap();
    }
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    for file in ours {
        let mode = path.with_file_name(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}, which was open to others");
    }
    store.close().await.unwrap();
    let header = std::fs::read(&path).unwrap();
    assert_eq!(header[64..68], [0, 0, 0, 1], "incremental vacuum, in the file's own header");
}

#[tokio::test]
async fn a_second_relay_on_the_same_data_is_refused_and_keys_stay() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.db");
    let first = SqliteStore::open(&path, Policy::default()).await.unwrap();
    let second = SqliteStore::open(&path, Policy::default()).await;
    assert!(matches!(second, Err(OpenError::InUse(_))));
    let (key, id) = (first.relay_secret().key(), first.store_id());
    first.close().await.unwrap();
    let again = SqliteStore::open(&path, Policy::default()).await.unwrap();
    assert_eq!((again.relay_secret().key(), again.store_id()), (key, id));
}

#[tokio::test]
async fn a_relay_without_its_database_is_itself_and_the_databases_key_counts() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.db");
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    let (key, id) = (store.relay_secret().key(), store.store_id());
    store.close().await.unwrap();

    // Another key beside it changes nothing, and is put right.
    let right = std::fs::read(path.with_extension("key")).unwrap();
    std::fs::write(path.with_extension("key"), [7; 32]).unwrap();
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    assert_eq!((store.relay_secret().key(), store.store_id()), (key, id));
    store.close().await.unwrap();
    assert_eq!(std::fs::read(path.with_extension("key")).unwrap(), right);

    std::fs::remove_file(&path).unwrap();
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    assert_eq!(store.relay_secret().key(), key);
    assert_ne!(store.store_id(), id, "clients must notice that it is another database");
    store.close().await.unwrap();

    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_extension("key"), [7; 31]).unwrap();
    let damaged = SqliteStore::open(&path, Policy::default()).await;
    assert!(matches!(damaged, Err(OpenError::Key(_))), "{damaged:?}");
}

#[tokio::test]
async fn a_database_of_something_else_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE mine (x)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let opened = SqliteStore::open(&path, Policy::default()).await;
    assert!(matches!(opened, Err(OpenError::Foreign)));
}

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

fn push(ids: std::ops::Range<u32>, size: usize) -> WriteOp {
    let blob = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let payload = Payload::from(vec![7; size]);
        NewBlob { blob_id: BlobId(id), hash: payload.hash(), payload, expires_at: Some(UnixMs(1000)) }
    };
    let blobs = ids.map(blob).collect();
    WriteOp::Push(PushOp { group: GROUP, device: device(), epoch: 0, blobs, now: UnixMs(1) })
}

async fn write(store: &SqliteStore, op: WriteOp) -> WriteResult {
    store.apply(&[op]).await.unwrap().remove(0).unwrap()
}

/// The rows of each piece of a chore.
async fn pieces(store: &SqliteStore, chore: Chore, most: u32) -> Vec<u64> {
    let (mut rows, mut from) = (Vec::new(), Some(0));
    while let Some(start) = from {
        let op = Cleanup { chore, from: start, most, now: UnixMs(1000) };
        let WriteResult::Cleaned(cleaned) = write(store, WriteOp::Cleanup(op)).await else { panic!() };
        rows.push(cleaned.rows);
        from = cleaned.next;
    }
    rows
}

#[tokio::test]
async fn a_cleanup_goes_in_pieces_and_the_file_becomes_small_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.db");
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    write(&store, admit()).await;
    write(&store, push(0..250, 3000)).await;
    // Many rows go a hundred at a time, and large ones as many as make eight megabytes.
    assert_eq!(pieces(&store, Chore::Expired, 100).await, [100, 100, 50], "as stubs");
    let all =
        Acknowledge { group: GROUP, device: device(), cursor: Cursor::new(250).unwrap(), now: UnixMs(2) };
    write(&store, WriteOp::Acknowledge(all)).await;
    assert_eq!(pieces(&store, Chore::Groups, 100).await.iter().sum::<u64>(), 250);
    assert!(pieces(&store, Chore::Groups, 100).await.iter().all(|rows| *rows == 0));
    for n in 300..320 {
        write(&store, push(n..n + 1, 1 << 20)).await;
    }
    assert_eq!(pieces(&store, Chore::Expired, 100).await, [8, 8, 4]);

    let file = |store: SqliteStore| async {
        store.close().await.unwrap();
        std::fs::metadata(&path).unwrap().len()
    };
    let before = file(store).await;
    let store = SqliteStore::open(&path, Policy::default()).await.unwrap();
    let freed: u64 = pieces(&store, Chore::Vacuum, 1000).await.iter().sum();
    assert!(freed > 1000, "{freed} pages");
    let after = file(store).await;
    assert!(before > 5 << 20 && after < 1 << 20, "from {before} to {after} bytes");
}

#[tokio::test]
async fn a_deleted_group_is_erased_in_pieces() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("relay.db"), Policy::default()).await.unwrap();
    write(&store, admit()).await;
    write(&store, push(0..250, 10)).await;
    let gone = GroupDeleteOp { group: GROUP, device: device(), epoch: 0, now: UnixMs(3) };
    write(&store, WriteOp::GroupDelete(gone)).await;
    assert_eq!(pieces(&store, Chore::Erase, 100).await, [100, 100, 50, 1, 0]);
    let stats = store.read(&ReadOp::Stats).await.unwrap();
    assert_eq!(stats, ReadResult::Stats(Stats::default()));
}
