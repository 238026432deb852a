//! The one writer: everything that waits becomes one transaction, then everybody is answered.

use std::sync::Arc;

use sync_relay_core::store::{Refusal, Store, StoreError, WriteOp, WriteOutcome};
use sync_relay_core::{Committed, OpId, StoreReply};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::fanout::Fanout;
use crate::memory::Share;

/// Most writes of one transaction, with each blob of a push as one; one push may exceed it alone.
const MAX_ROWS: usize = 512;
/// Most blob bytes of one transaction; one push may exceed it alone.
const MAX_BYTES: usize = 8 << 20;
/// Writes that wait before those who bring more must wait, too.
const QUEUE: usize = 1024;

/// A way to the writer.
#[derive(Debug, Clone)]
pub(crate) struct Writer(mpsc::Sender<Job>);

/// Where a session hears what became of its requests.
pub(crate) type Replies = mpsc::UnboundedSender<(OpId, StoreReply)>;

/// The writer is gone, or its storage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

struct Job {
    op: WriteOp,
    reply: Reply,
    /// Of the budget for input: what waits here counts, whether its session still lives or not.
    held: Share,
}

enum Reply {
    Session(OpId, Replies),
    Once(oneshot::Sender<Result<WriteOutcome, Unavailable>>),
    Nobody,
}

impl Writer {
    /// A writer that ends when the last way to it is dropped and its queue is empty.
    pub(crate) fn start<S: Store + 'static>(
        store: Arc<S>,
        fanout: Arc<Fanout>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), tokio::spawn(run(store, fanout, queue)))
    }

    /// For a session, which hears of it by `replies`. Waits while the queue is full.
    pub(crate) async fn submit(&self, id: OpId, op: WriteOp, held: Share, replies: &Replies) {
        let reply = Reply::Session(id, replies.clone());
        if self.0.send(Job { op, reply, held }).await.is_err() {
            let _ = replies.send((id, StoreReply::Unavailable));
        }
    }

    /// For one who waits for the answer.
    pub(crate) async fn write(&self, op: WriteOp) -> Result<WriteOutcome, Unavailable> {
        let (sender, answer) = oneshot::channel();
        let reply = Reply::Once(sender);
        self.0.send(Job { op, reply, held: Share::default() }).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)?
    }

    /// Writes that are in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }

    /// For nobody: not done when the queue is full.
    pub(crate) fn note(&self, op: WriteOp) {
        let reply = Reply::Nobody;
        let _ = self.0.try_send(Job { op, reply, held: Share::default() });
    }
}

async fn run<S: Store>(store: Arc<S>, fanout: Arc<Fanout>, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.recv().await {
        let (mut bytes, mut rows) = (first.op.bytes(), first.op.rows());
        let (mut ops, mut replies, mut held) = (vec![first.op], vec![first.reply], first.held);
        // Whatever has gathered during the last commit goes together; nothing waits for more.
        while rows < MAX_ROWS && bytes < MAX_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.op.bytes();
            rows += job.op.rows();
            ops.push(job.op);
            replies.push(job.reply);
            held.add(job.held);
        }
        match store.apply(&ops).await {
            Ok(outcomes) => {
                let commits: Vec<_> = ops.iter().zip(&outcomes).filter_map(committed).collect();
                fanout.committed(commits.iter());
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    reply.give(Ok(outcome));
                }
            }
            Err(failure) => {
                let cause: &dyn std::error::Error = &failure;
                error!(cause = cause.source(), writes = ops.len(), "a commit failed");
                for (reply, op) in replies.into_iter().zip(&ops) {
                    reply.give(refused(op, &failure));
                }
            }
        }
        drop(ops);
        drop(held);
    }
}

/// What is heard of a write that was not done.
fn refused(op: &WriteOp, failure: &StoreError) -> Result<WriteOutcome, Unavailable> {
    let brings = matches!(op, WriteOp::Push(_) | WriteOp::Rotate(_) | WriteOp::CreateInvite(_));
    match failure {
        StoreError::Full(_) if brings => Ok(Err(Refusal::StoreFull)),
        StoreError::Full(_) | StoreError::Failed(_) => Err(Unavailable),
    }
}

fn committed((op, outcome): (&WriteOp, &WriteOutcome)) -> Option<Committed> {
    Committed::of(op, outcome.as_ref().ok()?)
}

impl Reply {
    fn give(self, result: Result<WriteOutcome, Unavailable>) {
        // Whoever asked may have gone: the write was done nevertheless.
        match self {
            Self::Session(id, replies) => {
                let reply = result.map_or(StoreReply::Unavailable, StoreReply::Written);
                let _ = replies.send((id, reply));
            }
            Self::Once(sender) => {
                let _ = sender.send(result);
            }
            Self::Nobody => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use sync_relay_core::store::{ReadOp, ReadResult, Seen, WriteResult};
    use sync_types::UnixMs;

    use super::*;

    /// Fails every batch of which the first write is from time 0; counts those of the others.
    struct Picky;

    impl Store for Picky {
        async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
            if matches!(&batch[0], WriteOp::Seen(seen) if seen.now == UnixMs(0)) {
                return Err(StoreError::new("no"));
            }
            Ok(batch.iter().map(|_| Ok(WriteResult::Seen)).collect())
        }
        async fn read(&self, _: &ReadOp) -> Result<ReadResult, StoreError> {
            Err(StoreError::new("no"))
        }
    }

    fn seen(now: u64) -> WriteOp {
        WriteOp::Seen(Seen { devices: vec![], now: UnixMs(now) })
    }

    #[tokio::test]
    async fn a_failed_commit_is_acknowledged_to_nobody_and_the_writer_goes_on() {
        let (writer, task) = Writer::start(Arc::new(Picky), Arc::new(Fanout::new(1)));
        assert_eq!(writer.write(seen(0)).await, Err(Unavailable));
        assert_eq!(writer.write(seen(1)).await, Ok(Ok(WriteResult::Seen)));
        let (replies, mut heard) = mpsc::unbounded_channel();
        writer.submit(OpId(7), seen(0), Share::default(), &replies).await;
        assert!(matches!(heard.recv().await, Some((OpId(7), StoreReply::Unavailable))));
        writer.note(seen(1));
        drop(writer);
        task.await.unwrap();
    }
}
