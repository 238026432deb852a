//! The local store: one SQLite file, one table of rows, every value sealed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Row, Sqlite, SqliteConnection};
use sync_e2ee::at_rest::{self, StoreKey};
use sync_engine::Change;
use zeroize::Zeroizing;

use crate::clock;
use crate::home::{private_file, sync_folder};

/// The layout of the file, in SQLite's `user_version`.
const VERSION: i32 = 1;
/// Rows in one statement.
const CHUNK: usize = 100;
/// Keys of engines start below this, keys of this crate's own at 0x80.
const ENGINE_KEYS: u8 = 32;

/// Why the local store fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be used.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// SQLite fails; nothing was changed.
    #[error("the local store fails: {0}")]
    Sql(#[from] sqlx::Error),
    /// A row does not open: the store belongs to another key, or is damaged.
    #[error(
        "the local store does not open with its key: it is damaged, or client.key belongs to another one"
    )]
    Sealed,
    /// A newer version made it.
    #[error("the local store was made by a newer version: update this app")]
    NewerVersion,
    /// `client.key` is damaged, or there is a store without it.
    #[error(
        "client.key is damaged or missing: restore it from a backup; without it the local store opens no more"
    )]
    KeyFile,
    /// The keychain does not give the key.
    #[error("the key of the local store is in the keychain, which does not give it: unlock the keychain")]
    Keychain,
    /// The key is in the keychain, and the caller has switched that off.
    #[error("the key of the local store is in the keychain, and the keychain is switched off")]
    KeychainOff,
}

/// Rows of keys and opened values.
pub(crate) type Rows = Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>;

/// The open store.
pub(crate) struct Store {
    connection: SqliteConnection,
    key: StoreKey,
}

/// What a store holds when it is opened.
pub(crate) struct Loaded {
    /// The engine's rows. None: no device was made here yet.
    pub(crate) engine: Rows,
    /// This crate's own.
    pub(crate) own: BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>,
}

/// Where a folder's store is.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("client.db")
}

/// Deletes a folder's store, which nobody may have open.
pub(crate) fn erase(folder: &Path) -> Result<(), StoreError> {
    let path = path(folder);
    for suffix in ["", "-wal", "-wal.new", "-shm", "-journal"] {
        let mut file = path.clone().into_os_string();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::Io(file.into(), error)),
        }
    }
    Ok(())
}

impl Store {
    /// Opens the store, and makes it if it is not there.
    pub(crate) async fn open(folder: &Path, key: StoreKey) -> Result<(Self, Loaded), StoreError> {
        renew_log(folder)?;
        Self::open_with(folder, key, |options| options).await
    }

    /// As [`open`](Self::open), with other options: for tests that put another disk under SQLite, or a mistake
    /// into its settings. What is in the log is taken to be durable.
    pub(crate) async fn open_with(
        folder: &Path,
        key: StoreKey,
        adjust: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<(Self, Loaded), StoreError> {
        let path = path(folder);
        // SQLite gives its other files the mode of this one.
        private_file(&path).map_err(|error| StoreError::Io(path.clone(), error))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let mut connection = adjust(options).connect().await?;
        let version: i32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
        match version {
            0 => {
                let mut transaction = connection.begin().await?;
                sqlx::query("CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query("PRAGMA user_version = 1").execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            VERSION => {}
            _ => return Err(StoreError::NewerVersion),
        }
        let mut store = Self { connection, key };
        let loaded = store.load().await?;
        Ok((store, loaded))
    }

    async fn load(&mut self) -> Result<Loaded, StoreError> {
        let rows = sqlx::query("SELECT key, value FROM state").fetch_all(&mut self.connection).await?;
        let mut loaded = Loaded { engine: Vec::new(), own: BTreeMap::new() };
        for row in rows {
            let (name, sealed): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            let value = at_rest::open(&self.key, &name, &sealed).map_err(|_| StoreError::Sealed)?;
            if name.first().is_some_and(|first| *first < ENGINE_KEYS) {
                loaded.engine.push((name, value));
            } else {
                loaded.own.insert(name, value);
            }
        }
        Ok(loaded)
    }

    /// Makes changes durable, all or none; of several to one row, the last counts.
    pub(crate) async fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut rng = clock::rng().map_err(|_| StoreError::Sealed)?;
        let last: BTreeMap<_, _> = changes.into_iter().map(|change| (change.key, change.value)).collect();
        let (mut writes, mut deletes) = (Vec::new(), Vec::new());
        for (name, value) in last {
            match value {
                Some(value) => {
                    let sealed =
                        at_rest::seal(&self.key, &name, &value, &mut rng).map_err(|_| StoreError::Sealed)?;
                    writes.push((name, sealed));
                }
                None => deletes.push(name),
            }
        }
        if writes.is_empty() && deletes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.connection.begin().await?;
        for chunk in writes.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO state (key, value) ");
            query.push_values(chunk, |mut row, (name, sealed)| {
                row.push_bind(name.as_slice()).push_bind(sealed.as_slice());
            });
            query.push(" ON CONFLICT (key) DO UPDATE SET value = excluded.value");
            query.build().execute(&mut *transaction).await?;
        }
        for chunk in deletes.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM state WHERE key IN (");
            let mut names = query.separated(", ");
            for name in chunk {
                names.push_bind(name.as_slice());
            }
            query.push(")");
            query.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Closes the file.
    pub(crate) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "closing the local store");
        }
    }
}

