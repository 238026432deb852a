//! The owner's settings: `relay.toml`, the environment, the command line; the later wins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::HeaderName;
use etcetera::BaseStrategy;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Deserializer};
use sync_relay_core::store::NewBlob;
use sync_relay_core::{GroupCreation, Policy};
use sync_types::RelayUrl;
use sync_types::limits::{MIN_MAX_BLOB, SEAL_OVERHEAD};
use tracing_subscriber::EnvFilter;

use crate::caller::Proxies;
use crate::network::{self, Network};
use crate::units::{ByteSize, Seconds};

/// Smallest useful bound of a blob, in bytes.
const MIN_BLOB: u64 = MIN_MAX_BLOB as u64;
/// Seconds between two cleanups; much less than what counts as an outage.
const CLEANUP_INTERVAL: RangeInclusive<u64> = 1..=12 * 60 * 60;
/// Shortest time after which a device may be let go, in seconds: somebody may be on holiday.
const MIN_DEVICE_EXPIRY: u64 = 7 * 24 * 60 * 60;
/// Largest bound of a blob, in bytes.
const MAX_BLOB: u64 = 64 << 20;

/// Where the environment has tokens.
const TOKENS: [(&str, &str); 2] = [
    ("SYNC_RELAY_GROUPS__ACCESS_TOKEN", "groups.access_token"),
    ("SYNC_RELAY_METRICS__TOKEN", "metrics.token"),
];

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no settings file {0}")]
    NoFile(PathBuf),
    /// A key that this relay does not have, or a value of the wrong kind.
    #[error(transparent)]
    Read(#[from] Box<figment::Error>),
    /// A setting of the environment that would count for nothing.
    #[error("{found}: two underscores stand between section and key: {meant}")]
    OneUnderscore {
        /// What the environment has.
        found: String,
        /// What is read.
        meant: String,
    },
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
    /// `[metrics]`
    pub metrics: MetricsAccess,
    /// `[log]`
    pub log: Log,
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
    /// Proxies that are believed when they say for whom they speak. Default: this machine.
    #[serde(deserialize_with = "network::list")]
    pub trusted_proxies: Vec<Network>,
    /// The header in which they say it. Default: `CF-Connecting-IP`.
    pub client_ip_header: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            max_connections: 1000,
            public_url: None,
            name: "sync-relay".to_owned(),
            trusted_proxies: Network::loopback(),
            client_ip_header: "CF-Connecting-IP".to_owned(),
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

/// `[limits]`: how fast, and how many. 0 is no limit, but for `messages_per_minute`, `max_strangers` and
/// `share_per_ip`.
///
/// Those per address count an IPv6 address by its first 64 bits, and leave alone who comes from the relay's
/// own machine through no proxy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Messages of one device in a minute. Default: 100.
    pub messages_per_minute: u32,
    /// Sockets at once that have not shown to be a member's. Default: 256.
    pub max_strangers: u32,
    /// Connections to `/sync` of one address at once. Default: 10.
    pub connections_per_ip: u32,
    /// Connections to `/sync` that one address may begin in a minute. Default: 60.
    pub sessions_per_minute: u32,
    /// New groups of one address in an hour. Default: 20.
    pub groups_per_hour: u32,
    /// Of the room for groups and for bytes, the part that groups from one address may take, in percent; 100:
    /// all of it. Default: 25.
    pub share_per_ip: u8,
    /// Invites that one address may lay down in a minute. Default: 5.
    pub invites_per_minute: u32,
    /// Invites that one address may ask for in a minute. Default: 10.
    pub invite_claims_per_minute: u32,
    /// Of those, invites that are not there. Default: 3.
    pub invite_misses_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_per_minute: 100,
            max_strangers: 256,
            connections_per_ip: 10,
            sessions_per_minute: 60,
            groups_per_hour: 20,
            share_per_ip: 25,
            invites_per_minute: 5,
            invite_claims_per_minute: 10,
            invite_misses_per_minute: 3,
        }
    }
}

/// `[metrics]`: who may read `/metrics`, beside callers on the relay's own machine.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsAccess {
    /// Address and port of a listener that serves them to whoever reaches it. Default: none.
    pub bind: Option<SocketAddr>,
    /// When set, who brings it as `Authorization: Bearer` may read them anywhere. Default: none.
    #[serde(deserialize_with = "token")]
    pub token: Option<String>,
}

