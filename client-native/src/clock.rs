//! Time and randomness of this machine, which the engine takes as parameters.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sync_types::{MonoMs, Now, UnixMs};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::Error;

/// The two clocks; the steady one counts from when this was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall: fn() -> SystemTime,
}

impl Clock {
    /// `wall` tells the time of day.
    pub(crate) fn start(wall: fn() -> SystemTime) -> Self {
        Self { start: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: MonoMs(0).plus(self.start.elapsed()), unix: self.unix() }
    }

    /// The time of day.
    pub(crate) fn unix(&self) -> UnixMs {
        let since = (self.wall)().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        UnixMs(0).plus(since)
    }

    /// When a moment of the steady clock is, for the runtime's timers.
    pub(crate) fn instant(&self, at: MonoMs) -> Instant {
        self.start + at.since(MonoMs(0))
    }
}

/// 32 random bytes of the operating system's.
pub(crate) fn random_seed() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| Error::Machine("the operating system gives no random bytes"))?;
    Ok(seed)
}

/// A generator with a seed of the operating system's.
pub(crate) fn rng() -> Result<ChaCha20Rng, Error> {
    Ok(ChaCha20Rng::from_seed(*random_seed()?))
}
