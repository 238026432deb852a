//! Relay and apps are killed under load, at random moments, again and again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use tokio::time::{sleep, timeout};

use crate::check::{Rules, Sums};
use crate::world::{DeviceNo, RelaySetup, Setup, World};

/// Rounds in one world; then everything is checked, and another one begins.
pub const BLOCK: u64 = 50;
/// Longest time from one kill to the next, in milliseconds.
const LONGEST: u64 = 150;
/// Most acknowledgements of a writer from one kill to the next.
const MOST: u64 = 40;

/// Blobs of a page at least: small pages are many acknowledgements, and kills between them.
const SMALLEST_PAGE: u64 = 10;

/// What was done, and what was found to hold.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    /// Kills of relays.
    pub relays: u64,
    /// Kills of apps.
    pub apps: u64,
    /// What the checks have seen.
    pub sums: Sums,
}

/// So many rounds in one world, and the check.
pub async fn run(program: &Path, seed: u64, rounds: u64) -> Result<Done> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = crowd(program, &mut rng).await?;
    let mut done = Done::default();
    world.tell_writers("load");
    for _ in 0..rounds {
        moment(&mut world, &mut rng).await;
        round(&mut world, &mut rng, &mut done).await?;
    }
    world.drain().await?;
    done.sums = world.check(Rules::default()).await?;
    Ok(done)
}

/// A random moment is what this is about: so long after the last, or when so much more was acknowledged, if that comes
/// sooner.
async fn moment(world: &mut World, rng: &mut ChaCha8Rng) {
    let time = Duration::from_millis(rng.next_u64() % LONGEST);
    let more = 1 + rng.next_u64() % MOST;
    let writers = world.running(|setup| setup.writer.is_some());
    let writer = writers[rng.next_u64() as usize % writers.len()];
    match world.app(writer) {
        Ok(app) if rng.next_u64().is_multiple_of(2) => {
            let wanted = app.heard().acked + more;
            let _ = timeout(time, app.until("acknowledgements", |heard| heard.acked >= wanted)).await;
        }
        Ok(_) | Err(_) => sleep(time).await,
    }
}

/// A relay, one or two groups, some writers and readers.
async fn crowd(program: &Path, rng: &mut ChaCha8Rng) -> Result<World> {
    let mut world = World::start(program, RelaySetup::default()).await?;
    let mut writer = 0;
    for _ in 0..=rng.next_u64() % 2 {
        let group = world.group()?;
        for _ in 0..=rng.next_u64() % 2 {
            writer += 1;
            world.add_member(group, Some(writer)).await?;
        }
        for _ in 0..=rng.next_u64() % 2 {
            let more = vec![format!("--limit={}", SMALLEST_PAGE + rng.next_u64() % SMALLEST_PAGE)];
            world.add(Setup { group, has_secret: true, more, ..Setup::default() }).await?;
        }
    }
    Ok(world)
}

/// Some are killed, and come back.
async fn round(world: &mut World, rng: &mut ChaCha8Rng, done: &mut Done) -> Result<()> {
    let apps = world.devices.len() as u64;
    let (relay, victims) = match rng.next_u64() % 10 {
        0..5 => (true, Vec::new()),
        5..8 => (false, vec![rng.next_u64() % apps]),
        _ => (
            rng.next_u64().is_multiple_of(2),
            (0..apps).filter(|_| rng.next_u64().is_multiple_of(2)).collect(),
        ),
    };
    let victims: Vec<DeviceNo> = victims.into_iter().filter_map(|no| no.try_into().ok()).collect();
    if relay {
        world.kill_relay()?;
        done.relays += 1;
        world.check_remains().await?;
    }
    for no in &victims {
        world.kill_app(*no)?;
        done.apps += 1;
    }
    if relay && rng.next_u64().is_multiple_of(8) {
        // Once more, while it starts.
        world.launch_relay()?;
        sleep(Duration::from_millis(rng.next_u64() % 20)).await;
        world.kill_relay()?;
        done.relays += 1;
    }
    if relay {
        world.start_relay().await?;
    }
    for no in &victims {
        world.launch_app(*no)?;
    }
    for no in &victims {
        world.wait_for_app(*no).await?;
        if world.devices[*no].setup.writer.is_some() {
            world.app(*no)?.tell("load");
        }
    }
    if relay {
        world.tell_all("woke");
    }
    Ok(())
}