impl core::fmt::Debug for MetricsAccess {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("MetricsAccess").field("bind", &self.bind).field("token", &token).finish()
    }
}

/// `[log]`: what the relay writes to its standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How. Default: text.
    pub format: LogFormat,
    /// From which level on, or for which parts of the program, as in `info,sync_relay=debug`. The variable
    /// `RUST_LOG` counts more. Default: info.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for machines.
    Json,
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
        if let Some(error) = std::env::vars_os().find_map(|(name, _)| one_underscore(name.to_str()?)) {
            return Err(error);
        }
        // All of ours have two underscores. Kubernetes makes others of a service that is called
        // sync-relay, such as SYNC_RELAY_PORT.
        let environment = Env::prefixed("SYNC_RELAY_").filter(|key| key.as_str().contains("__")).split("__");
        figment = figment.merge(environment);
        // As it is: what looks like a number would lose its zeros.
        for (variable, key) in TOKENS {
            if let Ok(token) = std::env::var(variable) {
                figment = figment.merge((key, token));
            }
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
            origin_share: self.limits.share_per_ip,
            max_devices_per_group: self.groups.max_devices,
            device_expiry: Duration::from_secs(self.cleanup.device_expiry.0),
            messages_per_minute: self.limits.messages_per_minute,
            group_creation: token.map_or(GroupCreation::Open, GroupCreation::by_token),
        }
    }

    /// Which proxies are believed.
    pub(crate) fn proxies(&self) -> Result<Proxies, ConfigError> {
        let wrong = |_| ConfigError::Value {
            key: "server.client_ip_header",
            must: "the name of a header, such as X-Forwarded-For",
        };
        let header = self.server.client_ip_header.parse::<HeaderName>().map_err(wrong)?;
        Ok(Proxies::new(self.server.trusted_proxies.clone(), header))
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
        if self.limits.max_strangers == 0 {
            return value("limits.max_strangers", "at least 1");
        }
        if !(1..=100).contains(&self.limits.share_per_ip) {
            return value("limits.share_per_ip", "between 1 and 100");
        }
        if self.policy().max_origin_bytes() < blob + (SEAL_OVERHEAD + NewBlob::OVERHEAD) as u64 {
            return value("limits.share_per_ip", "a part of storage.max_db_size that one blob fits into");
        }
        self.proxies()?;
        if self.server.public_url.as_ref().is_some_and(|url| url.parse::<RelayUrl>().is_err()) {
            return value("server.public_url", "an address such as https://relay.example");
        }
        if self.groups.access_token.as_ref().is_some_and(String::is_empty) {
            return value("groups.access_token", "not empty");
        }
        if self.metrics.token.as_ref().is_some_and(String::is_empty) {
            return value("metrics.token", "not empty");
        }
        if self.log.level.parse::<EnvFilter>().is_err() {
            return value("log.level", "a level such as info, or more, such as info,sync_relay=debug");
        }
        Ok(())
    }
}

