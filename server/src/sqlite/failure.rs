//! How storage fails, and what is known of its condition.

use std::sync::atomic::{AtomicU8, Ordering};

use sync_relay_core::store::StoreError;
use tracing::{error, info};

/// SQLite's own numbers (<https://sqlite.org/rescode.html>).
const CORRUPT: &str = "11";
const FULL: &str = "13";
const NOT_A_DATABASE: &str = "26";

/// Why the database does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// SQLite refuses.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Something that was read from it is not what a relay, or SQLite, has written.
    #[error("the database is damaged")]
    Damaged,
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) if is(&error, &[FULL]) => Self::Full(Box::new(error)),
            Failure::Database(_) | Failure::Damaged => Self::new(failure),
        }
    }
}

/// Whether it is one of these of SQLite's errors, of whatever kind.
fn is(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // The kind is in the higher bytes.
    let code = code.and_then(|code| code.parse::<u32>().ok()).map(|code| (code & 0xff).to_string());
    code.is_some_and(|code| codes.contains(&code.as_str()))
}

/// What is known of storage, from what has become of the last writes and reads.
#[derive(Debug, Default)]
pub(super) struct Condition(AtomicU8);

const WELL: u8 = 0;
const FAILING: u8 = 1;
const DAMAGED: u8 = 2;

impl Condition {
    pub(super) fn is_well(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WELL
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.0.load(Ordering::Relaxed) == DAMAGED
    }

    /// A write was done.
    pub(super) fn works(&self) {
        if self.0.compare_exchange(FAILING, WELL, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            info!("storage works again");
        }
    }

    /// A write or a read was not done. Damage stays: only a look at the whole database could tell that there is none.
    pub(super) fn fails(&self, failure: &sqlx::Error) {
        if is(failure, &[CORRUPT, NOT_A_DATABASE]) {
            if self.0.swap(DAMAGED, Ordering::Relaxed) != DAMAGED {
                error!("the database is damaged: nothing is written to it any more; restore a backup");
            }
        } else {
            let _ = self.0.compare_exchange(WELL, FAILING, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
