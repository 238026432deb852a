//! Between SQL's integers and bytes and the types of the protocol.

use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};
use sync_relay_core::decide::Standing;
use sync_types::{Cursor, DeviceId, Epoch, KeyLog, UnixMs, wire};

/// A query whose text is put together from constants only.
pub(super) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Rows of one statement. Few lengths, so that few statements are prepared, and few round trips.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

/// A column that this program did not write as it stands.
#[derive(Debug, thiserror::Error)]
#[error("a column of the database holds what was never written there: {0}")]
struct Damaged(&'static str);

pub(super) fn damaged(column: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Damaged(column)))
}

pub(super) fn sql_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn sql_cursor(cursor: Cursor) -> i64 {
    sql_int(cursor.get())
}

pub(super) fn sql_time(time: UnixMs) -> i64 {
    sql_int(time.0)
}

pub(super) fn int(value: i64, column: &'static str) -> Result<u64, sqlx::Error> {
    u64::try_from(value).map_err(|_| damaged(column))
}

pub(super) fn cursor(value: i64) -> Result<Cursor, sqlx::Error> {
    let cursor = u64::try_from(value).ok().and_then(Cursor::new);
    cursor.ok_or_else(|| damaged("cursor"))
}

pub(super) fn time(value: i64) -> Result<UnixMs, sqlx::Error> {
    int(value, "time").map(UnixMs)
}

pub(super) fn bytes<const N: usize>(value: &[u8], column: &'static str) -> Result<[u8; N], sqlx::Error> {
    value.try_into().map_err(|_| damaged(column))
}

pub(super) fn device_id(value: &[u8]) -> Result<DeviceId, sqlx::Error> {
    DeviceId::from_slice(value).ok_or_else(|| damaged("device_id"))
}

pub(super) fn epoch(value: i64) -> Result<Epoch, sqlx::Error> {
    Epoch::try_from(value).map_err(|_| damaged("epoch"))
}

pub(super) fn standing(value: i64) -> Result<Standing, sqlx::Error> {
    match value {
        0 => Ok(Standing::Present),
        1 => Ok(Standing::Removed),
        2 => Ok(Standing::Expired),
        _ => Err(damaged("standing")),
    }
}

pub(super) fn key_log(value: &[u8]) -> Result<KeyLog, sqlx::Error> {
    wire::decode(value).map_err(|_| damaged("key_log"))
}

/// Cuts a list into pieces of the lengths of [`CHUNKS`].
pub(super) fn chunks<T>(mut list: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let len = CHUNKS.into_iter().find(|len| *len <= list.len())?;
        let (chunk, rest) = list.split_at(len);
        list = rest;
        Some(chunk)
    })
}

/// `head (?,?),(?,?)… tail`: a statement over `rows` rows of `columns` columns.
pub(super) fn over_rows(head: &str, columns: usize, rows: usize, tail: &str) -> AssertSqlSafe<String> {
    let row = format!("({})", vec!["?"; columns].join(","));
    AssertSqlSafe(format!("{head} {} {tail}", vec![row; rows].join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_everything_once_in_order() {
        for len in [0, 1, 3, 64, 65, 511] {
            let list: Vec<usize> = (0..len).collect();
            assert_eq!(chunks(&list).flatten().copied().collect::<Vec<_>>(), list);
            assert!(chunks(&list).all(|chunk| CHUNKS.contains(&chunk.len())));
        }
    }

    #[test]
    fn statements_over_rows_have_a_mark_for_each_value() {
        assert_eq!(over_rows("VALUES", 2, 2, "x").0, "VALUES (?,?),(?,?) x");
    }
}
