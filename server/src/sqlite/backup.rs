//! Copies of the database, made while a relay works on it, and put back while none does.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use sync_types::{RelayKey, RelaySecret, StoreId};

use super::open::{BUSY_TIMEOUT, MIGRATIONS, OpenError, failed, lock, private};
use super::totals::{Totals, totals};

/// Why there is no copy, or why it was not put back. Whatever was there is there still.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing to copy.
    #[error("there is no database {0}")]
    Missing(PathBuf),
    /// Something to keep.
    #[error("there is a file {0} already")]
    Exists(PathBuf),
    /// A file, but no relay's database.
    #[error("{0} is not a relay's database")]
    Foreign(PathBuf),
    /// SQLite finds it damaged.
    #[error("{path} is damaged: {finding}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite found first.
        finding: String,
    },
    /// A newer relay has made it.
    #[error("the copy cannot be brought up to date")]
    Migration(#[from] MigrateError),
    /// A relay runs, or a file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite refuses.
    #[error("the database does not work")]
    Database(#[from] sqlx::Error),
}

/// What a database says of itself.
#[derive(Debug)]
pub struct Overview {
    /// By which clients know the relay.
    pub key: RelayKey,
    /// By which they notice another database.
    pub store_id: StoreId,
    /// What is in it.
    pub totals: Totals,
}

/// What was put back.
#[derive(Debug)]
pub struct Restored {
    /// As it is now: the store's id is another than that of the copy.
    pub overview: Overview,
    /// Where the database lies that was there before, if there was one.
    pub replaced: Option<PathBuf>,
}

/// Looks at a database, whether a relay works on it or not.
pub async fn overview(database: &Path) -> Result<Overview, BackupError> {
    let mut db = open(database).await?;
    let overview = look(&mut db, database).await;
    db.close().await?;
    overview
}

/// Copies a database into a new file that only its owner can read, as it is at one moment, whether a relay
/// works on it or not, and checks the copy.
///
/// The relay goes on meanwhile; its write-ahead log cannot be taken back until the copy is done.
pub async fn backup(database: &Path, file: &Path) -> Result<Overview, BackupError> {
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let unfinished = beside(file, "unfinished");
    let copied = async {
        copy(database, &unfinished).await?;
        let mut db = open(&unfinished).await?;
        check(&mut db, &unfinished).await?;
        let overview = look(&mut db, &unfinished).await;
        db.close().await?;
        // Not renamed: that would replace what has come there in the meantime.
        sync(&unfinished)?;
        std::fs::hard_link(&unfinished, file).map_err(failed(file))?;
        overview
    };
    let copied = copied.await;
    let removed = std::fs::remove_file(&unfinished);
    let overview = copied?;
    removed.map_err(failed(&unfinished))?;
    sync_folder(file)?;
    Ok(overview)
}

/// Puts a copy in the place of a database on which no relay works; what is there is moved aside.
///
/// The store gets another id, by which clients notice that it has forgotten what came after the copy.
/// Invites are left out: one may have been used since.
pub async fn restore(database: &Path, file: &Path) -> Result<Restored, BackupError> {
    let _lock = lock(database)?;
    let mut source = open(file).await?;
    let checked = check(&mut source, file).await;
    source.close().await?;
    checked?;
    let unfinished = beside(database, "unfinished");
    let prepared = async {
        copy(file, &unfinished).await?;
        let mut db = open(&unfinished).await?;
        MIGRATIONS.run_direct(None, &mut db, false).await?;
        renew(&mut db).await?;
        let overview = look(&mut db, &unfinished).await;
        db.close().await?;
        sync(&unfinished)?;
        overview
    };
    let overview = match prepared.await {
        Ok(overview) => overview,
        Err(error) => {
            let _ = std::fs::remove_file(&unfinished);
            return Err(error);
        }
    };
    let replaced = move_aside(database).await?;
    std::fs::rename(&unfinished, database).map_err(failed(database))?;
    sync_folder(database)?;
    Ok(Restored { overview, replaced })
}

/// Opens what must be there. The connection writes nothing of itself; when it is the last one, it leaves one
/// file, as a relay does.
async fn open(path: &Path) -> Result<SqliteConnection, BackupError> {
    if !path.is_file() {
        return Err(BackupError::Missing(path.to_owned()));
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// A whole copy of one moment, in a file that only its owner can read.
async fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    private(to)?.set_len(0).map_err(failed(to))?;
    let mut db = open(from).await?;
    let name = to.to_str().ok_or_else(|| failed(to)(io::ErrorKind::InvalidFilename.into()))?;
    let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut db).await;
    db.close().await?;
    copied?;
    Ok(())
}

/// Reads everything, and compares what is there twice.
async fn check(db: &mut SqliteConnection, path: &Path) -> Result<(), BackupError> {
    let finding: String = match sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut *db).await {
        Ok(finding) => finding,
        Err(sqlx::Error::Database(error)) => error.message().to_owned(),
        Err(error) => return Err(error.into()),
    };
    if finding != "ok" {
        return Err(BackupError::Damaged { path: path.to_owned(), finding });
    }
    look(db, path).await.map(|_| ())
}

async fn look(db: &mut SqliteConnection, path: &Path) -> Result<Overview, BackupError> {
    let foreign = || BackupError::Foreign(path.to_owned());
    let tables =
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'totals', 'groups', 'devices', 'blobs')";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut *db).await?;
    if tables != 5 {
        return Err(foreign());
    }
    let mut meta = async |key: &str| -> Result<Vec<u8>, BackupError> {
        let value = sqlx::query_scalar("SELECT value FROM meta WHERE key = ?").bind(key);
        value.fetch_optional(&mut *db).await?.ok_or_else(foreign)
    };
    let secret = meta("relay_secret_key").await?.try_into().map_err(|_| foreign())?;
    let store_id = meta("store_id").await?.try_into().map_err(|_| foreign())?;
    Ok(Overview {
        key: RelaySecret::from_bytes(secret).key(),
        store_id: StoreId(store_id),
        totals: totals(db).await?,
    })
}

/// Makes a copy a store of its own.
async fn renew(db: &mut SqliteConnection) -> Result<(), BackupError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(OpenError::from)?;
    let mut transaction = db.begin().await?;
    sqlx::query("UPDATE meta SET value = ? WHERE key = 'store_id'")
        .bind(id.as_slice())
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM invites").execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Gives the database that is there another name, with all that it has.
async fn move_aside(database: &Path) -> Result<Option<PathBuf>, BackupError> {
    if !database.is_file() {
        return Ok(None);
    }
    // What a killed relay has left in the log beside it goes in; if that fails, the log goes along.
    if let Ok(db) = open(database).await {
        let _ = db.close().await;
    }
    let free = |n: &u32| !beside(database, &format!("replaced-{n}")).exists();
    let n = (1..).find(free).unwrap_or_default();
    let aside = beside(database, &format!("replaced-{n}"));
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (with_end(database, end), with_end(&aside, end));
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !end.is_empty() => {}
            Err(error) => return Err(failed(&from)(error).into()),
        }
    }
    Ok(Some(aside))
}

/// `relay.db` → `relay.db.END`
fn beside(path: &Path, end: &str) -> PathBuf {
    with_end(path, &format!(".{end}"))
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    Ok(synced.map_err(failed(path))?)
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(folder)
}
