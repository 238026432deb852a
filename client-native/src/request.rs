//! What a handle asks of its driver.

use std::fmt;

use sync_e2ee::Invite;
use sync_engine::{Change, Command, PageEnd, Reply};
use sync_types::{Cursor, DeviceId, InviteKey, LookupKey, RelayKey};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::{Error, PushReceipt};

pub(crate) enum Request {
    /// A command for the engine.
    Ask(Ask, Answer),
    /// The network or the machine came back.
    Woke,
    /// Gives a row of this crate's own.
    Recall(Vec<u8>, oneshot::Sender<Option<Zeroizing<Vec<u8>>>>),
    /// Stores a row of this crate's own.
    Remember(Change, oneshot::Sender<()>),
    /// Ends the driver.
    Close(oneshot::Sender<()>),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask(..) => "Ask",
            Self::Woke => "Woke",
            Self::Recall(..) => "Recall",
            Self::Remember(..) => "Remember",
            Self::Close(_) => "Close",
        })
    }
}

/// A command before it has an engine.
pub(crate) enum Ask {
    Connect,
    Disconnect,
    Push { data: Zeroizing<Vec<u8>>, ttl: Option<u32> },
    Flush,
    Read { limit: u32, has: Option<PageEnd> },
    Pull { after: Cursor, limit: u32 },
    Ack { cursor: Cursor, generation: Option<u32> },
    Devices,
    SealInvite { lookup: LookupKey, key: InviteKey },
    Join(Box<Invite>),
    TrustRelay(RelayKey),
    Rotate { remove: Vec<DeviceId>, keep_history: bool },
    Restore,
    Leave,
    DeleteGroup,
    Membership,
    InviteTaken,
}

impl Ask {
    /// The same once more, for those that may wait long. The others are answered as soon as the store
    /// has done its part.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Connect => Some(Self::Connect),
            Self::Flush => Some(Self::Flush),
            Self::Read { limit, has } => Some(Self::Read { limit: *limit, has: *has }),
            Self::Pull { after, limit } => Some(Self::Pull { after: *after, limit: *limit }),
            Self::Devices => Some(Self::Devices),
            Self::SealInvite { lookup, key } => Some(Self::SealInvite { lookup: *lookup, key: key.clone() }),
            Self::Rotate { remove, keep_history } => {
                Some(Self::Rotate { remove: remove.clone(), keep_history: *keep_history })
            }
            Self::Leave => Some(Self::Leave),
            Self::DeleteGroup => Some(Self::DeleteGroup),
            Self::Disconnect
            | Self::Push { .. }
            | Self::Ack { .. }
            | Self::Join(_)
            | Self::TrustRelay(_)
            | Self::Restore
            | Self::Membership
            | Self::InviteTaken => None,
        }
    }
}

impl From<Ask> for Command {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Connect => Self::Connect,
            Ask::Disconnect => Self::Disconnect,
            Ask::Push { data, ttl } => Self::Push { data, ttl, token: None },
            Ask::Flush => Self::Flush,
            Ask::Read { limit, has } => Self::Read { limit, has },
            Ask::Pull { after, limit } => Self::Pull { after, limit },
            Ask::Ack { cursor, generation } => Self::Ack { cursor, generation },
            Ask::Devices => Self::Devices,
            Ask::SealInvite { lookup, key } => Self::SealInvite { lookup, key },
            Ask::Join(invite) => Self::Join(invite),
            Ask::TrustRelay(key) => Self::TrustRelay(key),
            Ask::Rotate { remove, keep_history } => Self::Rotate { remove, keep_history },
            Ask::Restore => Self::Restore,
            Ask::Leave => Self::Leave,
            Ask::DeleteGroup => Self::DeleteGroup,
            Ask::Membership => Self::Membership,
            Ask::InviteTaken => Self::InviteTaken,
        }
    }
}

/// Who waits for a command's answer. Dropped unanswered, it means that the client was closed.
pub(crate) enum Answer {
    Nobody,
    Reply(oneshot::Sender<Result<Reply, Error>>),
    Receipt(oneshot::Sender<Result<PushReceipt, Error>>),
}

impl Answer {
    pub(crate) fn fail(self, error: Error) {
        match self {
            Self::Nobody => {}
            Self::Reply(answer) => {
                let _ = answer.send(Err(error));
            }
            Self::Receipt(answer) => {
                let _ = answer.send(Err(error));
            }
        }
    }
}
