//! The one place where the server reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sync_types::{MonoMs, Now, UnixMs};

/// What tells a relay the time of day: [`SystemTime::now`], unless a test wants another.
pub type WallClock = fn() -> SystemTime;

/// Both clocks, the monotonic one from the relay's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall: WallClock,
}

impl Clock {
    pub(crate) fn start(wall: WallClock) -> Self {
        Self { start: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Now {
        let since_1970 = (self.wall)().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: MonoMs(millis(self.start.elapsed())), unix: UnixMs(millis(since_1970)) }
    }

    /// When a moment of the monotonic clock comes, for a timer.
    pub(crate) fn instant(&self, at: MonoMs) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_millis(at.0))
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
