//! Storage as a value: what a session asks for, what it is told, and the trait behind it.

mod committed;
mod invite;
mod payload;
mod read;
mod refusal;
mod write;

pub use committed::{Committed, Ended, News};
pub use invite::{ClaimInvite, ClaimedInvite, CreateInvite, InviteStatus, RevokeInvite};
pub use payload::Payload;
pub use read::{Backlog, PullPage, ReadOp, ReadResult, Stats};
pub use refusal::Refusal;
pub use write::{
    Acknowledge, Admit, Admitted, Chore, Cleaned, Cleanup, DeleteOp, Deleted, GroupDeleteOp, LeaveOp,
    NewBlob, Origin, Placed, PushOp, Pushed, RotateOp, Rotated, Seen, WriteOp, WriteResult,
};

use core::future::Future;

/// Names one request of a session to storage, until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// What became of one write: done, or refused by a rule.
pub type WriteOutcome = Result<WriteResult, Refusal>;

/// Storage itself failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room where it lies. Nothing of the batch was done.
    #[error("storage has no room")]
    Full(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// Nothing of the batch may be taken as done, or as not done.
    #[error("storage failed")]
    Failed(#[source] Box<dyn core::error::Error + Send + Sync>),
}

impl StoreError {
    /// From whatever went wrong beneath.
    pub fn new(cause: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }
}

/// The answer to a session's request.
#[derive(Debug)]
pub enum StoreReply {
    /// To a write, after its commit.
    Written(WriteOutcome),
    /// To a read.
    Read(ReadResult),
    /// Storage failed.
    Unavailable,
}

/// What the relay needs of storage, and all it needs.
pub trait Store: Send + Sync {
    /// Applies a batch in one transaction, in its order, and gives one outcome for each.
    ///
    /// Everything is durable when this returns. A refused write changes nothing and does not touch
    /// its neighbours; a push of many blobs stores all or none.
    fn apply(&self, batch: &[WriteOp]) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send;

    /// Reads what is committed.
    fn read(&self, op: &ReadOp) -> impl Future<Output = Result<ReadResult, StoreError>> + Send;
}
