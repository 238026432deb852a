//! The reference model keeps the contract that it is the reference for.
#![allow(clippy::unwrap_used, missing_docs)]

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use sync_relay_core::Policy;
use sync_testkit::MemoryStore;
use sync_testkit::store_contract::{Fixture, run_all};
use sync_types::StoreId;

struct Memory;

impl Fixture for Memory {
    type Store = MemoryStore;

    async fn fresh(&self, policy: Policy) -> MemoryStore {
        MemoryStore::new(StoreId([5; 16]), policy)
    }

    async fn reopen(&self, store: MemoryStore) -> MemoryStore {
        store.crash();
        store
    }

    fn store_id(&self, store: &MemoryStore) -> StoreId {
        store.store_id()
    }
}

#[test]
fn the_reference_model_keeps_the_contract() {
    // Nothing here ever waits, so one poll is enough.
    let mut run = pin!(run_all(&Memory));
    let poll = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, Poll::Ready(()));
}
