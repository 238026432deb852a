//! How SQLite goes about a query on the real schema.

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use sync_relay_core::Policy;

use super::super::SqliteStore;

pub(super) async fn plan_of(query: &str) -> Vec<String> {
    let folder = tempfile::TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("relay.db"), Policy::default()).await.unwrap();
    let mut db = SqliteConnection::connect_with(&store.options).await.unwrap();
    let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")));
    let steps = explain.fetch_all(&mut db).await.unwrap();
    steps.iter().map(|step| step.get("detail")).collect()
}
