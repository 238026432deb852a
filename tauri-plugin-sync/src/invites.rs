//! Invites that can still be taken back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sync_client::InviteHandle;

#[derive(Debug, Default)]
pub(crate) struct Invites(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: u32,
    made: BTreeMap<u32, Arc<InviteHandle>>,
}

impl Invites {
    /// Keeps an invite until it ends; gives the number by which it can be taken.
    pub(crate) fn keep(&self, invite: InviteHandle) -> u32 {
        let mut kept = self.kept();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        kept.made.retain(|_, invite| u128::from(invite.expires_at().0) > now);
        kept.last = kept.last.wrapping_add(1);
        let number = kept.last;
        kept.made.insert(number, Arc::new(invite));
        number
    }

    /// The invite of this number.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<InviteHandle>> {
        self.kept().made.get(&number).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
