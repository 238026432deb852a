//! Why a write is refused by a rule.

use core::time::Duration;

use sync_types::{DeviceId, ErrorBody, ErrorCode};

/// Why a write is refused. Nothing was changed; what the peer can do about it is in its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Groups are made only with an access token.
    #[error("this relay creates groups only with an access token")]
    CreationDenied,
    /// The relay has as many groups as it takes.
    #[error("the relay takes no more groups")]
    TooManyGroups,
    /// Groups of its origin take as much as they may.
    #[error("as many groups were made from this address as the relay takes from one")]
    OriginFull,
    /// Too many new groups came from where this one would. Storage never says so; a driver may.
    #[error("too many new groups were made from this address")]
    NewGroupsRationed {
        /// When to try again.
        wait: Duration,
    },
    /// The group has as many devices as it may.
    #[error("the group takes no more devices; remove one first")]
    TooManyDevices,
    /// There is no such group, or no such device in it.
    #[error("the relay does not know this group or device")]
    Unknown,
    /// The device was removed.
    #[error("this device was removed from the group")]
    Revoked,
    /// The device was away for so long that the group went on without it.
    #[error("this device was away for too long; let it join again")]
    Expired,
    /// The group was deleted.
    #[error("the group was deleted")]
    GroupDeleted,
    /// The group has a newer key.
    #[error("the group's key was changed in the meantime")]
    EpochStale,
    /// The group is not known to have reached that epoch.
    #[error("the relay does not know this epoch of the group")]
    EpochUnknown,
    /// The key log and the stored one differ before either ends.
    #[error("the key log contradicts the one that the relay has")]
    KeyLogConflict,
    /// The log has blobs that the sender of a rotation has not read.
    #[error("the log has grown since: pull, then try again")]
    Behind,
    /// A rotation is not signed by the key of the epoch before.
    #[error("the rotation is not signed by the group's key")]
    RotationForged,
    /// A rotation's sender would remove itself.
    #[error("the rotation has no lockbox for its own sender")]
    RotationOfOthers,
    /// A rotation would bring a removed device back.
    #[error("the rotation has a lockbox for a device that was removed: {}", short(.device))]
    RotationRevives {
        /// Which.
        device: DeviceId,
    },
    /// The key log is full.
    #[error("the group's key was changed as often as it can be")]
    TooManyRotations,
    /// Others need the rotation to go from one key to the next.
    #[error("a rotation cannot be deleted")]
    RotationStays,
    /// The same blob id with other bytes.
    #[error("another blob has this id")]
    BlobConflict,
    /// The group's blobs take all the room they may.
    #[error("the group's storage at the relay is full{}", held_up(.held_by))]
    GroupFull {
        /// The device that has yet to acknowledge most, if that is what stands in the way.
        held_by: Option<DeviceId>,
    },
    /// The relay's storage takes all the room it may.
    #[error("the relay's storage is full")]
    StoreFull,
    /// An invite lies there already.
    #[error("there is an invite under this key already")]
    InviteTaken,
    /// No invite, or not any more, or not by this token.
    #[error("there is no invite under this key: mistyped, used, or expired")]
    InviteNotFound,
    /// The invite to be revoked was used already.
    #[error("the invite was used already")]
    InviteUsed,
}

fn held_up(device: &Option<DeviceId>) -> String {
    match device {
        None => String::new(),
        Some(device) => format!(": device {} has not yet received its oldest blobs", short(device)),
    }
}

fn short(device: &DeviceId) -> String {
    let id = device.to_string();
    format!("{}…", id.get(..8).unwrap_or(&id))
}

impl Refusal {
    /// The code on the wire.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CreationDenied => ErrorCode::GroupCreationDenied,
            Self::NewGroupsRationed { .. } => ErrorCode::RateLimited,
            Self::TooManyGroups | Self::OriginFull | Self::TooManyDevices | Self::TooManyRotations => {
                ErrorCode::GroupLimit
            }
            Self::Unknown | Self::InviteNotFound => ErrorCode::NotFound,
            Self::Revoked => ErrorCode::DeviceRevoked,
            Self::Expired => ErrorCode::DeviceExpired,
            Self::GroupDeleted => ErrorCode::GroupDeleted,
            Self::EpochStale => ErrorCode::EpochStale,
            Self::EpochUnknown => ErrorCode::EpochUnknown,
            Self::Behind => ErrorCode::Behind,
            Self::RotationForged => ErrorCode::Unauthenticated,
            Self::RotationOfOthers | Self::RotationRevives { .. } | Self::RotationStays => {
                ErrorCode::BadRequest
            }
            Self::KeyLogConflict | Self::BlobConflict | Self::InviteTaken | Self::InviteUsed => {
                ErrorCode::Conflict
            }
            Self::GroupFull { .. } => ErrorCode::GroupStorageFull,
            Self::StoreFull => ErrorCode::StorageFull,
        }
    }

    /// Whether a session that hears it has lost its place, so that it ends.
    pub fn ends_session(&self) -> bool {
        matches!(self, Self::Revoked | Self::Expired | Self::GroupDeleted)
    }
}

impl From<Refusal> for ErrorBody {
    fn from(refusal: Refusal) -> Self {
        let error = Self::because(refusal.code(), refusal.to_string());
        if let Refusal::NewGroupsRationed { wait } = refusal {
            return error.retry_after_ms(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        }
        error
    }
}
