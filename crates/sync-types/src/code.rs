//! Error codes: one registry for ERROR messages and WebSocket close codes.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal;)*) => {
        /// Why a relay refuses. The number stands in ERROR; 4000 plus the number closes a WebSocket.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code of a number, if this build knows it.
            pub fn from_u16(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The protocol's name of it, such as `EPOCH_STALE`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

codes! {
    /// The message breaks the protocol.
    BadRequest = 1, "BAD_REQUEST";
    /// No protocol version in common: update the older side.
    UnsupportedVersion = 2, "UNSUPPORTED_VERSION";
    /// The proof of membership is wrong.
    Unauthenticated = 3, "UNAUTHENTICATED";
    /// This device was removed from the group.
    DeviceRevoked = 4, "DEVICE_REVOKED";
    /// Too many messages: wait as long as `retry_after_ms` says.
    RateLimited = 5, "RATE_LIMITED";
    /// The blob is larger than the relay takes.
    BlobTooLarge = 6, "BLOB_TOO_LARGE";
    /// The group's storage is full.
    GroupStorageFull = 7, "GROUP_STORAGE_FULL";
    /// The relay's storage is full.
    StorageFull = 8, "STORAGE_FULL";
    /// The relay takes no more groups, or the group no more devices.
    GroupLimit = 9, "GROUP_LIMIT";
    /// The group's key was rotated: pull, verify, seal again.
    EpochStale = 10, "EPOCH_STALE";
    /// There is no such thing.
    NotFound = 11, "NOT_FOUND";
    /// The same id with other content, or a key log that contradicts the known one.
    Conflict = 12, "CONFLICT";
    /// The relay cannot serve just now: try again.
    Unavailable = 13, "UNAVAILABLE";
    /// This relay creates groups only for those with an access token.
    GroupCreationDenied = 14, "GROUP_CREATION_DENIED";
    /// The same device connected again.
    Replaced = 15, "REPLACED";
    /// The group was deleted by a member.
    GroupDeleted = 16, "GROUP_DELETED";
    /// The device was away too long and was forgotten.
    DeviceExpired = 17, "DEVICE_EXPIRED";
    /// The relay does not know the epoch's key: repeat HELLO with the key log.
    EpochUnknown = 18, "EPOCH_UNKNOWN";
    /// The log has grown since the cursor that a rotation was made after: pull, then try again.
    Behind = 19, "BEHIND";
}

impl ErrorCode {
    /// The number in ERROR messages.
    pub fn as_u16(self) -> u16 {
        self as u16
    }

    /// The WebSocket close code: 4000 plus the number.
    pub fn close_code(self) -> u16 {
        4000 + self.as_u16()
    }

    /// The code of a WebSocket close, if it is one of ours.
    pub fn from_close_code(code: u16) -> Option<Self> {
        Self::from_u16(code.checked_sub(4000)?)
    }
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = match self {
            Self::BadRequest => "the message breaks the protocol",
            Self::UnsupportedVersion => "no protocol version in common: update the older side",
            Self::Unauthenticated => "this device is not a member of the group",
            Self::DeviceRevoked => "this device was removed from the group",
            Self::RateLimited => "too many messages; wait and try again",
            Self::BlobTooLarge => "the blob is larger than the relay takes",
            Self::GroupStorageFull => "the group's storage at the relay is full",
            Self::StorageFull => "the relay's storage is full",
            Self::GroupLimit => "the relay takes no more groups or devices",
            Self::EpochStale => "the group's key was changed in the meantime",
            Self::NotFound => "the relay does not have it",
            Self::Conflict => "it contradicts what the relay already has",
            Self::Unavailable => "the relay cannot serve just now; try again",
            Self::GroupCreationDenied => "this relay creates groups only with an access token",
            Self::Replaced => "this device connected again from elsewhere",
            Self::GroupDeleted => "the group was deleted by a member",
            Self::DeviceExpired => "this device was away too long and was forgotten; join again",
            Self::EpochUnknown => "the relay does not know this epoch of the group",
            Self::Behind => "the log has grown since: pull, then try again",
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_u16(code.as_u16()), Some(*code));
            assert_eq!(ErrorCode::from_close_code(code.close_code()), Some(*code));
        }
        assert_eq!(ErrorCode::from_u16(0), None);
        assert_eq!(ErrorCode::from_u16(20), None);
        assert_eq!(ErrorCode::from_close_code(1003), None);
    }
}
