//! The devices of a world.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;

use super::World;
use crate::child::Running;
use crate::item::WriterNo;
use crate::journal::{self, Entry};

/// A device's place in its world.
pub type DeviceNo = usize;

/// How a device's app is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Whose blobs it reads.
    pub group: usize,
    /// Its number, if it pushes; else it reads.
    pub writer: Option<WriterNo>,
    /// Whether it is given the group's secret; else it must be invited, or makes the group.
    pub has_secret: bool,
    /// How far its clock is ahead, in seconds.
    pub ahead: i64,
    /// Further arguments.
    pub more: Vec<String>,
}

/// A device, whether its app runs or not.
#[derive(Debug)]
pub struct Device {
    /// What it is called here.
    pub name: String,
    /// How its app is started the next time.
    pub setup: Setup,
    /// What its app writes down.
    pub journal: PathBuf,
    /// Where its state is.
    pub folder: PathBuf,
    /// Its app, while it runs.
    pub app: Option<Running>,
    /// How much of its journal was held against what the relay had left.
    pub(super) checked: u64,
    entrance: String,
}

impl World {
    /// A new device, once it is ready.
    pub async fn add(&mut self, setup: Setup) -> Result<DeviceNo> {
        let no = self.devices.len();
        let name = match setup.writer {
            Some(writer) => format!("writer {writer}"),
            None => format!("reader {no}"),
        };
        let file = |end: &str| self.folder.path().join(format!("device-{no}{end}"));
        let (journal, folder, entrance) = (file(".journal"), file(""), self.entrance.clone());
        self.devices.push(Device { name, setup, journal, folder, app: None, checked: 0, entrance });
        self.start_app(no).await?;
        Ok(no)
    }

    /// A device that is given a group's secret, and whose clock is right.
    pub async fn add_member(&mut self, group: usize, writer: Option<WriterNo>) -> Result<DeviceNo> {
        self.add(Setup { group, writer, has_secret: true, ..Setup::default() }).await
    }

    /// Starts a device's app.
    pub async fn start_app(&mut self, no: DeviceNo) -> Result<()> {
        self.launch_app(no)?;
        self.wait_for_app(no).await
    }

    /// Waits until a device's app works.
    pub async fn wait_for_app(&mut self, no: DeviceNo) -> Result<()> {
        self.app(no)?.until("ready", |heard| heard.ready).await.with_context(|| self.log_of(no))
    }

    /// Starts a device's app, and waits for nothing.
    pub fn launch_app(&mut self, no: DeviceNo) -> Result<()> {
        let device = &self.devices[no];
        let mut command = Command::new(&self.program);
        match device.setup.writer {
            Some(writer) => command.arg("writer").arg(format!("--number={writer}")),
            None => command.arg("reader"),
        };
        command.arg("--folder").arg(&device.folder).arg("--journal").arg(&device.journal);
        command.args(["--relay", &device.entrance, "--marker", &self.marker]);
        command.arg(format!("--ahead={}", device.setup.ahead)).args(&device.setup.more);
        if device.setup.has_secret {
            command.arg("--group").arg(HEXLOWER.encode(&self.groups[device.setup.group]));
        }
        let log = self.folder.path().join(format!("device-{no}.log"));
        self.devices[no].app = Some(Running::start(&mut command, &log)?);
        Ok(())
    }

    /// The end of what an app has complained about.
    fn log_of(&self, no: DeviceNo) -> String {
        let log =
            std::fs::read_to_string(self.folder.path().join(format!("device-{no}.log"))).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(3).collect();
        format!("{}: {}", self.devices[no].name, end.into_iter().rev().collect::<Vec<_>>().join(" / "))
    }

    /// A device's app, which must run.
    pub fn app(&mut self, no: DeviceNo) -> Result<&mut Running> {
        self.devices[no].app.as_mut().context("the app does not run")
    }

    /// SIGKILL.
    pub fn kill_app(&mut self, no: DeviceNo) -> Result<()> {
        self.devices[no].app.take().context("the app does not run")?.kill()
    }

