//! The owner's settings: `relay.toml`, the environment, the command line; the later wins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Deserializer};
use sync_relay_core::store::NewBlob;
use sync_relay_core::{GroupCreation, Policy};
use sync_types::RelayUrl;
use sync_types::limits::SEAL_OVERHEAD;

use crate::units::{ByteSize, Seconds};

/// Smallest useful bound of a blob, in bytes: what announces a device must fit.
const MIN_BLOB: u64 = 4 * 1024;
/// Seconds between two cleanups; much less than what counts as an outage.
const CLEANUP_INTERVAL: RangeInclusive<u64> = 1..=12 * 60 * 60;
/// Shortest time after which a device may be let go, in seconds: somebody may be on holiday.
const MIN_DEVICE_EXPIRY: u64 = 7 * 24 * 60 * 60;
/// Largest bound of a blob, in bytes.
const MAX_BLOB: u64 = 64 << 20;

/// Where the environment has `groups.access_token`.
const TOKEN_VARIABLE: &str = "SYNC_RELAY_GROUPS__ACCESS_TOKEN";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no settings file {0}")]
    NoFile(PathBuf),
    /// A key that this relay does not have, or a value of the wrong kind.
    #[error("{0}")]
    Read(#[from] Box<figment::Error>),
    /// A value out of its bounds.
    #[error("{key}: {must}")]
    Value {
        /// Which.
        key: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// No home folder to keep data in.
    #[error("no home folder to keep data in; name a folder with --data")]
    NoHome(#[from] etcetera::HomeDirError),
}

/// All settings. An unknown key is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[storage]`
    pub storage: Storage,
    /// `[cleanup]`
    pub cleanup: Cleanup,
    /// `[groups]`
    pub groups: Groups,
    /// `[limits]`
    pub limits: Limits,
}

/// `[server]`: where the relay listens and what it calls itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port. Default: 127.0.0.1:8080.
    pub bind: SocketAddr,
    /// Most connections to `/sync` at once. Default: 1000.
    pub max_connections: u32,
    /// The address under which clients reach the relay, when that is not `bind`: behind a tunnel or proxy.
    pub public_url: Option<String>,
    /// A name for people. Default: `sync-relay`.
    pub name: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            max_connections: 1000,
            public_url: None,
            name: "sync-relay".to_owned(),
        }
    }
}

/// `[storage]`: where data lies, and how much of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The database file. Default: `relay.db` in the user's data folder for `sync-relay`.
    pub database: Option<PathBuf>,
    /// Largest app data of one blob. Default: 1 MiB.
    pub max_blob_size: ByteSize,
    /// Most data of one group. Default: 100 MiB.
    pub max_group_storage: ByteSize,
    /// Most data in all. Default: 1 GiB.
    pub max_db_size: ByteSize,
    /// Life of a blob whose sender names none; 0: no end. Default: 7 days.
    pub default_ttl: Seconds,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            database: None,
            max_blob_size: ByteSize(1 << 20),
            max_group_storage: ByteSize(100 << 20),
            max_db_size: ByteSize(1 << 30),
            default_ttl: Seconds(7 * 24 * 60 * 60),
        }
    }
}

/// `[cleanup]`: what time takes away.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cleanup {
    /// How often. Default: 1 hour.
    pub interval: Seconds,
    /// A device that was away for so long is not waited for any more. Default: 90 days.
    pub device_expiry: Seconds,
    /// Whether room that was freed goes back to the system. Default: yes.
    pub vacuum_on_cleanup: bool,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self {
            interval: Seconds(60 * 60),
            device_expiry: Seconds(90 * 24 * 60 * 60),
            vacuum_on_cleanup: true,
        }
    }
}

/// `[groups]`: who may make groups, and how many.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Groups {
    /// When set, only devices that know it can make a group. Default: anybody can.
    #[serde(deserialize_with = "token")]
    pub access_token: Option<String>,
    /// Most groups. Default: 1000.
    pub max_groups: u64,
    /// Most devices of a group. Default: 100.
    pub max_devices: u64,
}

impl Default for Groups {
    fn default() -> Self {
        Self { access_token: None, max_groups: 1000, max_devices: 100 }
    }
}

impl core::fmt::Debug for Groups {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Groups")
            .field("access_token", &self.access_token.as_ref().map(|_| "…"))
            .field("max_groups", &self.max_groups)
            .field("max_devices", &self.max_devices)
            .finish()
    }
}

/// `[limits]`: how fast.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Messages of one device in a minute. Default: 100.
    pub messages_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages_per_minute: 100 }
    }
}

