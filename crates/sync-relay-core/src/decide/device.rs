//! How devices stand with their group.

use sync_types::{Cursor, Epoch};

use crate::store::Refusal;

/// How a device that a group knows stands with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is one of the group's.
    Present,
    /// It was removed, or has left. It is remembered so that it cannot come back.
    Removed,
    /// It was away for so long that the group no longer waits for it.
    Expired,
}

/// What the store has about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Up to here everything is its own.
    pub acked: Cursor,
    /// The highest epoch of which it is known to be a member: by its own proof, or by a rotation that
    /// has a lockbox for it.
    pub epoch: Epoch,
    /// Whether it is still one of the group's.
    pub standing: Standing,
}

/// Decides whether a device that was let in before still has its place; `None`: the group does not know
/// it.
pub fn has_place(standing: Option<Standing>) -> Result<(), Refusal> {
    match standing {
        Some(Standing::Present) => Ok(()),
        Some(Standing::Removed) | None => Err(Refusal::Revoked),
        Some(Standing::Expired) => Err(Refusal::Expired),
    }
}

/// Decides whether a device that was let in before may read, of a group that is `known` or remembered as
/// `deleted`.
pub fn may_read(known: bool, deleted: bool, standing: Option<Standing>) -> Result<(), Refusal> {
    match (known, deleted) {
        (true, _) => has_place(standing),
        (false, true) => Err(Refusal::GroupDeleted),
        (false, false) => Err(Refusal::Unknown),
    }
}

/// Decides whether a device may change something: it must have its place, and the newest key.
pub(super) fn may_write(standing: Option<Standing>, session: Epoch, newest: Epoch) -> Result<(), Refusal> {
    has_place(standing)?;
    if session < newest { Err(Refusal::EpochStale) } else { Ok(()) }
}
