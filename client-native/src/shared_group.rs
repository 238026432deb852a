//! Groups without invites: all devices know one secret, or derive it from what people type.

use std::collections::BTreeMap;

use sync_e2ee::{EpochSecret, Invite, passphrase_secret};
use sync_types::KeyLog;
use sync_types::limits::INVITE_LIFETIME;

use crate::request::Ask;
use crate::{Error, PassphraseGroup, SyncClient, http};

impl SyncClient {
    /// Becomes a member of the group of a name and a passphrase, and makes it if this is its first device.
    /// The same two give the same group on every device; any other two give another one, so compare
    /// [`Status::fingerprint`](crate::Status::fingerprint) on two screens. Lets nobody in any more once the
    /// group has a new key: then its members invite. Takes about 0.2 s and 64 MiB, on a thread of its own.
    ///
    /// # Errors
    /// [`Error::AlreadyInGroup`], [`Error::NoRelay`]; [`Error::Unreachable`] when the relay's key is not
    /// known and cannot be asked for.
    pub async fn join_passphrase_group(&self, group: PassphraseGroup) -> Result<(), Error> {
        if self.status().group_id.is_some() {
            return Err(Error::AlreadyInGroup);
        }
        let derived =
            tokio::task::spawn_blocking(move || passphrase_secret(group.name(), group.expose_passphrase()));
        let secret = derived.await.ok().and_then(Result::ok);
        let failed = "the passphrase's key cannot be derived: 64 MiB of memory are needed";
        self.join_group_of(secret.ok_or(Error::Machine(failed))?).await
    }

    /// Becomes a member of the group of a secret that somebody handed out beforehand.
    pub(crate) async fn join_group_of(&self, secret: EpochSecret) -> Result<(), Error> {
        let status = self.status();
        let relay = status.relay.ok_or(Error::NoRelay)?;
        let relay_key = match status.relay_key {
            Some(key) => key,
            None => http::relay_key(&relay).await?,
        };
        let keys = secret.keys();
        let invite = Invite {
            relay,
            relay_key,
            group_id: keys.founds_group(),
            key_log: KeyLog::new(keys.auth_key()),
            epoch: 0,
            secret,
            history: BTreeMap::new(),
            roster: Vec::new(),
            seen: None,
            created_by: status.device_id,
            expires: self.clock().unix().plus(INVITE_LIFETIME),
        };
        self.done(Ask::Join(Box::new(invite))).await
    }
}
