//! What an app says about its device before there is a client.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use etcetera::{AppStrategy, AppStrategyArgs, choose_app_strategy};
use sync_e2ee::{DeviceName, EpochSecret};
use sync_types::{AccessToken, DeviceSecret, RelayAddress};

use crate::key::Keychain;
use crate::{Error, PassphraseGroup};

/// How a client is made, and how it behaves.
///
/// Everything but the relay has a default, and with an invite link even that comes by itself. The
/// fields about *who the device is* count once, when its folder is new; afterwards the folder knows.
///
/// ```
/// let config = sync_client::SyncConfig {
///     device_name: Some("Ada's laptop".to_owned()),
///     folder: std::path::PathBuf::from("/tmp/an-app/sync"),
///     ..sync_client::SyncConfig::new("https://relay.example").unwrap()
/// };
/// assert!(config.auto_reconnect);
/// ```
#[derive(Debug)]
pub struct SyncConfig {
    /// Where the relay is: `https://relay.example`, or with the key that it must show,
    /// `https://relay.example#relay=<key>`. Without a key the first one that answers is remembered.
    /// For a new device; a stored device keeps its relay, and one that joins takes the invite's.
    pub relay_url: Option<RelayAddress>,
    /// The device's X25519 key pair, which is its identity. For a new device; `None` makes one. Never
    /// give the same pair to two devices. A folder with another pair in it is refused
    /// ([`Error::OtherDevice`]).
    pub device_keypair: Option<DeviceSecret>,
    /// The 32-byte secret of a group that all its devices are given at their making, instead of by
    /// invites: for machines that are set up by a tool. For a new device; `None` (and no invite) means
    /// that the first push or invite makes a new group. Whoever has this secret can read everything.
    pub group_key: Option<EpochSecret>,
    /// A group of a name and a passphrase that are typed on each of its devices. For a new device, like
    /// [`group_key`](Self::group_key), which comes first; see
    /// [`join_passphrase_group`](crate::SyncClient::join_passphrase_group).
    pub passphrase_group: Option<PassphraseGroup>,
    /// Whether to connect again after a connection was lost, with growing pauses from 0.5 s to 60 s.
    /// `true` by default. A refusal by the relay is never tried again by itself.
    pub auto_reconnect: bool,
    /// Where the device's state lives; made with mode 0700 if it is not there. One folder is one
    /// device. Several processes may use it, in turns. Default: `sync-relay/device` in the user's data
    /// folder; an app should choose one of its own.
    pub folder: PathBuf,
    /// What people will call the device: 1 to 62 bytes. Only members of the group can read it. For a
    /// new device; `None` takes the host's name.
    pub device_name: Option<String>,
    /// What the device runs on, at most 32 bytes; shown beside its name. For a new device. Default:
    /// the operating system, as in `linux`.
    pub platform: String,
    /// For relays that let only those make groups who have a token. For a new device.
    pub access_token: Option<AccessToken>,
    /// Whether the platform's keychain keeps the key of the local store. For a new device. Default:
    /// [`Keychain::Auto`].
    pub keychain: Keychain,
    /// How many bytes of what this device pushed to keep, sealed, until every other device has them: should
    /// the relay lose its store, they are pushed again. They are in memory, too. 0: none. Default: 8 MiB.
    pub keep_sent: usize,
    /// How long to wait for a turn when another process uses the folder, before [`Error::Busy`].
    /// Default: 40 s. A process in the middle of something may take 30 s to let go.
    pub open_timeout: Duration,
    /// What tells the time of day. Default: [`SystemTime::now`]. For tests of what a wrong clock does.
    pub wall_clock: fn() -> SystemTime,
}

impl SyncConfig {
    /// The defaults, with a relay.
    ///
    /// # Errors
    /// [`Error::RelayUrl`] when the text is not a relay's address.
    pub fn new(relay_url: &str) -> Result<Self, Error> {
        Ok(Self { relay_url: Some(relay_url.parse()?), ..Self::default() })
    }

    /// These settings with another folder.
    #[must_use]
    pub fn in_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), ..self }
    }

    /// These settings with a device name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { device_name: Some(name.into()), ..self }
    }

    /// The name of a new device.
    pub(crate) fn name(&self) -> Result<DeviceName, Error> {
        match &self.device_name {
            Some(name) => DeviceName::new(name).ok_or(Error::DeviceName),
            None => Ok(DeviceName::shortened(&gethostname::gethostname().to_string_lossy(), "device")),
        }
    }
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            relay_url: None,
            device_keypair: None,
            group_key: None,
            passphrase_group: None,
            auto_reconnect: true,
            folder: default_folder(),
            device_name: None,
            platform: std::env::consts::OS.to_owned(),
            access_token: None,
            keychain: Keychain::default(),
            keep_sent: 8 * 1024 * 1024,
            open_timeout: Duration::from_secs(40),
            wall_clock: SystemTime::now,
        }
    }
}

/// `~/.local/share/sync-relay/device` on Linux, and what the platform has for it elsewhere.
fn default_folder() -> PathBuf {
    let app = AppStrategyArgs {
        top_level_domain: "org".to_owned(),
        author: "sync-relay".to_owned(),
        app_name: "sync-relay".to_owned(),
    };
    match choose_app_strategy(app) {
        Ok(strategy) => strategy.in_data_dir("device"),
        Err(_) => PathBuf::from(".sync-relay"),
    }
}
