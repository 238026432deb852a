//! What a client may have asked of its relay.

use sync_types::Cursor;

use super::rotation::Wish;
use crate::api::CommandId;

/// What was asked, by the nonce that the answer will carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// The front of the outbox.
    Push,
    /// The log after what was seen; `known` was the newest cursor then.
    Sync { after: Cursor, known: Cursor },
    /// The log before what was seen then, again, for the app.
    Again { after: Cursor, seen: Cursor },
    /// The log before what was seen, for a rotation that was not shown then.
    Search { after: Cursor },
    /// A page that the app asked for by cursor.
    Pull { id: CommandId, after: Cursor, limit: u32 },
    /// Who is in the group.
    Devices { id: CommandId },
    /// The same, for this device's own use.
    Roll,
    /// A new key for the group.
    Rotate { id: CommandId, wish: Wish },
    /// A rotation that a relay had and lost.
    Resend,
    /// This device goes.
    Leave { id: CommandId },
    /// The group goes.
    DeleteGroup { id: CommandId },
    /// Whether the relay is there.
    Presence,
}

impl Request {
    /// Who waits for the answer, if anybody does.
    pub(super) fn asker(&self) -> Option<CommandId> {
        match self {
            Self::Pull { id, .. }
            | Self::Devices { id }
            | Self::Rotate { id, .. }
            | Self::Leave { id }
            | Self::DeleteGroup { id } => Some(*id),
            Self::Push
            | Self::Sync { .. }
            | Self::Again { .. }
            | Self::Search { .. }
            | Self::Roll
            | Self::Resend
            | Self::Presence => None,
        }
    }
}
