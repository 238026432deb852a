//! What must never be found after a fault.

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The database cannot be opened.
    #[error("the database does not open: {0}")]
    WontOpen(String),
    /// SQLite finds it damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// It opens, and then does not do its work.
    #[error("the database does not go on: {0}")]
    Stops(String),
    /// A push was acknowledged, and is not there.
    #[error("group {group}: the push that was acknowledged under cursor {cursor} is lost")]
    LostPush {
        /// The group's number in the workload.
        group: u32,
        /// Under which it was acknowledged.
        cursor: u64,
    },
    /// It is there with other bytes.
    #[error("group {group}: there is something else under cursor {cursor}")]
    OtherPush {
        /// The group's number in the workload.
        group: u32,
        /// Where.
        cursor: u64,
    },
    /// A cursor was given that had been given before.
    #[error("group {group}: cursor {cursor} was given again, after {newest}")]
    ReusedCursor {
        /// The group's number in the workload.
        group: u32,
        /// What was given.
        cursor: u64,
        /// The newest that was given before.
        newest: u64,
    },
    /// A cursor was left out.
    #[error("group {group}: after cursor {newest} came {cursor}")]
    CursorGap {
        /// The group's number in the workload.
        group: u32,
        /// What was given.
        cursor: u64,
        /// The newest that was given before.
        newest: u64,
    },
    /// A device's acknowledgement went back.
    #[error("group {group}: device {device} had acknowledged {acked}, and now {now}")]
    LostAck {
        /// The group's number in the workload.
        group: u32,
        /// The device's number.
        device: u8,
        /// What it had acknowledged.
        acked: u64,
        /// What is known of that.
        now: u64,
    },
    /// A rotation was acknowledged, and the group has an older key.
    #[error("group {group}: epoch {epoch} is lost")]
    LostRotation {
        /// The group's number in the workload.
        group: u32,
        /// What was acknowledged.
        epoch: u32,
    },
    /// A device that was removed or has left is a member again.
    #[error("group {group}: device {device} is back")]
    Revived {
        /// The group's number in the workload.
        group: u32,
        /// The device's number.
        device: u8,
    },
    /// What is there is neither what was before the last write, nor what was after it.
    #[error("what is there was never written so")]
    NeverWritten,
    /// A device's store lacks what it had promised to keep.
    #[error("the client's store lacks what was stored: {0}")]
    LostRows(String),
    /// Another device does not get what was put into the outbox.
    #[error("what was in the outbox never arrived: {0:?}")]
    LostOutbox(String),
    /// The device's chain has two blobs in one place, or a hole.
    #[error("another device finds: {0}")]
    BrokenChain(String),
}