    /// Tells an app to invite or to join, and gives its answer.
    pub async fn ask(&mut self, no: DeviceNo, order: &str) -> Result<String> {
        let app = self.app(no)?;
        app.tell(order);
        app.until("an answer", |heard| heard.answer.is_some()).await?;
        let answer = app.heard().answer.clone();
        answer.context("no answer")
    }

    /// Tells every app that runs.
    pub fn tell_all(&mut self, order: &str) {
        self.devices.iter_mut().filter_map(|device| device.app.as_mut()).for_each(|app| app.tell(order));
    }

    /// Tells every writer that runs.
    pub fn tell_writers(&mut self, order: &str) {
        let writers = self.devices.iter_mut().filter(|device| device.setup.writer.is_some());
        writers.filter_map(|device| device.app.as_mut()).for_each(|app| app.tell(order));
    }

    /// A writer pushes so many items, and all of them are at the relay.
    pub async fn push(&mut self, no: DeviceNo, items: u64) -> Result<()> {
        let app = self.app(no)?;
        let before = app.heard().drained;
        app.tell(&format!("push {items}"));
        app.until("everything is pushed", |heard| heard.drained > before)
            .await
            .with_context(|| self.log_of(no))
    }

    /// Writers stop, and everything arrives.
    pub async fn drain(&mut self) -> Result<()> {
        let writers: Vec<DeviceNo> = self.running(|setup| setup.writer.is_some());
        let drained = |world: &mut Self, no| Ok::<_, anyhow::Error>(world.app(no)?.heard().drained);
        let before = writers.iter().map(|no| drained(self, *no)).collect::<Result<Vec<_>>>()?;
        self.tell_all("woke");
        self.tell_writers("drain");
        for (no, before) in writers.into_iter().zip(before) {
            let waited = self.app(no)?.until("everything is pushed", |heard| heard.drained > before).await;
            waited.with_context(|| self.log_of(no))?;
        }
        self.arrive().await
    }

    /// Every reader that runs has what was pushed last.
    pub async fn arrive(&mut self) -> Result<()> {
        let mut last = Vec::new();
        for device in &self.devices {
            let Some(writer) = device.setup.writer else { continue };
            let queued = journal::read(&device.journal, 0)?.0.into_iter().filter_map(|entry| {
                let Entry::Queued(number, _) = entry else { return None };
                Some(number)
            });
            last.extend(queued.max().map(|number| (device.setup.group, writer, number)));
        }
        for no in self.running(|setup| setup.writer.is_none()) {
            let device = &self.devices[no];
            let read = journal::read(&device.journal, 0)?.0;
            let has = |writer: WriterNo, number: u64| {
                let is = |entry: &Entry| matches!(entry, Entry::Took(_, _, Some(item)) if item.writer == writer && item.number >= number);
                read.iter().any(is)
            };
            let of_group = last.iter().filter(|(group, ..)| *group == device.setup.group);
            let missing: Vec<_> =
                of_group.filter(|(_, writer, number)| !has(*writer, *number)).copied().collect();
            let arrived = self.app(no)?.until("everything has arrived", |heard| {
                missing
                    .iter()
                    .all(|(_, writer, number)| heard.took.get(writer).is_some_and(|took| took >= number))
            });
            arrived.await.with_context(|| self.log_of(no))?;
        }
        Ok(())
    }

    /// The devices whose apps run.
    pub fn running(&self, which: impl Fn(&Setup) -> bool) -> Vec<DeviceNo> {
        let runs = |no: &DeviceNo| self.devices[*no].app.is_some() && which(&self.devices[*no].setup);
        (0..self.devices.len()).filter(runs).collect()
    }

    /// Pushes that were acknowledged in this life of each writer, all together.
    pub fn acked(&self) -> u64 {
        self.devices.iter().filter_map(|device| Some(device.app.as_ref()?.heard().acked)).sum()
    }
}
