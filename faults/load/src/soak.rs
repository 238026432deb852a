//! A long day in little time: everything comes and goes, and nothing may grow for ever.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sync_engine::{Command, Event, PageEnd, Reply};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::device::{Device, Place};
use crate::relay::Relay;
use crate::world::{group, here, roomy};

const GROUPS: usize = 20;
const DEVICES: usize = 4;
/// How long a group lives before its members delete it and make another, in pushes.
const LIFE: u32 = 600;
/// Between two pushes of a group.
const EVERY: Duration = Duration::from_millis(50);
/// The last third of the time may need that much more than the second, as a part.
const SLACK: f64 = 1.10;

/// What was measured at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    memory: u64,
    disk: u64,
}

pub(crate) async fn run(program: &Path, minutes: u64) -> Result<()> {
    let mut settings = roomy();
    settings.push(("CLEANUP__INTERVAL", "5s".to_owned()));
    let relay = Relay::start(program, settings).await?;
    let place = here(relay.addr);
    let mut tasks = JoinSet::new();
    for n in 0..GROUPS {
        tasks.spawn(lives(place, n as u32));
    }
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples = Vec::new();
    while Instant::now() < end {
        tokio::select! {
            ended = tasks.join_next() => return ended.context("nobody is left")??.context("a group fell silent"),
            _ = tick.tick() => samples.push(Sample { memory: relay.memory()?, disk: relay.disk()? }),
        }
        if samples.len().is_multiple_of(60) {
            let Some(Sample { memory, disk }) = samples.last() else { continue };
            println!("after {:2} min: {memory} bytes of memory, {disk} on the disk", samples.len() / 60);
        }
    }
    let third = samples.len() / 3;
    for (what, of) in [("memory", (|s| s.memory) as fn(&Sample) -> u64), ("disk", |s| s.disk)] {
        let most = |part: &[Sample]| part.iter().map(of).max().unwrap_or(0);
        let (second, last) = (most(&samples[third..2 * third]), most(&samples[2 * third..]));
        println!("{what}: at most {second} bytes in the second third, {last} in the last");
        ensure!(last as f64 <= second as f64 * SLACK, "{what} goes on growing");
    }
    Ok(())
}

/// One group after the other.
async fn lives(place: Place, seed: u32) -> Result<()> {
    // Not all of them end in the same moment.
    let mut life = LIFE * (seed + 1) / GROUPS as u32;
    loop {
        let mut devices = group(place, DEVICES).await?;
        let readers: Vec<_> = devices.drain(1..).map(|device| tokio::spawn(reads(device))).collect();
        let first = &devices[0];
        for n in 0..life {
            // Most expire, and some stay until their group is deleted.
            let (size, ttl) = (200 + (n * 7919) % 20_000, if n.is_multiple_of(50) { 0 } else { 1 + n % 20 });
            first.push(vec![n as u8; size as usize], Some(ttl)).await?;
            sleep(EVERY).await;
            if n.is_multiple_of(100) {
                // A device comes, sees and goes.
                let guest = Device::new(place)?;
                guest.join(first.invite().await?).await?;
                guest.ask(Command::Leave).await?;
            }
        }
        life = LIFE;
        first.ask(Command::Flush).await?;
        first.ask(Command::DeleteGroup).await?;
        readers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Takes what comes, and says so.
async fn reads(mut device: Device) -> Result<()> {
    let mut has: Option<PageEnd> = None;
    loop {
        device.hears(|event| matches!(event, Event::BlobAvailable { .. }).then_some(())).await?;
        loop {
            let Reply::Page(page) = device.ask(Command::Read { limit: 0, has }).await? else { continue };
            has = Some(page.end());
            device.ask(Command::Ack { cursor: page.max_cursor, generation: Some(page.generation) }).await?;
            if !page.has_more {
                break;
            }
        }
    }
}
