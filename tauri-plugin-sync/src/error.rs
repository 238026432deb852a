//! What went wrong, and its names in the webview: those of `sync-client-wasm`.

use serde::ser::{Serialize, SerializeMap, Serializer};
use sync_client::ErrorCode;

/// Why something failed. The webview gets `{ code, message, retryAfterMs? }`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client fails.
    #[error(transparent)]
    Client(#[from] sync_client::Error),
    /// The webview passes something that cannot be.
    #[error("{0}")]
    Argument(&'static str),
    /// Tauri knows no folder for the app's data.
    #[error("no folder for the app's data is known: {0}")]
    Folder(#[from] tauri::Error),
}

impl Error {
    /// Its name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Client(error) => client_code(error),
            Self::Argument(_) => "BAD_ARGUMENT",
            Self::Folder(_) => "STORAGE",
        }
    }

    /// How long to wait before trying again, in milliseconds, where the relay says so.
    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Client(sync_client::Error::TooManyRequests { seconds }) => {
                Some(seconds.saturating_mul(1000))
            }
            Self::Client(_) | Self::Argument(_) | Self::Folder(_) => None,
        }
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.code())?;
        map.serialize_entry("message", &self.to_string())?;
        if let Some(wait) = self.retry_after_ms() {
            map.serialize_entry("retryAfterMs", &wait)?;
        }
        map.end()
    }
}

fn client_code(error: &sync_client::Error) -> &'static str {
    use sync_client::Error as E;
    match error {
        E::DeviceName
        | E::RelayUrl(_)
        | E::Passphrase(_)
        | E::RecoveryPhrase(_)
        | E::NotARecoveryFile
        | E::RecoveryClosed
        | E::FileExists(_) => "BAD_ARGUMENT",
        E::NoDevice(_) => "NO_DEVICE",
        E::DeviceExists(_) => "DEVICE_EXISTS",
        E::OtherDevice(_) => "OTHER_DEVICE",
        E::NoRelay => "NO_RELAY",
        E::NoGroup => "NO_GROUP",
        E::AlreadyInGroup => "ALREADY_IN_GROUP",
        E::TooLarge { .. } => "TOO_LARGE",
        E::OutboxFull => "OUTBOX_FULL",
        E::InviteTooLarge => "INVITE_TOO_LARGE",
        E::InviteText(_) => "INVITE_TEXT",
        E::NothingToRevoke => "NOTHING_TO_REVOKE",
        E::NoSuchDevice(_) => "NO_SUCH_DEVICE",
        E::RemovesItself => "REMOVES_ITSELF",
        E::NotConnected => "NOT_CONNECTED",
        E::Busy(_) => "BUSY",
        E::Closed => "CLOSED",
        E::Unreachable(_) => "UNREACHABLE",
        E::TimedOut => "TIMED_OUT",
        E::RelayKeyChanged { .. } => "RELAY_KEY_CHANGED",
        E::Downgraded { .. } => "DOWNGRADED",
        E::Refused { code: Some(code), .. } => refusal(*code),
        E::Refused { code: None, .. } => "REFUSED",
        E::TooManyRequests { .. } => "TOO_MANY_REQUESTS",
        E::Malformed => "MALFORMED",
        E::RelayReset => "RELAY_RESET",
        E::RestoreWaits => "RESTORE_WAITS",
        E::Removed => "REMOVED",
        E::Left => "LEFT",
        E::InviteNotFound => "INVITE_NOT_FOUND",
        E::InviteExpired => "INVITE_EXPIRED",
        E::InviteUsed => "INVITE_USED",
        E::InviteDamaged => "INVITE_DAMAGED",
        E::Store(_) | E::Machine(_) => "STORAGE",
        E::State(..) => "STATE",
    }
}

/// The protocol's name of a refusal.
pub(crate) fn refusal(code: ErrorCode) -> &'static str {
    // The device's own storage has the shorter name.
    if code == ErrorCode::StorageFull { "STORAGE_FULL_RELAY" } else { code.name() }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn an_error_says_its_code_in_words_and_how_long_to_wait_where_that_is_known() {
        let error = Error::from(sync_client::Error::TooManyRequests { seconds: 7 });
        let message = "too many requests: the relay asks to wait 7 s";
        let expected = json!({ "code": "TOO_MANY_REQUESTS", "message": message, "retryAfterMs": 7000 });
        assert_eq!(to_value(&error).unwrap(), expected);
        let refused =
            sync_client::Error::Refused { code: Some(ErrorCode::GroupDeleted), message: "gone".into() };
        let value = to_value(Error::from(refused)).unwrap();
        assert_eq!(value["code"], "GROUP_DELETED");
        assert_eq!(value.get("retryAfterMs"), None);
    }
}
