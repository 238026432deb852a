//! Opening the database: its file, its settings, its identity.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use sync_relay_core::Policy;
use sync_types::{RelaySecret, StoreId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::failure::Condition;
use super::write::renew_log;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Connections that read beside the one that writes.
const READERS: u32 = 4;
/// How long a connection waits for another's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// `PRAGMA auto_vacuum` of a database that can give pages back.
const INCREMENTAL: i64 = 2;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another relay has it open.
    #[error("another relay is using {0}; stop it first, or choose another folder with --data")]
    InUse(PathBuf),
    /// The file or its folder cannot be made or read.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy of the relay's key is not one.
    #[error("{0} is not a relay's key; put the right one back, or remove it")]
    Key(PathBuf),
    /// SQLite refuses.
    #[error("the database does not work")]
    Database(#[from] sqlx::Error),
    /// It was made by a newer relay, or damaged.
    #[error("the database cannot be brought up to date")]
    Migration(#[from] MigrateError),
    /// It was made by something else: space would never be given back.
    #[error("the database was not made by a relay")]
    Foreign,
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}

/// A relay's database.
#[derive(Debug)]
pub struct SqliteStore {
    /// None after it has failed, until it is opened anew.
    pub(super) writer: Mutex<Option<SqliteConnection>>,
    pub(super) options: SqliteConnectOptions,
    /// Keeps the log's index when no other connection does. Does nothing else.
    index: SqliteConnection,
    pub(super) condition: Condition,
    /// When it was last tried whether something can be written.
    pub(super) tried: Mutex<Option<Instant>>,
    pub(super) readers: SqlitePool,
    pub(super) policy: Policy,
    pub(super) store_id: StoreId,
    secret: [u8; 32],
    /// Held for as long as the store is open.
    _lock: File,
}

impl SqliteStore {
    /// Opens the database of a path, or makes it: readable by its owner only, with a new relay key and
    /// store id. One relay at a time.
    pub async fn open(path: &Path, policy: Policy) -> Result<Self, OpenError> {
        let lock = prepare(path)?;
        renew_log(path).map_err(failed(path))?;
        Self::open_locked(path, policy, lock, |options| options).await
    }

    /// As [`open`](Self::open), with other options for all connections: for tests that put another disk under
    /// SQLite, or a mistake into its settings. What is in the database's log is taken to be durable.
    pub async fn open_with(
        path: &Path,
        policy: Policy,
        adjust: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<Self, OpenError> {
        let lock = prepare(path)?;
        Self::open_locked(path, policy, lock, adjust).await
    }

    async fn open_locked(
        path: &Path,
        policy: Policy,
        lock: File,
        adjust: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", "-32000")
            .pragma("wal_autocheckpoint", "16384");
        let options = adjust(options);
        let mut writer = SqliteConnection::connect_with(&options).await?;
        let auto_vacuum: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut writer).await?;
        if auto_vacuum != INCREMENTAL {
            return Err(OpenError::Foreign);
        }
        MIGRATIONS.run_direct(None, &mut writer, false).await?;
        let kept = read_key(path)?;
        let secret = meta(&mut writer, "relay_secret_key", kept).await?;
        if kept != Some(secret) {
            keep_key(path, &secret)?;
        }
        let store_id = meta(&mut writer, "store_id", None).await?;
        let reading = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let mut index = SqliteConnection::connect_with(&adjust(reading.clone())).await?;
        // A connection comes to the index with the first that it reads.
        sqlx::query("SELECT 1 FROM meta").fetch_optional(&mut index).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(adjust(reading)).await?;
        Ok(Self {
            writer: Mutex::new(Some(writer)),
            options,
            index,
            condition: Condition::default(),
            tried: Mutex::default(),
            readers,
            policy,
            store_id: StoreId(store_id),
            secret,
            _lock: lock,
        })
    }

    /// A key of the relay's own, by which it throws addresses into heaps.
    pub(crate) fn origin_key(&self) -> [u8; 32] {
        Sha256::new_with_prefix(b"sync-relay origin v1").chain_update(self.secret).finalize().into()
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// The relay's key pair.
    pub fn relay_secret(&self) -> RelaySecret {
        RelaySecret::from_bytes(self.secret)
    }

    /// Puts everything into the one file and lets go of it.
    pub async fn close(self) -> Result<(), OpenError> {
        self.readers.close().await;
        self.index.close().await?;
        let Some(mut writer) = self.writer.into_inner() else { return Ok(()) };
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut writer).await?;
        Ok(writer.close().await?)
    }
}

/// Makes the folder and an empty file that only their owner can read, and locks them against a second
/// relay.
fn prepare(path: &Path) -> Result<File, OpenError> {
    let lock = lock(path)?;
    private(path)?;
    Ok(lock)
}

/// Keeps every other relay away from a database, for as long as the file is held.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    }
    let lock_path = path.with_extension("lock");
    let lock = private(&lock_path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(&lock_path)(source)),
    }
}

/// A file that only its owner can read, made if it is not there.
pub(super) fn private(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(failed(path))?;
    // It may have been there before, open to others.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed(path))?;
    Ok(file)
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

/// Where a copy of the relay's secret key lies: beside the database. The database's own is the one that
/// counts, and the one to back up; the copy lets a relay whose database was lost come back as itself,
/// so that its clients need not be told to trust another one.
fn key_path(database: &Path) -> PathBuf {
    database.with_extension("key")
}

/// The copy of the relay's key, if there is one.
fn read_key(database: &Path) -> Result<Option<[u8; 32]>, OpenError> {
    let path = key_path(database);
    let read = || {
        let mut file = File::open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    match read() {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(OpenError::Key(path)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::File { path, source }),
    }
}

/// Writes the copy, readable by its owner only; whole or not at all.
fn keep_key(database: &Path, key: &[u8; 32]) -> Result<(), OpenError> {
    let path = key_path(database);
    let unfinished = database.with_extension("key.new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(key)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)
    };
    write().map_err(|source| OpenError::File { path: path.clone(), source })
}

/// A value that is made once and then stays: `first` if there is one, else random.
async fn meta<const N: usize>(
    writer: &mut SqliteConnection,
    key: &str,
    first: Option<[u8; N]>,
) -> Result<[u8; N], OpenError> {
    let mut fresh = first.unwrap_or([0; N]);
    if first.is_none() {
        getrandom::fill(&mut fresh)?;
    }
    sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(key)
        .bind(fresh.as_slice())
        .execute(&mut *writer)
        .await?;
    let value: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = ?").bind(key).fetch_one(writer).await?;
    value.try_into().map_err(|_| OpenError::Foreign)
}

/// How the connection that writes is set up, as SQLite itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// 2: incremental.
    pub auto_vacuum: i64,
    /// 2: full.
    pub synchronous: i64,
    /// `wal`.
    pub journal_mode: String,
    /// Whether references are checked.
    pub foreign_keys: bool,
}

impl SqliteStore {
    /// Asks a connection that writes for its settings.
    pub async fn settings(&self) -> Result<Settings, OpenError> {
        let mut writer = SqliteConnection::connect_with(&self.options).await?;
        let (auto_vacuum, synchronous, journal_mode, foreign_keys) = sqlx::query_as(
            "SELECT auto_vacuum, synchronous, journal_mode, foreign_keys
             FROM pragma_auto_vacuum(), pragma_synchronous(), pragma_journal_mode(), pragma_foreign_keys()",
        )
        .fetch_one(&mut writer)
        .await?;
        writer.close().await?;
        Ok(Settings { auto_vacuum, synchronous, journal_mode, foreign_keys })
    }
}
