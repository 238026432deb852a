//! Errors, sorted by who can do something about them, and their names in JavaScript.

use sync_engine::{EngineError, StateError, StopReason};
use sync_types::{DeviceId, ErrorCode, InviteTextError, RelayKey, RelayUrl, RelayUrlError};
use wasm_bindgen::JsValue;

use crate::browser::object;
use crate::store::StoreError;

/// Why something failed. JavaScript gets an object with `code`, `message` and perhaps `retryAfterMs`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    // What the caller did.
    /// An argument is not what it has to be.
    #[error("{0}")]
    Argument(&'static str),
    /// The relay's address cannot be used.
    #[error("the relay's address cannot be used: {0}")]
    RelayUrl(#[from] RelayUrlError),
    /// No relay is set: give its address when opening, or join by a link.
    #[error("no relay is known: give its address, or join by a link")]
    NoRelay,
    /// This device is in no group yet: push or invite to make one, or join one.
    #[error("this device is in no group yet: push or invite to make one, or join one")]
    NoGroup,
    /// This device is in a group already. Another group needs another store.
    #[error("this device is in a group already; another group needs another store")]
    AlreadyInGroup,
    /// More data than fits one blob: split it.
    #[error("too large: a blob holds at most {max} bytes")]
    TooLarge {
        /// Largest app data, in bytes.
        max: usize,
    },
    /// Too many pushes wait for the relay: wait until some have been sent.
    #[error("the outbox is full: wait until some of it has been sent")]
    OutboxFull,
    /// The group has too many devices for an invite.
    #[error("the group is too large for an invite")]
    InviteTooLarge,
    /// Not a code, link or app URL of an invite.
    #[error(transparent)]
    InviteText(#[from] InviteTextError),
    /// There is no invite of this device's that could be revoked.
    #[error("there is no invite to revoke")]
    NothingToRevoke,
    /// A device that is to be removed is none of the group's.
    #[error("{0} is no device of this group: look at the list of devices")]
    NoSuchDevice(DeviceId),
    /// A device does not remove itself: it leaves.
    #[error("this is the device itself, which nobody removes from here: let it leave")]
    RemovesItself,
    /// Nobody asked for a connection.
    #[error("not connected: connect first")]
    NotConnected,
    /// The client was closed.
    #[error("this client was closed")]
    Closed,

    // Reaching the relay.
    /// The relay cannot be reached. What was pushed stays in the outbox.
    #[error("the relay{} cannot be reached", named(.0.as_ref()))]
    Unreachable(Option<RelayUrl>),

    // What the relay says, or is.
    /// Another relay answers under the address, or someone stands in the middle. Raised before this
    /// device has said who it is.
    #[error(
        "the relay's key is {found}, but {expected} is expected: another relay answers, or someone stands in \
         between; if the relay is known to have a new key, trust that key"
    )]
    RelayKeyChanged {
        /// The pinned key.
        expected: RelayKey,
        /// The key that answered.
        found: RelayKey,
    },
    /// The relay speaks an older protocol than before.
    #[error(
        "the relay speaks protocol version {found} and spoke {floor} before: it was downgraded, or someone pretends so"
    )]
    Downgraded {
        /// The version that it speaks.
        found: u16,
        /// The highest version that it has spoken.
        floor: u16,
    },
    /// The relay refuses.
    #[error("the relay refused: {message}")]
    Refused {
        /// Why, when the refusal came with a code of the protocol.
        code: Option<ErrorCode>,
        /// In words.
        message: String,
    },
    /// The relay has had too many requests from here.
    #[error("too many requests: the relay asks to wait {seconds} s")]
    TooManyRequests {
        /// How long to wait.
        seconds: u32,
    },
    /// The relay answered with something that this version does not understand.
    #[error("the relay answered with something malformed: is it a Sync Relay, and as new as this page?")]
    Malformed,
    /// The relay was reset while this was under way: try again.
    #[error("the relay was reset meanwhile; try again")]
    RelayReset,
    /// The relay has lost everything for the second time within a day: nothing is pushed until `restore`.
    #[error(
        "the relay lost what it stored for the second time within a day, so nothing is pushed: find out why, \
         then agree to push again what it lost"
    )]
    RestoreWaits,

    // The group, and this device in it.
    /// A member has removed this device from the group, and this device has verified that.
    #[error(
        "this device was removed from the group: it can read what it has, and nothing new; to come back, it \
         has to be erased and invited again"
    )]
    Removed,
    /// This device has left the group.
    #[error("this device has left the group; erase what is stored here")]
    Left,

    // Invites.
    /// Nothing lies at the relay under this code or link.
    #[error("no invite under this code: mistyped, used, or expired")]
    InviteNotFound,
    /// The relay gave the invite away, and by this device's clock its time is over. It is used up now.
    #[error(
        "the invite has expired by this device's clock: is the date right here, and on the device that made it? \
         It is used up; ask for another one"
    )]
    InviteExpired,
    /// The invite cannot be taken back, for somebody has used it.
    #[error("the invite was used already: look at the group's devices")]
    InviteUsed,
    /// Something lies there, and it does not open. It is used up now.
    #[error("the invite does not open: the link is damaged, or the relay changed it; ask for another one")]
    InviteDamaged,

    // This browser.
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Something that a browser should provide is missing.
    #[error("{0}")]
    Browser(&'static str),
}

