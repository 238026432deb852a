//! A store in memory: the reference that real stores are measured by, with crashes and planted faults.

mod cleanup;
mod group;
mod invites;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use sync_relay_core::Policy;
use sync_relay_core::store::{ReadOp, ReadResult, Store, StoreError, WriteOp, WriteOutcome};
use sync_types::{GroupId, StoreId, StoredBlob};

use state::State;

/// Faults that a test plants to show that it would find them. None by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A batch is answered before it is durable: [`MemoryStore::crash`] loses the last one.
    pub ack_before_commit: bool,
    /// Every seventh blob of a group gets the cursor of the one before it, and takes its place.
    pub reuse_cursor: bool,
}

/// A store without a disk. What [`apply_now`](Self::apply_now) has returned survives
/// [`crash`](Self::crash), as with a real one.
#[derive(Debug)]
pub struct MemoryStore {
    policy: Policy,
    faults: Faults,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    current: State,
    /// What a crash falls back to, when that is not `current`.
    durable: Option<State>,
}

impl MemoryStore {
    /// An empty store with an id of its own.
    pub fn new(store_id: StoreId, policy: Policy) -> Self {
        Self::with_faults(store_id, policy, Faults::default())
    }

    /// An empty store that does what it should not.
    pub fn with_faults(store_id: StoreId, policy: Policy, faults: Faults) -> Self {
        let inner = Mutex::new(Inner { current: State::new(store_id), durable: None });
        Self { policy, faults, inner }
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.inner().current.store_id
    }

    /// [`Store::apply`], without waiting.
    pub fn apply_now(&self, batch: &[WriteOp]) -> Vec<WriteOutcome> {
        let mut inner = self.inner();
        inner.durable = self.faults.ack_before_commit.then(|| inner.current.clone());
        let state = &mut inner.current;
        batch.iter().map(|op| state.write(op, &self.policy, self.faults)).collect()
    }

    /// [`Store::read`], without waiting.
    pub fn read_now(&self, op: &ReadOp) -> ReadResult {
        self.inner().current.read(op)
    }

    /// The power goes, and comes back: what was answered is still there.
    pub fn crash(&self) {
        let mut inner = self.inner();
        if let Some(durable) = inner.durable.take() {
            inner.current = durable;
        }
    }

    /// Somebody deletes the database: everything is gone, and the new store has another id.
    pub fn wipe(&self, store_id: StoreId) {
        let mut inner = self.inner();
        inner.durable = None;
        inner.current = State::new(store_id);
    }

    /// Everything that lies in a group, whoever may read it.
    pub fn log(&self, group: GroupId) -> Vec<StoredBlob> {
        self.inner().current.group(&group).map(|group| group.log().collect()).unwrap_or_default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
        Ok(self.apply_now(batch))
    }

    async fn read(&self, op: &ReadOp) -> Result<ReadResult, StoreError> {
        Ok(self.read_now(op))
    }
}
