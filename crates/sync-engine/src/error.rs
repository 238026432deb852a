//! Errors, sorted by who can do something about them.

use sync_types::{DeviceId, ErrorCode, RelayKey};

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    // What the caller did.
    /// No relay is set: give its address first.
    #[error("no relay is set")]
    NoRelay,
    /// This device is in no group yet: make one by pushing or inviting, or join one.
    #[error("this device is in no group yet")]
    NoGroup,
    /// This device is in a group already; another group needs another store.
    #[error("this device is in a group already")]
    AlreadyInGroup,
    /// More data than fits one blob.
    #[error("too large: a blob holds at most {max} bytes")]
    TooLarge {
        /// Largest app data, in bytes.
        max: usize,
    },
    /// The outbox is full: wait until some of it has been sent.
    #[error("the outbox is full: wait until some of it has been sent")]
    OutboxFull,
    /// The group is too large for an invite.
    #[error("the group is too large for an invite")]
    InviteTooLarge,
    /// A device that is to be removed is none of the group's.
    #[error("{0} is no device of this group")]
    NoSuchDevice(DeviceId),
    /// A device does not remove itself: it leaves.
    #[error("this is the device itself: let it leave")]
    RemovesItself,

    // Where the relay is, and what it says.
    /// There is no connection, and none is being made.
    #[error("not connected")]
    NotConnected,
    /// The relay could not be reached, or the connection broke before it answered.
    #[error("the relay could not be reached")]
    Unreachable,
    /// No connection will be tried until somebody acts.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The relay refuses this request.
    #[error("the relay refused: {message}")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// In the relay's words.
        message: String,
    },
    /// The relay broke the protocol.
    #[error("the relay answered with something malformed")]
    RelayMisbehaved,
    /// The relay has lost everything for the second time within a day: nothing is pushed until somebody has
    /// agreed to push again what it lost.
    #[error("the relay was reset twice within a day: agree to push again what it lost")]
    RestoreWaits,
    /// The relay was reset while this was under way: try again.
    #[error("the relay was reset meanwhile; try again")]
    RelayReset,
}

/// Why an engine has stopped connecting. Only a person or the app can go on: with
/// [`Command::Connect`](crate::Command::Connect) after the cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Another relay answers under the address, or someone stands in the middle. Raised before this
    /// device has said who it is. If the relay is known to have a new key, trust it by name.
    #[error("the relay's key is {found}, but {expected} is expected: another relay, or someone in between")]
    RelayKeyChanged {
        /// The pinned key.
        expected: RelayKey,
        /// The key that answered.
        found: RelayKey,
    },
    /// The relay does not let this device in.
    #[error("the relay does not let this device in: {message}")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// In the relay's words.
        message: String,
    },
    /// A member has removed this device from the group. Nothing here is deleted; nothing new can be read.
    #[error("this device was removed from the group")]
    Removed,
    /// This device has left the group.
    #[error("this device has left the group")]
    Left,
    /// The relay speaks an older protocol than it did before: it was downgraded, or someone pretends so.
    #[error("the relay speaks protocol version {found}, and spoke {floor} before")]
    Downgraded {
        /// The version of this answer.
        found: u16,
        /// The highest version seen from this relay.
        floor: u16,
    },
}

/// A stored state that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A row that this version does not understand: made by a newer version, or damaged.
    #[error("the stored state is damaged, or was made by a newer version")]
    Malformed,
    /// Rows that belong together are not all there.
    #[error("the stored state is incomplete")]
    Incomplete,
}