/// What is wrong with a variable that is a setting but for an underscore.
fn one_underscore(found: &str) -> Option<ConfigError> {
    let name = found.to_uppercase();
    let (section, key) = name.strip_prefix("SYNC_RELAY_")?.split_once('_')?;
    if key.is_empty() || key.contains("__") || key.starts_with('_') {
        return None;
    }
    let setting = format!("{section}.{key}").to_lowercase();
    let read = Figment::from((setting, "")).extract::<Config>();
    let unknown = |error: figment::Error| matches!(error.kind, Kind::UnknownField(..));
    let known = !read.is_err_and(unknown);
    known.then(|| ConfigError::OneUnderscore {
        found: found.to_owned(),
        meant: format!("SYNC_RELAY_{section}__{key}"),
    })
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

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file))
    }

    fn load(text: &str) -> Result<Config, String> {
        read(text).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_fine_and_what_is_set_counts() {
        let config = load("").unwrap();
        assert_eq!(config.server.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.policy().max_blob_size, (1 << 20) + 1024);
        let config = load(
            "[server]\nbind = \"0.0.0.0:9\"\n[storage]\nmax_blob_size = \"2MiB\"\ndefault_ttl = 60\n\
             [groups]\naccess_token = \"sesame\"\n[limits]\nmessages_per_minute = 5\n\
             [metrics]\ntoken = \"seed\"\n",
        );
        let config = config.unwrap();
        let policy = config.policy();
        assert_eq!(config.server.bind.port(), 9);
        assert_eq!((policy.max_blob_size, policy.default_ttl), ((2 << 20) + 1024, 60));
        assert_eq!(policy.messages_per_minute, 5);
        assert!(!policy.group_creation.allows(None));
        assert_eq!(config.metrics.token.as_deref(), Some("seed"));
        assert!(!format!("{config:?}").contains("sesame") && !format!("{config:?}").contains("seed"));
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let text = include_str!("../relay.example.toml");
        let example = load(text).unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
        // What is commented out there exists, too.
        load(&uncommented()).unwrap();
    }

    /// The example with everything set that it names.
    fn uncommented() -> String {
        let is_setting = |line: &str| {
            let key = line.split_once(" = ").map_or("", |(key, _)| key);
            !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let text = include_str!("../relay.example.toml").lines();
        let text = text.map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line));
        text.map(|line| format!("{line}\n")).collect()
    }

    /// Those that there are: whoever meets a field that is none says so.
    fn fields(toml: &str) -> &'static [&'static str] {
        let Err(ConfigError::Read(error)) = read(toml) else { panic!("{toml}") };
        let Kind::UnknownField(_, fields) = error.kind else { panic!("{error}") };
        fields
    }

    #[test]
    fn the_example_has_every_setting_and_says_something_of_each() {
        let text = uncommented();
        let sections = fields("nonsense = 1\n");
        assert!(sections.len() >= 4, "{sections:?}");
        for section in sections {
            let (_, rest) = text.split_once(&format!("[{section}]\n")).expect(section);
            let body = rest.split("\n[").next().unwrap();
            let settings = fields(&format!("[{section}]\nnonsense = 1\n"));
            assert!(!settings.is_empty());
            for setting in settings {
                let lines: Vec<_> = body.lines().collect();
                let at = lines.iter().position(|line| line.starts_with(&format!("{setting} = ")));
                let at = at.unwrap_or_else(|| panic!("{section}.{setting} is not in the example"));
                assert!(at > 0 && lines[at - 1].starts_with("# "), "nothing is said of {section}.{setting}");
            }
        }
    }

    #[test]
    fn a_setting_that_lacks_an_underscore_is_an_error_and_what_others_set_is_not() {
        for section in fields("nonsense = 1\n") {
            for setting in fields(&format!("[{section}]\nnonsense = 1\n")) {
                let name = |between: &str| format!("SYNC_RELAY_{section}{between}{setting}").to_uppercase();
                let error = one_underscore(&name("_")).expect(setting).to_string();
                assert!(error.starts_with(&name("_")) && error.ends_with(&name("__")), "{error}");
                assert!(one_underscore(&name("__")).is_none(), "{setting}");
            }
        }
        for other in
            ["PORT", "PORT_80_TCP", "SERVICE_HOST", "SERVER_SERVICE_HOST", "SERVER_PORT", "GROUPS_", ""]
        {
            assert!(one_underscore(&format!("SYNC_RELAY_{other}")).is_none(), "{other}");
        }
        assert!(one_underscore("sync_relay_groups_access_token").is_some());
        assert!(one_underscore("PATH").is_none() && one_underscore("OTHER_GROUPS_ACCESS_TOKEN").is_none());
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
            ("[server]\nclient_ip_header = \"two words\"\n", "server.client_ip_header"),
            ("[server]\ntrusted_proxies = [\"localhost\"]\n", "trusted_proxies"),
            ("[limits]\nmax_strangers = 0\n", "limits.max_strangers"),
            ("[limits]\nshare_per_ip = 0\n", "limits.share_per_ip"),
            ("[storage]\nmax_db_size = \"4MiB\"\n", "limits.share_per_ip"),
            ("[metrics]\ntoken = \"\"\n", "metrics.token"),
            ("[log]\nlevel = \"a=b=c\"\n", "log.level"),
            ("[log]\nformat = \"xml\"\n", "format"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(named), "{text:?} gave {error:?}");
        }
        assert!(Config::load(Some(Path::new("/nowhere/relay.toml"))).is_err());
    }
}