impl Error {
    /// Its name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Argument(_) | Self::RelayUrl(_) => "BAD_ARGUMENT",
            Self::NoRelay => "NO_RELAY",
            Self::NoGroup => "NO_GROUP",
            Self::AlreadyInGroup => "ALREADY_IN_GROUP",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::OutboxFull => "OUTBOX_FULL",
            Self::InviteTooLarge => "INVITE_TOO_LARGE",
            Self::InviteText(_) => "INVITE_TEXT",
            Self::NothingToRevoke => "NOTHING_TO_REVOKE",
            Self::NoSuchDevice(_) => "NO_SUCH_DEVICE",
            Self::RemovesItself => "REMOVES_ITSELF",
            Self::NotConnected => "NOT_CONNECTED",
            Self::Closed | Self::Store(StoreError::NotOurs) => "CLOSED",
            Self::Unreachable(_) => "UNREACHABLE",
            Self::RelayKeyChanged { .. } => "RELAY_KEY_CHANGED",
            Self::Downgraded { .. } => "DOWNGRADED",
            Self::Refused { code: Some(code), .. } => refusal(*code),
            Self::Refused { code: None, .. } => "REFUSED",
            Self::TooManyRequests { .. } => "TOO_MANY_REQUESTS",
            Self::Malformed => "MALFORMED",
            Self::RelayReset => "RELAY_RESET",
            Self::RestoreWaits => "RESTORE_WAITS",
            Self::Removed => "REMOVED",
            Self::Left => "LEFT",
            Self::InviteNotFound => "INVITE_NOT_FOUND",
            Self::InviteUsed => "INVITE_USED",
            Self::InviteExpired => "INVITE_EXPIRED",
            Self::InviteDamaged => "INVITE_DAMAGED",
            Self::Store(StoreError::Full) => "STORAGE_FULL",
            Self::Store(StoreError::Failed(_) | StoreError::Newer) => "STORAGE",
            Self::State(_) => "STATE",
            Self::Browser(_) => "UNSUPPORTED_BROWSER",
        }
    }

    /// As JavaScript gets it; the package makes an `Error` of it, in whichever tab has asked.
    pub(crate) fn to_js(&self) -> JsValue {
        let wait = if let Self::TooManyRequests { seconds } = self {
            JsValue::from(f64::from(*seconds) * 1000.0)
        } else {
            JsValue::UNDEFINED
        };
        object([("code", self.code().into()), ("message", self.to_string().into()), ("retryAfterMs", wait)])
    }
}

/// The protocol's name of a refusal.
pub(crate) fn refusal(code: ErrorCode) -> &'static str {
    // The browser's own storage has the shorter name.
    if code == ErrorCode::StorageFull { "STORAGE_FULL_RELAY" } else { code.name() }
}

fn named(relay: Option<&RelayUrl>) -> String {
    relay.map(|url| format!(" at {url}")).unwrap_or_default()
}

impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        error.to_js()
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoRelay => Self::NoRelay,
            EngineError::NoGroup => Self::NoGroup,
            EngineError::AlreadyInGroup => Self::AlreadyInGroup,
            EngineError::TooLarge { max } => Self::TooLarge { max },
            EngineError::OutboxFull => Self::OutboxFull,
            EngineError::InviteTooLarge => Self::InviteTooLarge,
            EngineError::NotConnected => Self::NotConnected,
            EngineError::Unreachable => Self::Unreachable(None),
            EngineError::Stopped(reason) => reason.into(),
            EngineError::Refused { code, message } => Self::Refused { code: Some(code), message },
            EngineError::RelayMisbehaved => Self::Malformed,
            EngineError::RelayReset => Self::RelayReset,
            EngineError::RestoreWaits => Self::RestoreWaits,
            EngineError::NoSuchDevice(device) => Self::NoSuchDevice(device),
            EngineError::RemovesItself => Self::RemovesItself,
        }
    }
}

impl From<StopReason> for Error {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::RelayKeyChanged { expected, found } => Self::RelayKeyChanged { expected, found },
            StopReason::Refused { code, message } => Self::Refused { code: Some(code), message },
            StopReason::Removed => Self::Removed,
            StopReason::Left => Self::Left,
            StopReason::Downgraded { found, floor } => Self::Downgraded { found, floor },
        }
    }
}
