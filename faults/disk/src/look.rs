//! What any database must be after a fault.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{Violation, on_disk};

/// A connection of its own to a database on a mounted disk.
pub(crate) async fn connect(path: &Path) -> Result<SqliteConnection, Violation> {
    on_disk(SqliteConnectOptions::new().filename(path)).connect().await.map_err(damaged)
}

pub(crate) fn damaged(error: sqlx::Error) -> Violation {
    Violation::Damaged(chain(&error))
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// SQLite finds nothing wrong.
pub(crate) async fn integrity(path: &Path) -> Result<(), Violation> {
    let mut db = connect(path).await?;
    let check = sqlx::query_scalar("PRAGMA integrity_check(1)");
    let finding: String = check.fetch_one(&mut db).await.map_err(damaged)?;
    db.close().await.map_err(damaged)?;
    if finding == "ok" { Ok(()) } else { Err(Violation::Damaged(finding)) }
}
