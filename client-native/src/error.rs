//! Errors, sorted by who can do something about them.

use std::path::PathBuf;
use std::sync::Arc;

use sync_e2ee::PhraseError;
use sync_engine::{EngineError, StateError, StopReason};
use sync_types::{DeviceId, ErrorCode, InviteTextError, RelayKey, RelayUrl, RelayUrlError};

use crate::PassphraseError;
use crate::store::StoreError;

/// Why something failed. Each says what can be done; [`fault`](Error::fault) sorts them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // What the caller did.
    /// There is no device in this folder yet: make one with `SyncClient::new` or `create`.
    #[error("there is no device in {} yet: make one first", .0.display())]
    NoDevice(PathBuf),
    /// There is a device in this folder already, with a name and keys of its own.
    #[error("there is a device in {} already: use it, or choose another folder", .0.display())]
    DeviceExists(PathBuf),
    /// The key pair of the configuration is not the stored device's. One folder is one device.
    #[error("the device in {} has another key pair: one folder holds one device", .0.display())]
    OtherDevice(PathBuf),
    /// Device names have 1 to 62 bytes and no control characters.
    #[error("a device name has 1 to 62 bytes and no control characters")]
    DeviceName,
    /// The relay's address cannot be used.
    #[error("the relay's address cannot be used: {0}")]
    RelayUrl(#[from] RelayUrlError),
    /// No relay is set: give its address when making the device, or join by link.
    #[error("no relay is known: give its address, or join by a link")]
    NoRelay,
    /// This device is in no group yet: push or invite to make one, or join one.
    #[error("this device is in no group yet: push or invite to make one, or join one")]
    NoGroup,
    /// This device is in a group already. Another group needs another folder.
    #[error("this device is in a group already; another group needs another folder")]
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
    /// A device that is to be removed is none of the group's: look at
    /// [`devices`](crate::SyncClient::devices).
    #[error("{0} is no device of this group: look at the list of devices")]
    NoSuchDevice(DeviceId),
    /// A device does not remove itself: see [`leave`](crate::SyncClient::leave).
    #[error("this is the device itself, which nobody removes from here: let it leave")]
    RemovesItself,
    /// No group can be made of this name and this passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Not the words of a recovery file: look at what was typed.
    #[error(transparent)]
    RecoveryPhrase(#[from] PhraseError),
    /// Something else than a recovery file, or one of a newer version.
    #[error("this is no recovery file, or one of a newer version of this app")]
    NotARecoveryFile,
    /// The words are another recovery file's, or the file was changed.
    #[error("the recovery file does not open: these are the words of another one, or the file was changed")]
    RecoveryClosed,
    /// A file is not written over another one.
    #[error("{} exists already: choose another name", .0.display())]
    FileExists(PathBuf),
    /// [`connect`](crate::SyncClient::connect) has not been called.
    #[error("not connected: connect first")]
    NotConnected,
    /// Another process uses this folder, and did not let go of it in time.
    #[error("another process uses {}: wait until it has finished, or end it", .0.display())]
    Busy(PathBuf),
    /// The client was closed.
    #[error("this client was closed")]
    Closed,

    // Reaching the relay.
    /// The relay cannot be reached. What was pushed stays in the outbox.
    #[error("the relay{} cannot be reached", named(.0.as_ref()))]
    Unreachable(Option<RelayUrl>),
    /// It took longer than it was given.
    #[error("the relay did not answer in time")]
    TimedOut,

    // What the relay says, or is.
    /// Another relay answers under the address, or someone stands in the middle. Raised before this
    /// device has said who it is. If the relay is known to have a new key, go on with
    /// [`trust_relay`](crate::SyncClient::trust_relay).
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
    #[error("the relay refused: {message}{}", advice(*code))]
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
        seconds: u64,
    },
    /// The relay answered with something that this version does not understand.
    #[error("the relay answered with something malformed: is it a Sync Relay, and as new as this app?")]
    Malformed,
    /// The relay was reset while this was under way: try again.
    #[error("the relay was reset meanwhile; try again")]
    RelayReset,
    /// The relay has lost everything for the second time within a day, and could make devices push without
    /// end. Nothing is pushed until [`restore`](crate::SyncClient::restore).
    #[error(
        "the relay lost what it stored for the second time within a day, so nothing is pushed: find out why, \
         then agree to push again what it lost"
    )]
    RestoreWaits,

    // The group, and this device in it.
    /// A member has removed this device from the group, and this device has verified that.
    #[error(
        "this device was removed from the group: it can read what it has, and nothing new; to come back, it \
         has to be wiped and invited again"
    )]
    Removed,
    /// This device has left the group.
    #[error("this device has left the group; wipe what is stored here")]
    Left,

    // Invites.
    /// Nothing lies at the relay under this code or link.
    #[error("no invite under this code: mistyped, used, or expired")]
    InviteNotFound,
    /// The relay gave the invite away, and by this device's clock its time is over: the relay has kept it too long,
    /// or one of the clocks is wrong. It is used up now: ask for another one.
    #[error(
        "the invite has expired by this device's clock: is the date right here, and on the device that made it? \
         It is used up; ask for another one"
    )]
    InviteExpired,
    /// The invite cannot be taken back, for somebody has used it: look at the group's devices.
    #[error("the invite was used already: look at the group's devices")]
    InviteUsed,
    /// Something lies there, and it does not open. It is used up now: ask for another one.
    #[error("the invite does not open: the link is damaged, or the relay changed it; ask for another one")]
    InviteDamaged,

    // This machine.
    /// The local store failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The stored state cannot be used.
    #[error("{}: {}", .0.display(), .1)]
    State(PathBuf, StateError),
    /// Something this machine should provide is missing.
    #[error("{0}")]
    Machine(&'static str),
}