/// Makes durable what is in a store's log, if there is one: a process that was killed may have written it without
/// waiting for the disk, or without success, and what is read from it may leave this device. A copy takes its place,
/// for the system has to write that; the log itself is not written over, for the power may go meanwhile.
fn renew_log(folder: &Path) -> Result<(), StoreError> {
    let (log, copy) = (folder.join("client.db-wal"), folder.join("client.db-wal.new"));
    let renew = || {
        let bytes = std::fs::read(&log)?;
        let mut file = private_file(&copy)?;
        file.set_len(0)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&copy, &log)?;
        sync_folder(folder)
    };
    match renew() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Io(log, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> StoreKey {
        Zeroizing::new([n; 32])
    }

    fn change(name: &[u8], value: Option<&[u8]>) -> Change {
        Change { key: name.to_vec(), value: value.map(|value| Zeroizing::new(value.to_vec())) }
    }

    #[tokio::test]
    async fn rows_come_back_and_the_last_change_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, loaded) = Store::open(folder.path(), key(1)).await.unwrap();
        assert!(loaded.engine.is_empty());
        let many = (0..250_u32).map(|n| change(&[&[6][..], &n.to_be_bytes()].concat(), Some(b"x")));
        store.apply(many.collect()).await.unwrap();
        store
            .apply(vec![
                change(&[1], Some(b"old")),
                change(&[1], Some(b"new")),
                change(&[6, 0, 0, 0, 0], None),
                change(&[0x80], Some(b"")),
            ])
            .await
            .unwrap();
        store.close().await;
        let (_store, loaded) = Store::open(folder.path(), key(1)).await.unwrap();
        assert_eq!(loaded.engine.len(), 250);
        assert!(loaded.engine.iter().any(|(name, value)| *name == [1] && ***value == *b"new"));
        assert_eq!(loaded.own.len(), 1);
    }

    #[tokio::test]
    async fn nothing_stands_in_the_file_as_it_is_and_another_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path(), key(1)).await.unwrap();
        store.apply(vec![change(&[1], Some(b"a very secret value"))]).await.unwrap();
        store.close().await;
        let bytes = std::fs::read(path(folder.path())).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        let refused = Store::open(folder.path(), key(2)).await.err().unwrap();
        assert!(matches!(refused, StoreError::Sealed));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_log_that_was_left_is_read_as_it_was_from_a_copy() {
        use std::os::unix::fs::MetadataExt;

        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut store, _) = Store::open(folder.path(), key(1)).await.unwrap();
        store.apply(vec![change(&[1], Some(b"x"))]).await.unwrap();
        // As a process leaves it that is killed now.
        for name in ["client.db", "client.db-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        // Open, so that its number is not free for the copy.
        let log = std::fs::File::open(copy.path().join("client.db-wal")).unwrap();
        let log = (log.metadata().unwrap(), log);
        assert!(log.0.len() > 0);
        let (_store, loaded) = Store::open(copy.path(), key(1)).await.unwrap();
        assert_eq!(loaded.engine.len(), 1);
        assert_ne!(copy.path().join("client.db-wal").metadata().unwrap().ino(), log.0.ino());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn every_file_of_it_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path(), key(1)).await.unwrap();
        store.apply(vec![change(&[1], Some(b"x"))]).await.unwrap();
        store.close().await;
        let loose = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(path(folder.path()), loose).unwrap();
        let (mut store, _) = Store::open(folder.path(), key(1)).await.unwrap();
        store.apply(vec![change(&[1], Some(b"y"))]).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        assert!(files.len() >= 2, "the file and its log");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    }
}
