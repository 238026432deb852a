//! SQLite keeps the same contract as the reference model, and is set up as it must be.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use sqlx::{Connection, SqliteConnection};
use sync_relay::sqlite::{OpenError, SqliteStore};
use sync_relay_core::Policy;
use sync_relay_core::store::{ReadOp, ReadResult, Store, StoreError, WriteOp, WriteOutcome};
use sync_testkit::store_contract::{Fixture, run_all};
use sync_types::StoreId;
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
