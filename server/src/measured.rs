//! A store whose work is counted and timed.

use std::sync::Arc;

use sync_relay_core::store::{
    Placed, PushOp, ReadOp, ReadResult, Store, StoreError, WriteOp, WriteOutcome, WriteResult,
};
use tokio::time::Instant;

use crate::metrics::{Counters, Metrics};

/// Passes everything on.
#[derive(Debug)]
pub(crate) struct Measured<S> {
    store: S,
    metrics: Arc<Metrics>,
}

impl<S> Measured<S> {
    pub(crate) fn new(store: S, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    pub(crate) fn inner(&self) -> &S {
        &self.store
    }

    pub(crate) fn into_inner(self) -> S {
        self.store
    }
}

impl<S: Store> Store for Measured<S> {
    async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
        let counters = self.metrics.counters();
        let start = Instant::now();
        let applied = self.store.apply(batch).await;
        let Ok(outcomes) = &applied else {
            counters.failed_commits.increment(1);
            return applied;
        };
        counters.commit_seconds.record(start.elapsed());
        counters.commit_writes.record(batch.len() as f64);
        let bytes: usize = batch.iter().filter_map(pushed).map(PushOp::bytes).sum();
        counters.commit_bytes.record(bytes as f64);
        for (op, outcome) in batch.iter().zip(outcomes) {
            if let (Some(push), Ok(WriteResult::Pushed(pushed))) = (pushed(op), outcome) {
                count_push(counters, push, &pushed.placed);
            }
        }
        applied
    }

    async fn read(&self, op: &ReadOp) -> Result<ReadResult, StoreError> {
        let counters = self.metrics.counters();
        let start = Instant::now();
        let read = self.store.read(op).await;
        match &read {
            Ok(ReadResult::Page(page)) => {
                counters.pull_seconds.record(start.elapsed());
                counters.pulls.increment(1);
                counters.pulled_blobs.increment(page.blobs.len() as u64);
                let payloads = page.blobs.iter().filter_map(|blob| blob.payload.as_ref());
                counters.pulled_bytes.increment(payloads.map(|payload| payload.len() as u64).sum());
            }
            Ok(_) => {}
            Err(_) => counters.failed_reads.increment(1),
        }
        read
    }
}

fn pushed(op: &WriteOp) -> Option<&PushOp> {
    if let WriteOp::Push(push) = op { Some(push) } else { None }
}

fn count_push(counters: &Counters, push: &PushOp, placed: &[Placed]) {
    let fresh = push.blobs.iter().zip(placed).filter(|(_, placed)| placed.fresh);
    let (blobs, bytes) =
        fresh.fold((0, 0), |(blobs, bytes), (blob, _)| (blobs + 1, bytes + blob.payload.len() as u64));
    counters.pushes.increment(1);
    counters.pushed_blobs.increment(blobs);
    counters.pushed_bytes.increment(bytes);
}
