//! Time and randomness of the browser, which the engine takes as parameters.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sync_types::{MonoMs, Now, UnixMs};
use zeroize::Zeroizing;

use crate::Error;
use crate::browser;

/// Both clocks.
pub(crate) fn now() -> Now {
    Now { mono: mono_now(), unix: unix_now() }
}

/// The steady clock, which counts from when the page was opened.
pub(crate) fn mono_now() -> MonoMs {
    MonoMs(0).plus(millis(browser::performance_now()))
}

pub(crate) fn unix_now() -> UnixMs {
    UnixMs(0).plus(millis(js_sys::Date::now()))
}

/// A time as JavaScript counts it. Never negative there, and far from where it would not fit.
fn millis(js: f64) -> Duration {
    Duration::try_from_secs_f64(js / 1000.0).unwrap_or(Duration::ZERO)
}

/// Random bytes of the browser's.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|_| Error::Browser("the browser gives no random bytes"))?;
    Ok(bytes)
}

/// A generator with a seed of the browser's.
pub(crate) fn rng() -> Result<ChaCha20Rng, Error> {
    Ok(ChaCha20Rng::from_seed(*random::<32>()?))
}
