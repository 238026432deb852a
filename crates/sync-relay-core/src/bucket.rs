//! An allowance, such as that of one device for its messages: a generic cell rate algorithm (ITU-T I.371,
//! annex A) on the caller's clock.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use sync_types::MonoMs;

const MINUTE: Duration = Duration::from_secs(60);

/// How much of something there may be: so many at once, then as many in each period.
///
/// A device's bucket for messages is shared by all its connections, and kept beyond them: reconnecting buys
/// nothing.
#[derive(Debug)]
pub struct Bucket {
    /// When the allowance will be whole again, in microseconds of the caller's clock.
    whole_at: AtomicU64,
    cost: u64,
    burst: u64,
}

impl Bucket {
    /// A whole allowance of `per_minute` messages (at least one).
    pub fn new(per_minute: u32) -> Self {
        Self::of(per_minute, MINUTE)
    }

    /// A whole allowance of `count` (at least one) in each `period`.
    pub fn of(count: u32, period: Duration) -> Self {
        let count = u64::from(count.max(1));
        let period = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        let cost = (period / count).max(1);
        Self { whole_at: AtomicU64::new(0), cost, burst: cost.saturating_mul(count) }
    }

    /// Takes one message's worth, or says how long to wait until there is one.
    pub fn take(&self, now: MonoMs) -> Result<(), Duration> {
        let now = micros(now);
        let mut wait = 0;
        let taken = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole_at| {
            let after = whole_at.max(now).saturating_add(self.cost);
            wait = after.saturating_sub(now).saturating_sub(self.burst);
            (wait == 0).then_some(after)
        });
        taken.map(drop).map_err(|_| Duration::from_micros(wait))
    }

    /// Gives one message's worth back.
    pub fn give_back(&self) {
        let cost = self.cost;
        let _ = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole_at| {
            Some(whole_at.saturating_sub(cost))
        });
    }

    /// How long one message's worth takes to come back.
    pub fn interval(&self) -> Duration {
        Duration::from_micros(self.cost)
    }

    /// Whether nothing is missing: such a bucket need not be remembered.
    pub fn is_whole(&self, now: MonoMs) -> bool {
        self.whole_at.load(Ordering::Relaxed) <= micros(now)
    }
}

fn micros(now: MonoMs) -> u64 {
    now.0.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_message_each_600_ms() {
        let bucket = Bucket::new(100);
        let start = MonoMs(5000);
        for _ in 0..100 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(Duration::from_millis(600)));
        assert_eq!(bucket.take(MonoMs(5599)), Err(Duration::from_millis(1)));
        assert_eq!(bucket.take(MonoMs(5600)), Ok(()), "the wait was told right");
        assert_eq!(bucket.take(MonoMs(5600)), Err(Duration::from_millis(600)));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let bucket = Bucket::new(1);
        assert_eq!(bucket.take(MonoMs(0)), Ok(()));
        assert!(bucket.take(MonoMs(0)).is_err());
        bucket.give_back();
        assert_eq!(bucket.take(MonoMs(0)), Ok(()));
        assert!(!bucket.is_whole(MonoMs(59_999)));
        assert!(bucket.is_whole(MonoMs(60_000)));
    }

    #[test]
    fn a_period_may_be_an_hour() {
        let bucket = Bucket::of(20, Duration::from_secs(3600));
        for _ in 0..20 {
            assert_eq!(bucket.take(MonoMs(0)), Ok(()));
        }
        assert_eq!(bucket.interval(), Duration::from_secs(180));
        assert_eq!(bucket.take(MonoMs(0)), Err(Duration::from_secs(180)));
        assert_eq!(bucket.take(MonoMs(180_000)), Ok(()));
    }

    #[test]
    fn extreme_clocks_and_rates_do_not_overflow() {
        for rate in [0, 1, u32::MAX] {
            let bucket = Bucket::of(rate, Duration::MAX);
            let _ = bucket.take(MonoMs(u64::MAX));
            let bucket = Bucket::new(rate);
            let _ = bucket.take(MonoMs(u64::MAX));
            let _ = bucket.take(MonoMs(0));
            bucket.give_back();
        }
    }
}
