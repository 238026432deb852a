//! A relay and the devices of some groups, as processes in one folder.

mod devices;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::check::{Rules, Secrets, Sums, Told, Violations, acked_and_not_there, acks, check, leaks};
use crate::child::{PATIENCE, Running};
use crate::item::Item;
use crate::journal;
use crate::relay_log::{self, RelayLog};
pub use devices::{Device, DeviceNo, Setup};

/// Items of each writer that are looked for in the relay's files.
const LOOKED_FOR: u64 = 100;

/// A database tells nobody that it has changed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a relay is started.
#[derive(Debug, Clone, Copy)]
pub struct RelaySetup {
    /// How far its clock is ahead, in seconds.
    pub ahead: i64,
    /// Between cleanups.
    pub cleanup: Duration,
}

impl Default for RelaySetup {
    fn default() -> Self {
        Self { ahead: 0, cleanup: Duration::from_secs(3600) }
    }
}

/// A relay and its devices. Everything ends, and every file goes, when it is dropped.
#[derive(Debug)]
pub struct World {
    program: PathBuf,
    marker: String,
    groups: Vec<[u8; 32]>,
    relay: Option<Running>,
    /// Where the relay listens; the same after each restart.
    pub relay_address: String,
    /// Under which address devices that are made from now on know the relay.
    pub entrance: String,
    /// How the relay is started the next time.
    pub setup: RelaySetup,
    /// All of them, also those that are not running.
    pub devices: Vec<Device>,
    folder: TempDir,
}

impl World {
    /// A relay without devices.
    pub async fn start(program: &Path, setup: RelaySetup) -> Result<Self> {
        let mut world = Self {
            program: program.to_owned(),
            marker: format!("marker-{}", HEXLOWER.encode(&random()?[..12])),
            groups: Vec::new(),
            relay: None,
            relay_address: "127.0.0.1:0".to_owned(),
            entrance: String::new(),
            setup,
            devices: Vec::new(),
            folder: TempDir::new()?,
        };
        std::fs::create_dir(world.relay_folder())?;
        world.start_relay().await?;
        world.entrance = format!("http://{}", world.relay_address);
        Ok(world)
    }

    /// Where the relay's files are.
    pub fn relay_folder(&self) -> PathBuf {
        self.folder.path().join("relay")
    }

    /// The relay's database.
    pub fn database(&self) -> PathBuf {
        self.relay_folder().join("relay.db")
    }

    /// A place for files that are nobody's.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the relay, and waits until it serves.
    pub async fn start_relay(&mut self) -> Result<()> {
        self.launch_relay()?;
        let relay = self.relay.as_mut().context("no relay")?;
        relay.until("the relay listens", |heard| heard.listens.is_some()).await?;
        self.relay_address = relay.heard().listens.clone().context("an address")?;
        self.ask_health().await
    }

    /// Starts the relay, and waits for nothing.
    pub fn launch_relay(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("relay").args(["--bind", &self.relay_address]).arg("--database").arg(self.database());
        command.arg(format!("--ahead={}", self.setup.ahead));
        command.arg(format!("--cleanup={}", self.setup.cleanup.as_secs()));
        self.relay = Some(Running::start(&mut command, &self.relay_folder().join("relay.log"))?);
        Ok(())
    }

    /// It listens before it has opened its database; it answers afterwards.
    async fn ask_health(&self) -> Result<()> {
        let mut socket = TcpStream::connect(&self.relay_address).await?;
        socket.write_all(b"GET /health HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "the relay is not well: {answer}");
        Ok(())
    }

    /// SIGKILL.
    pub fn kill_relay(&mut self) -> Result<()> {
        self.relay.take().context("no relay")?.kill()
    }

    /// Ends the relay as its owner does.
    pub fn end_relay(&mut self) -> Result<()> {
        self.relay.take().context("no relay")?.end()
    }

    /// Tells the relay something.
    pub fn tell_relay(&mut self, order: &str) {
        if let Some(relay) = &mut self.relay {
            relay.tell(order);
        }
    }

    /// Waits until the relay has cleaned up, from the beginning to the end.
    pub async fn cleaned(&self) -> Result<()> {
        let database = self.database();
        let waited = timeout(PATIENCE, async {
            // The second one begins when the first is over.
            for _ in 0..2 {
                let last = relay_log::cleanup_began(&database).await?;
                while relay_log::cleanup_began(&database).await? == last {
                    sleep(LOOK_AGAIN).await;
                }
            }
            Ok(())
        });
        waited.await.context("the relay does not clean up")?
    }

    /// A new group that devices can be given.
    pub fn group(&mut self) -> Result<usize> {
        self.groups.push(random()?);
        Ok(self.groups.len() - 1)
    }

    /// What was acknowledged since the last call, by what writers have written down, must be in the database
    /// that a killed relay has left.
    pub async fn check_remains(&mut self) -> Result<()> {
        let mut acked = Vec::new();
        for device in &mut self.devices {
            let Some(writer) = device.setup.writer else { continue };
            let (entries, end) = journal::read(&device.journal, device.checked)?;
            device.checked = end;
            acked.extend(acks(writer, &entries));
        }
        let Some(from) = acked.iter().map(|(_, _, cursor)| *cursor).min() else { return Ok(()) };
        let log = RelayLog::read_remains(&self.database(), from).await?;
        let lost = acked_and_not_there(&acked, &log);
        if lost.is_empty() { Ok(()) } else { Err(Violations(lost).into()) }
    }

    /// Everything is checked, when everything has arrived.
    pub async fn check(&self, rules: Rules) -> Result<Sums> {
        let log = RelayLog::read(&self.database()).await?;
        let (mut violations, sums) = check(&self.told()?, &log, rules);
        violations.extend(leaks(&self.relay_folder(), &self.secrets())?);
        if violations.is_empty() { Ok(sums) } else { Err(Violations(violations).into()) }
    }

    fn told(&self) -> Result<Vec<Told>> {
        let told = |device: &Device| {
            let Setup { writer, group, .. } = device.setup;
            let (entries, _) = journal::read(&device.journal, 0)?;
            Ok(Told { name: device.name.clone(), group, writer, entries })
        };
        self.devices.iter().map(told).collect()
    }

    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        self.groups.iter().for_each(|group| secrets.key(group));
        for writer in self.devices.iter().filter_map(|device| device.setup.writer) {
            for number in 1..=LOOKED_FOR {
                secrets.text(Item { writer, number }.text(&self.marker).as_bytes());
            }
        }
        secrets
    }
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    Ok(bytes)
}
