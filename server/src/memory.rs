//! What all sessions together may hold.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit.
const UNIT: usize = 1024;

/// A number of bytes that is shared out.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
}

/// A share of it, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(crate) fn of(bytes: usize) -> Self {
        let units = units(bytes);
        Self { permits: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits for a share; of more than there is at all, for all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let wanted = units(bytes).min(self.units);
        Share(Arc::clone(&self.permits).acquire_many_owned(wanted).await.ok())
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