/// Whose turn it is after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller asked for something that cannot be.
    Usage,
    /// The relay cannot be reached: try again later.
    Unreachable,
    /// The relay refuses, or is not the expected one: a person has to look.
    Refused,
    /// There is no such invite any more: ask for another one.
    InviteNotFound,
    /// This device belongs to the group no more, or there is no such group.
    NotAMember,
    /// This machine's store or keychain fails.
    Storage,
}

impl Error {
    /// Whose turn it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoDevice(_)
            | Self::DeviceExists(_)
            | Self::OtherDevice(_)
            | Self::DeviceName
            | Self::RelayUrl(_)
            | Self::NoRelay
            | Self::NoGroup
            | Self::AlreadyInGroup
            | Self::TooLarge { .. }
            | Self::OutboxFull
            | Self::InviteTooLarge
            | Self::InviteText(_)
            | Self::NothingToRevoke
            | Self::NoSuchDevice(_)
            | Self::RemovesItself
            | Self::Passphrase(_)
            | Self::RecoveryPhrase(_)
            | Self::NotARecoveryFile
            | Self::RecoveryClosed
            | Self::FileExists(_)
            | Self::NotConnected
            | Self::Closed => Fault::Usage,
            Self::Unreachable(_) | Self::TimedOut => Fault::Unreachable,
            Self::Removed
            | Self::Left
            | Self::Refused {
                code: Some(ErrorCode::DeviceRevoked | ErrorCode::DeviceExpired | ErrorCode::GroupDeleted),
                ..
            } => Fault::NotAMember,
            Self::RelayKeyChanged { .. }
            | Self::Downgraded { .. }
            | Self::Refused { .. }
            | Self::TooManyRequests { .. }
            | Self::Malformed
            | Self::RelayReset
            | Self::RestoreWaits => Fault::Refused,
            Self::InviteNotFound | Self::InviteExpired | Self::InviteUsed | Self::InviteDamaged => {
                Fault::InviteNotFound
            }
            Self::Busy(_) | Self::Store(_) | Self::State(..) | Self::Machine(_) => Fault::Storage,
        }
    }
}

/// What a person can do about a refusal, where the relay's own words do not say it.
fn advice(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::DeviceRevoked | ErrorCode::DeviceExpired) => {
            "; to come back, it has to be wiped and invited again"
        }
        Some(ErrorCode::GroupDeleted) => "; what is stored here stays until it is wiped",
        Some(ErrorCode::EpochStale) => {
            "; this device has only an older key: wipe it, and let a member invite it or use a newer recovery file"
        }
        Some(_) | None => "",
    }
}

fn named(relay: Option<&RelayUrl>) -> String {
    relay.map(|url| format!(" at {url}")).unwrap_or_default()
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

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
