//! A clock of the day that can be wrong.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// How far this process's clock is ahead, in seconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// Sets this process's clock ahead of the machine's, or behind it.
pub fn set_ahead(seconds: i64) {
    AHEAD.store(seconds, Ordering::Relaxed);
}

/// What this process takes for the time.
pub fn now() -> SystemTime {
    let ahead = AHEAD.load(Ordering::Relaxed);
    let by = Duration::from_secs(ahead.unsigned_abs());
    if ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
}
