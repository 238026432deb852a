//! What all sessions together may hold.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bytes of one permit.
const UNIT: usize = 1024;

/// A number of bytes that is shared out.
#[derive(Debug)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
    /// How many wait for a share.
    waiting: watch::Sender<usize>,
}

/// A share of it, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(crate) fn of(bytes: usize) -> Self {
        let units = units(bytes);
        Self { permits: Arc::new(Semaphore::new(units as usize)), units, waiting: watch::Sender::new(0) }
    }

    /// Waits for a share; of more than there is at all, for all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let wanted = units(bytes).min(self.units);
        let permits = Arc::clone(&self.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_many_owned(wanted) {
            return Share(Some(permit));
        }
        let _waits = Waits::new(&self.waiting);
        Share(permits.acquire_many_owned(wanted).await.ok())
    }

    /// Waits until somebody has to wait for a share.
    pub(crate) async fn short(&self) {
        // It fails when the sender is gone, which is here.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Makes a share as large as `bytes`, or says by how many bytes it falls short.
    pub(crate) fn fit(&self, share: &mut Share, bytes: usize) -> Result<(), usize> {
        let wanted = units(bytes).min(self.units) as usize;
        let has = share.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if wanted <= has {
            if let Some(permit) = &mut share.0 {
                drop(permit.split(has - wanted));
            }
            return Ok(());
        }
        let missing = u32::try_from(wanted - has).unwrap_or(u32::MAX);
        match Arc::clone(&self.permits).try_acquire_many_owned(missing) {
            Ok(more) => {
                share.add(Share(Some(more)));
                Ok(())
            }
            Err(_) => Err((wanted - has) * UNIT),
        }
    }
}

/// Somebody who waits.
struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Share {
    /// Splits off a share of `bytes`, or all there is.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let Some(permit) = &mut self.0 else {
            return Self::default();
        };
        Self(permit.split(permit.num_permits().min(units(bytes) as usize)))
    }

    pub(crate) fn add(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(mine), Some(more)) => mine.merge(more),
            (mine @ None, more) => *mine = more,
            (Some(_), None) => {}
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_split_off_outlives_the_rest() {
        let budget = Budget::of(10 * UNIT);
        let (mut session, mut other) = (Share::default(), Share::default());
        assert_eq!(budget.fit(&mut session, 6 * UNIT), Ok(()));
        let job = session.split(4 * UNIT);
        drop(session);
        assert_eq!(budget.fit(&mut other, 7 * UNIT), Err(7 * UNIT));
        drop(job);
        assert_eq!(budget.fit(&mut other, 10 * UNIT), Ok(()));
        assert_eq!(Share::default().split(UNIT).0.map(|_| ()), None);
    }

    #[tokio::test]
    async fn it_is_short_while_somebody_waits() {
        let budget = Budget::of(10 * UNIT);
        let is_short = || pin!(budget.short()).now_or_never().is_some();
        let all = budget.take(10 * UNIT).await;
        assert!(!is_short());
        {
            let mut next = pin!(budget.take(UNIT));
            assert!(next.as_mut().now_or_never().is_none());
            assert!(is_short());
        }
        assert!(!is_short(), "who gives up does not wait any more");
        let mut next = pin!(budget.take(UNIT));
        assert!(next.as_mut().now_or_never().is_none());
        drop(all);
        next.await;
        assert!(!is_short());
    }

    #[test]
    fn shares_grow_and_shrink_and_never_exceed_the_budget() {
        let budget = Budget::of(10 * UNIT);
        let (mut a, mut b) = (Share::default(), Share::default());
        assert_eq!(budget.fit(&mut a, 7 * UNIT), Ok(()));
        assert_eq!(budget.fit(&mut b, 4 * UNIT), Err(4 * UNIT));
        assert_eq!(budget.fit(&mut a, 5 * UNIT + 1), Ok(()));
        assert_eq!(budget.fit(&mut b, 4 * UNIT), Ok(()));
        drop(a);
        assert_eq!(budget.fit(&mut b, 1 << 30), Ok(()), "all there is");
    }
}