impl Config {
    /// Reads a file, if one is named, then the environment: `SYNC_RELAY_SERVER__BIND` is `server.bind`.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        // All of ours have two underscores. Kubernetes makes others of a service that is called
        // sync-relay, such as SYNC_RELAY_PORT.
        let environment = Env::prefixed("SYNC_RELAY_").filter(|key| key.as_str().contains("__")).split("__");
        figment = figment.merge(environment);
        // As it is: what looks like a number would lose its zeros.
        if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
            figment = figment.merge(("groups.access_token", token));
        }
        let config: Self = figment.extract().map_err(Box::new)?;
        config.check()?;
        Ok(config)
    }

    /// The database file: the one that is set, or `relay.db` in the user's data folder.
    pub fn database(&self) -> Result<PathBuf, ConfigError> {
        match &self.storage.database {
            Some(path) => Ok(path.clone()),
            None => Ok(etcetera::choose_base_strategy()?.data_dir().join("sync-relay/relay.db")),
        }
    }

    /// What the core decides by.
    pub fn policy(&self) -> Policy {
        let storage = &self.storage;
        let token = self.groups.access_token.as_deref();
        Policy {
            max_blob_size: at_most_u32(storage.max_blob_size.0 + SEAL_OVERHEAD as u64),
            max_group_storage: storage.max_group_storage.0,
            max_db_size: storage.max_db_size.0,
            default_ttl: at_most_u32(storage.default_ttl.0),
            max_groups: self.groups.max_groups,
            max_devices_per_group: self.groups.max_devices,
            device_expiry: Duration::from_secs(self.cleanup.device_expiry.0),
            messages_per_minute: self.limits.messages_per_minute,
            group_creation: token.map_or(GroupCreation::Open, GroupCreation::by_token),
        }
    }

    /// Refuses what could not work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let value = |key, must| Err(ConfigError::Value { key, must });
        let blob = self.storage.max_blob_size.0;
        if !(MIN_BLOB..=MAX_BLOB).contains(&blob) {
            return value("storage.max_blob_size", "between 4 KiB and 64 MiB");
        }
        if self.storage.max_group_storage.0 < blob + (SEAL_OVERHEAD + NewBlob::OVERHEAD) as u64 {
            return value("storage.max_group_storage", "more than storage.max_blob_size");
        }
        if !CLEANUP_INTERVAL.contains(&self.cleanup.interval.0) {
            return value("cleanup.interval", "between 1 second and 12 hours");
        }
        if self.cleanup.device_expiry.0 < MIN_DEVICE_EXPIRY {
            return value("cleanup.device_expiry", "at least 7 days");
        }
        if self.limits.messages_per_minute == 0 {
            return value("limits.messages_per_minute", "at least 1");
        }
        if self.server.max_connections == 0 {
            return value("server.max_connections", "at least 1");
        }
        if self.server.public_url.as_ref().is_some_and(|url| url.parse::<RelayUrl>().is_err()) {
            return value("server.public_url", "an address such as https://relay.example");
        }
        if self.groups.access_token.as_ref().is_some_and(String::is_empty) {
            return value("groups.access_token", "not empty");
        }
        Ok(())
    }
}

/// A token that a file has as text or as a number. Errors do not say what it is.
fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the token must be text in quotes")]
    enum Token {
        Text(String),
        Number(u64),
    }
    Ok(Option::deserialize(deserializer)?.map(|token| match token {
        Token::Text(text) => text,
        Token::Number(number) => number.to_string(),
    }))
}

fn at_most_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_fine_and_what_is_set_counts() {
        let config = load("").unwrap();
        assert_eq!(config.server.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.policy().max_blob_size, (1 << 20) + 1024);
        let config = load(
            "[server]\nbind = \"0.0.0.0:9\"\n[storage]\nmax_blob_size = \"2MiB\"\ndefault_ttl = 60\n\
             [groups]\naccess_token = \"sesame\"\n[limits]\nmessages_per_minute = 5\n",
        );
        let config = config.unwrap();
        let policy = config.policy();
        assert_eq!(config.server.bind.port(), 9);
        assert_eq!((policy.max_blob_size, policy.default_ttl), ((2 << 20) + 1024, 60));
        assert_eq!(policy.messages_per_minute, 5);
        assert!(!policy.group_creation.allows(None));
        assert!(!format!("{config:?}").contains("sesame"));
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let text = include_str!("../relay.example.toml");
        let example = load(text).unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
        // What is commented out there exists, too.
        let uncommented = text.replace("# public_url", "public_url").replace("# database", "database");
        load(&uncommented.replace("# access_token", "access_token")).unwrap();
    }

    #[test]
    fn a_token_of_digits_is_a_token_and_no_error_shows_one() {
        let config = load("[groups]\naccess_token = 271828\n").unwrap();
        assert_eq!(config.groups.access_token.as_deref(), Some("271828"));
        for token in ["2.71828", "-271828", "true", "[271828]"] {
            let error = load(&format!("[groups]\naccess_token = {token}\n")).unwrap_err();
            assert!(error.contains("access_token") && !error.contains(token), "{error}");
            assert!(!error.contains("71828"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[server]\nbindd = 1\n", "bindd"),
            ("[sever]\nbind = 1\n", "sever"),
            ("[server]\nbind = \"nowhere\"\n", "bind"),
            ("[storage]\nmax_blob_size = \"2 parsecs\"\n", "max_blob_size"),
            ("[storage]\nmax_blob_size = 1\n", "storage.max_blob_size"),
            ("[cleanup]\ninterval = \"1d\"\n", "cleanup.interval"),
            ("[cleanup]\ninterval = 0\n", "cleanup.interval"),
            ("[cleanup]\ndevice_expiry = \"6d\"\n", "cleanup.device_expiry"),
            ("[limits]\nmessages_per_minute = 0\n", "limits.messages_per_minute"),
            ("[server]\npublic_url = \"relay.example\"\n", "server.public_url"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(named), "{text:?} gave {error:?}");
        }
        assert!(Config::load(Some(Path::new("/nowhere/relay.toml"))).is_err());
    }
}
